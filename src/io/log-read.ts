import { QrunError } from '../core/errors.js';
import { LogScanner, type LogTail, type LogVisitor } from '../core/log-scan.js';
import { openToReadAsync } from './open-file.js';
import { READ_BYTES, readAhead } from './read-ahead.js';

// A small file needs no buffers of the usual size: there may be hundreds.
const MIN_READ_BYTES = 4096;

/**
 * Reads a log from front to back without its lock and without changing it; resolves with how it ends, or with
 * `undefined` when there is no such file. A torn end may be a writer at work.
 *
 * Errors: QrunError `LOG_UNUSABLE` when it cannot be read.
 */
export async function readLog(path: string, unit: string, visitor: LogVisitor): Promise<LogTail | undefined> {
  return await new LogFollower(path, unit, () => visitor).catchUp();
}

/**
 * Reads a log that grows: each look reads what is new. A log that was replaced or cut is read anew, with a visitor
 * of its own.
 */
export class LogFollower {
  readonly #path: string;
  readonly #unit: string;
  readonly #newVisitor: () => LogVisitor;
  #scanner: LogScanner | undefined;
  #file: { readonly dev: number; readonly ino: number } | undefined;

  /** `newVisitor` is asked for a visitor before the first byte is read, and whenever reading starts anew. */
  constructor(path: string, unit: string, newVisitor: () => LogVisitor) {
    this.#path = path;
    this.#unit = unit;
    this.#newVisitor = newVisitor;
  }

  /** As {@link readLog}, of what has not been read yet. One call at a time. */
  async catchUp(): Promise<LogTail | undefined> {
    try {
      const { file, stat } = await openToReadAsync(this.#path, 'log');
      try {
        const scanner = this.#scannerFor(stat);
        const from = scanner.position;
        const pieceBytes = Math.min(READ_BYTES, Math.max(MIN_READ_BYTES, stat.size - from + 1));
        await readAhead(
          async (buffer, length, at) => (await file.read(buffer, 0, length, at)).bytesRead,
          { from, end: Number.POSITIVE_INFINITY, pieceBytes },
          bytes => scanner.push(bytes),
        );
        return scanner.tail();
      } finally {
        await file.close();
      }
    } catch (cause) {
      if (cause instanceof QrunError) throw cause;
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new QrunError('LOG_UNUSABLE', `cannot read the log ${this.#path}: ${(cause as Error).message}`, {
        hint: 'name the log with --log, or its directory with --log-dir',
        cause,
      });
    }
  }

  #scannerFor({
    dev,
    ino,
    size,
  }: {
    readonly dev: number;
    readonly ino: number;
    readonly size: number;
  }): LogScanner {
    const same = this.#file?.dev === dev && this.#file.ino === ino;
    if (this.#scanner !== undefined && same && size >= this.#scanner.position) return this.#scanner;
    this.#file = { dev, ino };
    this.#scanner = new LogScanner(this.#unit, this.#newVisitor());
    return this.#scanner;
  }
}
