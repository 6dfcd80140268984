import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { QrunError } from '../../core/errors.js';
import type { SweepAudit } from '../../core/sweep/audit.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readState } from '../files/read-file.js';
import { makeDirectories, reasonOf } from './disk.js';

/** Where the last audit of a sweep is kept: beside its logs, whole or not at all. */
export function auditReportPath(logDirectory: string, sweep: string): string {
  return join(logDirectory, `${sweep}.audit.json`);
}

/** Keeps an audit. Errors: QrunError `LOG_WRITE`. */
export async function writeAuditReport(path: string, audit: SweepAudit): Promise<void> {
  try {
    makeDirectories(dirname(path));
    await writeFileAtomic(path, `${JSON.stringify(audit, null, 1)}\n`);
  } catch (cause) {
    throw new QrunError('LOG_WRITE', `cannot write ${path}: ${reasonOf(cause)}`, {
      hint: 'free space, or make the directory of the logs writable',
      cause,
    });
  }
}

/** The last audit, or `undefined` when there is none that can be read. */
export function readAuditReport(path: string): SweepAudit | undefined {
  try {
    const audit = JSON.parse(readState(path, 'state', OWN_TO_READ)) as Partial<SweepAudit> | null;
    const known =
      typeof audit?.at === 'string' &&
      typeof audit.verdict === 'string' &&
      Array.isArray(audit.units) &&
      audit.units.every(
        one =>
          typeof one === 'object' && one !== null && (one.at === undefined || typeof one.at === 'string'),
      );
    return known ? (audit as SweepAudit) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether any of the logs was changed after the audit, or an audited unit is not among those asked for. */
export function isOutdated(audit: SweepAudit, logs: ReadonlyMap<string, string>): boolean {
  const audited = new Map(audit.units.map(({ unit, at }) => [unit, at ?? audit.at]));
  return [...logs].some(([unit, path]) => {
    const at = audited.get(unit);
    const changedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return at === undefined || changedMs > Date.parse(at);
  });
}
