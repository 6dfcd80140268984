import { expect, test } from 'vitest';
import { simulation } from './groups/simulation.js';
import { PROFILE_NAMES } from './sim/profiles.js';
import { runSeed } from './sim/scenario.js';
import { fastShare } from './suite.js';

fastShare('simulated histories:', [simulation]);

test('the same seed is the same history', async () => {
  for (let seed = 0; seed < 2 * PROFILE_NAMES.length; seed += 1) {
    const [one, other] = [await runSeed(seed, true), await runSeed(seed, true)];
    expect(one.history.length).toBeGreaterThan(1);
    expect(other).toEqual(one);
  }
});
