import {
  appendFileSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { encodeRowless, RecordEncoder } from '../../../src/core/log/record.js';
import type { QueryError } from '../../../src/core/model.js';
import { recentAttempts } from '../../../src/io/log/recent-attempts.js';
import { scratch } from '../machine/processes.js';

const RECENT_MS = 300_000;
const UNIT = 'u';
const SYNTAX: QueryError = { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent', message: 'Syntax error' };
const TIMEOUT: QueryError = { code: 0, name: 'TIMEOUT', kind: 'permanent', message: 'no answer in 1 s' };
const MEMORY: QueryError = {
  code: 241,
  name: 'MEMORY_LIMIT_EXCEEDED',
  kind: 'transient',
  message: 'too much',
};

let count = 0;
function head(attempt: number) {
  count += 1;
  const query = `q${count}`;
  return {
    unit: UNIT,
    query,
    fingerprint: '9f86d081884c7d65',
    attempt,
    run: 'r1',
    rerun: false,
    queryId: `qrun-${count}`,
    startedAtMs: 1.7e12,
    durationMs: 12,
    // A name that looks like an error.
    parameters: { a: ',"error":{"code":1,"name":"NO","kind":"permanent"' },
  };
}
const failed = (error: QueryError, attempt = 1): Buffer =>
  encodeRowless(head(attempt), { outcome: 'error', error });
function normal(rows: number, attempt = 1, row = '{"outcome":"error","error":{"code":241}}'): Buffer {
  const encoder = new RecordEncoder(head(attempt), rows, undefined);
  const pieces = encoder.encode(Buffer.from(`${row}\n`.repeat(rows)));
  encoder.finish();
  return Buffer.concat(pieces);
}

describe('what was recorded in a log lately', () => {
  let log = '';
  beforeEach(() => {
    log = join(scratch(), 'u.ndjson');
  });
  const recent = (from?: number) => recentAttempts(log, UNIT, from, RECENT_MS);
  const counted = async (from?: number) => {
    const { end: _, ...counts } = await recent(from);
    return counts;
  };

  it('counts attempts: groups, what was tried again, and errors that load may cause', async () => {
    writeFileSync(
      log,
      Buffer.concat([normal(3), normal(1, 3), failed(SYNTAX), failed(TIMEOUT), failed(MEMORY, 4)]),
    );
    expect(await counted(0)).toEqual({
      ended: 5 + 2 + 3,
      failed: 2 + 3 + 2,
      errors: { TIMEOUT: 1, MEMORY_LIMIT_EXCEEDED: 1 },
    });
    expect(await counted()).toEqual(await counted(0));
  });

  it('continues where it ended, and leaves a group that is being written to the next look', async () => {
    writeFileSync(log, normal(3));
    const { end } = await recent();
    const [whole, cut] = [failed(TIMEOUT), normal(2)];
    appendFileSync(log, Buffer.concat([whole, cut.subarray(0, 100)]));
    const next = await recent(end);
    expect(next).toMatchObject({ ended: 1, failed: 1, end: end + whole.length });
    appendFileSync(log, cut.subarray(100));
    expect(await recent(next.end)).toMatchObject({ ended: 1, failed: 0 });
    expect(await recent((await recent(next.end)).end)).toMatchObject({ ended: 0, failed: 0 });
  });

  it('reads of a long log its end alone, from the next line on', async () => {
    const piece = Buffer.concat(Array.from({ length: 5_000 }, () => normal(1)));
    writeFileSync(log, Buffer.concat([failed(TIMEOUT), piece]));
    const { ended, failed: bad, end } = await recent();
    expect([ended > 100, ended < 2_000, bad, end]).toEqual([true, true, 0, piece.length + failedLength()]);
    // One row that is longer than that.
    writeFileSync(log, normal(1, 1, `{"a":"${'x'.repeat(600_000)}"}`));
    expect(await counted()).toEqual({ ended: 0, failed: 0, errors: {} });
    function failedLength(): number {
      return end - piece.length;
    }
  });

  it("takes nothing of a log that is old, missing, cut back or another unit's", async () => {
    const nothing = { ended: 0, failed: 0, errors: {} };
    expect(await recent()).toEqual({ ...nothing, end: 0 });
    writeFileSync(log, failed(TIMEOUT));
    utimesSync(log, new Date(), new Date(Date.now() - 2 * RECENT_MS));
    const { end, ...old } = await recent();
    expect([old, end]).toEqual([nothing, failedBytes()]);
    truncateSync(log, 10);
    expect(await recent(end)).toEqual({ ...nothing, end: 10 });
    expect(await recentAttempts(log, 'other', 0, RECENT_MS)).toMatchObject(nothing);
    writeFileSync(log, failed(TIMEOUT));
    expect(await recentAttempts(log, 'other', 0, RECENT_MS)).toMatchObject(nothing);
    function failedBytes(): number {
      return end;
    }
  });

  it('takes damage and foreign lines for nothing', async () => {
    writeFileSync(log, Buffer.concat([Buffer.from('not a log\n\0\0\n{}\n'), failed(TIMEOUT)]));
    expect(await counted(0)).toEqual({ ended: 1, failed: 1, errors: { TIMEOUT: 1 } });
  });

  it('knows a storm of errors by its first thousand', async () => {
    const half = Array.from({ length: 3_000 }, (_, index) => failed(index % 2 === 0 ? TIMEOUT : SYNTAX));
    writeFileSync(log, Buffer.concat(half));
    expect(await counted(0)).toEqual({ ended: 3_000, failed: 1_500, errors: { TIMEOUT: 500 } });
  });

  it('says which log cannot be read', async () => {
    mkdirSync(log);
    await expect(recent()).rejects.toMatchObject({
      code: 'READ_FAILED',
      message: expect.stringContaining(log),
    });
    rmSync(log, { recursive: true });
    symlinkSync('/dev/zero', log);
    await expect(recent()).rejects.toMatchObject({ code: 'READ_FAILED' });
  });

  it('keeps names of errors that mean something in JavaScript', async () => {
    writeFileSync(log, failed({ ...TIMEOUT, name: '__proto__' }));
    expect(Object.entries((await recent(0)).errors)).toEqual([['__proto__', 1]]);
  });
});
