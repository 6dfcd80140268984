import type { CollectReport } from '../../../core/sweep/collect.js';
import { collectSweep } from '../../../local/sweep/collect.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderCollect } from './render.js';

/**
 * `qrun collect [ROOT]`: imports the logs of other hosts. Returns 0 if all of them were imported, otherwise the exit
 * code of the worst problem: 23 for a log that is damaged or cannot be read or written, 22 for a unit that runs here.
 * A signal ends it at any moment; importing again does the rest.
 *
 * Errors: QrunError of the sweep; `USAGE` for a `--from` that leads to no log.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  return await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    const sweep = sweepOf(call);
    const { err, errStyle } = terminal;
    const report = await collectSweep(sweep, terminal.cwd, stringsFlag(flags, 'from'), {
      signal,
      onNotice: message => err.write(`${errStyle.paint.caution('qrun: ')}${errStyle.foreign(message)}\n`),
    });
    writeResult<CollectReport>(call, report, style =>
      renderCollect(report, { directory, cwd: terminal.cwd }, style),
    );
    return report.exit_code;
  });
}
