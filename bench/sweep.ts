import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { median, qrun } from './measure.js';
import type { BenchContext, PartResult } from './result.js';
import { makeUnit } from './throughput.js';

const UNITS = 220;
const FILES = 1_368;
const PLANNED = 11;

/** A sweep of the predecessor's size, 220 units of 1,368 files: planning, and running all of it as one unit. */
export async function sweep(context: BenchContext): Promise<PartResult> {
  const { directory, scale, tell } = context;
  const { url } = await context.server();
  const units = Math.max(PLANNED, Math.ceil(UNITS / scale));
  const root = join(directory, 'sweep');
  const names = Array.from({ length: units }, (_, i) => `u${String(i).padStart(3, '0')}`);
  for (const name of names) makeUnit(join(root, name), FILES);
  tell(`${units * FILES} files are there`);
  const planSeconds: number[] = [];
  for (const name of names.slice(0, PLANNED)) {
    const { seconds, stdout } = await qrun(
      'plan',
      join(root, name),
      '--json',
      '--log',
      join(directory, 'none'),
    );
    if (!stdout.includes(`"due":${FILES}`) && !stdout.includes('new'))
      throw new Error('the plan is not whole');
    planSeconds.push(seconds);
  }
  const run = async (path: string, count: number, log: string, ...selection: string[]) => {
    const args = ['-q', '--json', '-P', '16', '--url', url, '--log', log, ...selection];
    const measured = await qrun('unit', path, ...args);
    const summary = JSON.parse(measured.stdout) as { elapsed_ms: number; recorded: { normal: number } };
    if (summary.recorded.normal !== count)
      throw new Error(`${summary.recorded.normal} of ${count} are recorded`);
    tell(`${count} queries  ${measured.seconds.toFixed(1)} s  ${measured.peakMiB.toFixed(0)} MiB`);
    return { ...measured, elapsedMs: summary.elapsed_ms };
  };
  const start = await run(join(root, 'u000'), 1, join(directory, 'one.ndjson'), '--limit', '1');
  const rows: { count: number; seconds: number; cpuUs: number; peakMiB: number }[] = [];
  const whole = join(directory, 'whole.ndjson');
  for (const [count, log, selection] of [
    [FILES, join(directory, 'small.ndjson'), ['--include', 'u000/**']],
    [10 * FILES, join(directory, 'middle.ndjson'), ['--include', 'u00*/**']],
    [units * FILES, whole, []],
  ] as const) {
    const { elapsedMs, cpuSeconds, peakMiB } = await run(root, count, log, ...selection);
    const cpuUs = ((cpuSeconds - start.cpuSeconds) / count) * 1e6;
    rows.push({ count, seconds: elapsedMs / 1000, cpuUs, peakMiB });
  }
  await qrun('audit', root, '--log', whole, '--rows-per-query', '3');
  const tenths = await tenthsOf(whole, units * FILES);
  const last = rows.at(-1);
  const cost = rows.map(row => row.cpuUs);
  return {
    part: 'sweep',
    title: `${(units * FILES).toLocaleString('en-US')} files`,
    how:
      `${units} directories of ${FILES} files. Planning: \`qrun plan\` of one of them, the whole process. Then parts of ` +
      'them, and all of them, as one unit on the server; after the last run `qrun audit` had to find it complete. In ' +
      `it, the last tenth of the queries took ${(median(tenths.slice(-1)) / median(tenths.slice(0, 1))).toFixed(2)} ` +
      'times as long as the first.',
    table: {
      head: ['queries', 'seconds within the run', 'CPU of qrun, µs per query', 'peak resident memory, MiB'],
      rows: rows.map(row => [row.count.toLocaleString('en-US'), row.seconds, row.cpuUs, row.peakMiB]),
    },
    targets: [
      {
        what: `planning ${FILES} files, whole process`,
        unit: 's',
        wanted: 0.3,
        reached: median(planSeconds),
        atLeast: false,
      },
      {
        what: `memory for ${(units * FILES).toLocaleString('en-US')} queries`,
        unit: 'MB',
        wanted: 200,
        reached: ((last?.peakMiB ?? 0) * 2 ** 20) / 1e6,
        atLeast: false,
      },
      {
        what: 'time of their last tenth, relative to the first',
        unit: 'times',
        wanted: 1.1,
        reached: (tenths.at(-1) ?? 0) / (tenths[0] ?? 1),
        atLeast: false,
      },
      {
        what: 'CPU of a query among all, relative to one among 1,368',
        unit: 'times',
        wanted: 1.1,
        reached: (cost.at(-1) ?? 0) / (cost[0] ?? 1),
        atLeast: false,
      },
    ],
  };
}

// Returns how long each tenth of the queries took, in milliseconds, in the order in which they started.
async function tenthsOf(log: string, count: number): Promise<number[]> {
  const marks: number[] = [];
  let seen = 0;
  for await (const line of createInterface({ input: createReadStream(log) })) {
    const isFirstPart = line.includes('"part":1,');
    if (isFirstPart && (seen % Math.floor(count / 10) === 0 || seen === count - 1)) {
      marks.push(Date.parse(/"started_at":"([^"]+)"/.exec(line)?.[1] ?? ''));
    }
    if (isFirstPart) seen += 1;
  }
  return marks.slice(1, 11).map((mark, i) => mark - (marks[i] ?? mark));
}
