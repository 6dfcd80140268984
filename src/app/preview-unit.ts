import { QrunError } from '../core/errors.js';
import type { LogTail, LogVisitor } from '../core/log-scan.js';
import type { FinalState } from '../core/plan.js';
import { type PlanOptions, planUnit, type UnitPlan } from './plan-unit.js';

/**
 * The plan that a run would make now, without lease, lock, repair or engine. Damage that a run would refuse is
 * passed over: the audit names it.
 *
 * Errors: those of {@link planUnit}; QrunError `LOG_FOREIGN` when the log belongs to another unit.
 */
export async function previewUnit(
  options: PlanOptions,
  readLog: (visitor: LogVisitor) => Promise<LogTail | undefined>,
  signal?: AbortSignal,
): Promise<UnitPlan> {
  const final = new Map<string, FinalState>();
  await readLog({
    group: ({ query, fingerprint, outcome, parts, run }) =>
      final.set(query, { fingerprint, outcome, parts, run }),
    partial: head => final.delete(head.query),
    foreign: (_offset, unit) => {
      if (unit === undefined) return;
      throw new QrunError('LOG_FOREIGN', `the log holds records of the unit ${JSON.stringify(unit)}`, {
        hint: 'name another log with --log or --log-dir',
      });
    },
    newer: () => {},
    unreadable: () => {},
  });
  return await planUnit(options, final, signal);
}
