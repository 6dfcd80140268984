import { describe, expect, it } from 'vitest';
import { TARGETS } from '../torture/fuzz/targets.js';
import { fuzz } from '../torture/fuzz/trial.js';

// The same cases every time: new ones are for `npm run torture -- --only fuzz`.
const SEED = 20_260_131;

describe('nothing that others wrote crashes or stops qrun', () => {
  it.each(TARGETS.map(target => [target.name, target] as const))('%s', async (_, target) => {
    const { cases, failure } = await fuzz(target, SEED, { runs: target.share });
    expect(failure).toBeUndefined();
    expect(cases).toBe(target.share);
  });
});
