import { fstatSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock } from '../../../files/flock.js';
import { readFields } from '../../../files/read-file.js';
import { writeOwner } from '../../../files/write-file.js';

/** Who has a data directory open, as far as that is known. */
export interface DataHolder {
  readonly pid: number | undefined;
  /** For people. */
  readonly since: string | undefined;
}

/** The right of this process to open a data directory. Ends with `release` or with the process. */
export interface DataLock {
  release(): void;
}

const FILE = 'qrun.lock';
// The holder writes who it is right after taking the lock, but it may have been descheduled in between.
const NAME_WAIT_MS = 2_000;
const LOOK_MS = 10;

// Engines of this process share a directory, and with it the lock.
const held = new Map<string, { readonly lock: FileLock; users: number }>();

/**
 * Takes the data directory for this process, or returns who has it; never throws.
 *
 * The lock is a kernel lock on a file in the directory. If several processes start at once, exactly one opens it, and
 * all others know which. The engine's own lock does not do that: it is taken long before its file says by whom, and the
 * engine reports only on standard error that it did not get it. If the file system does not support kernel locks, the
 * engine's own lock has to suffice.
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
    // Also set if another call in this process was quicker just now.
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
    // A full disk: only the name is missing, and the engine will report the problem.
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
    // What a dead holder left may still be there, because the new one has not written yet.
    if (named !== undefined && isAlive(named.pid)) return named;
    // The holder may be alive in another container, where its pid means nothing to us.
    if (waitedMs >= NAME_WAIT_MS) return named ?? { pid: undefined, since: undefined };
    await sleep(LOOK_MS);
  }
}

function readHolder(path: string): { pid: number; since: string } | undefined {
  const { pid, since } = readFields(path, 'lease');
  return Number.isSafeInteger(pid) && typeof since === 'string' ? { pid: pid as number, since } : undefined;
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
