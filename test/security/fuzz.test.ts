import { describe, expect, it } from 'vitest';
import { TARGETS } from '../torture/fuzz/targets.js';
import { fuzz } from '../torture/fuzz/trial.js';

// The same cases every time: new ones are for `npm run torture -- --only fuzz`.
// Of the even seed they are short; see `chooseLengths`.
const SEEDS = [20_260_130, 20_260_131];

describe('nothing that others wrote crashes or stops qrun', () => {
  it.each(TARGETS.map(target => [target.name, target] as const))('%s', async (_, target) => {
    const runs = target.share / SEEDS.length;
    for (const seed of SEEDS) {
      const { cases, failure } = await fuzz(target, seed, { runs });
      expect(failure).toBeUndefined();
      expect(cases).toBe(runs);
    }
  });
});
