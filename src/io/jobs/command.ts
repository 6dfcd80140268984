import type { ChildProcess } from 'node:child_process';
import { closeSync, readSync } from 'node:fs';
import { parseSize } from '../../core/text/bytes.js';
import { openToAppend, openToRead } from '../files/open-file.js';
import { OWN_TO_WRITE } from '../files/own-file.js';
import { startChild } from '../machine/child.js';
import { COMMAND_ID, newCommandId, ProcessTree } from '../machine/process-tree.js';
import type { CappedCommand, CappedEnd } from '../machine/systemd.js';

/** A command and what it runs with. */
export interface JobCommand
  extends Required<Pick<CappedCommand, 'command' | 'args' | 'env' | 'cwd' | 'held' | 'onUncapped'>> {
  /** The file that its stdout and stderr are appended to; its stdin is empty. */
  readonly outputPath: string;
  readonly memoryMax: string | null;
  /** Called when it was started, with a function that sends it a signal. */
  readonly onStarted: (send: (signal: NodeJS.Signals) => void) => void;
}

/** How a command ended. */
export type CommandEnd = Omit<CappedEnd, 'capped'>;

/** Runs a command to its end. Errors: those of opening its output file. */
export type RunCommand = (command: JobCommand) => Promise<CommandEnd>;

// What a stopped command leaves running may still be saving its state.
const GRACE_MS = 30_000;

/**
 * Runs a command as a child, under its memory cap if it has one, and resolves with how it ended. The child is in the
 * process group of this process, so that whatever kills the group kills it too.
 *
 * A signal goes to the command alone: it may need the processes it started to save its state, and may take as long as
 * it likes to end. Whatever it then leaves running gets SIGTERM, and SIGKILL after half a minute, so that nothing of a
 * stopped command lives on.
 *
 * The command writes to the output file itself: if this process dies, nothing that it printed is lost, and no closed
 * pipe kills it. SIGKILL of this process alone leaves the command running, with `held`.
 */
export const runCommand: RunCommand = async given => {
  const id = newCommandId();
  const request = { ...given, env: { ...given.env, [COMMAND_ID]: id } };
  const { fd: output } = openToAppend(request.outputPath, 'log', OWN_TO_WRITE);
  let stopped: ProcessTree | undefined;
  const onChild = (child: ChildProcess): void => {
    const tree = new ProcessTree(child, id);
    request.onStarted(signal => {
      stopped = tree;
      // While it is still the parent of what it may leave behind.
      tree.remember();
      child.kill(signal);
    });
  };
  try {
    const end = await (request.memoryMax === null
      ? runFree(request, output, onChild)
      : runWithCap(request, output, request.memoryMax, onChild));
    await stopped?.stop('SIGTERM', GRACE_MS);
    return end;
  } finally {
    closeSync(output);
  }
};

type OnChild = (child: ChildProcess) => void;

async function runFree(request: JobCommand, output: number, onChild: OnChild): Promise<CommandEnd> {
  const { child, ended } = startChild(request.command, request.args, {
    ...request,
    stdio: ['ignore', output, output],
  });
  if (child.pid !== undefined) onChild(child);
  return { ...(await ended), killedAtCap: false };
}

async function runWithCap(
  request: JobCommand,
  output: number,
  memoryMax: string,
  onChild: OnChild,
): Promise<CommandEnd> {
  // Imported only here, because most jobs have no cap, and every job is a process of its own.
  const { runCapped } = await import('../machine/systemd.js');
  const memoryMaxBytes = parseSize(memoryMax);
  if (memoryMaxBytes === undefined) throw new Error(`${memoryMax} is not a size`);
  return await runCapped({
    ...request,
    memoryMaxBytes,
    stdio: ['ignore', output, output],
    onStarted: (_, child) => onChild(child),
  });
}

// Often enough for somebody who watches, and cheap: each look is one read(2) at the end of the file.
const LOOK_EVERY_MS = 200;
const CHUNK_BYTES = 64 * 1024;

/** Passes on what is appended to a file; see {@link followFile}. */
export interface Follower {
  /** Passes on what is there by now, and ends. Returns the offset after it, in bytes. */
  stop(): number;
}

/** Passes the bytes of a file from `from` on to `onBytes`, in order, within 200 ms. The file must exist. */
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
