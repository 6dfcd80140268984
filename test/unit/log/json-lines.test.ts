import { expect, it } from 'vitest';
import { entriesOf } from '../../../src/core/text/json.js';

const digits = (line: string): number | undefined => (/^\d+$/.test(line) ? Number(line) : undefined);

it('gives the lines that can be read, in order', () => {
  expect(entriesOf('', digits)).toEqual([]);
  expect(entriesOf('1\nx\n\n2\n3', digits)).toEqual([1, 2, 3]);
});

it('gives up on what is no such file', () => {
  expect(entriesOf(`1\n${'x\n'.repeat(10_000)}2\n`, digits)).toEqual([1, 2]);
  expect(entriesOf(`1\n${'x\n'.repeat(10_001)}2\n`, digits)).toBeUndefined();
  // Empty lines cost next to nothing.
  expect(entriesOf(`1\n${'\n'.repeat(1_000_000)}2\n`, digits)).toEqual([1, 2]);
});
