import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shortHash } from '../../../src/core/unit/fingerprint.js';
import { logName, ownersOfOneFile, unitId } from '../../../src/core/unit/names.js';
import { anyName } from '../log/log-samples.js';

describe('unitId', () => {
  it('is the directory, with its parameters sorted by name', () => {
    expect(unitId('2down/BTCUSDT_750', {})).toBe('2down/BTCUSDT_750');
    expect(unitId('2down/BTC', { threshold: '750', side: 'up' })).toBe('2down/BTC@side=up,threshold=750');
  });

  it('keeps values readable', () => {
    expect(unitId('u', { at: '2026-01-31 12:00', path: 'a/b', empty: '', x: 'a=b' })).toBe(
      'u@at=2026-01-31 12:00,empty=,path=a/b,x=a=b',
    );
  });

  it('differs for different parameters, whatever is in their values', () => {
    expect(unitId('u', { a: '1,b=2' })).not.toBe(unitId('u', { a: '1', b: '2' }));
    const parameters = fc.dictionary(fc.oneof(fc.constantFrom('a', 'b', 'a=b', 'a,b'), anyName), anyName);
    const values = fc.dictionary(
      fc.constantFrom('a', 'b', 'c'),
      fc.string({ unit: fc.constantFrom(...'ab=,%2C1') }),
    );
    for (const arbitrary of [parameters, values]) {
      fc.assert(
        fc.property(arbitrary, arbitrary, (one, other) => {
          const same = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
          expect(unitId('u', one) === unitId('u', other)).toBe(same);
        }),
        { numRuns: 2000 },
      );
    }
  });
});

describe('logName', () => {
  it.each([
    ['2down/BTCUSDT_750', '2down__BTCUSDT_750.ndjson'],
    ['2down/BTCUSDT_750@threshold=750', '2down__BTCUSDT_750@threshold=750.ndjson'],
    ['a__b/_c', 'a%5F%5Fb__%5Fc.ndjson'],
    ['a b', 'a%20b.ndjson'],
    ['a%20b', 'a%2520b.ndjson'],
    ['é/数', '%C3%A9__%E6%95%B0.ndjson'],
    ['😀', '%F0%9F%98%80.ndjson'],
    ['..', '%2E..ndjson'],
    ['.hidden', '%2Ehidden.ndjson'],
    ['a\nb\0c"\'$*?', 'a%0Ab%00c%22%27%24%2A%3F.ndjson'],
    ['v1.2+x-y@a=1,b=2', 'v1.2+x-y@a=1,b=2.ndjson'],
  ])('of %j is %s', (unit, file) => {
    expect(logName(unit)).toBe(file);
  });

  it('is safe as a file name, with room for the names of its companions', () => {
    fc.assert(
      fc.property(
        fc.oneof(anyName.filter(isId), fc.string({ unit: 'binary', minLength: 150, maxLength: 400 })),
        unit => {
          const file = logName(unit);
          expect(file).toMatch(/^[\w%@=,+~-][\w.%@=,+~-]*$/);
          expect(Buffer.byteLength(file) + '.torn-123456789012-01234567'.length).toBeLessThanOrEqual(255);
        },
      ),
    );
  });

  it('of an id that is too long is cut and ends with a hash of the whole', () => {
    const long = `u${'x'.repeat(300)}`;
    expect(logName(long)).toBe(`u${'x'.repeat(182)}~${shortHash(long)}.ndjson`);
    expect(logName('x'.repeat(200))).toBe(`${'x'.repeat(200)}.ndjson`);
    expect(logName('x'.repeat(201))).toContain('~');
    expect(logName(`${long}1`)).not.toBe(logName(`${long}2`));
  });

  it('differs for different ids', () => {
    const unit = fc.oneof(
      anyName.filter(text => isId(text) && Buffer.from(text).toString() === text),
      fc.string({ unit: fc.constantFrom('_', '/', 'a', '%', '.'), maxLength: 8 }).filter(isId),
    );
    fc.assert(
      fc.property(unit, unit, (one, other) => {
        expect(logName(one) === logName(other)).toBe(one === other);
      }),
      { numRuns: 5000 },
    );
  });
});

// No path begins or ends with a slash or holds two in a row.
function isId(text: string): boolean {
  return !/^\/|\/$|\/\//.test(text) && text !== '';
}

function sorted(values: Record<string, string>): [string, string][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
}

describe('ownersOfOneFile', () => {
  it('finds owners of one name, and of names that differ in case only where a disk folds it', () => {
    const files = [
      ['one', 'a.ndjson'],
      ['two', 'A.ndjson'],
      ['three', 'b.ndjson'],
      ['four', 'a.ndjson'],
    ] as const;
    expect(ownersOfOneFile(files, false)).toEqual([['one', 'four']]);
    expect(ownersOfOneFile(files, true)).toEqual([
      ['one', 'two'],
      ['one', 'four'],
    ]);
  });

  it('gets names that no disk folds or normalizes in another way: they are ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), unit => {
        expect(logName(unit)).toMatch(/^[ -~]+$/);
      }),
    );
    // Two spellings of one letter, and letters that fold together, are units of their own in either case.
    for (const pair of [
      ['caf\u00e9', 'cafe\u0301'],
      ['\u212a', 'K'],
      ['stra\u00dfe', 'STRASSE'],
    ]) {
      const files = pair.map(unit => [unit, logName(unit)] as const);
      expect(ownersOfOneFile(files, true)).toEqual([]);
    }
  });
});
