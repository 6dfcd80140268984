import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SweepAudit } from '../../core/sweep/audit.js';
import { orWriteError } from '../files/failures.js';
import { readFields } from '../files/read-file.js';
import { makeDirectories, writeFileAtomic } from '../files/write-file.js';

/** The path at which the last audit of a sweep is kept, beside its logs. */
export function auditReportPath(logDirectory: string, sweep: string): string {
  return join(logDirectory, `${sweep}.audit.json`);
}

/** Saves an audit, whole or not at all. Errors: QrunError `WRITE_FAILED`. */
export async function writeAuditReport(path: string, audit: SweepAudit): Promise<void> {
  await orWriteError(path, 'free space, or make the directory of the logs writable', async () => {
    makeDirectories(dirname(path));
    await writeFileAtomic(path, `${JSON.stringify(audit, null, 1)}\n`);
  });
}

/** The last audit, or `undefined` if there is none that can be read. */
export function readAuditReport(path: string): SweepAudit | undefined {
  const audit: Partial<SweepAudit> = readFields(path, 'state');
  const { at, verdict, units, then_done = [] } = audit;
  const isKnown =
    typeof at === 'string' &&
    typeof verdict === 'string' &&
    Array.isArray(units) &&
    units.every(
      one => typeof one === 'object' && one !== null && (one.at === undefined || typeof one.at === 'string'),
    );
  if (!isKnown) return undefined;
  // Reports written before each unit had its own time have that of the whole.
  return { ...(audit as SweepAudit), units: units.map(unit => ({ ...unit, at: unit.at ?? at })), then_done };
}

/** Whether any of the logs was changed after its unit was audited, or belongs to a unit that was not audited. */
export function isOutdated(audit: SweepAudit, logs: ReadonlyMap<string, string>): boolean {
  const audited = new Map(audit.units.map(({ unit, at }) => [unit, at]));
  return [...logs].some(([unit, path]) => {
    const at = audited.get(unit);
    const changedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return at === undefined || changedMs > Date.parse(at);
  });
}
