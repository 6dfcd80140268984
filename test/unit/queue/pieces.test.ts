import { describe, expect, it } from 'vitest';
import { inPieces } from '../../../src/core/queue/pieces.js';

const tasks = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

describe('inPieces', () => {
  it('has every task once, in order, in pieces of at most so many', () => {
    for (const count of [1, 2, 7, 8, 9, 100, 1001, 2500]) {
      for (const most of [1, 3, 8, 1001]) {
        for (const slots of [undefined, 1, 2, 6, 64]) {
          const pieces = inPieces(tasks(count), most, slots);
          expect(pieces.flatMap(piece => piece.tasks)).toEqual(tasks(count));
          expect(Math.max(...pieces.map(piece => piece.tasks.length))).toBeLessThanOrEqual(most);
        }
      }
    }
  });

  it('never runs more at a time than there are slots, and uses all of them', () => {
    for (const [count, most, slots] of [
      [100, 10, 6],
      [20, 8, 6],
      [20, 8, 2],
      [5, 1, 3],
      [9, 1000, 4],
    ] as const) {
      const pieces = inPieces(tasks(count), most, slots);
      // Of those that wait for each other, one runs at a time.
      const first = pieces.filter(({ after }) => after === undefined);
      expect(first.reduce((sum, piece) => sum + (piece.slots ?? 0), 0)).toBe(slots);
      for (const [n, { after, slots: own }] of pieces.entries()) {
        if (after === undefined) continue;
        expect(after).toBeLessThan(n);
        expect(pieces[after]?.slots).toBeGreaterThanOrEqual(own ?? 0);
      }
    }
  });

  it('has no limits without slots, and no pieces without tasks', () => {
    expect(inPieces(tasks(3), 2, undefined)).toEqual([
      { tasks: [0, 1], slots: undefined, after: undefined },
      { tasks: [2], slots: undefined, after: undefined },
    ]);
    expect(inPieces([], 5, 3)).toEqual([]);
  });
});
