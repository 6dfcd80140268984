import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeRowless, RecordEncoder } from '../../../src/core/log/record.js';
import { RecordBuffer } from '../../../src/core/log/record-buffer.js';
import { sampleHead } from './log-samples.js';

const rowsOf = (rows: readonly string[]): Buffer =>
  Buffer.from(rows.map(text => `${JSON.stringify({ text })}\n`).join(''));

describe('RecordBuffer', () => {
  it('gives the bytes that RecordEncoder gives, whatever was in it before', () => {
    const buffer = new RecordBuffer();
    const group = fc.record({
      query: fc.string({ unit: 'binary', minLength: 1 }),
      rows: fc.array(fc.string({ unit: 'binary', maxLength: 2_000 }), { minLength: 1, maxLength: 40 }),
      stats: fc.option(fc.record({ read_rows: fc.nat() }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(group, { minLength: 1, maxLength: 8 }), groups => {
        const expected: Buffer[] = [];
        for (const { query, rows, stats } of groups) {
          const head = { ...sampleHead(), query };
          const encoder = new RecordEncoder(head, rows.length, stats);
          expected.push(...encoder.encode(rowsOf(rows)), encodeRowless(head, { outcome: 'skipped', stats }));
          buffer.addRows(head, rowsOf(rows), rows.length, stats);
          buffer.addBytes(encodeRowless(head, { outcome: 'skipped', stats }));
        }
        expect(buffer.length).toBe(Buffer.concat(expected).length);
        expect(buffer.take().equals(Buffer.concat(expected))).toBe(true);
        expect(buffer.length).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ['fewer rows than announced', 3],
    ['more rows than announced', 1],
  ])('refuses %s, and keeps nothing of them', (_, count) => {
    const buffer = new RecordBuffer();
    buffer.addBytes(Buffer.from('before'));
    expect(() => buffer.addRows(sampleHead(), rowsOf(['a', 'b']), count, undefined)).toThrow('2 whole ones');
    expect(buffer.take().toString()).toBe('before');
  });

  it('refuses a last row without an end', () => {
    const buffer = new RecordBuffer();
    expect(() => buffer.addRows(sampleHead(), Buffer.from('{"a":1}\n{"a"'), 1, undefined)).toThrow('whole');
    expect(buffer.length).toBe(0);
  });
});
