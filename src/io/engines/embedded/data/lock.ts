import { fstatSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock } from '../../../files/flock.js';
import { OWN_TO_READ } from '../../../files/own-file.js';
import { readState } from '../../../files/read-file.js';
import { writeOwner } from '../../../files/write-file.js';

/** Who has a data directory open, as far as it is known. */
export interface DataHolder {
  readonly pid: number | undefined;
  /** For people. */
  readonly since: string | undefined;
}

/** The right of this process to open a data directory; ends with `release` or with the process. */
export interface DataLock {
  release(): void;
}

const FILE = 'qrun.lock';
// The holder says who it is right behind taking the lock; it may have lost the processor in between.
const NAME_WAIT_MS = 2_000;
const LOOK_MS = 10;

// Engines of this process share a directory, and with it the lock.
const held = new Map<string, { readonly lock: FileLock; users: number }>();

/**
 * Takes the data directory for this process, or gives who has it; never throws. A kernel lock on a file in it, so that of several
 * processes that start at once exactly one opens it, and all others know which: the engine's own lock is taken long
 * before its file says by whom, and the engine reports only to standard error that it did not get it.
 * Where the file system knows no such locks, the engine's own has to do.
 */
export async function lockDataDirectory(path: string): Promise<DataLock | DataHolder> {
  let lock: FileLock | undefined;
  try {
    lock = await FileLock.open(join(path, FILE));
    const { dev, ino } = fstatSync(lock.fd);
    const key = `${dev}:${ino}`;
    const isMine = !held.has(key) && (await lock.tryAcquire());
    if (!isMine) lock.close();
    else held.set(key, { lock, users: 0 });
    // Also where another call of this process was quicker just now.
    const own = held.get(key);
    if (own === undefined) return await holderOf(join(path, FILE));
    own.users += 1;
    if (isMine) writeHolder(lock);
    return releaseOf(key);
  } catch {
    lock?.close();
    return { release: () => {} };
  }
}

function writeHolder(lock: FileLock): void {
  try {
    writeOwner(lock.fd, { pid: process.pid, since: new Date().toISOString() });
  } catch {
    // A full disk: only the name is missing, and the engine will say what is wrong.
  }
}

function releaseOf(key: string): DataLock {
  let released = false;
  return {
    release() {
      const own = held.get(key);
      if (released || own === undefined) return;
      released = true;
      own.users -= 1;
      if (own.users > 0) return;
      held.delete(key);
      own.lock.close();
    },
  };
}

async function holderOf(path: string): Promise<DataHolder> {
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    const named = readHolder(path);
    // What a dead holder left may still stand there, while the new one has not written yet.
    if (named !== undefined && isAlive(named.pid)) return named;
    // It may live where its id means nothing here, in another container.
    if (waitedMs >= NAME_WAIT_MS) return named ?? { pid: undefined, since: undefined };
    await sleep(LOOK_MS);
  }
}

function readHolder(path: string): { pid: number; since: string } | undefined {
  try {
    const { pid, since } = JSON.parse(readState(path, 'lease', OWN_TO_READ)) as Record<string, unknown>;
    return Number.isSafeInteger(pid) && typeof since === 'string' ? { pid: pid as number, since } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether there is a process with this id. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
