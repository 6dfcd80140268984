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
  return {
    ok: !result.failed,
    stdout: result.stdout ?? '',
    stderr: result.stderr ?? '',
    exitCode: result.exitCode,
    killedBy: result.signal,
    startError: result.code,
    timedOut,
    message: result.shortMessage ?? '',
  };
}
