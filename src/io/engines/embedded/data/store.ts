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
  NEW_SUFFIX,
  OLD_SUFFIX,
  remainsOf,
  removeTreeAtOnce,
  syncTree,
} from '../../../files/file-tree.js';
import { FileLock, lockHolder } from '../../../files/flock.js';
import { OWN_TO_READ } from '../../../files/own-file.js';
import { readState } from '../../../files/read-file.js';
import { makeDirectories, syncDirectory, writeFileAtomic, writeOwner } from '../../../files/write-file.js';

/** The file in a data directory that says what it was made of. */
const DATA_NOTE_FILE = 'qrun-data.json';
/** What the directory with the copies of one data is called, behind its identity. */
export const COPIES_SUFFIX = '.units';
/** What a lock file is called, behind the name of what it locks. */
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
 * How far the data of a unit is there.
 *
 * - `ready`: its own copy is complete; open it.
 * - `built`: the data is, and a copy is to be made.
 * - `fleeting`: the chain leaves data that ends with its process; it runs in each.
 * - `missing`: the chain has not run to its end yet, or is not to be trusted.
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
 * What has no such ending is complete: it got its name by a rename, after everything in it was durable.
 */
export class DataStore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * Takes the copy of one log for this process, or the place where it is to be made.
   *
   * Errors: QrunError `CONFIG` where the store cannot be written, `DATA_LOCKED` when another process has the copy.
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
        // Somebody may be removing what nobody used.
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
  /** The copy that is worked on. */
  readonly directory: string;
  readonly #built: string;
  readonly #lock: FileLock;

  constructor(built: string, directory: string, lock: FileLock) {
    this.#built = built;
    this.directory = directory;
    this.#lock = lock;
  }

  /** How far the data is there. */
  state(): DataState {
    const built = readNote(this.#built);
    if (built === undefined) return 'missing';
    if (!built.lasting) return 'fleeting';
    return readNote(this.directory)?.build === built.build ? 'ready' : 'built';
  }

  /**
   * Runs `work` while nobody else builds or copies this data; another one is waited for, for as long as it takes,
   * after `onWait` was told who that is.
   *
   * Errors: the signal's reason when it aborts; QrunError `CONFIG` when the lock cannot be used; those of `work`.
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

  /** A new directory to build the data in; what dead builders left is removed. Only under {@link locked}. */
  async newBuild(): Promise<string> {
    return await this.#newDirectory(this.#built);
  }

  /** A new directory for data that ends with this process; removed by {@link discard} and by the next one. */
  async newWork(): Promise<string> {
    return await this.#newDirectory(this.directory);
  }

  /**
   * Notes in a built directory, which no engine has open, what it was made of, and makes all of it durable.
   *
   * Errors: QrunError `SETUP_FAILED`: it must not be used then.
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

  /** Gives a sealed directory its name: from then on it is the data. Only under {@link locked}. Errors: as `seal`. */
  async publish(path: string): Promise<void> {
    await this.#writing(this.#built, async () => {
      await removeTreeAtOnce(this.#built, random());
      await rename(path, this.#built);
      await syncDirectory(dirname(this.#built));
    });
  }

  /**
   * Makes the copy of this log, from a sealed directory or from the data itself. Only under {@link locked}.
   *
   * Errors: as `seal`; no half of a copy is left under its name.
   */
  async copy(from = this.#built): Promise<void> {
    await this.#writing(this.directory, async () => {
      await removeAll(remainsOf(this.directory));
      await removeTreeAtOnce(this.directory, random());
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

  /** Removes a directory of {@link newBuild}, of {@link newWork} or the copy; there may be none. */
  async discard(path: string): Promise<void> {
    await removeTreeAtOnce(path, random());
  }

  /** Gives the copy back. Safe to call twice. */
  release(): void {
    this.#lock.close();
  }

  async #newDirectory(of: string): Promise<string> {
    const path = newNameOf(of);
    await this.#writing(path, async () => {
      await removeAll(remainsOf(of));
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

/** The note of a data directory; `undefined` where there is none that can be read. */
export function readNote(directory: string): DataNote | undefined {
  try {
    return decodeDataNote(readState(join(directory, DATA_NOTE_FILE), 'state', OWN_TO_READ));
  } catch {
    return undefined;
  }
}

async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { recursive: true, force: true });
}

function newNameOf(path: string): string {
  return `${path}${NEW_SUFFIX}${random()}`;
}

function random(): string {
  return randomBytes(6).toString('hex');
}

function unusable(directory: string, cause: unknown): QrunError {
  return new QrunError('CONFIG', `cannot use the data directory ${directory}: ${reasonOf(cause)}`, {
    hint: hintOf(cause, 'choose a directory that you may write to with --data-dir'),
    cause,
  });
}

/** Whether a name is one that something has only while it is made or removed. */
export function isRemains(name: string): boolean {
  return name.includes(NEW_SUFFIX) || name.includes(OLD_SUFFIX);
}
