import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSize, parseSize } from '../../../src/core/text/bytes.js';

describe('parseSize', () => {
  it.each([
    ['0', 0],
    ['100', 100],
    ['100B', 100],
    ['1K', 1024],
    ['512M', 512 * 1024 ** 2],
    ['8G', 8 * 1024 ** 3],
    ['8g', 8 * 1024 ** 3],
    ['1.5GiB', 1.5 * 1024 ** 3],
    ['2T', 2 * 1024 ** 4],
    ['8191T', 8191 * 1024 ** 4],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '',
    'G',
    '8GB',
    '8 G',
    ' 8G',
    '8G ',
    '-1',
    '1e9',
    '8P',
    '8iB',
    '100iB',
    '.5G',
    '1.G',
    '8192T',
    'infinity',
  ])('%j is refused', text => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('formatSize', () => {
  it.each([
    [0, '0B'],
    [-5, '0B'],
    [100, '100B'],
    [1023, '1023B'],
    [1024, '1K'],
    [1536, '1.5K'],
    [8 * 1024 ** 3, '8G'],
    [1024 ** 3 - 1, '1G'],
    [20.14 * 1024 ** 3, '20.1G'],
    [5000 * 1024 ** 4, '5000T'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  it('is read back to within half of its last digit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 52 }), bytes => {
        const back = parseSize(formatSize(bytes));
        expect(Math.abs((back ?? Number.NaN) - bytes) / bytes).toBeLessThanOrEqual(0.051);
      }),
    );
  });
});
