import { spawn } from 'node:child_process';
import { execa } from 'execa';
import { plainEnvironment } from './plain-environment.js';
import { COMMAND_ID, newCommandId, ProcessTree } from './process-tree.js';

/** How a program is run. */
export interface ProgramOptions {
  /** The whole environment; without it the little of this process that any program needs. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A descriptor that it inherits as its input; without one it reads nothing. */
  readonly stdin?: number;
  /** It is killed after this time. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** How a program ended. */
export interface ProgramEnd {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** `undefined` when it never started or a signal ended it. */
  readonly exitCode: number | undefined;
  readonly killedBy: string | undefined;
  /** The code of the system where it could not be started: `ENOENT`, `EACCES`. */
  readonly startError: string | undefined;
  readonly timedOut: boolean;
  /** One line about a failure, without the program's own output. */
  readonly message: string;
}

// What a queue prints of 5,000 tasks with whole environments has 28 MB.
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024;
// The longest that a timer takes.
const NO_LIMIT_MS = 2 ** 31 - 1;

// Programs that are asked to end do so at once; docker stop and most supervisors give 10 s for all.
const GRACE_MS = 5_000;

/**
 * Runs a program to its end and resolves with how it ended; a failure rejects only when `signal` was aborted, with
 * its reason. What it started is stopped with it, so that nothing of it lives on, or holds its output open, after the
 * limit or an abort. The program is killed when this process ends.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramEnd> {
  const { env, cwd, stdin, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const running = execa(program, args, {
    env: env ?? plainEnvironment(),
    extendEnv: false,
    ...(cwd === undefined ? {} : { cwd }),
    // execa takes any descriptor; its type names only 3 to 9.
    stdin: stdin === undefined ? 'ignore' : (stdin as 3),
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

/** How a shell command ended: by itself, or by a signal. */
export interface ShellEnd {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

/** How a command line is run. */
export interface ShellOptions {
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** A descriptor that it inherits, so that what it locks stays locked until all of the command has ended. */
  readonly held?: number | undefined;
  /** How long the command may take to end when it is asked to. */
  readonly graceMs?: number;
}

/**
 * Runs a command line of the user's with `sh -c`, without input and with the output of this process. When `signal` is
 * aborted, the shell and all that it started get SIGTERM, what is left of them after five seconds SIGKILL, and it
 * resolves when none of them lives any more. A command in the background of one that ended by itself goes on.
 */
export async function runShell(
  command: string,
  { cwd, env, signal, held, graceMs = GRACE_MS }: ShellOptions,
): Promise<ShellEnd> {
  signal.throwIfAborted();
  const id = newCommandId();
  const child = spawn('sh', ['-c', command], {
    cwd,
    env: { ...env, [COMMAND_ID]: id },
    stdio: ['ignore', 'inherit', 'inherit', ...(held === undefined ? [] : [held])],
  });
  const tree = new ProcessTree(child, id);
  let stopped: Promise<void> | undefined;
  const stop = (): void => {
    stopped = tree.stop('SIGTERM', graceMs);
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, name) => resolve({ exitCode: code ?? undefined, signal: name ?? undefined }));
    });
  } finally {
    signal.removeEventListener('abort', stop);
    await stopped;
  }
}
