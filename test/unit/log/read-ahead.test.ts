import { describe, expect, it } from 'vitest';
import { readAhead } from '../../../src/io/log/read-ahead.js';

const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));

/** Reads of `bytes` that give at most `most` bytes each, and know how many are under way. */
function reader(most: number, failsAt = Number.POSITIVE_INFINITY) {
  const state = { underWay: 0, together: 0, reads: 0 };
  const read = async (buffer: Buffer, length: number, position: number): Promise<number> => {
    state.reads += 1;
    state.underWay += 1;
    state.together = Math.max(state.together, state.underWay);
    await new Promise(setImmediate);
    state.underWay -= 1;
    if (position >= failsAt) throw new Error(`read at ${position}`);
    return bytes.copy(buffer, 0, position, Math.min(position + length, position + most));
  };
  return { read, state };
}

describe('readAhead', () => {
  it.each([
    [0, 1000, 64, 1000],
    [0, Number.POSITIVE_INFINITY, 64, 1000],
    [10, 990, 100, 33],
    [10, 11, 100, 100],
    [0, Number.POSITIVE_INFINITY, 5000, 1],
    [5, 5, 64, 64],
  ])(
    'gives the bytes from %d to %d, in pieces of %d, of which reads give %d',
    async (from, end, pieceBytes, most) => {
      const { read, state } = reader(most);
      const given: Buffer[] = [];
      const last = await readAhead(read, { from, end, pieceBytes }, piece => given.push(Buffer.from(piece)));
      expect(Buffer.concat(given).equals(bytes.subarray(from, Math.min(end, 1000)))).toBe(true);
      expect(last).toBe(Math.min(end, 1000));
      expect(state.underWay).toBe(0);
      expect(state.together).toBeLessThanOrEqual(1);
    },
  );

  it('reads the next piece while one is used', async () => {
    const { read, state } = reader(100);
    const readsInUse: number[] = [];
    await readAhead(read, { from: 0, end: 300, pieceBytes: 100 }, () => readsInUse.push(state.underWay));
    expect(readsInUse).toEqual([1, 1, 0]);
    expect(state.reads).toBe(3);
  });

  it('says where the file ended when it is shorter than it was', async () => {
    expect(await readAhead(reader(64).read, { from: 0, end: 2000, pieceBytes: 64 }, () => {})).toBe(1000);
  });

  it('rejects with what a read rejected with, after everything before it was used', async () => {
    let used = 0;
    const reading = readAhead(reader(100, 250).read, { from: 0, end: 1000, pieceBytes: 100 }, piece => {
      used += piece.length;
    });
    await expect(reading).rejects.toThrow('read at 300');
    expect(used).toBe(300);
  });

  it.each([Number.POSITIVE_INFINITY, 0])(
    'rejects with what its user threw, once no read is under way (reads fail from %d on)',
    async failsAfter => {
      const { read, state } = reader(100, failsAfter + 100);
      const reading = readAhead(read, { from: 0, end: 1000, pieceBytes: 100 }, () => {
        throw new Error('damaged');
      });
      await expect(reading).rejects.toThrow('damaged');
      expect([state.underWay, state.reads]).toEqual([0, 2]);
    },
  );
});
