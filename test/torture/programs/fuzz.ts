import { TARGETS } from '../fuzz/targets.js';
import { fuzz } from '../fuzz/trial.js';

// Feeds one target for `ms` with the cases of a seed and prints what came of it as a line of JSON.

const { name, seed, ms } = JSON.parse(process.argv[2] ?? '') as { name: string; seed: number; ms: number };
const target = TARGETS.find(one => one.name === name);
if (target === undefined) throw new Error(`no target ${name}`);
process.stdout.write(`${JSON.stringify(await fuzz(target, seed, { ms }))}\n`);
