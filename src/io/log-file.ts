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
import { open, statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { promisify } from 'node:util';

const readAsync = promisify(read);
const writeAsync = promisify(write);
const fdatasyncAsync = promisify(fdatasync);

/**
 * The operations of a disk that the append protocol is made of, one by one, so that a test can inject a fault
 * at each. Every operation may fail with the error of the system call; none retries.
 */
export interface LogFile {
  /** Bytes in the file now. */
  sizeBytes(): number;
  /** `true` while the path still leads to the opened file. */
  isCurrent(): boolean;
  /** Reads up to `length` bytes at `position` into `buffer`; gives how many, 0 at the end. */
  read(buffer: Buffer, length: number, position: number): Promise<number>;
  /** Appends all bytes, in as many write(2) calls as the system takes. */
  append(bytes: Buffer): Promise<void>;
  truncate(sizeBytes: number): void;
  /** fdatasync(2). A failure is final: the kernel may have dropped what it could not write. */
  sync(): Promise<void>;
  /** Closes and opens the file again: on NFS this, under the lock, is what makes its size true. */
  reopen(): void;
  close(): void;
}

/** What the log needs of a disk. */
export interface LogDisk {
  /** Opens for reading and appending, and creates the file (durably: its directory is synced) when missing. */
  open(path: string): Promise<LogFile>;
  /** Creates a new file with these bytes, durably; fails when it exists. */
  writeNew(path: string, bytes: AsyncIterable<Buffer>): Promise<void>;
  /** Whether the path lies on a network file system, where a kept file descriptor loses appends. */
  isNetwork(path: string): Promise<boolean>;
}

/** The disk of this machine. */
export const localDisk: LogDisk = {
  async open(path) {
    const existed = statSync(path, { throwIfNoEntry: false }) !== undefined;
    const file = new NodeLogFile(path);
    if (!existed) await syncDirectory(dirname(path));
    return file;
  },
  async writeNew(path, bytes) {
    const file = await open(path, 'wx', 0o666);
    try {
      for await (const chunk of bytes) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(dirname(path));
  },
  async isNetwork(path) {
    return NETWORK_FILE_SYSTEMS.has((await statfs(dirname(path))).type);
  },
};

// f_type of statfs(2): NFS, SMB, SMB2, CIFS, AFS, Ceph, Lustre.
const NETWORK_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x5346414f, 0x00c36400, 0x0bd00bd0,
]);

/** Makes the entries of a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

// Up to here a write(2) into the page cache takes less time than handing it to a thread.
const SYNC_WRITE_BYTES = 128 * 1024;

const APPEND_MODE = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;

class NodeLogFile implements LogFile {
  readonly #path: string;
  #fd: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, APPEND_MODE, 0o666);
    const stat = fstatSync(this.#fd);
    if (!stat.isFile()) {
      closeSync(this.#fd);
      throw new Error(`${basename(path)} is not a regular file`);
    }
  }

  sizeBytes(): number {
    return fstatSync(this.#fd).size;
  }

  isCurrent(): boolean {
    const named = statSync(this.#path, { throwIfNoEntry: false });
    const opened = fstatSync(this.#fd);
    return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
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

  reopen(): void {
    closeSync(this.#fd);
    this.#fd = openSync(this.#path, APPEND_MODE, 0o666);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
