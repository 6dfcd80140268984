import type { Readable, Writable } from 'node:stream';
import { execa } from 'execa';
import { plainEnvironment } from './plain-environment.js';
import { ProcessTree } from './process-tree.js';

/** How a program is run. */
export interface ProgramOptions {
  /** The whole environment; the default is the part of this process's environment that any program needs. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string;
  /** A descriptor that it inherits as its stdin; by default its stdin is empty. */
  readonly stdin?: number;
  /** What it reads from its stdin instead. */
  readonly input?: string | undefined;
  /** It is killed after this time. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** How a program ended. */
export interface ProgramEnd {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** `undefined` if it never started, or a signal ended it. */
  readonly exitCode: number | undefined;
  readonly killedBy: string | undefined;
  /** The code of the system if it could not be started: `ENOENT`, `EACCES`. */
  readonly startError: string | undefined;
  readonly timedOut: boolean;
  /** One line about a failure, without the program's own output. */
  readonly message: string;
}

// A queue prints 28 MB for 5,000 tasks with whole environments.
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024;
// The longest that a timer takes.
const NO_LIMIT_MS = 2 ** 31 - 1;

// A program that is asked to end does so at once. docker stop and most supervisors allow 10 s for everything.
const GRACE_MS = 5_000;

/**
 * Runs a program to its end and resolves with how it ended, also if it failed. Rejects only if `signal` was aborted,
 * with its reason. After the time limit or an abort, what the program started is stopped with it, so that nothing lives
 * on or holds its output open. The program is killed when this process ends.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramEnd> {
  const { env, cwd, stdin, input, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const running = execa(program, args, {
    env: env ?? plainEnvironment(),
    extendEnv: false,
    ...(cwd === undefined ? {} : { cwd }),
    // execa takes any descriptor; its type names only 3 to 9.
    ...(input === undefined ? { stdin: stdin === undefined ? 'ignore' : (stdin as 3) } : { input }),
    reject: false,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  const tree = new ProcessTree(running);
  let timedOut = false;
  const stop = (): void => void tree.stop('SIGTERM', GRACE_MS);
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeoutMs ?? NO_LIMIT_MS);
  signal?.addEventListener('abort', stop, { once: true });
  const result = await running;
  clearTimeout(timer);
  signal?.removeEventListener('abort', stop);
  if (result.failed) signal?.throwIfAborted();
  return { ...endOf(result), stdout: result.stdout ?? '', stderr: result.stderr ?? '', timedOut };
}

/** A program that runs, and is talked to over its streams. */
export interface TalkingProgram {
  readonly stdin: Writable;
  /** Text; whoever started it reads both, or it will stop in the middle. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves with how it ended, whatever that was; what it wrote is not in it. */
  readonly ended: Promise<ProgramEnd>;
  /** Asks it to end, and what it started, and kills what has not after two seconds. */
  stop(): void;
}

// ssh and its like wait for nobody.
const TALK_GRACE_MS = 2_000;

/** Starts a program with this environment and returns at once. It is killed when this process ends. */
export function startProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): TalkingProgram {
  const running = execa(program, args, {
    ...{ env, extendEnv: false, reject: false },
    ...({ stdin: 'pipe', buffer: false } as const),
  });
  const tree = new ProcessTree(running);
  return {
    stdin: running.stdin,
    stdout: running.stdout.setEncoding('utf8'),
    stderr: running.stderr.setEncoding('utf8'),
    ended: running.then(endOf),
    stop: () => void tree.stop('SIGTERM', TALK_GRACE_MS),
  };
}

function endOf(result: {
  failed: boolean;
  exitCode?: number | undefined;
  signal?: string | undefined;
  code?: string | undefined;
  shortMessage?: string | undefined;
}): ProgramEnd {
  return {
    ok: !result.failed,
    stdout: '',
    stderr: '',
    exitCode: result.exitCode,
    killedBy: result.signal,
    startError: result.code,
    timedOut: false,
    message: result.shortMessage ?? '',
  };
}
