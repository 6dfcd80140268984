import { startProgram } from '../child.js';
import { TARGETS } from '../fuzz/targets.js';
import type { FuzzResult } from '../fuzz/trial.js';
import { describe } from '../log-trial.js';
import { type Group, inParallel } from '../tally.js';

const WORKERS = 2;
// Several short runs: another seed finds sooner what the first one does not reach, and every other one has long cases.
const ROUNDS = 4;
const FAST_MINUTES = 0.5;
const FULL_MINUTES = 10;
// For the start of the process, and for a case that is made smaller.
const MORE_MS = 120_000;

/** What reads the texts of others, fed with cases that know its grammar: nothing may crash it, or take long. */
export const fuzzing: Group = {
  name: 'fuzz',
  async run(context) {
    const minutes = context.minutes ?? (context.scale === 'fast' ? FAST_MINUTES : FULL_MINUTES);
    const rounds = context.scale === 'fast' ? 2 : ROUNDS;
    const ms = Math.max(200, (minutes * 60_000 * WORKERS) / (TARGETS.length * rounds));
    const rows = TARGETS.map(({ name }) => context.row(`fuzzing: ${name}`));
    await inParallel(TARGETS.length * rounds, WORKERS, async n => {
      const at = n % TARGETS.length;
      const [row, name] = [rows[at], TARGETS[at]?.name];
      const seed = context.seed * 1_000 + Math.floor(n / TARGETS.length);
      const child = startProgram(context.home, 'fuzz.js', { name, seed, ms }, { limitMs: ms + MORE_MS });
      const ended = await child.ended;
      if (ended.code === 0) {
        const { cases, failure } = JSON.parse(ended.stdout) as FuzzResult;
        row?.add(cases, cases, failure === undefined ? [] : [failure]);
      } else row?.add(1, 1, [`seed ${seed}: ended with ${describe(ended)}`]);
    });
    for (const row of rows) row.end();
  },
};
