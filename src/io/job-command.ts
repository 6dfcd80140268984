import { spawn } from 'node:child_process';
import { closeSync, readSync } from 'node:fs';
import { parseSize } from '../core/bytes.js';
import { openToAppend, openToRead } from './open-file.js';

/** A command with its surroundings. */
export interface JobCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Its stdout and stderr are appended to this file; its stdin is empty. */
  readonly outputPath: string;
  /** A descriptor that it inherits, so that what it locks stays locked until the command itself has ended. */
  readonly held: number | undefined;
  readonly memoryMax: string | null;
  /** Told when it was started, with the way to send it a signal. */
  readonly onStarted: (send: (signal: NodeJS.Signals) => void) => void;
  /** Told before it starts when it runs without the cap that `memoryMax` asks for, and why. */
  readonly onUncapped: (reason: string) => void;
}

/** How a command ended. */
export interface CommandEnd {
  /** `null` when a signal ended it; 127 and 126 when it could not be started (not found, not allowed). */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly killedAtCap: boolean;
  /** Why it could not be started, where that is so. */
  readonly startError: string | undefined;
}

/** Runs a command to its end. Errors: those of opening its output file. */
export type RunCommand = (command: JobCommand) => Promise<CommandEnd>;

/**
 * Runs a command as a child in the process group of this process, so that what kills the group kills it too, under
 * its memory cap where it has one; resolves with how it ended.
 *
 * It writes into the output file by itself: nothing that it printed is lost when this process dies, and it does not
 * die of a closed pipe then. SIGKILL of this process alone leaves it running, with `held`.
 */
export const runCommand: RunCommand = async request => {
  const { fd: output } = openToAppend(request.outputPath, 'log');
  try {
    return await (request.memoryMax === null
      ? runFree(request, output)
      : runWithCap(request, output, request.memoryMax));
  } finally {
    closeSync(output);
  }
};

function runFree(request: JobCommand, output: number): Promise<CommandEnd> {
  const child = spawn(request.command, [...request.args], {
    cwd: request.cwd,
    env: { ...request.env },
    stdio: ['ignore', output, output, ...(request.held === undefined ? [] : [request.held])],
  });
  const ended = new Promise<CommandEnd>(resolve => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      // Also told when a signal could not be sent, to a command that lives.
      if (child.pid !== undefined) return;
      const exitCode = error.code === 'ENOENT' ? 127 : 126;
      resolve({ exitCode, signal: null, killedAtCap: false, startError: error.code ?? error.message });
    });
    child.once('exit', (exitCode, signal) => {
      resolve({ exitCode, signal, killedAtCap: false, startError: undefined });
    });
  });
  if (child.pid !== undefined) request.onStarted(signal => child.kill(signal));
  return ended;
}

async function runWithCap(request: JobCommand, output: number, memoryMax: string): Promise<CommandEnd> {
  const { command, args, env, cwd, held, onStarted, onUncapped } = request;
  // Loaded here, because most jobs have no cap, and each job is a process that loads what it imports.
  const { runCapped } = await import('./systemd.js');
  const memoryMaxBytes = parseSize(memoryMax);
  if (memoryMaxBytes === undefined) throw new Error(`${memoryMax} is no size`);
  const { exitCode, signal, killedAtCap } = await runCapped({
    command,
    args,
    env,
    cwd,
    memoryMaxBytes,
    stdio: ['ignore', output, output],
    ...(held === undefined ? {} : { held }),
    onStarted,
    onUncapped,
  });
  return { exitCode, signal, killedAtCap, startError: undefined };
}

// Often enough for somebody who watches, rarely enough to cost nothing: one read(2) at the end of a file.
const LOOK_EVERY_MS = 200;
const CHUNK_BYTES = 64 * 1024;

/** Passes on what is appended to a file. */
export interface Follower {
  /** Passes on what is there by now, and ends. Gives the position behind it, bytes. */
  stop(): number;
}

/** Passes the bytes of a file behind `from` on to `onBytes`, in order, within 200 ms. The file must exist. */
export function followFile(path: string, from: number, onBytes: (bytes: Buffer) => void): Follower {
  const { fd } = openToRead(path, 'log');
  let position = from;
  const look = (): void => {
    for (;;) {
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
      const bytes = readSync(fd, buffer, 0, CHUNK_BYTES, position);
      if (bytes === 0) return;
      position += bytes;
      onBytes(buffer.subarray(0, bytes));
    }
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      try {
        look();
        return position;
      } finally {
        closeSync(fd);
      }
    },
  };
}
