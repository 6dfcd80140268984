import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { median, qrun } from './measure.js';
import type { BenchContext, PartResult } from './result.js';
import { makeUnit } from './throughput.js';

/** The embedded engine on small queries, and on queries that keep it busy. */
export async function embedded(context: BenchContext): Promise<PartResult> {
  const { directory, rounds, scale, tell } = context;
  const cores = availableParallelism();
  const count = Math.ceil(4_000 / scale);
  const small = makeUnit(join(directory, 'light'), count);
  const heavy = join(directory, 'heavy');
  mkdirSync(heavy);
  // About 15 s of work on 2 cores, so that the start, on one core, matters little.
  const rows = Math.ceil((150_000_000 * cores) / scale);
  for (let i = 0; i < 8; i += 1) {
    writeFileSync(
      join(heavy, `q${i}.sql`),
      `select sum(sipHash64(number)) as s from numbers(${rows}) -- ${i}\n`,
    );
  }
  const rates: number[] = [];
  const busy: number[] = [];
  const run = async (unit: string, round: number) => {
    const data = join(directory, 'data');
    const log = join(directory, `embedded-${round}.ndjson`);
    const args = ['--engine', 'embedded', '--data-dir', data, '--log', log];
    const measured = await qrun('unit', unit, '-q', '--json', '-P16', ...args);
    await qrun('audit', unit, '--log', log);
    for (const path of [log, `${log}.runs`, data]) rmSync(path, { recursive: true, force: true });
    const { elapsed_ms: elapsedMs } = JSON.parse(measured.stdout) as { elapsed_ms: number };
    return { ...measured, elapsedSeconds: elapsedMs / 1000 };
  };
  for (let round = 0; round <= rounds; round += 1) {
    const light = await run(small, round);
    const full = await run(heavy, round);
    tell(
      `${(count / light.elapsedSeconds).toFixed(0)} q/s, ${(full.cpuSeconds / full.seconds).toFixed(2)} cores`,
    );
    if (round === 0) continue;
    rates.push(count / light.elapsedSeconds);
    busy.push(full.cpuSeconds / full.seconds);
  }
  return {
    part: 'embedded',
    title: 'Embedded engine',
    how:
      `${cores} cores, -P16, medians of ${rounds} rounds. Cores in use are those of the whole process, including its start on one ` +
      'core, with 8 queries that take a few seconds each.',
    table: {
      head: ['', ''],
      rows: [
        ['small queries/s, within the run', median(rates)],
        ['cores in use, heavy queries', median(busy)],
      ],
    },
    targets: [
      { what: 'small queries, embedded', unit: '/s', wanted: 1_800, reached: median(rates), atLeast: true },
      {
        what: 'cores in use, heavy queries',
        unit: '',
        wanted: 0.9 * cores,
        reached: median(busy),
        atLeast: true,
      },
    ],
  };
}
