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
  readonly source: UnitSource;
  /** Reads the log; `undefined` when there is none. */
  readonly readLog: (visitor: LogVisitor) => Promise<LogTail | undefined>;
}

/**
 * Compares the files of a unit with its log, without changing anything and without an engine. A unit whose log
 * does not exist is incomplete, with every query missing.
 *
 * Errors: QrunError `UNIT_*`, `SQL_INVALID`, `PARAMETERS` when the unit itself cannot be read.
 */
export async function auditUnit(request: AuditRequest): Promise<AuditReport> {
  const plan = await planUnit(
    {
      source: request.source,
      inputs: request.inputs,
      selection: { include: [], exclude: [], shard: undefined, shuffle: undefined },
      limit: undefined,
      rerun: 'errors',
      allowPlaceholders: true,
    },
    new Map(),
  );
  const audit = new Audit();
  const tail = await request.readLog(audit);
  if (tail?.reason !== undefined) audit.torn(tail.goodEnd, tail.tornBytes, tail.reason);
  return audit.report(
    request.unit,
    request.log,
    plan.queries.map(({ name, fingerprint, rows }) => ({
      name,
      fingerprint,
      rows: rows ?? request.rowsPerQuery,
    })),
  );
}
