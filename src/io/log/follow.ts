import type { FileHandle } from 'node:fs/promises';
import { QrunError } from '../../core/errors.js';
import {
  Continuation,
  type Finding,
  type LogCollector,
  LogScanner,
  type LogTail,
} from '../../core/log/scan/index.js';
import { isMissing, readError } from '../files/failures.js';
import { openToReadAsync } from '../files/open-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { READ_BYTES, readAhead } from './read-ahead.js';

// A small file needs no buffers of the usual size: there may be hundreds.
const MIN_READ_BYTES = 4096;
// No file system in use has coarser times: a younger file may have changed since without showing it.
const SETTLED_MS = 2_000;

/**
 * Reads a log from front to back, into a collector, without its lock and without changing it; resolves with how it ends,
 * or with `undefined` when there is no such file. A torn end may be a writer at work.
 *
 * Errors: QrunError `READ_FAILED` when it cannot be read; what the collector throws.
 */
export async function readLog(path: string, unit: string, into: LogCollector): Promise<LogTail | undefined> {
  return await withLog(path, ({ file, state }) => scan(file, new LogScanner(unit, into), state.size));
}

/** What of a file shows that it may have changed. */
interface FileState {
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/**
 * Reads a log that grows: each look reads what is new, so that its collector holds what that of a fresh reader would.
 *
 * A log may be cut (a torn end, an append that failed) and be longer than it was by the next look. So each look begins
 * with the last thing that was found; where that does not stand there any more, the log is read anew, into a new
 * collector, and so is one that was replaced.
 */
export class LogFollower {
  readonly #path: string;
  readonly #unit: string;
  readonly #newCollector: () => LogCollector;
  #collector: LogCollector | undefined;
  #state: FileState | undefined;
  #tail: LogTail | undefined;
  #last: Finding | undefined;

  /** `newCollector` is called before the first byte is read, and whenever reading starts anew. */
  constructor(path: string, unit: string, newCollector: () => LogCollector) {
    this.#path = path;
    this.#unit = unit;
    this.#newCollector = newCollector;
  }

  /** As {@link readLog}, of what has not been read yet. One call at a time. */
  async catchUp(): Promise<LogTail | undefined> {
    return await withLog(this.#path, async ({ file, state }) => {
      const before = this.#state;
      if (before !== undefined && isUnchanged(before, state)) return this.#tail;
      // Until this look has ended well, nothing is known of what the collector holds.
      this.#state = undefined;
      const isSame = before?.dev === state.dev && before.ino === state.ino;
      let tail = isSame ? await this.#look(file, state.size) : undefined;
      if (tail === undefined) {
        this.#last = undefined;
        this.#collector = this.#newCollector();
        tail = await this.#look(file, state.size);
      }
      this.#state = state;
      this.#tail = tail;
      return tail;
    });
  }

  // `undefined` when the log is not the one that was read before, grown.
  async #look(file: FileHandle, size: number): Promise<LogTail | undefined> {
    const last = this.#last;
    const continuation = new Continuation(this.#collector as LogCollector, last);
    const tail = await scan(
      file,
      new LogScanner(this.#unit, continuation, last?.start ?? 0),
      size,
      continuation,
    );
    this.#last = continuation.last;
    return continuation.isOne ? tail : undefined;
  }
}

async function withLog<T>(
  path: string,
  work: (log: { readonly file: FileHandle; readonly state: FileState }) => Promise<T>,
): Promise<T | undefined> {
  try {
    const { file, stat: state } = await openToReadAsync(path, 'log', OWN_TO_READ);
    try {
      return await work({ file, state });
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof QrunError) throw cause;
    if (isMissing(cause)) return undefined;
    throw readError(`the log ${path}`, cause, 'name the log with --log, or its directory with --log-dir');
  }
}

// From where the scanner is to the end, or as long as it is of use.
async function scan(
  file: FileHandle,
  scanner: LogScanner,
  size: number,
  use: { readonly differs: boolean } = { differs: false },
): Promise<LogTail> {
  const from = scanner.position;
  const pieceBytes = Math.min(READ_BYTES, Math.max(MIN_READ_BYTES, size - from + 1));
  await readAhead(
    async (buffer, length, at) => (use.differs ? 0 : (await file.read(buffer, 0, length, at)).bytesRead),
    { from, end: Number.POSITIVE_INFINITY, pieceBytes },
    bytes => scanner.push(bytes),
  );
  return scanner.tail();
}

function isUnchanged(before: FileState, now: FileState): boolean {
  return (
    before.dev === now.dev &&
    before.ino === now.ino &&
    before.size === now.size &&
    before.mtimeMs === now.mtimeMs &&
    before.ctimeMs === now.ctimeMs &&
    Date.now() - now.ctimeMs >= SETTLED_MS
  );
}
