import { join } from 'node:path';
import { median, worker } from './measure.js';
import type { BenchContext, PartResult } from './result.js';

const PRODUCERS = 64;

/** Durable records per second, as the log accepts them: written, size compared, fdatasync, acknowledged. */
export async function commit(context: BenchContext): Promise<PartResult> {
  const { directory, rounds, scale, tell } = context;
  const kinds = [
    { name: `${PRODUCERS} producers`, producers: PRODUCERS, delayMs: 0, groups: 60_000, wanted: 100_000 },
    {
      name: `${PRODUCERS} producers, each fdatasync 5 ms later`,
      producers: PRODUCERS,
      delayMs: 5,
      groups: 15_000,
      wanted: 9_000,
    },
    { name: 'one producer', producers: 1, delayMs: 0, groups: 2_000, wanted: undefined },
  ];
  const rates = kinds.map(() => [] as number[]);
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, { producers, delayMs, groups, name }] of kinds.entries()) {
      const count = Math.ceil(groups / scale);
      const args = [join(directory, `commit-${i}-${round}.ndjson`), producers, delayMs, count].map(String);
      const { seconds } = await worker<{ seconds: number }>('commit-worker', ...args);
      rates[i]?.push(count / seconds);
      tell(`${name}  ${(count / seconds).toFixed(0)}/s`);
    }
  }
  return {
    part: 'commit',
    title: 'Durable records',
    how:
      `Groups of one record of 300 bytes into one log, each producer waiting for its acknowledgement, medians of ${rounds} ` +
      'rounds. The delay is inserted before each real fdatasync.',
    table: {
      head: ['', 'records/s'],
      rows: kinds.map(({ name }, i) => [name, median(rates[i] ?? [])]),
    },
    targets: kinds.flatMap(({ name, wanted }, i) =>
      wanted === undefined
        ? []
        : [
            {
              what: `durable records, ${name}`,
              unit: '/s',
              wanted,
              reached: median(rates[i] ?? []),
              atLeast: true,
            },
          ],
    ),
  };
}
