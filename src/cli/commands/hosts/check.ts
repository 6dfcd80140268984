import type { HostsCheck } from '../../../core/hosts/check.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { sweepContext } from '../../../local/config/sweep-context.js';
import { checkHosts } from '../../../local/hosts/check.js';
import { hostsOfTree } from '../../../local/hosts/hosts-of-tree.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { configFlags } from '../../options.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderHostsCheck } from './render-check.js';

/**
 * `qrun hosts check [ROOT]`: one table of all hosts. Returns 0, or the exit code of the worst problem.
 *
 * Errors: QrunError `CONFIG` for a tree that is not trusted or names no hosts, `USAGE`, `SSH_MISSING`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const hosts = hostsOfTree(
    sweepContext(directory, configFlags(flags), terminal),
    stringsFlag(flags, 'host'),
  );
  return await untilStopped(terminal.proc, async signal => {
    const options = { env: terminal.env, acceptNew: flags.acceptNew === true, signal };
    const check = await checkHosts(hosts, options);
    writeResult<HostsCheck>(call, check, style => renderHostsCheck(check, QUEUE.name, style));
    return check.exit_code;
  });
}
