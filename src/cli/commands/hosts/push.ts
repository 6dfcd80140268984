import type { PushReport } from '../../../core/hosts/push.js';
import { pushSweep } from '../../../local/hosts/push.js';
import { withHosts } from '../../../local/hosts/sweep-hosts.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderPush } from './render-push.js';

/**
 * `qrun hosts push [ROOT]`: sends the SQL of a sweep to its hosts. Returns 0 if all of it is there; otherwise the exit
 * code of the worst problem: 23 for the root or the disk of a host, 26 for a host, 22 if units were left out because
 * they are queued or running there.
 *
 * Errors: QrunError of the sweep; `CONFIG` for a tree that is not trusted or names no hosts; `USAGE`, `SSH_MISSING`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const sweep = sweepOf(call);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    const { dryRun, checksum } = flags;
    const options = { dryRun: dryRun === true, checksum: checksum === true };
    const report = await withHosts(
      sweep,
      stringsFlag(flags, 'host'),
      { env: terminal.env, signal },
      async hosts => await pushSweep(sweep, hosts, options),
    );
    writeResult<PushReport>(call, report, style => renderPush(report, directory, style));
    return report.exit_code;
  });
}
