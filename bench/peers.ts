import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What one run of a peer took. */
export interface Measured {
  readonly seconds: number;
  /** User and system time of the process and all its children. */
  readonly cpuSeconds: number;
  readonly output: string;
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

/**
 * Runs a command to its end and measures it; the CPU time is that of the whole tree, as bash's `times` gives it.
 * Throws when the command fails, with the end of what it wrote.
 */
export async function measure(command: string, args: readonly string[]): Promise<Measured> {
  const startedMs = performance.now();
  const child = spawn('bash', ['-c', '"$@"; status=$?; times >&3; exit $status', '-', command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const texts = ['', '', ''];
  for (const [index, stream] of [child.stdout, child.stderr, child.stdio[3]].entries()) {
    (stream as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
      texts[index] = (texts[index] + chunk.toString('utf8')).slice(-100_000);
    });
  }
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const seconds = (performance.now() - startedMs) / 1000;
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${texts[0]}${texts[1]}`.slice(-2_000));
  // The second line of `times`: 0m0.012s 0m0.004s of the children.
  const children = texts[2]?.trim().split('\n')[1] ?? '';
  const cpuSeconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
    .map(([, minutes, rest]) => Number(minutes) * 60 + Number(rest))
    .reduce((sum, part) => sum + part, 0);
  return { seconds, cpuSeconds, output: `${texts[0]}${texts[1]}` };
}

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
