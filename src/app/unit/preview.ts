import { refusals } from '../../core/log/refusals.js';
import { FinalStates, type LogTail } from '../../core/log/scan/index.js';
import { type PlanOptions, type PlanWatch, planUnit, type UnitPlan } from './plan.js';

/** The log of a unit, as it is read for a plan. */
export interface LogToPreview {
  readonly path: string;
  readonly unit: string;
  /** Reads it into `states`; resolves with `undefined` when there is none. */
  readonly read: (states: FinalStates) => Promise<LogTail | undefined>;
}

/** Who watches a preview, and whether damage is refused. */
export interface PreviewWatch extends PlanWatch {
  readonly refuseDamage?: boolean;
}

/**
 * Returns the plan that a run would make now, without lease, lock, repair or engine. Damage that a run would refuse
 * is skipped and left to the audit to name, unless `refuseDamage` is set.
 *
 * Errors: those of {@link planUnit}; QrunError `LOG_FOREIGN` when the log belongs to another unit; `LOG_DAMAGED` and
 * `LOG_SCHEMA` with `refuseDamage`.
 */
export async function previewUnit(
  options: PlanOptions,
  log: LogToPreview,
  { refuseDamage = false, ...watch }: PreviewWatch = {},
): Promise<UnitPlan> {
  const refused = refusals(log.path, log.unit);
  const final = new FinalStates(refuseDamage ? refused : { ...refused, newer() {}, unreadable() {} });
  await log.read(final);
  return await planUnit(options, final, watch);
}
