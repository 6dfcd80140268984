import { execFile } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { QrunError } from '../../../core/errors.js';
import { plainEnvironment } from '../../machine/plain-environment.js';
import type { ResultWriter } from '../result-body.js';

// The capacity of a pipe on Linux: one read empties it.
const BUFFER_BYTES = 64 * 1024;
// On Linux a pipe without a name can be opened again by its file descriptor. Elsewhere /dev/fd/N only duplicates the
// descriptor, which is open for reading.
const NAMELESS = process.platform === 'linux';

/**
 * A named pipe that ClickHouse writes rows into (`INTO OUTFILE ... APPEND`) and qrun reads from.
 *
 * A file would not do: ClickHouse does not report a failed write to an OUTFILE, so a full disk would silently cut a
 * result. Results in memory would cost five times their size. A pipe cannot be full for longer than it takes to read
 * it, and holds 64 KiB.
 *
 * Use it for one query at a time. As long as a query may write, the pipe must be read. Otherwise the query hangs, and
 * so does the process, because it cannot exit before its queries have ended.
 */
export class ResultPipe {
  /** The path to write to. */
  readonly target: string;
  readonly #readFd: number;
  // Keeps the reader from seeing the end of the pipe whenever a query closes it.
  readonly #writeFd: number;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  // Made for the first query: most pipes of an engine may never be needed.
  #socket: Socket | undefined;
  #writer: ResultWriter | undefined;
  #onError: (() => void) | undefined;
  #writing: Promise<void> | undefined;
  #error: unknown;

  constructor(path: string) {
    // In this order and without blocking: a reader opens at once, a writer only if there is a reader.
    this.#readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#writeFd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    this.target = NAMELESS ? `/proc/self/fd/${this.#readFd}` : path;
  }

  /**
   * Passes what is written from now on to `writer`. If it refuses the result or the spool cannot be written, `onError`
   * is called once and the rest is dropped. In the second case {@link end} rejects.
   */
  collect(writer: ResultWriter, onError: () => void): void {
    this.#socket ??= this.#open();
    this.#writer = writer;
    this.#onError = onError;
    this.#error = undefined;
  }

  /** Reads and drops what is written from now on. */
  drop(): void {
    this.#writer = undefined;
    this.#onError = undefined;
    this.#error = undefined;
  }

  /**
   * Resolves when everything that was written has reached the writer, and then releases the writer. Call it when the
   * query has ended. Rejects with QrunError `WRITE_FAILED` if the spool could not be written.
   */
  async end(): Promise<void> {
    let length: number;
    do {
      await this.#writing;
      length = this.#readNow();
      if (length > 0) this.#take(length);
    } while (length === BUFFER_BYTES);
    while (this.#writing !== undefined) await this.#writing;
    this.#writer = undefined;
    this.#onError = undefined;
    if (this.#error !== undefined) throw this.#error;
  }

  /** Closes the pipe. No query may write into it any more. */
  close(): void {
    if (this.#socket === undefined) closeSync(this.#readFd);
    else this.#socket.destroy();
    closeSync(this.#writeFd);
  }

  /**
   * Closes only the reading end, so that a query that still writes gets an error instead of a full pipe. For the moment
   * before the process exits, when nobody will read any more.
   */
  abandon(): void {
    closeSync(this.#readFd);
  }

  #open(): Socket {
    const options: SocketConstructorOpts & { onread: OnReadOpts } = {
      fd: this.#readFd,
      readable: true,
      writable: false,
      onread: { buffer: this.#buffer, callback: length => this.#take(length) },
    };
    const socket = new Socket(options);
    socket.on('error', error => this.#fail(error));
    socket.unref();
    return socket;
  }

  // Returning `false` stops the reading until the spool has taken the bytes. Anything read meanwhile waits its turn.
  #take(length: number): boolean {
    const chunk = Buffer.from(this.#buffer.subarray(0, length));
    const written =
      this.#writing === undefined ? this.#give(chunk) : this.#writing.then(() => this.#give(chunk));
    if (written === undefined) return true;
    const writing = written
      .catch(error => this.#fail(error))
      .then(() => {
        if (this.#writing !== writing) return;
        this.#writing = undefined;
        this.#socket?.resume();
      });
    this.#writing = writing;
    return false;
  }

  #give(chunk: Buffer): Promise<void> | undefined {
    const writer = this.#writer;
    const written = writer?.write(chunk);
    const stopRefused = (): void => {
      if (writer?.isRefused && this.#writer === writer) this.#fail(undefined);
    };
    stopRefused();
    return written?.then(stopRefused);
  }

  #fail(error: unknown): void {
    if (this.#writer === undefined) return;
    this.#error = error;
    this.#writer = undefined;
    const onError = this.#onError;
    this.#onError = undefined;
    onError?.();
  }

  #readNow(): number {
    try {
      return readSync(this.#readFd, this.#buffer, 0, BUFFER_BYTES, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  }
}

/** Open pipes, and how to close them. */
export interface ResultPipes {
  readonly pipes: readonly ResultPipe[];
  /** Closes the pipes and removes what is left of them in the file system. */
  close(): Promise<void>;
}

/**
 * Opens `count` pipes. On Linux they have no names any more when this resolves, so nothing is left of them however the
 * process ends. Elsewhere they are in their own directory inside the directory for temporary files.
 *
 * Rejects with QrunError `CONFIG` if pipes cannot be made there.
 */
export async function openPipes(count: number): Promise<ResultPipes> {
  const place = tmpdir();
  const pipes: ResultPipe[] = [];
  let directory: string | undefined;
  const remove = async () => {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    directory = undefined;
  };
  try {
    // Synchronously, so that mkfifo starts before this thread does something else.
    directory = mkdtempSync(join(place, 'qrun-pipes-'));
    const paths = Array.from({ length: count }, (_, index) => join(directory ?? place, `${index}`));
    // Not with execa, which takes 25 ms to load: each start on this engine waits for the pipes.
    await promisify(execFile)('mkfifo', ['-m', '600', ...paths], { env: plainEnvironment() });
    for (const path of paths) pipes.push(new ResultPipe(path));
    if (NAMELESS) await remove();
  } catch (cause) {
    for (const pipe of pipes) pipe.close();
    await remove();
    throw new QrunError('CONFIG', `cannot make named pipes in ${place}: ${(cause as Error).message}`, {
      hint: 'the embedded engine hands its results over in pipes: set TMPDIR to a directory on a local disk',
      cause,
    });
  }
  return {
    pipes,
    close: async () => {
      for (const pipe of pipes) pipe.close();
      await remove();
    },
  };
}
