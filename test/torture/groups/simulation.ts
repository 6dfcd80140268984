import { start } from '../child.js';
import { describe } from '../log-trial.js';
import { PROFILE_NAMES } from '../sim/profiles.js';
import type { SeedResult } from '../sim/scenario.js';
import type { Group } from '../tally.js';

const WORKERS = 2;
// Small enough that both workers end at about the same time.
const CHUNK = 240;

/** Simulated histories of log and pool: the same seed is the same history. */
export const simulation: Group = {
  name: 'simulation',
  async run(context) {
    const first = context.seeds?.from ?? context.seed * 1_000_000 + 1;
    const count = context.seeds?.count ?? context.count(2_000, 50_000);
    const { profile: only } = context.seeds ?? {};
    const names = only === undefined ? PROFILE_NAMES : PROFILE_NAMES.filter(name => name === only);
    const rows = names.map(name => context.row(`simulated: ${name}`));
    let next = first;
    const work = async (): Promise<void> => {
      while (next < first + count) {
        const from = next;
        const to = Math.min(from + CHUNK, first + count) - 1;
        next = to + 1;
        const program = context.home.program('simulate.js');
        const ended = await start(
          context.home,
          process.execPath,
          [program, JSON.stringify({ from, to, profile: only })],
          {
            limitMs: 600_000,
          },
        ).ended;
        if (ended.code !== 0) throw new Error(`the seeds ${from} to ${to} ended with ${describe(ended)}`);
        for (const line of ended.stdout.split('\n').slice(0, -1)) addSeed(JSON.parse(line) as SeedResult);
      }
    };
    const addSeed = ({ seed, profile, faults, violations }: SeedResult): void => {
      const row = rows[names.indexOf(profile)];
      const texts = violations.map(
        text => `seed ${seed}: ${text} (replay: --only simulation --seed ${seed})`,
      );
      row?.add(1, faults, texts);
    };
    await Promise.all(Array.from({ length: WORKERS }, work));
    for (const row of rows) row.end();
  },
};
