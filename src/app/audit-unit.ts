import { Audit, type AuditReport } from '../core/audit.js';
import type { FingerprintInputs } from '../core/fingerprint.js';
import type { LogTail, LogVisitor } from '../core/log-scan.js';
import type { UnitSource } from '../io/unit-files.js';
import { planUnit } from './plan-unit.js';

export interface AuditRequest {
  readonly unit: string;
  readonly log: string;
  readonly inputs: FingerprintInputs;
  readonly rowsPerQuery: number | undefined;
  /** As in qrun.toml: which queries belong to the unit. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly source: UnitSource;
  /** Parameters that the setup uses. */
  readonly usedElsewhere?: ReadonlySet<string>;
  /** Reads the log; `undefined` when there is none. */
  readonly readLog: (visitor: LogVisitor) => Promise<LogTail | undefined>;
}

/**
 * Compares the files of a unit with its log, without changing anything and without an engine. A unit whose log
 * does not exist is incomplete, with every query missing. Queries that `include` and `exclude` leave out are not
 * due; what the log holds of them is judged as it is.
 *
 * Errors: QrunError `UNIT_*`, `SQL_INVALID`, `PARAMETERS` when the unit itself cannot be read.
 */
export async function auditUnit(request: AuditRequest): Promise<AuditReport> {
  const { source, inputs, include, exclude } = request;
  const plan = await planUnit(
    {
      source,
      inputs,
      selection: { include, exclude, shard: undefined, shuffle: undefined },
      limit: undefined,
      rerun: 'errors',
      allowPlaceholders: true,
      ...(request.usedElsewhere === undefined ? {} : { usedElsewhere: request.usedElsewhere }),
    },
    new Map(),
  );
  const audit = new Audit();
  const tail = await request.readLog(audit);
  if (tail?.reason !== undefined) audit.torn(tail.goodEnd, tail.tornBytes, tail.reason);
  const due = plan.queries.map(({ name, fingerprint, rows }) => ({
    name,
    fingerprint,
    rows: rows ?? request.rowsPerQuery,
  }));
  const names = new Set(due.map(({ name }) => name));
  const leftOut = source.list().flatMap(name => {
    const fingerprint = names.has(name) ? undefined : audit.fingerprintOf(name);
    return fingerprint === undefined ? [] : [{ name, fingerprint, rows: undefined }];
  });
  return audit.report(request.unit, request.log, [...due, ...leftOut]);
}
