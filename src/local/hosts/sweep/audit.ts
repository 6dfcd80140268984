import { waitForHosts } from '../../../app/hosts/wait-for-hosts.js';
import { isToCorrect, liveUnits } from '../../../core/hosts/submission.js';
import type { SweepAudit } from '../../../core/sweep/audit.js';
import { collectNotices } from '../../../core/sweep/collect.js';
import { systemClock } from '../../../io/machine/clock.js';
import type { Surroundings } from '../../config/sweep-context.js';
import {
  type AuditWatch,
  auditSweep,
  isAllHere,
  running,
  type SweepAuditOptions,
} from '../../sweep/audit.js';
import type { ResolvedSweep } from '../../sweep/context.js';
import { checkedCommands } from '../../sweep/finalizers.js';
import { collectFromHosts } from '../collect.js';
import { type SweepHosts, withHosts } from '../sweep-hosts.js';
import { type HostsNow, lookAtHosts } from './look.js';

/** How a sweep of several hosts is audited. */
export interface HostsAuditOptions extends SweepAuditOptions {
  /** Whether to wait first until none of its units waits or runs; see {@link waitForHosts}. */
  readonly whenEnded?: boolean;
}

/** The callbacks of such an audit. */
export interface HostsAuditWatch extends AuditWatch {
  /** Called whenever what is waited for has changed. */
  readonly onWaiting?: (text: string) => void;
}

/**
 * Collects what the hosts of a sweep have recorded (those with these names; all without names), and audits it here, as
 * {@link auditSweep} does. A host that cannot be asked changes nothing about that: the audit is of what is here, and
 * what is missing is missing.
 *
 * Errors: as there; `CONFIG` for hosts of a tree that is not trusted, `USAGE` for an unknown name, `SSH_MISSING`.
 */
export async function auditHosts(
  sweep: ResolvedSweep,
  names: readonly string[],
  surroundings: Pick<Surroundings, 'env'>,
  { whenEnded = false, ...options }: HostsAuditOptions,
  watch: HostsAuditWatch,
): Promise<SweepAudit> {
  // Before it waits for hours.
  checkedCommands(options.finalizers ?? []);
  const { signal } = watch;
  await withHosts(sweep, names, { env: surroundings.env, signal }, async hosts => {
    if (whenEnded) await untilHostsEnded(sweep, hosts, watch);
    await bringIn(sweep, hosts, watch);
  });
  return await auditSweep(sweep, surroundings, options, watch);
}

async function bringIn(
  sweep: ResolvedSweep,
  hosts: SweepHosts,
  { signal, onNotice }: HostsAuditWatch,
  logs?: HostsNow['logs'],
): Promise<void> {
  const report = await collectFromHosts(sweep, hosts, { signal, onNotice }, logs);
  for (const text of collectNotices(report)) onNotice?.(text);
}

async function untilHostsEnded(
  sweep: ResolvedSweep,
  hosts: SweepHosts,
  { signal, onWaiting }: HostsAuditWatch,
): Promise<void> {
  const asked = new Set(sweep.units.map(({ unit }) => unit));
  let logs: HostsNow['logs'] | undefined;
  await waitForHosts({
    look: async () => {
      const now = await lookAtHosts(hosts);
      logs = now.logs;
      const live = liveUnits(now.answers.flatMap(answer => ('returns' in answer ? [answer.returns] : [])));
      const silent = now.usable.flatMap(answer =>
        // Where nothing could be submitted, nothing is waited for.
        'problem' in answer && !isToCorrect(answer.problem)
          ? [{ name: answer.host.name, says: answer.problem.says }]
          : [],
      );
      // A unit that runs here, outside of all queues, cannot be collected.
      const here = await running(sweep);
      const units = [...new Set([...live, ...here])].filter(unit => asked.has(unit)).sort();
      return { live: units, silent };
    },
    isAllHere: async () => {
      await bringIn(sweep, hosts, { signal }, logs);
      return await isAllHere(sweep, signal);
    },
    clock: systemClock,
    onWaiting: text => onWaiting?.(text),
    signal,
  });
}
