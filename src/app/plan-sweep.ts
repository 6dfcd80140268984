import { type ErrorCode, QrunError } from '../core/errors.js';
import type { UnitPlan } from './plan-unit.js';

/** One unit as the preflight of a sweep looks at it. */
export interface UnitToPlan {
  readonly unit: string;
  /** Reads and checks every query and compares it with the log. */
  readonly plan: () => Promise<UnitPlan>;
}

/** What is to be done in a unit; the counts are of queries. */
export interface UnitOutlook {
  readonly unit: string;
  readonly queries: number;
  readonly due: number;
}

/**
 * Plans all units one after the other, so that only one plan is in memory. Nothing of a sweep is submitted if one
 * of its units cannot run.
 *
 * Errors: one QrunError with the problems of all units: `SQL_INVALID`, `PARAMETERS`, `UNIT_*`, `USAGE` or the code
 * of a log that cannot be trusted (which wins, because it is about data). The signal's reason when it is aborted.
 */
export async function planSweep(
  units: readonly UnitToPlan[],
  onPlanned: (planned: number) => void,
  signal: AbortSignal,
): Promise<UnitOutlook[]> {
  const outlooks: UnitOutlook[] = [];
  const problems: { unit: string; error: QrunError }[] = [];
  for (const { unit, plan } of units) {
    signal.throwIfAborted();
    try {
      const { queries, due } = await plan();
      outlooks.push({ unit, queries: queries.length, due: due.length });
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
      problems.push({ unit, error });
    }
    onPlanned(outlooks.length + problems.length);
  }
  if (problems.length > 0) throw collected(problems, units.length);
  return outlooks;
}

function collected(problems: readonly { unit: string; error: QrunError }[], units: number): QrunError {
  const worst = problems.find(({ error }) => isAboutData(error.code)) ?? problems[0];
  const { error } = worst as { error: QrunError };
  return new QrunError(error.code, `${problems.length} of ${units} units cannot run; nothing was submitted`, {
    details: problems.flatMap(({ unit, error: { message, details } }) =>
      details.length === 0 ? [`${unit}: ${message}`] : details.map(detail => `${unit}: ${detail}`),
    ),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
  });
}

function isAboutData(code: ErrorCode): boolean {
  return code.startsWith('LOG_');
}
