import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type DataInputs,
  type DataNote,
  decodeDataNote,
  encodeDataNote,
} from '../../../../core/engines/data-note.js';
import { QrunError } from '../../../../core/errors.js';
import { hintOf, reasonOf } from '../../../files/failures.js';
import {
  copyDataTree,
  newNameOf,
  removeRemainsOf,
  removeTreeAtOnce,
  syncTree,
} from '../../../files/file-tree.js';
import { FileLock, lockHolder } from '../../../files/flock.js';
import { OWN_TO_READ } from '../../../files/own-file.js';
import { readState } from '../../../files/read-file.js';
import { makeDirectories, syncDirectory, writeFileAtomic, writeOwner } from '../../../files/write-file.js';

/** The file in a data directory that says what it was made of. */
const DATA_NOTE_FILE = 'qrun-data.json';
/** The suffix of the directory with the copies of one data, after its identity. */
export const COPIES_SUFFIX = '.units';
/** The suffix of a lock file, after the name of what it locks. */
export const LOCK_SUFFIX = '.lock';

const LOCK_TRIES = 10;

/** Who works on a copy; for people. */
export interface DataOwner {
  readonly pid: number;
  readonly unit: string;
  /** Path of the log. */
  readonly log: string;
}

/**
 * How much of the data of a unit exists.
 *
 * - `ready`: its own copy is complete; open it.
 * - `built`: the data is complete; make a copy.
 * - `fleeting`: the chain makes data that ends with its process; it runs in each process.
 * - `missing`: the chain has not run to its end yet, or its result is not to be trusted.
 */
export type DataState = 'ready' | 'built' | 'fleeting' | 'missing';

/**
 * Embedded data by content, in one directory:
 *
 *     <identity>                   what the chain of setup files made; never opened by a run
 *     <identity>.lock              held by the one who builds or copies it
 *     <identity>.units/<key>       the copy that one log's runs work on
 *     <identity>.units/<key>.lock  held for as long as a run has the copy open
 *     *.new-*, *.old-*             being made, being removed; never opened by anybody else
 *
 * Data without such a suffix is complete: it got its name by a rename, after everything in it was durable.
 */
export class DataStore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * Takes the copy of one log for this process, or the place where it is to be made.
   *
   * Errors: QrunError `CONFIG` if the store cannot be written, `DATA_LOCKED` if another process has the copy.
   */
  async hold(identity: string, key: string, owner: DataOwner): Promise<HeldData> {
    const copies = join(this.directory, `${identity}${COPIES_SUFFIX}`);
    const path = join(copies, key);
    const lock = await this.#lock(copies, `${path}${LOCK_SUFFIX}`);
    try {
      writeOwner(lock.fd, owner);
    } catch (cause) {
      lock.close();
      throw unusable(this.directory, cause);
    }
    return new HeldData(join(this.directory, identity), path, lock);
  }

  async #lock(directory: string, path: string): Promise<FileLock> {
    for (let tries = 1; ; tries += 1) {
      let lock: FileLock | undefined;
      try {
        makeDirectories(directory);
        lock = await FileLock.open(path);
        if (await lock.tryAcquire()) return lock;
      } catch (cause) {
        lock?.close();
        // Another process may be removing unused data.
        if (tries < LOCK_TRIES && !existsSync(directory)) continue;
        throw unusable(this.directory, cause);
      }
      lock.close();
      throw new QrunError(
        'DATA_LOCKED',
        `the data directory ${path.slice(0, -LOCK_SUFFIX.length)} is in use by ${lockHolder(path) ?? 'another process'}`,
        { hint: 'wait until it has ended: one process at a time can have it open' },
      );
    }
  }
}

/** The right of this process to one copy; see {@link DataStore.hold}. */
export class HeldData {
  /** The copy that the run works on. */
  readonly directory: string;
  readonly #built: string;
  readonly #lock: FileLock;

  constructor(built: string, directory: string, lock: FileLock) {
    this.#built = built;
    this.directory = directory;
    this.#lock = lock;
  }

