import type { HostsCheck } from '../../../core/hosts/check.js';
import { jsonLine } from '../../../core/text/json.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { sweepContext } from '../../../local/config/sweep-context.js';
import { checkHosts } from '../../../local/hosts/check.js';
import { hostsOfTree } from '../../../local/hosts/hosts-of-tree.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { stringsFlag } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderHostsCheck } from './render-check.js';

/**
 * `qrun hosts check [ROOT]`: one table of all hosts. Returns 0, or the exit code of the worst problem.
 *
 * Errors: QrunError `CONFIG` for a tree that is not trusted or names no hosts, `USAGE`, `SSH_MISSING`.
 */
export async function checkCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const hosts = hostsOfTree(
    sweepContext(directory, configFlags(flags), terminal),
    stringsFlag(flags, 'host'),
  );
  return await untilStopped(terminal.proc, async signal => {
    const options = { env: terminal.env, acceptNew: flags.acceptNew === true, signal };
    const check = await checkHosts(hosts, options);
    terminal.out.write(
      flags.json === true
        ? jsonLine<HostsCheck>(check)
        : renderHostsCheck(check, QUEUE.name, terminal.outStyle),
    );
    return check.exit_code;
  });
}
