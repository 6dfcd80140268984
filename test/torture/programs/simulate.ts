import { PROFILE_NAMES } from '../sim/profiles.js';
import { runSeed } from '../sim/scenario.js';

// Runs the seeds from .. to and prints one line of JSON for each; of one profile, where it is named, as many.

const { from, to, profile } = JSON.parse(process.argv[2] ?? '') as {
  from: number;
  to: number;
  profile?: string;
};
const count = PROFILE_NAMES.length;
const index = profile === undefined ? undefined : PROFILE_NAMES.indexOf(profile);
for (let n = from; n <= to; n += 1) {
  const seed = index === undefined ? n : n * count + index;
  const { history: _, ...result } = await runSeed(seed);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
