import { spawn } from 'node:child_process';
import { execa } from 'execa';

/** How a program is run. */
export interface ProgramOptions {
  /** The whole environment; without it that of this process. */
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

// status of 5,000 pueue tasks with whole environments has 28 MB.
const MAX_OUTPUT_BYTES = 512 * 1024 * 1024;

/**
 * Runs a program to its end and resolves with how it ended; a failure rejects only when `signal` was aborted, with
 * its reason. The program is killed when this process ends.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramEnd> {
  const { env, cwd, stdin, timeoutMs, signal } = options;
  const result = await execa(program, args, {
    ...(env === undefined ? {} : { env, extendEnv: false }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    // execa takes any descriptor; its type names only 3 to 9.
    stdin: stdin === undefined ? 'ignore' : (stdin as 3),
    reject: false,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  if (result.failed) signal?.throwIfAborted();
  return {
    ok: !result.failed,
    stdout: result.stdout ?? '',
    stderr: result.stderr ?? '',
    exitCode: result.exitCode,
    killedBy: result.signal,
    startError: result.code,
    timedOut: result.timedOut,
    message: result.shortMessage ?? '',
  };
}

/** How a shell command ended: by itself, or by a signal. */
export interface ShellEnd {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

/**
 * Runs a command line of the user's with `sh -c`, without input and with the output of this process. It gets
 * SIGTERM when `signal` is aborted, and is waited for.
 */
export function runShell(command: string, cwd: string, signal: AbortSignal): Promise<ShellEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', command], { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    const stop = (): void => {
      child.kill('SIGTERM');
    };
    signal.addEventListener('abort', stop, { once: true });
    child.once('error', reject);
    child.once('close', (code, name) => {
      signal.removeEventListener('abort', stop);
      resolve({ exitCode: code ?? undefined, signal: name ?? undefined });
    });
    if (signal.aborted) stop();
  });
}
