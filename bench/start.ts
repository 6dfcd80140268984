import { spawn } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { measureNode, median, REPOSITORY } from './measure.js';
import type { BenchContext, PartResult } from './result.js';
import { makeUnit } from './throughput.js';

/** Measures the time from the start of the process to its end, or to its first record. */
export async function start(context: BenchContext): Promise<PartResult> {
  const { directory, rounds, tell } = context;
  const { url } = await context.server();
  const unit = makeUnit(join(directory, 'start'), 1);
  const bin = join(REPOSITORY, 'bin/qrun.cjs');
  const data = join(directory, 'start-data');
  const node: number[] = [];
  const help: number[] = [];
  const onServer: number[] = [];
  const embedded: number[] = [];
  // The first round warms caches and is not counted.
  for (let round = 0; round <= 2 * rounds; round += 1) {
    const keep = (all: number[], seconds: number): void => {
      if (round > 0) all.push(seconds);
    };
    keep(node, (await measureNode(['-e', '0'])).seconds);
    keep(help, (await measureNode([bin, '--help'])).seconds);
    keep(
      onServer,
      await firstRecord(join(directory, `start-${round}.ndjson`), [bin, 'unit', unit, '--url', url]),
    );
    const args = [bin, 'unit', unit, '--engine', 'embedded', '--data-dir', data];
    keep(embedded, await firstRecord(join(directory, `start-e${round}.ndjson`), args));
    rmSync(data, { recursive: true, force: true });
    tell(`round ${round}`);
  }
  const more = median(help.map((seconds, i) => seconds - (node[i] ?? 0)));
  const ms = (values: readonly number[]): number => median(values) * 1000;
  return {
    part: 'start',
    title: 'Start',
    how: `Medians of ${2 * rounds} rounds, from the start of the process to its end, or to the first record in the log.`,
    table: {
      head: ['', 'ms'],
      rows: [
        ['node -e 0', ms(node)],
        ['qrun --help', ms(help)],
        ['qrun unit, first record on a server', ms(onServer)],
        ['qrun unit, first record on the embedded engine, new data directory', ms(embedded)],
      ],
    },
    targets: [
      { what: 'qrun --help beyond node -e 0', unit: 'ms', wanted: 60, reached: more * 1000, atLeast: false },
      { what: 'first record on a server', unit: 'ms', wanted: 200, reached: ms(onServer), atLeast: false },
      {
        what: 'first record, embedded engine',
        unit: 'ms',
        wanted: 500,
        reached: ms(embedded),
        atLeast: false,
      },
    ],
  };
}

// Returns the seconds until the log is not empty.
async function firstRecord(log: string, args: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...args, '-q', '--log', log], { stdio: 'ignore' });
  const ended = new Promise<number | null>(resolve => child.once('close', resolve));
  let seconds: number | undefined;
  while (child.exitCode === null && seconds === undefined) {
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > 0) {
      seconds = (performance.now() - startedMs) / 1000;
    } else await sleep(1);
  }
  const status = await ended;
  if (status !== 0 || seconds === undefined)
    throw new Error(`qrun ended with ${status} before its record was seen`);
  return seconds;
}
