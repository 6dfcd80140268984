import { existsSync, ftruncateSync, statSync } from 'node:fs';
import { QrunError } from '../../core/errors.js';
import { writeError } from '../files/failures.js';
import { FileLock, type FlockMechanism, listedLock } from '../files/flock.js';
import { readFields } from '../files/read-file.js';
import { writeOwner } from '../files/write-file.js';

/** Who runs a unit. */
export interface LeaseOwner {
  readonly pid: number;
  readonly host: string;
  readonly run: string;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** The right to run a unit or a job. It ends with `release` or with the death of the process. */
export interface Lease {
  release(): void;
}

/** A lease, with the file that it locks. */
export interface FileLease extends Lease {
  /**
   * The locked file. A child that inherits it holds the lease too: if this process dies first, the lease lasts until
   * the child has ended.
   */
  readonly fd: number;
}

/** The path of the lease of the unit (or job) with this log. */
export function leasePath(logPath: string): string {
  return `${logPath}.lease`;
}

/**
 * Takes the lease of the unit (or job) whose log is `logPath`, until it is released or this process dies.
 *
 * The lease is a kernel lock on `<log>.lease`, so it ends when its owner dies: no age, heartbeat or process id decides.
 * The content of the file only tells people who the owner is.
 *
 * Errors: QrunError `UNIT_RUNNING` naming the owner, `LOCK_FAILED` when the file cannot be opened or locked,
 * `WRITE_FAILED` when it cannot be written (a full disk).
 */
export async function takeLease(
  logPath: string,
  unit: string,
  owner: LeaseOwner,
  mechanism?: FlockMechanism,
  what: 'unit' | 'job' = 'unit',
): Promise<FileLease> {
  const path = leasePath(logPath);
  const lock = await FileLock.open(path, mechanism);
  if (!(await lock.tryAcquire())) {
    lock.close();
    throw new QrunError(
      'UNIT_RUNNING',
      `the ${what} ${JSON.stringify(unit)} is running: ${describeOwner(path)}`,
      {
        hint: 'wait for it, or end it; after its end or death this command starts at once',
      },
    );
  }
  try {
    writeOwner(lock.fd, owner);
  } catch (cause) {
    lock.close();
    const hint = 'free space, or choose another place with --log-dir: the log of the unit lies there too';
    throw writeError(path, cause, hint);
  }
  return {
    fd: lock.fd,
    release() {
      if (lock.fd < 0) return;
      try {
        ftruncateSync(lock.fd, 0);
      } catch {
        // The name of a former owner misleads nobody: only the lock counts.
      }
      // Unlock it as well as close it: a process that the child left behind may have inherited the file.
      lock.release();
      lock.close();
    },
  };
}

function describeOwner(path: string): string {
  const owner = readOwner(path);
  return owner === undefined
    ? 'its owner is just starting'
    : `pid ${owner.pid} on ${owner.host} since ${owner.since} (run ${owner.run})`;
}

/**
 * Returns who holds the lease of the unit with this log, for people; `undefined` if nobody does.
 *
 * The lease is tried only if nothing else tells, because a unit that starts at the same moment would fail. Trying is
 * not necessary if the system lists a lock on this very file, or if it lists none and the file is empty, as every
 * owner leaves it. If no lock is listed and the file names an owner, that owner was killed, or runs on another machine
 * or in another container, whose locks are not listed.
 */
export async function leaseHolder(logPath: string): Promise<string | undefined> {
  const path = leasePath(logPath);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const listed = listedLock(path);
  if (listed?.isCertain === true) return describeOwner(path);
  const isKnownFree = listed === undefined && stat.size === 0 && existsSync('/proc/locks');
  return isKnownFree || (await isFree(path, listed === undefined)) ? undefined : describeOwner(path);
}

// `otherwise` is the answer for the lease of another user, which may not be opened.
async function isFree(path: string, otherwise: boolean): Promise<boolean> {
  const lock = await FileLock.open(path).catch(() => undefined);
  if (lock === undefined) return otherwise;
  try {
    return await lock.tryAcquire();
  } finally {
    lock.close();
  }
}

/** The owner that a lease file names, or `undefined` if it names none (not held, or just being taken). */
export function readOwner(path: string): LeaseOwner | undefined {
  const owner: Partial<LeaseOwner> = readFields(path, 'lease');
  const texts = [owner.host, owner.run, owner.since];
  const isOwner = typeof owner.pid === 'number' && texts.every(text => typeof text === 'string');
  return isOwner ? (owner as LeaseOwner) : undefined;
}
