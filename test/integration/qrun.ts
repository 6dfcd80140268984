import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { builtQrun, ROOT } from '../built.js';

/** How a process of qrun ended. */
export interface Ended {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

export interface Start {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Words before `node`: another user, a limit, a tracer. */
  readonly prefix?: readonly string[];
  readonly node?: string;
}

function launch(command: string, args: readonly string[], cwd: string, env: Record<string, string>) {
  return execa(command, args, {
    cwd,
    env,
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    forceKillAfterDelay: false,
  });
}

/** A process that was started here. */
export type Started = ReturnType<typeof launch>;

const alive = new Set<Started>();

/** Starts the built qrun in an environment that names no server and no password but those given. */
export function startQrun(args: readonly string[], start: Start): Started {
  const [command = process.execPath, ...rest] = [
    ...(start.prefix ?? []),
    start.node ?? process.execPath,
    builtQrun(),
    ...args,
  ];
  const { PATH = '', HOME = '/', LANG = 'C.UTF-8' } = process.env;
  const child = launch(command, rest, start.cwd, { PATH, HOME, LANG, ...start.env });
  alive.add(child);
  void child.finally(() => alive.delete(child));
  return child;
}

/** Runs the built qrun to its end. */
export async function qrun(args: readonly string[], start: Start): Promise<Ended> {
  return endOf(await startQrun(args, start));
}

/** The end of a started process as {@link Ended}. */
export function endOf(result: Awaited<Started>): Ended {
  return {
    code: result.exitCode,
    signal: result.signal,
    stdout: result.stdout,
    stderr: result.stderr,
    durationMs: result.durationMs,
  };
}

/**
 * How many times slower this machine starts Node at the moment than an idle one (45 ms); at least 1. Limits on
 * time are multiplied by it, so that other work on the machine fails no test.
 */
export async function slowness(): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < 3; n += 1) {
    times.push((await execa(process.execPath, ['-e', '0'], { env: {} })).durationMs);
  }
  return Math.max(1, Math.max(...times) / 45);
}

/** A temporary directory with files in it; paths are relative, parents are made. */
export function tree(files: Readonly<Record<string, string | Buffer>>): string {
  const root = mkdtempSync(join(tmpdir(), 'qrun-it-'));
  // Other users must be able to enter it: some tests run qrun as one.
  chmodSync(root, 0o777);
  for (const [name, content] of Object.entries(files)) put(root, name, content);
  return root;
}

/** Writes one file of a tree. */
export function put(root: string, name: string, content: string | Buffer): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), content);
}

/** Removes a tree, whatever its modes are. */
export function removeTree(root: string): void {
  rmSync(root, { recursive: true, force: true });
}

/** The records of a log, one object a line. */
export function records(log: Buffer | string): Record<string, unknown>[] {
  return log
    .toString()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>);
}

/**
 * Words that start a program as a user without special rights: none where the tests run as such a user,
 * `undefined` where that is not possible.
 */
export function ordinaryUser(): readonly string[] | undefined {
  if (process.getuid?.() !== 0) return [];
  const prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
  try {
    execFileSync(prefix[0] as string, [...prefix.slice(1), process.execPath, '-e', '0'], { cwd: ROOT });
    execFileSync(prefix[0] as string, [...prefix.slice(1), 'test', '-r', `${ROOT}package.json`]);
    return prefix;
  } catch {
    return undefined;
  }
}

/** One line of `--events`. */
export type Event = { readonly type: string } & Readonly<Record<string, unknown>>;

/** A process whose events can be waited for while it runs. */
export interface Watched {
  readonly process: Started;
  /** All events so far. */
  readonly events: Event[];
  /** Resolves with the `count`-th event that fits, also one that has come already; rejects when the process ends first. */
  event(fits: (event: Event) => boolean, count?: number): Promise<Event>;
  /** Resolves when the process has ended. */
  end(): Promise<Ended>;
}

/** Starts qrun with its events in a file of its own, which is read while it grows. */
export function watchQrun(args: readonly string[], start: Start): Watched {
  const path = join(mkdtempSync(join(tmpdir(), 'qrun-events-')), 'events');
  const fd = openSync(path, 'a+');
  const child = startQrun([...args, '--events', path], start);
  const events: Event[] = [];
  let ended: Ended | undefined;
  let position = 0;
  let rest = '';
  const read = (): void => {
    const buffer = Buffer.alloc(64 * 1024);
    for (;;) {
      const bytes = readSync(fd, buffer, 0, buffer.length, position);
      if (bytes === 0) return;
      position += bytes;
      const lines = (rest + buffer.toString('utf8', 0, bytes)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) events.push(JSON.parse(line) as Event);
    }
  };
  const end = (async () => {
    const result = endOf(await child);
    read();
    ended = result;
    closeSync(fd);
    removeTree(dirname(path));
    return result;
  })();
  return {
    process: child,
    events,
    async event(fits, count = 1) {
      for (;;) {
        if (ended === undefined) read();
        const found = events.filter(fits)[count - 1];
        if (found !== undefined) return found;
        if (ended !== undefined) throw new Error(`qrun ended before the event: ${JSON.stringify(ended)}`);
        await delay(5);
      }
    },
    end: () => end,
  };
}

/** Ends every process that was started here and still runs, as after a test that failed. */
export function endAll(): void {
  for (const child of alive) child.kill('SIGKILL');
}
