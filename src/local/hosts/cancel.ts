import type { CancelReport } from '../../core/sweep/cancel.js';
import { hostProblemOf, worstExit } from '../../core/sweep/collect.js';
import type { SshOptions } from '../../io/hosts/ssh.js';
import type { CancelOptions } from '../queue/cancel.js';
import { choiceOf } from '../sweep/cancel.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { type HostAnswer, withHosts } from './sweep-hosts.js';

// A login, a lock that another submission holds there for its adds, and some orders to the queue.
const CANCEL_LIMIT_MS = 60_000;
// What drains ends after 19 seconds at the latest; jobs may take longer.
const WAIT_LIMIT_MS = 180_000;

/**
 * Cancels the chosen units of a sweep on its hosts, on all at once, as `cancelSweep` does on each. A host that does not
 * answer is in the report: its units may still wait or run.
 *
 * Errors: as `withHosts`; the reason of the signal.
 */
export async function cancelOnHosts(
  sweep: ResolvedSweep,
  names: readonly string[],
  { dryRun = false, wait = false }: CancelOptions,
  options: Omit<SshOptions, 'shared'>,
): Promise<CancelReport> {
  const ask = { choice: choiceOf(sweep), dryRun, wait };
  const limitMs = wait ? WAIT_LIMIT_MS : CANCEL_LIMIT_MS;
  const answers = await withHosts(
    sweep,
    names,
    options,
    async hosts => await hosts.ask('cancel', () => ({ units: null, ask }), limitMs),
  );
  return joined(sweep.name, answers, dryRun, wait && !dryRun);
}

function joined(
  sweep: string,
  answers: readonly HostAnswer<CancelReport>[],
  dryRun: boolean,
  waited: boolean,
): CancelReport {
  const reports = answers.flatMap(answer =>
    'returns' in answer ? [{ host: answer.host.name, ...answer.returns }] : [],
  );
  const hosts = answers.map(answer => ({
    name: answer.host.name,
    problem: 'problem' in answer ? hostProblemOf(answer.problem) : null,
  }));
  return {
    sweep,
    kind: 'unit',
    tasks: reports.flatMap(({ host, tasks }) => tasks.map(task => ({ ...task, host }))),
    audits: reports.flatMap(({ host, audits }) => audits.map(audit => ({ ...audit, host }))),
    dry_run: dryRun,
    ended: waited ? reports.length === answers.length : null,
    hosts,
    exit_code: worstExit(hosts.flatMap(({ problem }) => problem?.exit_code ?? [])),
  };
}
