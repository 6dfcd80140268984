import { QrunError } from '../../core/errors.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import { type CannotRun, Judge, type Judgement, type JudgeRules } from '../../core/unit/judge.js';
import { type FinalState, isDue, planQuery, type Rerun } from '../../core/unit/plan.js';
import type { UnitSource } from '../../io/unit/unit-files.js';
import { DueQueries, type PlannedQuery } from './due-queries.js';
import { judgeFile, refusal, type SurveyOptions, surveyUnit, unreadable } from './survey.js';

/** All selected queries of a unit, checked, with what is to be done about each. */
export interface UnitPlan {
  /** In the order in which they run; those that are due and those that are not. */
  readonly queries: readonly PlannedQuery[];
  /** The ones that run, after `--limit`. */
  readonly due: readonly PlannedQuery[];
  /** Queries that are settled, and queries left as error (`--rerun none`). */
  readonly settled: number;
  readonly keptErrors: number;
  /** Whether any query takes parameters, which old servers do not know. */
  readonly usesParameters: boolean;
  /** Query files that cannot run, with each of their problems; empty unless `bad` says that they may be there. */
  readonly cannotRun: readonly CannotRun[];
  /** How many files these are. */
  readonly refused: number;
  /** Files that hold only comments or nothing, and are no queries. */
  readonly noStatement: readonly string[];
}

/** What one run has to do, and what it need not. */
export interface RunPlan extends Omit<UnitPlan, 'queries' | 'due'> {
  readonly due: DueQueries;
}

export interface PlanOptions extends SurveyOptions {
  readonly limit: number | undefined;
  readonly rerun: Rerun;
  /**
   * What follows from files that cannot run. `refuse` (the default): nothing runs. `skip`: the others run, if there are
   * any. `tell`: they are listed, and nothing is thrown.
   */
  readonly bad?: 'refuse' | 'skip' | 'tell';
}

/**
 * Reads and checks every selected query and compares it with the log. Nothing runs if one of them cannot, unless `bad`
 * says otherwise.
 *
 * Cost and memory: as {@link surveyUnit}, and name and fingerprint of each query.
 *
 * Errors: those of {@link surveyUnit}; QrunError `SQL_INVALID` and `PARAMETERS` with the problems of all bad files.
 */
export async function planUnit(
  options: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  signal?: AbortSignal,
): Promise<UnitPlan> {
  const queries: PlannedQuery[] = [];
  const counts = await readPlan(options, final, signal, query => queries.push(query));
  const due = queries.filter(query => isDue(query.reason));
  return { ...counts, queries, due: options.limit === undefined ? due : due.slice(0, options.limit) };
}

/** As {@link planUnit}, for a run, which needs only what is due. */
export async function planRun(
  options: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  signal?: AbortSignal,
): Promise<RunPlan> {
  const due = new DueQueries(options.limit);
  const counts = await readPlan(options, final, signal, query => {
    if (isDue(query.reason)) due.add(query);
  });
  return { ...counts, due };
}

async function readPlan(
  { bad = 'refuse', ...options }: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  signal: AbortSignal | undefined,
  visit: (query: PlannedQuery) => void,
): Promise<Omit<UnitPlan, 'queries' | 'due'>> {
  let settled = 0;
  let keptErrors = 0;
  const survey = await surveyUnit(
    options,
    (name, fingerprint, { overrides }) => {
      const reason = planQuery(final.get(name), fingerprint, options.rerun);
      if (reason === 'settled') settled += 1;
      if (reason === 'kept_error') keptErrors += 1;
      visit({ name, fingerprint, reason, rows: overrides.rows });
    },
    signal,
  );
  const { cannotRun, refused, noStatement, usesParameters } = survey;
  if (bad === 'refuse' && cannotRun.length > 0) throw refusal(survey);
  // Without one that can run, or with a parameter that nothing takes, it is not the file that is bad.
  const nothingRuns = refused + noStatement.length === survey.selected;
  if (bad === 'skip' && (nothingRuns || cannotRun.some(({ query }) => query === null))) throw refusal(survey);
  return { settled, keptErrors, usesParameters, cannotRun, refused, noStatement };
}

/** A query file that was read, with its bytes as they are fingerprinted. */
export interface ReadQuery {
  readonly bytes: Buffer;
  readonly query: ParsedQuery;
  /** These are the very bytes that the plan has read and fingerprinted. */
  readonly asPlanned?: boolean;
}

/**
 * A function that reads a query of the plan when its turn comes: the file's present text, judged as the plan has judged
 * it. Gives `undefined` for a file that holds no statement any more; a promise only where the file may never be read, so
 * that whoever waits for it listens to a signal as well.
 *
 * Errors of that function: QrunError `SQL_INVALID`, `PARAMETERS` or `UNIT_UNREADABLE` when the text cannot run.
 */
export function queryReader(
  source: UnitSource,
  rules: JudgeRules,
): (name: string) => ReadQuery | undefined | Promise<ReadQuery | undefined> {
  const judge = new Judge(rules);
  const runnable = (
    bytes: Buffer | undefined,
    judgement: Judgement,
    asPlanned?: true,
  ): ReadQuery | undefined => {
    if (judgement.kind === 'no_statement') return undefined;
    if (judgement.kind === 'refused') throw new QrunError(judgement.code, judgement.problems.join('; '));
    return {
      bytes: bytes as Buffer,
      query: judgement.query,
      ...(asPlanned === undefined ? {} : { asPlanned }),
    };
  };
  return name => {
    const later = source.readLater?.(name);
    if (later !== undefined) {
      return later.then(
        bytes => runnable(bytes, judge.judge(bytes)),
        cause => runnable(undefined, unreadable(cause as Error)),
      );
    }
    const kept = source.unchanged?.(name);
    if (kept !== undefined) return runnable(kept, judge.judge(kept), true);
    const { bytes, judgement } = judgeFile(judge, source, name);
    return runnable(bytes, judgement);
  };
}
