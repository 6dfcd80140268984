import { describe, expect, it } from 'vitest';
import { expandMatrix } from '../../src/core/matrix.js';

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
