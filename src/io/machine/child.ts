import { type ChildProcess, spawn } from 'node:child_process';
import { COMMAND_ID, newCommandId, ProcessTree } from './process-tree.js';

/** What a child reads from and writes to; a number is a descriptor that it inherits. */
export type Stdio = readonly ('ignore' | 'inherit' | 'pipe' | number)[];

/** How a child is started. */
export interface ChildOptions {
  /** The whole environment; the default is that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  readonly stdio: Stdio;
  /** A further descriptor that it inherits, so that the file stays locked until all of the child has ended. */
  readonly held?: number | undefined;
}

/** How a child ended. */
export interface ChildEnd {
  /** `null` if a signal ended it; 127 or 126 if it could not be started (not found, not allowed), as in a shell. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The code of the system if it could not be started. */
  readonly startError: string | undefined;
}

/**
 * Starts a command of the user in the process group of this process. `ended` resolves when the command has ended, and
 * never rejects. The command goes on if this process is killed.
 *
 * Programs whose output is read are run by execa (`runProgram`). It does not fit here: it takes a signal that could not
 * be sent for the end of the command, waits for all pipes to close, and takes 25 ms to load, in every job of a sweep.
 */
export function startChild(
  command: string,
  args: readonly string[],
  { env, cwd, stdio, held }: ChildOptions,
): { readonly child: ChildProcess; readonly ended: Promise<ChildEnd> } {
  const child = spawn(command, args, {
    ...(env === undefined ? {} : { env: { ...env } }),
    ...(cwd === undefined ? {} : { cwd }),
    stdio: held === undefined ? [...stdio] : [...stdio, held],
  });
  const ended = new Promise<ChildEnd>(resolve => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      // Also emitted when a signal could not be sent to a command that is running.
      if (child.pid !== undefined) return;
      const exitCode = error.code === 'ENOENT' ? 127 : 126;
      resolve({ exitCode, signal: null, startError: error.code ?? error.message });
    });
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal, startError: undefined }));
  });
  return { child, ended };
}

/** How a command line is run. */
export interface ShellOptions extends Pick<ChildOptions, 'held'> {
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** How long the command may take to end when it is asked to; the default is five seconds. */
  readonly graceMs?: number;
}

// docker stop and most supervisors allow 10 s for everything.
const GRACE_MS = 5_000;

/**
 * Runs a command line of the user with `sh -c`, without input and with the output of this process; resolves with how it
 * ended. When `signal` is aborted, the shell and all that it started get SIGTERM, and SIGKILL after `graceMs`; it then
 * resolves when none of them is alive any more. If the shell ends by itself, its background commands go on. Rejects
 * only if `signal` is aborted already, with its reason.
 */
export async function runShell(
  command: string,
  { cwd, env, signal, held, graceMs = GRACE_MS }: ShellOptions,
): Promise<ChildEnd> {
  signal.throwIfAborted();
  const id = newCommandId();
  const { child, ended } = startChild('sh', ['-c', command], {
    cwd,
    env: { ...env, [COMMAND_ID]: id },
    stdio: ['ignore', 'inherit', 'inherit'],
    held,
  });
  const tree = new ProcessTree(child, id);
  let stopped: Promise<void> | undefined;
  const stop = (): void => {
    stopped = tree.stop('SIGTERM', graceMs);
  };
  signal.addEventListener('abort', stop, { once: true });
  const end = await ended;
  signal.removeEventListener('abort', stop);
  await stopped;
  return end;
}
