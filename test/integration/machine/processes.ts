import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach } from 'vitest';
import { ROOT, requireBuild } from '../../built.js';

/** A process that speaks in lines: what it writes is waited for, what it shall do is told. */
export class Worker {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string) => void)[] = [];
  /** Resolves with the exit code or the signal when it has ended. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  stderr = '';

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        resolve(code ?? signal);
        for (const waiter of this.#waiting.splice(0)) waiter(`ended: ${code ?? signal} ${this.stderr}`);
      });
    });
    this.#child.stderr?.on('data', chunk => {
      this.stderr += String(chunk);
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', line => {
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#lines.push(line);
      else waiter(line);
    });
    started.push(this);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The next line that it writes; `ended: ...` when it ends without one. */
  line(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise(resolve => this.#waiting.push(resolve));
  }

  /** Writes a line to it, or ends its input. */
  tell(line?: string): void {
    if (line === undefined) this.#child.stdin?.end();
    else this.#child.stdin?.write(`${line}\n`);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.kill('SIGKILL');
    await this.ended;
  }
}

const started: Worker[] = [];
const directories: string[] = [];

afterEach(async () => {
  for (const worker of started.splice(0)) await worker.stop();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** Runs a command of test/integration/log/log-worker.mjs, on the built program. */
export function startWorker(...args: readonly (string | number)[]): Worker {
  requireBuild();
  const program = join(ROOT, 'test', 'integration', 'log', 'log-worker.mjs');
  return new Worker(process.execPath, [program, ...args.map(String)]);
}

/** A fresh directory that is removed after the test. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'qrun-test-'));
  directories.push(directory);
  return directory;
}

/**
 * Whether a file system of 1 MB can be mounted, to have a disk that is really full. Only root can; for others the
 * tests that inject the error of the system call stand alone.
 */
export const CAN_MOUNT = process.platform === 'linux' && process.getuid?.() === 0;

/** Runs `work` in a directory on a disk of 1 MB. */
export async function withSmallDisk(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = scratch();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory]);
  try {
    await work(directory);
  } finally {
    execFileSync('umount', ['-l', directory]);
  }
}

/** Runs `work` with a path under which the directory can be read and not be written. */
export async function withReadOnly(
  directory: string,
  work: (readOnly: string) => Promise<void>,
): Promise<void> {
  const readOnly = scratch();
  execFileSync('mount', ['--bind', directory, readOnly]);
  try {
    execFileSync('mount', ['-o', 'remount,ro,bind', readOnly]);
    await work(readOnly);
  } finally {
    execFileSync('umount', ['-l', readOnly]);
  }
}

/** The files in a directory that this process holds open, by the kernel's word. */
export function openFilesIn(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(`${directory}/`) ? [path] : [];
    } catch {
      // Closed meanwhile, such as the one that listed the directory.
      return [];
    }
  });
}

/** Makes a named pipe. */
export function makeFifo(path: string): void {
  execFileSync('mkfifo', [path]);
}

/** The text of an error of qrun, as people see it: code, message and hint. */
export async function failureOf(work: Promise<unknown> | (() => unknown)): Promise<{
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: readonly string[];
}> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    const { code, message, hint, details, name } = error as Error & Record<string, unknown>;
    if (name !== 'QrunError') throw error;
    return { code: String(code), message, hint: hint as string | undefined, details: details as string[] };
  }
  throw new Error('it did not fail');
}
