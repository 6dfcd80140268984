import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, isServerFull, mayRetry } from '../../../src/core/engines/retry.js';
import type { FailureKind } from '../../../src/core/model.js';

describe('backoffMs', () => {
  it('doubles from half a second to half a minute', () => {
    const most = [1, 2, 3, 4, 5, 6, 7, 8, 100, 1e9].map(attempt => backoffMs(attempt, () => 1));
    expect(most).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  });

  it('is spread over the whole time, from nothing on', () => {
    expect(backoffMs(5, () => 0)).toBe(0);
    expect(backoffMs(5, () => 0.25)).toBe(2000);
  });

  it('takes another base and cap, and never exceeds the cap', () => {
    expect(backoffMs(3, () => 1, { baseMs: 200, capMs: 5000 })).toBe(800);
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const waitMs = backoffMs(attempt, () => random, { baseMs: 200, capMs: 5000 });
        expect(waitMs).toBeGreaterThanOrEqual(0);
        expect(waitMs).toBeLessThanOrEqual(5000);
      }),
    );
  });
});

describe('mayRetry', () => {
  it.each<[FailureKind, boolean, boolean, boolean]>([
    // kind, never started, read-only, may
    ['transient', false, true, true],
    ['transient', false, false, false],
    ['transient', true, false, true],
    ['unknown', false, true, true],
    ['unknown', false, false, false],
    ['unknown', true, false, true],
    ['permanent', false, true, false],
    ['permanent', true, true, false],
  ])('%s, never started: %s, read-only: %s -> %s', (kind, neverStarted, readOnly, may) => {
    const failure = { code: 0, name: 'X', kind, message: '', neverStarted, serverGone: false };
    expect(mayRetry(failure, readOnly)).toBe(may);
  });
});

describe('isServerFull', () => {
  it.each<[number, boolean, boolean]>([
    // code, never started, full
    [202, true, true],
    [745, true, true],
    [700, true, true],
    [762, true, true],
    [202, false, false],
    [241, true, false],
    [0, true, false],
  ])('code %s, never started: %s -> %s', (code, neverStarted, full) => {
    const failure = {
      code,
      name: 'X',
      kind: 'transient' as const,
      message: '',
      neverStarted,
      serverGone: false,
    };
    expect(isServerFull(failure)).toBe(full);
  });
});
