import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeControls } from '../../../src/cli/terminal/controls.js';
import {
  formatAmount,
  formatCount,
  formatElapsed,
  formatEstimate,
  formatLatency,
  formatRate,
} from '../../../src/cli/terminal/format.js';
import { clip, clipMiddle, displayWidth, padStart, wrap } from '../../../src/cli/terminal/text.js';

describe('escapeControls', () => {
  it.each([
    ['a\x1b[2Jb', 'a\\x1b[2Jb'],
    ['line\nnext\r\tend', 'line\\nnext\\r\\tend'],
    ['\x00\x07\x7f\x9b31m', '\\x00\\x07\\x7f\\x9b31m'],
    ['left\u202eright\u2066', 'left\\u202eright\\u2066'],
    ['one\u2028two', 'one\\u2028two'],
    ['half \ud83d', 'half \\ud83d'],
    ['größe ✓ 漢字 👍', 'größe ✓ 漢字 👍'],
  ])('%j becomes %j', (text, safe) => {
    expect(escapeControls(text)).toBe(safe);
  });

  it('escapes all but ASCII where the locale is not UTF-8', () => {
    expect(escapeControls('größe 👍', true)).toBe('gr\\xf6\\xdfe \\u{1f44d}');
  });

  it('never leaves a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(escapeControls(text)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
        expect(escapeControls(text, true)).toMatch(/^[\x20-\x7e]*$/);
      }),
    );
  });
});

describe('displayWidth', () => {
  it.each([
    ['', 0],
    ['plain', 5],
    ['größe', 5],
    ['e\u0301', 1],
    ['漢字', 4],
    ['한글', 4],
    ['ｆｕｌｌ', 8],
    ['👍🏽', 2],
    ['👩‍👩‍👧', 2],
    ['██░…✓', 5],
    ['🇩🇪🇫🇷', 4],
    ['🇩🇪🇫', 4],
    ['#\ufe0f\u20e3', 2],
    ['✈', 1],
    ['✈\ufe0f', 2],
    ['🏽', 2],
    ['a\u200da', 2],
    ['\u0301', 0],
    ['\u1112\u1161\u11ab', 2],
    ['क\u093f', 1],
    ['\u200b\u2060', 0],
  ])('%j takes %i columns', (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });

  // Not conjuncts of Indic scripts, which it takes for one character, nor single jamo.
  it('reads characters as the Segmenter of Unicode does', () => {
    const pieces = [
      'a',
      'é',
      'e',
      '\u0301',
      '\u20dd',
      '漢',
      '한',
      'ｆ',
      '👍',
      '🏽',
      '👩',
      '\u200d',
      '👧',
      '🇩',
      '🇪',
      '✈',
      '\ufe0f',
    ];
    const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...pieces), maxLength: 12 }), text => {
        // Marks need something before them.
        const all = Array.from(segmenter.segment(`x${text}`), ({ segment }) => segment);
        expect(wrap(`x${text}`, 1)).toEqual(all);
        expect(displayWidth(`x${text}`)).toBe(all.reduce((sum, one) => sum + displayWidth(one), 0));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('clip and wrap', () => {
  it.each([
    ['abcdef', 6, 'abcdef'],
    ['abcdefg', 6, 'abcde…'],
    ['ab cdefg', 4, 'ab…'],
    ['漢字漢字', 5, '漢字…'],
    ['abc', 0, ''],
    ['abc', 1, 'a'],
  ])('clip(%j, %i) is %j', (text, width, cut) => {
    expect(clip(text, width, '…')).toBe(cut);
  });

  it.each([
    ['2down__ofi_gt_p50__window_1', 13, '2down_…ndow_1'],
    ['short', 13, 'short'],
    ['abcdef', 4, 'abc…'],
  ])('clipMiddle(%j, %i) is %j', (text, width, cut) => {
    expect(clipMiddle(text, width, '…')).toBe(cut);
  });

  it.each([
    ['one two three', 7, ['one two', 'three']],
    ['abcdefghij kl', 4, ['abcd', 'efgh', 'ij', 'kl']],
    ['', 5, ['']],
    ['漢', 1, ['漢']],
  ])('wrap(%j, %i)', (text, width, lines) => {
    expect(wrap(text, width)).toEqual(lines);
  });

  it('no result is wider than asked', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 2, max: 40 }), (text, width) => {
        const safe = escapeControls(text);
        expect(displayWidth(clip(safe, width, '…'))).toBeLessThanOrEqual(width);
        expect(displayWidth(clipMiddle(safe, width, '…'))).toBeLessThanOrEqual(width);
        for (const line of wrap(safe, width)) expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }),
    );
  });

  it('padStart counts columns, not characters', () => {
    expect(padStart('漢', 4)).toBe('  漢');
  });
});

describe('numbers', () => {
  it.each([
    [formatCount(0), '0'],
    [formatCount(999), '999'],
    [formatCount(12_345), '12,345'],
    [formatCount(1_300_627), '1,300,627'],
    [formatAmount(1, 'query'), '1 query'],
    [formatAmount(12_345, 'query'), '12,345 queries'],
    [formatAmount(1.5, 'core'), '1.5 cores'],
    [formatAmount(0, 'slot'), '0 slots'],
    [formatRate(1234.4), '1,234 q/s'],
    [formatRate(99.4), '99.4 q/s'],
    [formatRate(99.96), '100 q/s'],
    [formatRate(6.24), '6.2 q/s'],
    [formatRate(0.213), '0.21 q/s'],
    [formatRate(0.0517), '3.1 q/min'],
    [formatRate(0), '0.0 q/s'],
    [formatLatency(0.853), '0.85 ms'],
    [formatLatency(0.999), '1.0 ms'],
    [formatLatency(3.24), '3.2 ms'],
    [formatLatency(9.96), '10 ms'],
    [formatLatency(12_400), '12.4 s'],
    [formatElapsed(59_999), '59 s'],
    [formatElapsed(200_900), '3m 20s'],
    [formatElapsed(-5), '0 s'],
    [formatEstimate(0), '1 s'],
    [formatEstimate(7_100), '8 s'],
    [formatEstimate(61_000), '1m 05s'],
    [formatEstimate(58_000), '1m 00s'],
    [formatEstimate(125_000), '2m 10s'],
    [formatEstimate(3_601_000), '1h 05m'],
  ])('%s', (shown, wanted) => {
    expect(shown).toBe(wanted);
  });
});
