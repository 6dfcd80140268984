import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArrayOfRows } from '../../../src/io/engines/array-of-rows.js';

/** What comes out of pieces, and whether they were all. */
function unwrap(text: string, cuts: readonly number[] = []): { rows: string; isWhole: boolean } {
  const bytes = Buffer.from(text);
  const places = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const array = new ArrayOfRows();
  const pieces: Buffer[] = [];
  for (let index = 1; index < places.length; index += 1) {
    const piece = bytes.subarray(places[index - 1], places[index]);
    if (piece.length > 0) pieces.push(array.take(piece));
  }
  return { rows: Buffer.concat(pieces).toString(), isWhole: array.isWhole };
}

const row = fc.constantFrom('{"a":1}', '{"a":","}', '{"a":"[\\n]"}', '{"a":[1,2]}', '{"a":"é,"}', '{}');
const cuts = fc.array(fc.nat({ max: 200 }), { maxLength: 30 });

describe('an array of rows', () => {
  it('is lines of rows, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 5 }), cuts, (rows, places) => {
        const text = `[\n${rows.join(',\n')}\n]\n`;
        expect(unwrap(text, places)).toEqual({ rows: rows.map(one => `${one}\n`).join(''), isWhole: true });
      }),
      { numRuns: 2000 },
    );
  });

  it('is not whole before its end', () => {
    const text = '[\n{"a":1},\n{"a":2}\n]\n';
    for (let length = 1; length < text.length; length += 1) {
      expect(unwrap(text.slice(0, length)).isWhole).toBe(false);
    }
  });

  it('is passed on as it is where it is none', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 5 }), cuts, (rows, places) => {
        const text = rows.map(one => `${one}\n`).join('');
        expect(unwrap(text, places)).toEqual({ rows: text, isWhole: true });
      }),
    );
  });

  it.each([
    '[{"a":1}]\n',
    '[1]\n',
    '[\n{"a":1}\n]{"a":2}\n',
    '[\n{"a":1}\n]\n{"a":2}\n',
    '[\n{"a":1}\n]\n[\n]\n',
  ])('never makes a row of what is none: %j', text => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const { rows } = unwrap(text, [cut]);
      expect(rows.split('\n').some(line => line !== '' && !/^\{.*\}$/.test(line))).toBe(true);
    }
  });
});
