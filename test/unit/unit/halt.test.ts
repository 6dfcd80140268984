import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_HALT,
  failureKey,
  formatHalt,
  haltThreshold,
  likelyReason,
  parseHalt,
  SameFailures,
} from '../../../src/core/unit/halt.js';

describe('parseHalt', () => {
  it.each([
    ['errors=1', { count: 1, unit: 'queries' }, 20],
    ['errors=250', { count: 250, unit: 'queries' }, 20],
    ['errors=5%', { count: 5, unit: 'percent' }, 20],
    ['errors=0.5%', { count: 0.5, unit: 'percent' }, 20],
    ['errors=100%', { count: 100, unit: 'percent' }, 20],
    ['same=1', undefined, 1],
    ['same=off', undefined, undefined],
    ['errors=5%,same=50', { count: 5, unit: 'percent' }, 50],
    ['same=off,errors=3', { count: 3, unit: 'queries' }, undefined],
  ] as const)('reads %s, and writes it again', (text, errors, same) => {
    const policy = { errors, same };
    expect(parseHalt(text)).toEqual(policy);
    expect(parseHalt(formatHalt(policy))).toEqual(policy);
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
    'same=0',
    'same=5%',
    'same=on',
    'same=',
    'same=1,same=2',
    'errors=1,',
    'errors=1, same=2',
    'errors=1;same=2',
    'errors=off',
  ])('refuses %j', text => {
    expect(parseHalt(text)).toBeUndefined();
  });
});

describe('haltThreshold', () => {
  it.each([
    [{ count: 3, unit: 'queries' }, 1000, 3],
    [{ count: 3, unit: 'queries' }, 0, 3],
    [{ count: 5, unit: 'percent' }, 1000, 50],
    [{ count: 5, unit: 'percent' }, 1001, 51],
    [{ count: 5, unit: 'percent' }, 3, 1],
    [{ count: 5, unit: 'percent' }, 0, 1],
    [{ count: 100, unit: 'percent' }, 7, 7],
    // 0.07 x 100 is 7.000000000000001 in binary fractions, and 1.1 x 3000 is 3300.0000000000005.
    [{ count: 7, unit: 'percent' }, 100, 7],
    [{ count: 1.1, unit: 'percent' }, 3000, 33],
  ] as const)('of %j with %d due is %d', (errors, due, threshold) => {
    expect(haltThreshold({ errors, same: undefined }, due)).toBe(threshold);
  });

  it('is never reached where no number is given', () => {
    expect(haltThreshold(DEFAULT_HALT, 100)).toBe(Number.POSITIVE_INFINITY);
  });

  it('is the smallest number of queries that is at least the share', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 1_000_000 }), (errors, due) => {
        const threshold = haltThreshold({ errors: { count: errors, unit: 'percent' }, same: undefined }, due);
        expect(threshold * 100).toBeGreaterThanOrEqual(errors * due);
        expect((threshold - 1) * 100).toBeLessThan(errors * due);
      }),
    );
  });
});

const error = (code: number, message: string, kind: 'permanent' | 'transient' = 'permanent') => ({
  code,
  name: `E${code}`,
  kind,
  message,
});

describe('failureKey', () => {
  it.each([
    // Whichever table: what is missing is the setup.
    [error(60, "Table default.a doesn't exist"), error(60, "Table other.b doesn't exist")],
    [error(497, 'grant SELECT(a) ON t'), error(497, 'grant SELECT(b) ON u')],
    // Numbers, and the query that modern servers repeat.
    [
      error(47, 'Unknown identifier `px` in scope SELECT px FROM t1. (UNKNOWN_IDENTIFIER)'),
      error(47, 'Unknown identifier `px` in scope SELECT px + 1 FROM t2. (UNKNOWN_IDENTIFIER)'),
    ],
    [
      error(43, 'Illegal type String: While processing f(a)'),
      error(43, 'Illegal type String: While processing g(b)'),
    ],
    [error(0, 'no result within 5000 ms'), error(0, 'no result within 6000 ms')],
  ])('is the same: %#', (one, other) => {
    expect(failureKey(one)).toBe(failureKey(other));
  });

  it.each([
    [error(60, 'x'), error(81, 'x')],
    [error(47, 'Unknown identifier: a'), error(47, 'Unknown identifier: b')],
    [error(395, 'price is negative'), error(395, 'volume is negative')],
  ])('differs: %#', (one, other) => {
    expect(failureKey(one)).not.toBe(failureKey(other));
  });

  it('is short and quick for a message of 64 KiB', () => {
    const long = error(62, 'in in in :'.repeat(6_000));
    const startedMs = performance.now();
    for (let i = 0; i < 100; i += 1) expect(failureKey(long).length).toBeLessThan(250);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });
});

describe('SameFailures', () => {
  it('counts from the first result on, and no more once another result has come', () => {
    const bad = error(60, 'x');
    const counts = (results: (typeof bad | undefined)[]) => {
      const same = new SameFailures();
      return results.map(result => same.next(result));
    };
    expect(counts([bad, bad, bad])).toEqual([1, 2, 3]);
    expect(counts([undefined, bad, bad])).toEqual([0, 0, 0]);
    expect(counts([bad, undefined, bad])).toEqual([1, 0, 0]);
    expect(counts([bad, error(62, 'y'), bad])).toEqual([1, 0, 0]);
    expect(counts([error(241, 'full', 'transient'), bad])).toEqual([0, 0]);
  });
});

describe('likelyReason', () => {
  const context = {
    setupNotRun: ['u/_setup.sql'],
    target: 'http://h:8123',
    version: '18.16.1',
    user: 'u',
    database: undefined,
  };

  it.each([
    [60, 'u/_setup.sql did not run on http://h:8123: --setup runs it. Is the default database the right'],
    [81, '--setup runs it. Is http://h:8123 the right server'],
    [497, 'May the user "u" do this on http://h:8123?'],
    [46, 'This is ClickHouse 18.16.1.'],
    [395, 'u/_setup.sql did not run'],
  ])('of code %i', (code, text) => {
    expect(likelyReason(error(code, ''), context)).toContain(text);
  });

  it('says nothing of a setup that ran, or that there is none of', () => {
    const rest = { ...context, setupNotRun: [], database: 'prices' };
    expect(likelyReason(error(60, ''), rest)).toBe(
      'Is "prices" the right database (--database), and http://h:8123 the right server?',
    );
    expect(likelyReason(error(395, ''), rest)).toBe('');
  });
});
