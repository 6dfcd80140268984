import { QrunError } from '../../../core/errors.js';
import type { CollectReport } from '../../../core/sweep/collect.js';
import { collectFromHosts } from '../../../local/hosts/collect.js';
import { withHosts } from '../../../local/hosts/sweep-hosts.js';
import { collectSweep } from '../../../local/sweep/collect.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { hostsWanted, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderCollect } from './render.js';

/**
 * `qrun collect [ROOT]`: imports the logs of other hosts, fetched from the hosts of qrun.toml first if it names some.
 * Returns 0 if all of them were imported, otherwise the exit code of the worst problem: 23 for a log that is damaged or
 * cannot be read or written, 26 for a host whose logs could not be fetched, 22 for a unit that runs here. Without
 * hosts signals are not handled: they end the process at any moment, and importing again does the rest. With hosts
 * they end ssh and rsync, or the import between two units.
 *
 * Errors: QrunError of the sweep; `USAGE` for a `--from` that leads to no log; `CONFIG` for hosts of a tree that is not
 * trusted; `SSH_MISSING`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const { cwd, env, err, errStyle, proc } = terminal;
  const sweep = sweepOf(call);
  const from = stringsFlag(flags, 'from');
  const names = hostsWanted(sweep, flags);
  if (from.length > 0 && stringsFlag(flags, 'hostNames').length > 0) {
    throw new QrunError('USAGE', '--from names logs that are here, and --host a host to fetch them from', {
      hint: 'give one of them',
    });
  }
  const onNotice = (message: string): void =>
    err.write(`${errStyle.paint.caution('qrun: ')}${errStyle.foreign(message)}\n`);
  const show = (report: CollectReport): number => {
    writeResult<CollectReport>(call, report, style => renderCollect(report, { directory, cwd }, style));
    return report.exit_code;
  };
  if (names === undefined || from.length > 0) return show(await collectSweep(sweep, cwd, from, { onNotice }));
  return await untilStopped(proc, async (signal, listen) => {
    listen();
    const report = await withHosts(
      sweep,
      names,
      { env, signal },
      async hosts => await collectFromHosts(sweep, hosts, { signal, onNotice }),
    );
    return show(report);
  });
}
