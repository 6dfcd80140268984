import type { Stats } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeptFiles } from '../../../src/io/unit/kept-files.js';

const NOW_MS = 1_700_000_000_000;

function statOf(ino: number, size: number): Stats {
  return { ino, size, mtimeMs: NOW_MS - 9_000, ctimeMs: NOW_MS - 9_000, isFile: () => true } as Stats;
}

describe('KeptFiles', () => {
  it('gives each text back, whatever the lengths are, empty ones and whole blocks among them', () => {
    // Blocks have 256 KiB; sixteen of the longest texts fill one to its end.
    const length = fc.oneof(fc.constantFrom(0, 1, 16 * 1024), fc.nat(16 * 1024));
    fc.assert(
      fc.property(fc.array(length, { minLength: 1, maxLength: 60 }), lengths => {
        const kept = new KeptFiles(16 * 1024 * 1024);
        const texts = lengths.map((size, n) => Buffer.alloc(size, n % 251));
        for (const [n, text] of texts.entries()) {
          expect(kept.keep(`q${n}`, text, statOf(n, text.length), NOW_MS)?.equals(text)).toBe(true);
        }
        for (const [n, text] of texts.entries()) {
          expect(kept.has(`q${n}`)).toBe(true);
          expect(kept.get(`q${n}`, statOf(n, text.length))?.equals(text)).toBe(true);
          expect(kept.get(`q${n}`, statOf(n, text.length + 1))).toBeUndefined();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps an empty text behind a block that is full', () => {
    const kept = new KeptFiles(16 * 1024 * 1024);
    for (let n = 0; n < 16; n += 1) kept.keep(`q${n}`, Buffer.alloc(16 * 1024), statOf(n, 16 * 1024), NOW_MS);
    kept.keep('empty', Buffer.alloc(0), statOf(16, 0), NOW_MS);
    expect(kept.get('empty', statOf(16, 0))).toHaveLength(0);
  });
});
