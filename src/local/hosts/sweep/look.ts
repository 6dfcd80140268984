import type { Host } from '../../../core/hosts/host.js';
import type { HostPart } from '../../../core/hosts/part.js';
import { checkHint, type HostProblem } from '../../../core/hosts/ssh-failure.js';
import type { LogsThere } from '../collect.js';
import type { HostAnswer, SweepHosts } from '../sweep-hosts.js';

// It reads no file of a unit.
const LOOK_LIMIT_MS = 60_000;

/** What hosts have of a sweep. */
export interface HostsNow {
  readonly answers: readonly HostAnswer<HostPart>[];
  /** The same, of hosts that can be used: a queue that cannot be read is a problem of its host. */
  readonly usable: readonly HostAnswer<HostPart>[];
  /** Where their logs are, as far as they have said; see {@link LogsThere}. */
  readonly logs: ReadonlyMap<Host, LogsThere>;
}

/** Looks at all hosts at once. Errors: as {@link SweepHosts}. */
export async function lookAtHosts(hosts: SweepHosts): Promise<HostsNow> {
  const answers = await hosts.ask('look', () => ({ units: null, ask: {} }), LOOK_LIMIT_MS);
  const logs = new Map<Host, LogsThere>();
  for (const answer of answers) {
    const { host } = answer;
    if ('problem' in answer) logs.set(host, { ...answer.problem, reached: false });
    else {
      const { log_directory: directory, has_logs: hasLogs } = answer.returns;
      logs.set(host, { directory, isEmpty: !hasLogs });
    }
  }
  return { answers, usable: answers.map(withQueue), logs };
}

function withQueue(answer: HostAnswer<HostPart>): HostAnswer<HostPart> {
  if ('problem' in answer || answer.returns.queue_problem === null) return answer;
  const { host } = answer;
  const { code, says, hint } = answer.returns.queue_problem;
  const problem: HostProblem = {
    code,
    says,
    mend: hint ?? checkHint(host),
  };
  return { host, problem };
}
