import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

/** The repository, relative to the compiled bench in .cache/bench/bench. */
export const REPOSITORY = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../..');

/** What one run of a command took. */
export interface Measured {
  readonly seconds: number;
  /** User and system time of the process and all its children. */
  readonly cpuSeconds: number;
  readonly stdout: string;
}

/** What one run of a Node program took. */
export interface NodeMeasured extends Measured {
  readonly peakMiB: number;
}

/** Whether a command is installed. */
export function isInstalled(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(directory => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

interface Ended {
  readonly seconds: number;
  readonly texts: readonly string[];
}

async function run(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly statuses?: readonly number[] } = {},
): Promise<Ended> {
  const { env = process.env, statuses = [0] } = options;
  const startedMs = performance.now();
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const texts = ['', '', ''];
  for (const [index, stream] of [child.stdout, child.stderr, child.stdio[3]].entries()) {
    (stream as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
      texts[index] = (texts[index] + chunk.toString('utf8')).slice(-1_000_000);
    });
  }
  const status = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  const seconds = (performance.now() - startedMs) / 1000;
  if (status === null || !statuses.includes(status)) {
    throw new Error(
      `${[command, ...args].join(' ')} ended with ${status}: ${texts[0]}${texts[1]}`.slice(-2_000),
    );
  }
  return { seconds, texts };
}

/**
 * Runs a command to its end and measures it with all its children, as bash's `times` counts them. Throws when it
 * fails, with the end of what it wrote.
 */
export async function measure(command: string, args: readonly string[]): Promise<Measured> {
  const script = '"$@"; status=$?; times >&3; exit $status';
  const { seconds, texts } = await run('bash', ['-c', script, '-', command, ...args]);
  // The second line of `times`: 0m0.012s 0m0.004s of the children.
  const children = texts[2]?.trim().split('\n')[1] ?? '';
  const cpuSeconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
    .map(([, minutes, rest]) => Number(minutes) * 60 + Number(rest))
    .reduce((sum, part) => sum + part, 0);
  return { seconds, cpuSeconds, stdout: texts[0] ?? '' };
}

/** Runs a Node program to its end and measures it, including its peak resident memory. */
export async function measureNode(
  args: readonly string[],
  statuses: readonly number[] = [0],
): Promise<NodeMeasured> {
  const directory = mkdtempSync(join(tmpdir(), 'qrun-usage-'));
  try {
    const path = join(directory, 'usage.json');
    const { seconds, texts } = await run(
      process.execPath,
      ['--require', join(REPOSITORY, 'bench/usage.cjs'), ...args],
      { env: { ...process.env, BENCH_USAGE: path }, statuses },
    );
    const usage = JSON.parse(readFileSync(path, 'utf8')) as { cpuSeconds: number; peakMiB: number };
    return { seconds, stdout: texts[0] ?? '', ...usage };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs qrun. */
export async function qrun(...args: readonly string[]): Promise<NodeMeasured> {
  return await measureNode([join(REPOSITORY, 'bin/qrun.cjs'), ...args]);
}

/** Runs a part of the bench in a separate process. Returns the JSON that it prints. */
export async function worker<T>(part: string, ...args: readonly string[]): Promise<T> {
  const { texts } = await run(process.execPath, [
    join(REPOSITORY, '.cache/bench/bench', `${part}.js`),
    ...args,
  ]);
  return JSON.parse(texts[0] ?? '') as T;
}

/** Returns the median of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Returns the median of the quotients of numbers that were measured in the same rounds. */
export function medianRatio(of: readonly number[], to: readonly number[]): number {
  return median(of.map((value, i) => value / (to[i] ?? Number.NaN)));
}
