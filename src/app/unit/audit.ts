import { Audit, type AuditReport, type ExpectedQuery } from '../../core/log/audit.js';
import type { AuditedLog, LogTail } from '../../core/log/scan/index.js';
import type { FingerprintInputs } from '../../core/unit/fingerprint.js';
import type { AllowedPlaceholders, CannotRun } from '../../core/unit/judge.js';
import type { Shard } from '../../core/unit/selection.js';
import type { UnitSource } from '../../io/unit/unit-files.js';
import { type Survey, surveyUnit } from './survey.js';

export interface AuditRequest {
  readonly unit: string;
  readonly log: string;
  /** All logs, if the unit was run into several: {@link log} is the first of them. */
  readonly logs?: readonly string[];
  /** From the resolved configuration, as for a run. */
  readonly inputs: FingerprintInputs;
  /** Placeholders that a run would allow; none if omitted. */
  readonly allowPlaceholders?: AllowedPlaceholders;
  readonly rowsPerQuery: number | undefined;
  /** Which queries belong to the unit, and which part of them is judged. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly shard?: Shard | undefined;
  readonly source: UnitSource;
  /** Parameters that the setup uses. */
  readonly usedElsewhere?: ReadonlySet<string>;
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
  const { source, inputs, include, exclude, shard, allowPlaceholders = false } = request;
  const due: ExpectedQuery[] = [];
  const survey = await surveyUnit(
    {
      source,
      inputs,
      selection: { include, exclude, shard, shuffle: undefined },
      allowPlaceholders,
      ...(request.usedElsewhere === undefined ? {} : { usedElsewhere: request.usedElsewhere }),
    },
    (name, fingerprint, { overrides }) =>
      due.push({ name, fingerprint, rows: overrides.rows ?? request.rowsPerQuery }),
  );
  const audit = new Audit();
  for (const log of request.logs ?? [request.log]) {
    const found = audit.begin(log);
    found.end(await request.readLog(found, log));
  }
  const recorded = leftOutOf(survey, due).flatMap(name => {
    const fingerprint = audit.fingerprintOf(name);
    return fingerprint === undefined ? [] : [{ name, fingerprint, rows: undefined }];
  });
  const leftOut = survey.all.length - survey.selected - recorded.length;
  const cannotRun = [...survey.cannotRun, ...(request.setupCannotRun ?? [])];
  const found = audit.report(request.unit, request.log, [...due, ...recorded], {
    ...survey,
    cannotRun,
    leftOut,
  });
  return { ...found, settings: inputs.settings, last_run: null };
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
