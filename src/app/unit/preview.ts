import { QrunError } from '../../core/errors.js';
import { FinalStates } from '../../core/log/scan/final-states.js';
import type { LogTail, LogVisitor } from '../../core/log/scan/log-scan.js';
import { type PlanOptions, planUnit, type UnitPlan } from './plan.js';

/**
 * The plan that a run would make now, without lease, lock, repair or engine. Damage that a run would refuse is
 * passed over, for the audit to name it, unless `refuseDamage` is set.
 *
 * Errors: those of {@link planUnit}; QrunError `LOG_FOREIGN` when the log belongs to another unit; `LOG_DAMAGED` and
 * `LOG_SCHEMA` with `refuseDamage`.
 */
export async function previewUnit(
  options: PlanOptions,
  readLog: (visitor: LogVisitor) => Promise<LogTail | undefined>,
  { signal, refuseDamage = false }: { readonly signal?: AbortSignal; readonly refuseDamage?: boolean } = {},
): Promise<UnitPlan> {
  const final = new FinalStates();
  await readLog({
    group: head => final.set(head),
    partial: head => final.delete(head.query),
    foreign: (_offset, unit) => {
      if (unit === undefined) return;
      throw new QrunError('LOG_FOREIGN', `the log holds records of the unit ${JSON.stringify(unit)}`, {
        hint: 'name another log with --log or --log-dir',
      });
    },
    newer: (offset, schema) => {
      if (!refuseDamage) return;
      throw new QrunError('LOG_SCHEMA', `the log has a record of schema ${schema} at byte ${offset}`, {
        hint: 'update qrun, or name another directory with --log-dir',
      });
    },
    unreadable: offset => {
      if (!refuseDamage) return;
      throw new QrunError('LOG_DAMAGED', `the log is damaged: the line at byte ${offset} is no JSON`, {
        hint: 'look at the place, and repair or remove the line by hand',
      });
    },
  });
  return await planUnit(options, final, signal);
}
