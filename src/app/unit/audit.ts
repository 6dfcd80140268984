import { Audit, type AuditReport, type ExpectedQuery } from '../../core/log/audit.js';
import type { AuditedLog, LogTail } from '../../core/log/scan/index.js';
import type { CannotRun } from '../../core/unit/judge.js';
import { type Survey, type SurveyOptions, surveyUnit } from './survey.js';

/** What is audited; which files belong to it and how they are judged is as for a run. */
export interface AuditRequest extends SurveyOptions {
  readonly unit: string;
  /** The log; several, if the unit was run into several. */
  readonly logs: readonly string[];
  readonly rowsPerQuery: number | undefined;
  /** Why a run would refuse the setup of the unit; nothing of the unit runs then. */
  readonly setupCannotRun?: readonly CannotRun[];
  /** Reads a log into `found`; resolves with `undefined` when there is none. */
  readonly readLog: (found: AuditedLog, log: string) => Promise<LogTail | undefined>;
}

/**
 * Compares the files of a unit with its log, without changing anything and without an engine. What a run with the
 * same configuration would refuse or run again is not complete, because both use the same judge. A unit whose log
 * does not exist is incomplete, with every query missing. Queries that the selection leaves out are not due; what the
 * log holds of them is judged as it is.
 *
 * With several logs, such as those of shards, the newest group of a query in any of them is its final state (by the
 * id of its run, which begins with the time). A query that is settled in two of them is a duplicate.
 *
 * Errors: QrunError `UNIT_*` when the directory cannot be read or holds no query, `USAGE` when nothing is selected.
 */
export async function auditUnit(request: AuditRequest): Promise<AuditReport> {
  const { unit, logs, rowsPerQuery, setupCannotRun = [], readLog } = request;
  const due: ExpectedQuery[] = [];
  const survey = await surveyUnit(request, (name, fingerprint, { overrides }) =>
    due.push({ name, fingerprint, rows: overrides.rows ?? rowsPerQuery }),
  );
  const audit = new Audit();
  for (const log of logs) {
    const found = audit.begin(log);
    found.end(await readLog(found, log));
  }
  const recorded = leftOutOf(survey, due).flatMap(name => {
    const fingerprint = audit.fingerprintOf(name);
    return fingerprint === undefined ? [] : [{ name, fingerprint, rows: undefined }];
  });
  const leftOut = survey.all.length - survey.selected - recorded.length;
  const cannotRun = [...survey.cannotRun, ...setupCannotRun];
  const expected = [...due, ...recorded];
  const found = audit.report(unit, logs[0] as string, expected, { ...survey, cannotRun, leftOut });
  return { ...found, settings: request.inputs.settings, last_run: null };
}

function leftOutOf(
  { all, selected, noStatement, cannotRun }: Survey,
  due: readonly ExpectedQuery[],
): string[] {
  if (selected === all.length) return [];
  const chosen = new Set([
    ...due.map(({ name }) => name),
    ...noStatement,
    ...cannotRun.map(({ query }) => query),
  ]);
  return all.filter(name => !chosen.has(name));
}
