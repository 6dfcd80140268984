import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { keptAudit, sweepAudit, unaudited } from '../../../src/core/sweep/audit.js';
import {
  auditReportPath,
  isOutdated,
  readAuditReport,
  writeAuditReport,
} from '../../../src/io/log/audit-report.js';
import { faultsOf } from '../../schemas.js';
import { scratch } from '../machine/processes.js';

const AT = '2026-01-31T12:00:00.000Z';
const EARLIER = '2026-01-30T12:00:00.000Z';

test('what is kept is read as it was, and is as its schema says', async () => {
  const path = auditReportPath(join(scratch(), 'results'), 's');
  const before = sweepAudit('s', EARLIER, [unaudited('a', '/a', 'gone'), unaudited('b', '/b', 'gone')]);
  const audit = keptAudit(before, sweepAudit('s', AT, [unaudited('a', '/a', 'gone')]), () => false);
  await writeAuditReport(path, { ...audit, then_done: ['true'] });
  const read = readAuditReport(path);
  expect(read).toEqual({ ...audit, then_done: ['true'] });
  expect(read?.units.map(({ at }) => at)).toEqual([AT, EARLIER]);
  expect(faultsOf('audit-all', read)).toBe('');
});

test('one of a version whose units had a time only where it was another is read as if all had', () => {
  const directory = scratch();
  mkdirSync(directory, { recursive: true });
  const path = auditReportPath(directory, 's');
  const older = { ...unaudited('b', '/b', 'gone'), at: EARLIER };
  const units = [unaudited('a', '/a', 'gone'), older];
  writeFileSync(path, JSON.stringify({ sweep: 's', at: AT, verdict: 'incomplete', units }));
  const read = readAuditReport(path);
  expect(faultsOf('audit-all', read)).toBe('');
  expect(read?.units.map(({ at }) => at)).toEqual([AT, EARLIER]);
  const log = join(directory, 'b.ndjson');
  expect(read && isOutdated(read, new Map([['b', log]]))).toBe(false);
  writeFileSync(log, '');
  expect(read && isOutdated(read, new Map([['b', log]]))).toBe(true);
});
