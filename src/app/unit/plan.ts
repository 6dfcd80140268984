import { QrunError } from '../../core/errors.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import { type CannotRun, Judge, type Judgement, type JudgeRules } from '../../core/unit/judge.js';
import { type FinalState, isDue, planQuery, type Rerun } from '../../core/unit/plan.js';
import type { UnitSource } from '../../io/unit/unit-files.js';
import { DueQueries, type PlannedQuery } from './due-queries.js';
import { judgeFile, refusal, type SurveyOptions, surveyUnit, unreadable } from './survey.js';

/** What is to be done about the selected queries of a unit. */
export interface UnitPlan {
  /** The queries that run, after `--limit`, in the order in which they run. */
  readonly due: DueQueries;
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

export interface PlanOptions extends SurveyOptions {
  readonly limit: number | undefined;
  readonly rerun: Rerun;
  /**
   * What follows from files that cannot run. `refuse` (the default): nothing runs. `skip`: the others run, if there are
   * any. `tell`: they are listed, and nothing is thrown.
   */
  readonly bad?: 'refuse' | 'skip' | 'tell';
}

/** Who watches a plan being made, and what ends it. */
export interface PlanWatch {
  readonly signal?: AbortSignal;
  readonly visit?: (query: PlannedQuery) => void;
}

/**
 * Reads and checks every selected query and compares it with the log. Nothing runs if one of them cannot, unless `bad`
 * says otherwise. `visit` is called with each query that can run, whether it is due or not, in the order in which they
 * run.
 *
 * Cost and memory: as {@link surveyUnit}, and name and fingerprint of each query that is due.
 *
 * Errors: those of {@link surveyUnit}; QrunError `SQL_INVALID` and `PARAMETERS` with the problems of all bad files.
 */
export async function planUnit(
  { bad = 'refuse', limit, rerun, ...options }: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  { signal, visit }: PlanWatch = {},
): Promise<UnitPlan> {
  const due = new DueQueries(limit);
  let settled = 0;
  let keptErrors = 0;
  const survey = await surveyUnit(
    options,
    (name, fingerprint, { overrides }) => {
      const reason = planQuery(final.get(name), fingerprint, rerun);
      if (reason === 'settled') settled += 1;
      if (reason === 'kept_error') keptErrors += 1;
      const query = { name, fingerprint, reason, rows: overrides.rows };
      if (isDue(reason)) due.add(query);
      visit?.(query);
    },
    signal,
  );
  const { cannotRun, refused, noStatement, usesParameters } = survey;
  if (bad === 'refuse' && cannotRun.length > 0) throw refusal(survey);
  // Without one that can run, or with a parameter that nothing takes, it is not the file that is bad.
  const nothingRuns = refused + noStatement.length === survey.selected;
  if (bad === 'skip' && (nothingRuns || cannotRun.some(({ query }) => query === null))) throw refusal(survey);
  return { due, settled, keptErrors, usesParameters, cannotRun, refused, noStatement };
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
