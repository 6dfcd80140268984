import { resolve } from 'node:path';
import { auditUnit } from '../../app/unit/audit.js';
import { QrunError } from '../../core/errors.js';
import type { AuditReport } from '../../core/log/audit.js';
import type { Settings } from '../../core/model.js';
import { readLog } from '../../io/log/follow.js';
import { realLogPath } from '../../io/log/place.js';
import { lastStart, type RunStart, readRuns } from '../../io/log/run-sidecar.js';
import { directorySource } from '../../io/unit/unit-files.js';
import type { UnitContext } from './context.js';
import { type ReadSetups, setupOutlook } from './setup-files.js';

/**
 * Audits one unit by its resolved configuration: the same as for a run, a plan and the audit of the sweep. The report
 * says where the last run had other settings. `logs`: if they differ from the log of the context. `read`: setup files
 * that the audits of other units have read.
 *
 * Errors: as {@link auditUnit}; QrunError `LOG_UNUSABLE`, `LOG_SCHEMA`.
 */
export async function auditIn(
  context: UnitContext,
  logs: readonly string[] = [],
  read?: ReadSetups,
): Promise<AuditReport> {
  const { config, inputs, unit } = context;
  const paths = logs.length === 0 ? [context.logPath] : logs;
  const starts = paths.flatMap(path => lastStart(readRuns(path)) ?? []);
  const setup = setupOutlook(context, read);
  const report = await auditUnit({
    unit,
    logs: paths,
    inputs,
    allowPlaceholders: config.allowPlaceholders,
    rowsPerQuery:
      config.rowsPerQuery ?? starts.find(start => start.rows_per_query !== null)?.rows_per_query ?? undefined,
    selection: { ...config, shuffle: undefined },
    usedElsewhere: setup.used,
    setupCannotRun: setup.cannotRun,
    source: directorySource(context.directory, 0, context.linksWithin),
    readLog: (found, log) => readLog(log, unit, found),
  });
  return { ...report, last_run: otherSettings(starts, inputs.settings) };
}

/**
 * Returns the real paths of logs that are audited together. A log read twice would hold everything twice.
 *
 * Errors: QrunError `USAGE` for one that is named twice.
 */
export function realLogs(logs: readonly string[], cwd: string): string[] {
  const paths = new Map<string, string>();
  for (const log of logs) {
    const path = realLogPath(resolve(cwd, log));
    const before = paths.get(path);
    if (before !== undefined) {
      throw new QrunError('USAGE', `--log ${before} and --log ${log} are the same file ${path}`);
    }
    paths.set(path, log);
  }
  return [...paths.keys()];
}

function otherSettings(starts: readonly RunStart[], settings: Settings): AuditReport['last_run'] {
  const other = starts.find(start => sorted(start.settings) !== sorted(settings));
  return other === undefined ? null : { run: other.run, settings: other.settings };
}

function sorted(settings: Settings): string {
  return JSON.stringify(Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)));
}
