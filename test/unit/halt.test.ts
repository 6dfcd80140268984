import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { haltThreshold, parseHalt } from '../../src/core/halt.js';

describe('parseHalt', () => {
  it.each([
    ['errors=1', { errors: 1, unit: 'queries' }],
    ['errors=250', { errors: 250, unit: 'queries' }],
    ['errors=5%', { errors: 5, unit: 'percent' }],
    ['errors=0.5%', { errors: 0.5, unit: 'percent' }],
    ['errors=100%', { errors: 100, unit: 'percent' }],
  ])('reads %s', (text, policy) => {
    expect(parseHalt(text)).toEqual(policy);
  });

  it.each([
    '',
    'errors',
    'errors=',
    'errors=0',
    'errors=0%',
    'errors=1.5',
    'errors=101%',
    'errors=-1',
    'errors=5 %',
    'errors=1e3',
    'error=5',
    ' errors=5',
    'errors=5%%',
  ])('refuses %j', text => {
    expect(parseHalt(text)).toBeUndefined();
  });
});

describe('haltThreshold', () => {
  it.each([
    [{ errors: 3, unit: 'queries' }, 1000, 3],
    [{ errors: 3, unit: 'queries' }, 0, 3],
    [{ errors: 5, unit: 'percent' }, 1000, 50],
    [{ errors: 5, unit: 'percent' }, 1001, 51],
    [{ errors: 5, unit: 'percent' }, 3, 1],
    [{ errors: 5, unit: 'percent' }, 0, 1],
    [{ errors: 100, unit: 'percent' }, 7, 7],
    // 0.07 x 100 is 7.000000000000001 in binary fractions, and 1.1 x 3000 is 3300.0000000000005.
    [{ errors: 7, unit: 'percent' }, 100, 7],
    [{ errors: 1.1, unit: 'percent' }, 3000, 33],
  ] as const)('of %j with %d due is %d', (policy, due, threshold) => {
    expect(haltThreshold(policy, due)).toBe(threshold);
  });

  it('is the smallest number of queries that is at least the share', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 1_000_000 }), (errors, due) => {
        const threshold = haltThreshold({ errors, unit: 'percent' }, due);
        expect(threshold * 100).toBeGreaterThanOrEqual(errors * due);
        expect((threshold - 1) * 100).toBeLessThan(errors * due);
      }),
    );
  });
});
