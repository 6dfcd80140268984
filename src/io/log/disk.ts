import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  read,
  statSync,
  write,
  writeSync,
} from 'node:fs';
import { open, statfs, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { openToAppend, SHARED_MODE } from '../files/open-file.js';
import { OWN_TO_WRITE } from '../files/own-file.js';
import { syncDirectory } from '../files/write-file.js';

const readAsync = promisify(read);
const writeAsync = promisify(write);
const fdatasyncAsync = promisify(fdatasync);

/**
 * The disk operations that the append protocol consists of, one by one, so that a test can inject a fault at each.
 * Every operation may fail with the error of the system call; none retries.
 */
export interface LogFile {
  /** Bytes in the file now. */
  sizeBytes(): number;
  /** Whether the path still leads to the file that was opened first. */
  isCurrent(): boolean;
  /** Reads up to `length` bytes at `position` into `buffer`; resolves with their number, 0 at the end. */
  read(buffer: Buffer, length: number, position: number): Promise<number>;
  /** Appends all bytes, in as many write(2) calls as it takes. The caller reuses `bytes` once it has resolved. */
  append(bytes: Buffer): Promise<void>;
  truncate(sizeBytes: number): void;
  /** fdatasync(2). A failure is final: the kernel may have dropped what it could not write. */
  sync(): Promise<void>;
  /**
   * Writes existing bytes again in place, so that a later sync, by anybody, must bring them to the disk. After a
   * failed sync the kernel counts them as written, and would confirm them although they are not on the disk.
   */
  rewrite(from: number, to: number): Promise<void>;
  /** Closes and reopens the file. On NFS its size is correct only after this, under the lock. */
  reopen(): void;
  close(): void;
}

/** What the log needs of a disk. */
export interface LogDisk {
  /** Opens the file for reading and appending, creates it if it is missing, and makes its directory entry durable. */
  open(path: string): Promise<LogFile>;
  /** Creates a new file with these bytes, durably; fails if the file exists. */
  writeNew(path: string, bytes: AsyncIterable<Buffer>): Promise<void>;
  /** Whether an existing file is on a network file system, where a file descriptor that is kept open loses appends. */
  isNetwork(path: string): Promise<boolean>;
  /**
   * Resolves when a file on a network file system can be reached (or is gone), and stays pending while its server does
   * not answer. Synchronous calls made after it do not have to wait for the server, deaf to signals.
   */
  reached?(path: string): Promise<void>;
}

/** The disk of this machine. */
export const localDisk: LogDisk = {
  async open(path) {
    const file = new NodeLogFile(path);
    try {
      // Also for a file that existed: its creator may have died before this step.
      await syncDirectory(dirname(path));
    } catch (error) {
      file.close();
      throw error;
    }
    return file;
  },
  async writeNew(path, bytes) {
    const file = await open(path, 'wx', SHARED_MODE);
    try {
      for await (const chunk of bytes) await file.writeFile(chunk);
      await file.sync();
    } catch (error) {
      // Part of a fragment is useless, and would take up space that is already short.
      await unlink(path).catch(() => {});
      throw error;
    } finally {
      await file.close();
    }
    await syncDirectory(dirname(path));
  },
  async isNetwork(path) {
    return NETWORK_FILE_SYSTEMS.has((await statfs(path)).type);
  },
  async reached(path) {
    // open(2) asks the server, whereas stat(2) may be answered from a cache.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
    await file?.close();
  },
};

// f_type of statfs(2): NFS, SMB, SMB2, CIFS, AFS, Ceph, Lustre.
const NETWORK_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x5346414f, 0x00c36400, 0x0bd00bd0,
]);

// Up to this size, a write(2) into the page cache takes less time than handing it to a thread.
const SYNC_WRITE_BYTES = 128 * 1024;

const REWRITE_BYTES = 1024 * 1024;

const REOPEN = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW;

class NodeLogFile implements LogFile {
  readonly #path: string;
  readonly #ino: number;
  readonly #dev: number;
  #fd: number;

  constructor(path: string) {
    this.#path = path;
    const { fd, stat } = openToAppend(path, 'log', OWN_TO_WRITE);
    this.#fd = fd;
    this.#ino = stat.ino;
    this.#dev = stat.dev;
  }

  sizeBytes(): number {
    return fstatSync(this.#fd).size;
  }

  isCurrent(): boolean {
    const named = statSync(this.#path, { throwIfNoEntry: false });
    return named !== undefined && named.ino === this.#ino && named.dev === this.#dev;
  }

  async read(buffer: Buffer, length: number, position: number): Promise<number> {
    return (await readAsync(this.#fd, buffer, 0, length, position)).bytesRead;
  }

  async append(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      done +=
        bytes.length <= SYNC_WRITE_BYTES
          ? writeSync(this.#fd, bytes, done, left)
          : (await writeAsync(this.#fd, bytes, done, left)).bytesWritten;
    }
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.#fd, sizeBytes);
  }

  sync(): Promise<void> {
    return fdatasyncAsync(this.#fd);
  }

  async rewrite(from: number, to: number): Promise<void> {
    // Not through its own descriptor: with O_APPEND a positioned write still goes to the end.
    const file = await open(this.#path, REOPEN);
    try {
      const { ino, dev } = await file.stat();
      const own = fstatSync(this.#fd);
      if (ino !== own.ino || dev !== own.dev) return;
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(REWRITE_BYTES, to - from)));
      for (let at = from; at < to; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
        if (bytesRead === 0) return;
        for (let done = 0; done < bytesRead; ) {
          done += (await file.write(buffer, done, bytesRead - done, at + done)).bytesWritten;
        }
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  reopen(): void {
    const fd = this.#fd;
    this.#fd = -1;
    closeSync(fd);
    this.#fd = openSync(this.#path, REOPEN | constants.O_APPEND);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
