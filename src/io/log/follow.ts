import type { FileHandle } from 'node:fs/promises';
import { QrunError } from '../../core/errors.js';
import {
  Continuation,
  type Finding,
  FirstUnit,
  type LogCollector,
  LogScanner,
  type LogTail,
} from '../../core/log/scan/index.js';
import { isMissing, readError } from '../files/failures.js';
import { openToReadAsync } from '../files/open-file.js';
import { OWN_AS_NAMED, OWN_TO_READ } from '../files/own-file.js';
import { READ_BYTES, readAhead } from './read-ahead.js';

// Small files get smaller buffers than usual: there may be hundreds of them.
const MIN_READ_BYTES = 4096;
// No file system in use has coarser timestamps. A file younger than this may have changed without showing it.
const SETTLED_MS = 2_000;

/**
 * Reads a whole log into a collector, without its lock and without changing it. Resolves with how the log ends, or with
 * `undefined` if there is no such file. A torn end may mean that a writer is at work.
 *
 * Errors: QrunError `READ_FAILED` when it cannot be read; whatever the collector throws.
 */
export async function readLog(path: string, unit: string, into: LogCollector): Promise<LogTail | undefined> {
  return await withLog(path, ({ file, state }) => scanFile(file, new LogScanner(unit, into), state.size));
}

/**
 * Resolves with the unit of the first record of a log; with `undefined` if there is no such file, or no record in what
 * can be read of it. The path may end in a link.
 */
export async function unitOfLog(path: string): Promise<string | undefined> {
  const ignored = { foreign() {}, newer() {}, unreadable() {} };
  const first = new FirstUnit(ignored);
  try {
    const { file, stat } = await openToReadAsync(path, 'log', OWN_AS_NAMED);
    try {
      await scanFile(file, first.scanner, stat.size, () => first.unit !== undefined);
    } finally {
      await file.close();
    }
  } catch {
    // Whoever reads the whole log reports why it cannot be read.
  }
  return first.unit;
}

// Properties of a file by which a change is recognised.
const STATE = ['dev', 'ino', 'size', 'mtimeMs', 'ctimeMs'] as const;
type FileState = Readonly<Record<(typeof STATE)[number], number>>;

/**
 * Reads a log that grows. Each look reads only what is new; the collector then holds what a fresh reader would find.
 *
 * A log may be cut (a torn end, a failed append) and still be longer at the next look than before. So each look starts
 * at the last thing that was found. If that is no longer there, or the log was replaced, the whole log is read again
 * into a new collector.
 */
export class LogFollower {
  readonly #path: string;
  readonly #unit: string;
  readonly #newCollector: () => LogCollector;
  #collector: LogCollector | undefined;
  #state: FileState | undefined;
  #tail: LogTail | undefined;
  #last: Finding | undefined;

  /** `newCollector` is called before the first byte is read, and whenever reading starts over. */
  constructor(path: string, unit: string, newCollector: () => LogCollector) {
    this.#path = path;
    this.#unit = unit;
    this.#newCollector = newCollector;
  }

  /** Like {@link readLog}, for what has not been read yet. One call at a time. */
  async catchUp(): Promise<LogTail | undefined> {
    return await withLog(this.#path, async ({ file, state }) => {
      const before = this.#state;
      if (before !== undefined && isUnchanged(before, state)) return this.#tail;
      // Until this look has succeeded, it is unknown what the collector holds.
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

  // Returns `undefined` if the log is not a continuation of what was read before.
  async #look(file: FileHandle, size: number): Promise<LogTail | undefined> {
    const last = this.#last;
    const continuation = new Continuation(this.#collector as LogCollector, last);
    const tail = await scanFile(
      file,
      new LogScanner(this.#unit, continuation, last?.start ?? 0),
      size,
      () => continuation.differs,
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

/**
 * Reads an open log from the scanner's position to its end, or until `isDone`. `size` is about what it holds.
 *
 * Errors: those of reading; whatever the collector throws.
 */
export async function scanFile(
  file: FileHandle,
  scanner: LogScanner,
  size: number,
  isDone: () => boolean = () => false,
): Promise<LogTail> {
  const from = scanner.position;
  const pieceBytes = Math.min(READ_BYTES, Math.max(MIN_READ_BYTES, size - from + 1));
  await readAhead(
    async (buffer, length, at) => (isDone() ? 0 : (await file.read(buffer, 0, length, at)).bytesRead),
    { from, end: Number.POSITIVE_INFINITY, pieceBytes },
    bytes => scanner.push(bytes),
  );
  return scanner.tail();
}

function isUnchanged(before: FileState, now: FileState): boolean {
  return STATE.every(name => before[name] === now[name]) && Date.now() - now.ctimeMs >= SETTLED_MS;
}