  /** Returns how much of the data exists. */
  state(): DataState {
    const built = readNote(this.#built);
    if (built === undefined) return 'missing';
    if (!built.lasting) return 'fleeting';
    return readNote(this.directory)?.build === built.build ? 'ready' : 'built';
  }

  /**
   * Runs `work` while nobody else builds or copies this data. Waits for another process for as long as it takes; before
   * that, `onWait` is called with the name of that process.
   *
   * Errors: the signal's reason if it aborts; QrunError `CONFIG` if the lock cannot be used; those of `work`.
   */
  async locked<T>(signal: AbortSignal, onWait: (holder: string) => void, work: () => Promise<T>): Promise<T> {
    const path = `${this.#built}${LOCK_SUFFIX}`;
    let lock: FileLock;
    try {
      lock = await FileLock.open(path);
    } catch (cause) {
      throw unusable(dirname(path), cause);
    }
    try {
      if (!(await lock.tryAcquire())) {
        onWait(lockHolder(path) ?? 'another process');
        await lock.acquire({ limitMs: Number.POSITIVE_INFINITY, signal });
      }
      return await work();
    } finally {
      lock.close();
    }
  }

  /** Makes a new directory to build the data in, and removes what dead builders left. Only under {@link locked}. */
  async newBuild(): Promise<string> {
    return await this.#newDirectory(this.#built);
  }

  /** Makes a new directory for data that ends with this process. {@link discard} or the next call removes it. */
  async newWork(): Promise<string> {
    return await this.#newDirectory(this.directory);
  }

  /**
   * Notes in a built directory what it was made of, and makes all of it durable. No engine may have it open.
   *
   * Errors: QrunError `SETUP_FAILED`; the directory must then not be used.
   */
  async seal(
    path: string,
    inputs: DataInputs,
    identity: string,
    madeAt: string,
    lasting = true,
  ): Promise<void> {
    const build = randomBytes(8).toString('hex');
    const note: DataNote = { version: 1, identity, build, lasting, made_at: madeAt, ...inputs };
    await this.#writing(path, async () => {
      await writeFileAtomic(join(path, DATA_NOTE_FILE), encodeDataNote(note));
      await syncTree(path);
    });
  }

  /** Gives a sealed directory its name; from then on it is the data. Only under {@link locked}. Errors: as `seal`. */
  async publish(path: string): Promise<void> {
    await this.#writing(this.#built, async () => {
      await removeTreeAtOnce(this.#built);
      await rename(path, this.#built);
      await syncDirectory(dirname(this.#built));
    });
  }

  /**
   * Makes the copy of this log, from a sealed directory or from the data itself. Only under {@link locked}.
   *
   * Errors: as `seal`; no partial copy is left under its name.
   */
  async copy(from = this.#built): Promise<void> {
    await this.#writing(this.directory, async () => {
      await removeRemainsOf(this.directory);
      await removeTreeAtOnce(this.directory);
      const path = newNameOf(this.directory);
      try {
        await copyDataTree(from, path);
        await syncTree(path);
        await rename(path, this.directory);
      } catch (error) {
        await rm(path, { recursive: true, force: true });
        throw error;
      }
      await syncDirectory(dirname(this.directory));
    });
  }

  /** Removes a directory of {@link newBuild} or {@link newWork}, or the copy. It need not exist. */
  async discard(path: string): Promise<void> {
    await removeTreeAtOnce(path);
  }

  /** Releases the copy. Safe to call twice. */
  release(): void {
    this.#lock.close();
  }

  async #newDirectory(of: string): Promise<string> {
    const path = newNameOf(of);
    await this.#writing(path, async () => {
      await removeRemainsOf(of);
      await mkdir(path);
    });
    return path;
  }

  async #writing(path: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (cause) {
      throw new QrunError('SETUP_FAILED', `cannot write the data directory ${path}: ${reasonOf(cause)}`, {
        hint: 'free space, or keep the data elsewhere: --data-dir; nothing was run',
        cause,
      });
    }
  }
}

/** Returns the note of a data directory; `undefined` if there is none that can be read. */
export function readNote(directory: string): DataNote | undefined {
  try {
    return decodeDataNote(readState(join(directory, DATA_NOTE_FILE), 'state', OWN_TO_READ));
  } catch {
    return undefined;
  }
}

function unusable(directory: string, cause: unknown): QrunError {
  return new QrunError('CONFIG', `cannot use the data directory ${directory}: ${reasonOf(cause)}`, {
    hint: hintOf(cause, 'choose a directory that you may write to with --data-dir'),
    cause,
  });
}
