import { closeSync, constants, createWriteStream, fstatSync, openSync, type Stats } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty, WriteStream as TerminalStream } from 'node:tty';
import { jsonLine } from '../../core/text/json.js';
import type { EventSink, RunEvent } from '../../core/unit/events.js';
import { explained, type FileChecks, FileRefused, SHARED_MODE, strangeness } from '../files/open-file.js';
import { distrustAt } from '../files/owner.js';

/** Conditions that the file of events must meet. */
export interface EventsChecks extends Pick<FileChecks, 'follow'> {
  /** A further condition: returns what is wrong with the file that was opened, or `undefined`. */
  readonly refuse?: (stat: Stats) => string | undefined;
}

/** Events of a run as NDJSON in a file. */
export interface EventsFile {
  readonly sink: EventSink;
  /**
   * Waits until everything is handed to the operating system. If it accepts nothing for a second, that is reported as
   * a failure and the rest is dropped.
   */
  close(): Promise<void>;
}

// What is kept for a slow reader: the events of some 50,000 queries.
const HELD_CHARS = 32 * 1024 * 1024;
// The capacity of a pipe.
const PIECE_CHARS = 64 * 1024;
// How long `close` waits without progress. Whatever reads the pipe, or the disk, has had the whole run.
const STUCK_MS = 1_000;
const LOOK_MS = 10;
// A shell starts the reader of a pipe and qrun at the same time.
const READER_WAIT_MS = 2_000;

/**
 * Appends events to a file, one JSON line each, beginning with the time in `at`. The file is created if it is missing.
 * A named pipe, a terminal or a device such as /dev/null will do as well. It is for programs that watch a run: it is
 * not durable, never fails a run and never waits for a reader. The first failure is reported once, and the rest is
 * dropped.
 *
 * It does not write to a file or a pipe of another user, nor to a file that has other names (hard links).
 */
export function openEventsFile(
  path: string,
  nowMs: () => number,
  onFailure: (error: Error) => void,
  checks: EventsChecks = {},
): EventsFile {
  const writer = new EventsWriter(path, onFailure, checks);
  return {
    sink: event =>
      writer.write(
        jsonLine<RunEvent & { readonly at: string }>({ at: new Date(nowMs()).toISOString(), ...event }),
      ),
    close: () => writer.close(),
  };
}

class EventsWriter {
  readonly #path: string;
  readonly #onFailure: (error: Error) => void;
  readonly #checks: EventsChecks;
  readonly #deadlineMs = performance.now() + READER_WAIT_MS;
  #target: Writable | undefined;
  #failed = false;
  #lines: string[] = [];
  #heldChars = 0;
  #isWriting = false;
  #movedMs = 0;

  constructor(path: string, onFailure: (error: Error) => void, checks: EventsChecks) {
    this.#path = path;
    this.#onFailure = onFailure;
    this.#checks = checks;
    this.#open();
  }

  write(line: string): void {
    if (this.#failed) return;
    this.#lines.push(line);
    this.#heldChars += line.length;
    if (this.#heldChars > HELD_CHARS) this.#fail(new Error('its reader does not keep up'));
    else this.#pump();
  }

  async close(): Promise<void> {
    this.#movedMs = performance.now();
    while (!this.#failed && (this.#target === undefined || this.#isWriting)) {
      await delay(LOOK_MS);
      const isStuck = this.#isWriting && performance.now() - this.#movedMs > STUCK_MS;
      if (isStuck) this.#fail(new Error('its reader takes nothing more'));
    }
    this.#target?.destroy();
  }

  #open(): void {
    try {
      this.#target = openTarget(this.#path, this.#checks);
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    if (this.#target !== undefined) {
      this.#target.on('error', error => this.#fail(error));
      this.#pump();
    } else if (performance.now() < this.#deadlineMs) setTimeout(() => this.#open(), LOOK_MS);
    else this.#fail(new FileRefused('it is a named pipe (FIFO) that nobody reads'));
  }

  // One piece at a time: the next follows when the system has taken this one.
  #pump(): void {
    if (this.#isWriting || this.#target === undefined || this.#lines.length === 0) return;
    let count = 0;
    let chars = 0;
    while (count < this.#lines.length && chars < PIECE_CHARS) {
      chars += this.#lines[count]?.length ?? 0;
      count += 1;
    }
    this.#isWriting = true;
    this.#target.write(this.#lines.splice(0, count).join(''), error => {
      this.#isWriting = false;
      this.#heldChars -= chars;
      this.#movedMs = performance.now();
      if (error == null) this.#pump();
      else this.#fail(error);
    });
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#lines = [];
    this.#target?.destroy();
    this.#onFailure(error);
  }
}

// Terminals and devices do not belong to the users who use them.
function foreign(stat: Stats, path: string): string | undefined {
  if (stat.isFile() && stat.nlink > 1) return `it has ${stat.nlink} names (hard links)`;
  return stat.isFile() || stat.isFIFO() ? distrustAt(stat, path) : undefined;
}

// Returns `undefined` for a pipe that nobody reads (yet).
function openTarget(path: string, { follow, refuse }: EventsChecks): Writable | undefined {
  let fd: number;
  try {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = constants;
    const flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | (follow === false ? O_NOFOLLOW : 0);
    fd = openSync(path, flags, SHARED_MODE);
  } catch (error) {
    const reason = explained(error, path, 'log', follow === undefined ? {} : { follow });
    if (reason instanceof FileRefused && reason.found?.isFIFO() === true) return undefined;
    throw reason;
  }
  try {
    const stat = fstatSync(fd);
    const problem = stat.isBlockDevice()
      ? `it is ${strangeness(stat)}`
      : (refuse?.(stat) ?? foreign(stat, path));
    if (problem !== undefined) throw new FileRefused(problem);
    // A pipe or a terminal takes what it has room for; the event loop waits until there is more room.
    if (stat.isFIFO() || isatty(fd)) {
      const socket = stat.isFIFO()
        ? new Socket({ fd, readable: false, writable: true })
        : new TerminalStream(fd);
      // It must not keep the process alive.
      socket.unref();
      return socket;
    }
    return createWriteStream('', { fd });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
