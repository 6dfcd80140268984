import { describe, expect, it } from 'vitest';
import { isOfQueryAlone } from '../../../src/core/engines/failure.js';
import { encodeRowless, errorOfRecord } from '../../../src/core/log/record.js';
import { EndedAttempts, LogScanner } from '../../../src/core/log/scan/index.js';
import type { QueryError } from '../../../src/core/model.js';

const error: QueryError = { code: 241, name: 'MEMORY_LIMIT_EXCEEDED', kind: 'transient', message: 'a "b"' };
function record(query: string, attempt: number, failed?: QueryError): Buffer {
  const head = { unit: 'u', query, fingerprint: '9f86d081884c7d65', attempt, run: 'r', rerun: false };
  return encodeRowless(
    { ...head, queryId: 'id', startedAtMs: 0, durationMs: 1, parameters: { p: ',"error":{"code":1' } },
    failed === undefined ? { outcome: 'skipped', stats: undefined } : { outcome: 'error', error: failed },
  );
}

describe('the attempts that a part of a log tells of', () => {
  it('are counted, and errors placed; what is no whole group of the unit is passed over', () => {
    const parts = [
      Buffer.from('the end of a line\n'),
      record('a', 3),
      record('b', 1, error),
      Buffer.from('{"unit":"other"}\n'),
      record('c', 2, error),
      record('d', 1).subarray(0, 40),
    ];
    const found = new EndedAttempts();
    const start = 1_000;
    const scanner = new LogScanner('u', found, start);
    for (const part of parts) scanner.push(part);
    scanner.tail();
    expect([found.groups, found.retried]).toEqual([3, 3]);
    const whole = Buffer.concat(parts);
    const texts = found.errors.map(([from, to]) => whole.toString('utf8', from - start, to - start));
    expect(texts.map(text => errorOfRecord(text))).toEqual([
      { code: 241, name: 'MEMORY_LIMIT_EXCEEDED', kind: 'transient' },
      { code: 241, name: 'MEMORY_LIMIT_EXCEEDED', kind: 'transient' },
    ]);
  });

  it('hold no error in a record without one', () => {
    expect(errorOfRecord(record('a', 1).toString())).toBeUndefined();
  });
});

describe('an error that is of the query alone', () => {
  it.each([
    [62, 'permanent', true],
    [60, 'permanent', true],
    [395, 'permanent', true],
    // Limits of time and memory, a timeout of qrun's own, and what qrun does not know.
    [159, 'permanent', false],
    [241, 'permanent', false],
    [0, 'permanent', false],
    [99_999, 'permanent', false],
    [241, 'transient', false],
    [62, 'unknown', false],
  ] as const)('%i, %s: %s', (code, kind, is) => expect(isOfQueryAlone({ code, kind })).toBe(is));
});
