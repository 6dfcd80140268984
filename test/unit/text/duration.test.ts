import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DURATION_EXAMPLES,
  formatDuration,
  MAX_DURATION_MS,
  parseDuration,
} from '../../../src/core/text/duration.js';

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['0s', 0],
    ['0.4ms', 0],
    [`${MAX_DURATION_MS}ms`, MAX_DURATION_MS],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    '',
    '30',
    's',
    '-1s',
    '1 s',
    ' 1s',
    '1s ',
    '1d',
    '1S',
    '1m30s',
    '1e3s',
    '.5s',
    '1.s',
    'Infinity',
    '600h',
  ])('refuses %j', text => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('refuses what a timer cannot hold', () => {
    expect(parseDuration(`${MAX_DURATION_MS + 1}ms`)).toBeUndefined();
    expect(parseDuration(`${'9'.repeat(400)}s`)).toBeUndefined();
  });

  it('reads every example it gives to people', () => {
    for (const example of DURATION_EXAMPLES.split(', ')) expect(parseDuration(example)).toBeGreaterThan(0);
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0 ms'],
    [-5, '0 ms'],
    [Number.NaN, '0 ms'],
    [0.4, '0 ms'],
    [0.5, '1 ms'],
    [850, '850 ms'],
    [999.4, '999 ms'],
    [999.5, '1.0 s'],
    [12_400, '12.4 s'],
    [59_949, '59.9 s'],
    [59_950, '1m 00s'],
    [200_000, '3m 20s'],
    [3_599_499, '59m 59s'],
    [3_599_500, '1h 00m'],
    [7_500_000, '2h 05m'],
    [86_369_999, '23h 59m'],
    [86_370_000, '1d 00h'],
    [367_200_000, '4d 06h'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('never shows a unit that is full, and stays close to the truth', () => {
    const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
    fc.assert(
      fc.property(fc.double({ min: 0.5, max: 1e10, noNaN: true }), ms => {
        const text = formatDuration(ms);
        const parts = [...text.matchAll(/([\d.]+) ?([a-z]+)/g)];
        let sum = 0;
        for (const [, count = '', unit = ''] of parts) {
          expect(Number(count)).toBeLessThan({ ms: 1000, s: 60, m: 60, h: 24, d: 1e6 }[unit] ?? 0);
          sum += Number(count) * (unitMs[unit] ?? 0);
        }
        const smallest = unitMs[parts.at(-1)?.[2] ?? ''] ?? 0;
        expect(Math.abs(sum - ms)).toBeLessThanOrEqual(
          Math.max(0.5, smallest / (text.includes('.') ? 20 : 2)) + 1e-6,
        );
      }),
    );
  });
});
