import type { FileHandle } from 'node:fs/promises';
import { QrunError } from '../../core/errors.js';
import type { RecordHead } from '../../core/log/record.js';
import { LogScanner, type LogTail, type LogVisitor } from '../../core/log/scan/log-scan.js';
import { isMissing, readError } from '../files/failures.js';
import { openToReadAsync } from '../files/open-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { READ_BYTES, readAhead } from './read-ahead.js';

// A small file needs no buffers of the usual size: there may be hundreds.
const MIN_READ_BYTES = 4096;
// No file system in use has coarser times: a younger file may have changed since without showing it.
const SETTLED_MS = 2_000;

/**
 * Reads a log from front to back without its lock and without changing it; resolves with how it ends, or with
 * `undefined` when there is no such file. A torn end may be a writer at work.
 *
 * Errors: QrunError `READ_FAILED` when it cannot be read.
 */
export async function readLog(path: string, unit: string, visitor: LogVisitor): Promise<LogTail | undefined> {
  return await withLog(path, ({ file, state }) => scan(file, new LogScanner(unit, visitor), state.size));
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
 * Reads a log that grows: each look reads what is new, so that its visitor knows what that of a fresh reader would.
 *
 * A log may be cut (a torn end, an append that failed) and be longer than it was by the next look. So each look begins
 * with the last thing that was told; where that does not stand there any more, the log is read anew, with a visitor
 * of its own, as one is that was replaced.
 */
export class LogFollower {
  readonly #path: string;
  readonly #unit: string;
  readonly #newVisitor: () => LogVisitor;
  #visitor: LogVisitor | undefined;
  #state: FileState | undefined;
  #tail: LogTail | undefined;
  #last: Told | undefined;

  /** `newVisitor` is asked for a visitor before the first byte is read, and whenever reading starts anew. */
  constructor(path: string, unit: string, newVisitor: () => LogVisitor) {
    this.#path = path;
    this.#unit = unit;
    this.#newVisitor = newVisitor;
  }

  /** As {@link readLog}, of what has not been read yet. One call at a time. */
  async catchUp(): Promise<LogTail | undefined> {
    return await withLog(this.#path, async ({ file, state }) => {
      const before = this.#state;
      if (before !== undefined && isUnchanged(before, state)) return this.#tail;
      // Until this look has ended well, nothing is known of what the visitor was told.
      this.#state = undefined;
      const isSame = before?.dev === state.dev && before.ino === state.ino;
      let tail = isSame ? await this.#look(file, state.size) : undefined;
      if (tail === undefined) {
        this.#last = undefined;
        this.#visitor = this.#newVisitor();
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
    const continuation = new Continuation(this.#visitor as LogVisitor, last);
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

/**
 * One thing that a visitor was told, with what tells it from another one at the same place. Of a record that is its
 * run, because a run is one process, which ends with an append that failed: it writes no second one to a place.
 */
interface Told {
  readonly kind: keyof LogVisitor;
  readonly start: number;
  /** Of a group its end, of what is unreadable its length, of a partial one the records seen, of a newer one its schema. */
  readonly number: number;
  /** Of a record its run, of what is another unit's the unit. */
  readonly text: string | undefined;
}

/** A visitor who is told only what follows the thing that it was told last, if that comes first. */
class Continuation implements LogVisitor {
  readonly #visitor: LogVisitor;
  readonly #awaited: Told | undefined;
  #hasMet: boolean;
  last: Told | undefined;
  /** Something else came first. */
  differs = false;

  constructor(visitor: LogVisitor, last: Told | undefined) {
    this.#visitor = visitor;
    this.#awaited = last;
    this.#hasMet = last === undefined;
    this.last = last;
  }

  /** Whether what was told last was found again. */
  get isOne(): boolean {
    return this.#hasMet && !this.differs;
  }

  group(head: RecordHead, start: number, end: number): void {
    if (this.#isNew('group', start, end, head.run)) this.#visitor.group(head, start, end);
  }

  partial(head: RecordHead, seen: number, start: number): void {
    if (this.#isNew('partial', start, seen, head.run)) this.#visitor.partial(head, seen, start);
  }

  foreign(start: number, unit: string | undefined): void {
    if (this.#isNew('foreign', start, 0, unit)) this.#visitor.foreign(start, unit);
  }

  newer(start: number, schema: number): void {
    if (this.#isNew('newer', start, schema, undefined)) this.#visitor.newer(start, schema);
  }

  unreadable(start: number, bytes: number): void {
    if (this.#isNew('unreadable', start, bytes, undefined)) this.#visitor.unreadable(start, bytes);
  }

  #isNew(kind: Told['kind'], start: number, number: number, text: string | undefined): boolean {
    if (this.differs) return false;
    if (this.#hasMet) {
      this.last = { kind, start, number, text };
      return true;
    }
    const awaited = this.#awaited as Told;
    this.#hasMet =
      awaited.kind === kind && awaited.start === start && awaited.number === number && awaited.text === text;
    this.differs = !this.#hasMet;
    return false;
  }
}
