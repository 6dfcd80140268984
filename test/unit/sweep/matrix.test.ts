import { describe, expect, it } from 'vitest';
import { countCharacters, expandMatrix, lengthOf } from '../../../src/core/sweep/matrix.js';

describe('expandMatrix', () => {
  it('gives every combination once, the first key varying slowest', () => {
    expect(expandMatrix({ symbol: ['ETH', 'BTC'], threshold: ['250', '500'], side: ['up'] })).toEqual([
      { symbol: 'ETH', threshold: '250', side: 'up' },
      { symbol: 'ETH', threshold: '500', side: 'up' },
      { symbol: 'BTC', threshold: '250', side: 'up' },
      { symbol: 'BTC', threshold: '500', side: 'up' },
    ]);
  });

  it('has one combination without parameters for an empty matrix, and none for a key without values', () => {
    expect(expandMatrix({})).toEqual([{}]);
    expect(expandMatrix({ a: ['1', '2'], b: [] })).toEqual([]);
  });

  it('takes a key that is special in JavaScript as any other', () => {
    const [only] = expandMatrix(JSON.parse('{"__proto__": ["x"]}'));
    expect(Object.entries(only ?? {})).toEqual([['__proto__', 'x']]);
  });
});

describe('countCharacters', () => {
  it.each([
    [{}],
    [{ a: ['x'] }],
    [{ a: ['1', '22'], b: ['333', '4', ''], c: ['55555'] }],
    [{ a: ['1', '2'], b: [] }],
  ])('is what the combinations of %j have', (matrix: Record<string, string[]>) => {
    const made = expandMatrix(matrix).reduce((total, one) => total + lengthOf(Object.values(one)), 0);
    expect(countCharacters(matrix)).toBe(made);
  });
});
