import { QrunError } from '../../core/errors.js';

/** What is to be done in a unit; the counts are of queries. */
export interface PlannedUnit {
  readonly queries: number;
  readonly due: number;
  /** Queries that cannot run and are left out (`--skip-bad`). */
  readonly bad: number;
  /** Of the names and fingerprints of its queries that can run; see {@link QueriesDigest}. */
  readonly digest: string;
}

/** One unit as the preflight of a sweep sees it. */
export interface UnitToPlan {
  readonly unit: string;
  /** Reads and checks every query and compares it with the log. */
  readonly plan: () => Promise<PlannedUnit>;
}

export interface UnitOutlook extends PlannedUnit {
  readonly unit: string;
  /** Why nothing of it can run; set only if such units are left out. The counts are 0 then. */
  readonly problem?: string;
}

/** What a preflight has found beside what is due, as a report shows it. */
export interface NotDue {
  /** Units of which nothing is left to do. */
  readonly complete: string[];
  /** Units with files that cannot run, and how many. */
  readonly cannot_run: { unit: string; queries: number; problem: string | null }[];
}

/** Returns which units are complete, and which cannot run. */
export function notDue(outlooks: readonly UnitOutlook[]): NotDue {
  const isBad = ({ bad, problem }: UnitOutlook): boolean => bad > 0 || problem !== undefined;
  return {
    complete: outlooks.filter(outlook => outlook.due === 0 && !isBad(outlook)).map(({ unit }) => unit),
    cannot_run: outlooks
      .filter(isBad)
      .map(({ unit, bad, problem }) => ({ unit, queries: bad, problem: problem ?? null })),
  };
}

/**
 * Plans all units, as many at once as `plan` allows, and returns them in their order. Nothing of a sweep is submitted
 * if one of its units cannot run. With `skipBad`, units that cannot run because of their files are left out, unless
 * there are no others.
 *
 * Errors: one QrunError with the problems of all units: `SQL_INVALID`, `PARAMETERS`, `UNIT_*`, `USAGE`, or the code
 * of a log that cannot be trusted (which takes precedence, because it is about data); and whatever else `plan`
 * throws.
 */
export async function planSweep(
  units: readonly UnitToPlan[],
  onPlanned: (planned: number) => void,
  skipBad = false,
): Promise<UnitOutlook[]> {
  const problems: { unit: string; error: QrunError }[] = [];
  let planned = 0;
  const outlooks = await Promise.all(
    units.map(async ({ unit, plan }): Promise<UnitOutlook> => {
      try {
        return { unit, ...(await plan()) };
      } catch (error) {
        if (!(error instanceof QrunError)) throw error;
        problems.push({ unit, error });
        const problem = [error.message, ...error.details].join('; ');
        return { unit, queries: 0, due: 0, bad: 0, digest: '', problem };
      } finally {
        planned += 1;
        onPlanned(planned);
      }
    }),
  );
  problems.sort((a, b) => (a.unit < b.unit ? -1 : 1));
  const mayLeaveOut =
    skipBad && problems.length < units.length && problems.every(({ error }) => error.family === 'files');
  if (problems.length > 0 && !mayLeaveOut) throw collected(problems, units.length);
  return outlooks;
}

function collected(problems: readonly { unit: string; error: QrunError }[], units: number): QrunError {
  const worst = problems.find(({ error }) => error.family === 'disk') ?? problems[0];
  const { error } = worst as { error: QrunError };
  return new QrunError(error.code, `${problems.length} of ${units} units cannot run; nothing was submitted`, {
    details: problems.flatMap(({ unit, error: { message, details } }) =>
      details.length === 0 ? [`${unit}: ${message}`] : details.map(detail => `${unit}: ${detail}`),
    ),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
  });
}
