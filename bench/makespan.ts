import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { qrun } from './measure.js';
import type { BenchContext, PartResult } from './result.js';

const CONCURRENCY = 16;
const SHORTEST_S = 0.01;
const LONGEST_S = 5;

/**
 * Runs queries of mixed length and measures how much longer a unit takes than its work divided by the slots, or its
 * longest query. The queries sleep, so that they do not compete for the cores and their lengths are known. Each sleeps
 * in two calls, because the server allows 3 s for each call.
 */
export async function makespan(context: BenchContext): Promise<PartResult> {
  const { directory, scale } = context;
  const { url } = await context.server();
  const count = Math.ceil(2_500 / scale);
  const lengths = lengthsOf(count);
  const unit = join(directory, 'mixed');
  mkdirSync(unit);
  lengths.forEach((seconds, i) => {
    // The server would make only one of two equal calls.
    const first = seconds / 2 + 0.0002;
    const second = seconds - first;
    writeFileSync(
      join(unit, `q${String(i).padStart(4, '0')}.sql`),
      `select sleep(${first.toFixed(4)}), sleep(${second.toFixed(4)}) -- ${i}\n`,
    );
  });
  const log = join(directory, 'mixed.ndjson');
  const args = ['-q', '--json', '-P', String(CONCURRENCY), '--url', url, '--log', log];
  const { stdout } = await qrun('unit', unit, ...args);
  await qrun('audit', unit, '--log', log);
  const { elapsed_ms: elapsedMs } = JSON.parse(stdout) as { elapsed_ms: number };
  const seconds = elapsedMs / 1000;
  const sum = lengths.reduce((total, length) => total + length, 0);
  const bound = Math.max(sum / CONCURRENCY, Math.max(...lengths));
  const inOrder = listSchedule(lengths, CONCURRENCY);
  return {
    part: 'makespan',
    title: 'Makespan of mixed lengths',
    how:
      `${count} queries of ${SHORTEST_S * 1000} ms to ${LONGEST_S} s (even on a logarithmic scale, fixed seed) at ` +
      `-P${CONCURRENCY}. The bound is the larger of sum / P and the longest; "in this order" is what a pool without ` +
      'any cost of its own needs when each slot takes the next query as it becomes free. The fewer queries there are, ' +
      'the more the last ones count (200 of them: 1.25).',
    table: {
      head: ['', 'seconds', 'of the bound'],
      rows: [
        ['qrun', seconds, seconds / bound],
        ['in this order, without any cost', inOrder, inOrder / bound],
        ['bound: max(sum / P, longest)', bound, 1],
      ],
    },
    targets: [
      {
        what: 'makespan, of the bound',
        unit: 'times',
        wanted: 1.03,
        reached: seconds / bound,
        atLeast: false,
      },
    ],
  };
}

function lengthsOf(count: number): number[] {
  // A linear congruential generator (Numerical Recipes): the same lengths in each run.
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return SHORTEST_S * (LONGEST_S / SHORTEST_S) ** (state / 2 ** 32);
  });
}

function listSchedule(lengths: readonly number[], slots: number): number {
  const freeAt = Array.from({ length: slots }, () => 0);
  for (const length of lengths) {
    const first = freeAt.indexOf(Math.min(...freeAt));
    freeAt[first] = (freeAt[first] ?? 0) + length;
  }
  return Math.max(...freeAt);
}
