import { QrunError } from '../../core/errors.js';
import { refusals } from '../../core/log/refusals.js';
import { FinalStates, type LogTail } from '../../core/log/scan/index.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import { Judge, type Judgement, type JudgeRules } from '../../core/unit/judge.js';
import { type FinalState, isDue, planQuery, type Rerun } from '../../core/unit/plan.js';
import type { UnitSource } from '../../io/unit/unit-files.js';
import { DueQueries, type PlannedQuery } from './due-queries.js';
import { judgeFile, refusal, type Survey, type SurveyOptions, surveyUnit, unreadable } from './survey.js';

/** What is to be done about the selected queries of a unit. */
export interface UnitPlan extends Pick<Survey, 'usesParameters' | 'cannotRun' | 'refused' | 'noStatement'> {
  /** The queries that run, after `--limit`, in the order in which they run. */
  readonly due: DueQueries;
  /** Queries that are settled, and failed queries that are left as they are (`--rerun none`). */
  readonly settled: number;
  readonly keptErrors: number;
}

export interface PlanOptions extends SurveyOptions {
  readonly limit: number | undefined;
  readonly rerun: Rerun;
  /**
   * What happens if some files cannot run. `refuse` (the default): nothing runs. `skip`: the others run, if there are
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
 * Reads and checks every selected query and compares it with the log. Nothing runs if one of them cannot, unless
 * `bad` says otherwise. `visit` is called with each query that can run, due or not, in the order in which they run.
 *
 * Cost and memory: as {@link surveyUnit}, plus name and fingerprint of each due query.
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
    (name, fingerprint) => {
      const reason = planQuery(final.get(name), fingerprint, rerun);
      if (reason === 'settled') settled += 1;
      if (reason === 'kept_error') keptErrors += 1;
      const query = { name, fingerprint, reason };
      if (isDue(reason)) due.add(query);
      visit?.(query);
    },
    signal,
  );
  const { cannotRun, refused, noStatement, usesParameters } = survey;
  if (bad === 'refuse' && cannotRun.length > 0) throw refusal(survey);
  // If no query can run, or a given parameter is used by none, it is not a single file that is bad.
  const nothingRuns = refused + noStatement.length === survey.selected;
  if (bad === 'skip' && (nothingRuns || cannotRun.some(({ query }) => query === null))) throw refusal(survey);
  return { due, settled, keptErrors, usesParameters, cannotRun, refused, noStatement };
}

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

/** A query file that was read, with its bytes as they are fingerprinted. */
export interface ReadQuery {
  readonly bytes: Buffer;
  readonly query: ParsedQuery;
  /** Whether these are the very bytes that were read and fingerprinted for the plan. */
  readonly asPlanned?: boolean;
}

/**
 * Returns a function that reads a query of the plan when its turn comes: the file's present text, judged as for the
 * plan. The function returns `undefined` for a file that no longer holds a statement. It returns a promise only where
 * reading the file may never end, so that whoever waits for it can listen to a signal as well.
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
