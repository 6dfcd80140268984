import { type ErrorCode, QrunError } from '../core/errors.js';

/** What is to be done in a unit; the counts are of queries. */
export interface PlannedUnit {
  readonly queries: number;
  readonly due: number;
}

/** One unit as the preflight of a sweep looks at it. */
export interface UnitToPlan {
  readonly unit: string;
  /** Reads and checks every query and compares it with the log. */
  readonly plan: () => Promise<PlannedUnit>;
}

export interface UnitOutlook extends PlannedUnit {
  readonly unit: string;
}

/**
 * Plans all units, as many at once as `plan` lets, and gives them in their order. Nothing of a sweep is submitted if one of
 * its units cannot run.
 *
 * Errors: one QrunError with the problems of all units: `SQL_INVALID`, `PARAMETERS`, `UNIT_*`, `USAGE` or the code
 * of a log that cannot be trusted (which wins, because it is about data); what
 * `plan` throws besides.
 */
export async function planSweep(
  units: readonly UnitToPlan[],
  onPlanned: (planned: number) => void,
): Promise<UnitOutlook[]> {
  const problems: { unit: string; error: QrunError }[] = [];
  let planned = 0;
  const outlooks = await Promise.all(
    units.map(async ({ unit, plan }): Promise<UnitOutlook | undefined> => {
      try {
        const { queries, due } = await plan();
        return { unit, queries, due };
      } catch (error) {
        if (!(error instanceof QrunError)) throw error;
        problems.push({ unit, error });
        return undefined;
      } finally {
        planned += 1;
        onPlanned(planned);
      }
    }),
  );
  problems.sort((a, b) => (a.unit < b.unit ? -1 : 1));
  if (problems.length > 0) throw collected(problems, units.length);
  return outlooks.filter(outlook => outlook !== undefined);
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
