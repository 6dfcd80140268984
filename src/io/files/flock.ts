import { closeSync, fchmodSync, fstatSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { QrunError } from '../../core/errors.js';
import { loadLibc } from '../machine/libc.js';
import { hintOf } from './failures.js';
import { openToAppend } from './open-file.js';
import { OWN_LOCK } from './own-file.js';
import { ownUser } from './owner.js';

/** How flock(2) is called: through the FFI library koffi, or by a `flock` child that locks an inherited fd. */
export type FlockMechanism = 'koffi' | 'child';

/** How long to wait for the holder, and what ends the wait early. */
export interface LockWait {
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

// From flock(2): LOCK_EX | LOCK_NB and LOCK_UN; EWOULDBLOCK is 11 on Linux and 35 on macOS.
const LOCK_EX_NB = 2 | 4;
const LOCK_UN = 8;
const WOULD_BLOCK: ReadonlySet<number> = new Set([11, 35]);
// The pause between two tries is random in [1 ms, cap]; the cap doubles up to this. Waiters stay within 20 % of each
// other (measured with 4 processes), and a holder writes for well under a millisecond.
const RETRY_CAP_MS = 16;

interface Flock {
  readonly mechanism: FlockMechanism;
  /** Resolves with `true` if the lock was taken, with `false` if another open file holds it. */
  tryLock(fd: number): Promise<boolean>;
  tryLockNow?(fd: number): boolean;
  /** Unlocks the file and keeps it open; without this method the file is closed to unlock it. */
  unlock?(fd: number): void;
}

let koffiFlock: Promise<Flock | undefined> | undefined;

// Without the C library the child does the same, 500 times slower.
async function loadKoffi(): Promise<Flock | undefined> {
  const libc = await loadLibc();
  if (libc === undefined) return undefined;
  const tryLockNow = (fd: number): boolean => {
    if (libc.flock(fd, LOCK_EX_NB) === 0) return true;
    const errno = libc.errno();
    if (WOULD_BLOCK.has(errno)) return false;
    throw new QrunError('LOCK_FAILED', `the file system refuses flock(2) (errno ${errno})`, {
      hint: 'put the log on a file system with working locks (--log-dir)',
    });
  };
  return {
    mechanism: 'koffi',
    tryLockNow,
    tryLock: async fd => tryLockNow(fd),
    unlock: fd => libc.flock(fd, LOCK_UN),
  };
}

// The flock command of util-linux locks the open file that it inherits as fd 0, and exits. The lock belongs to the
// open file, which this process keeps open.
const childFlock: Flock = {
  mechanism: 'child',
  async tryLock(fd) {
    const { runProgram } = await import('../machine/program.js');
    const result = await runProgram('flock', ['-x', '-n', '0'], { stdin: fd });
    if (result.ok) return true;
    if (result.exitCode === 1) return false;
    throw new QrunError('LOCK_FAILED', `cannot lock: ${result.stderr || result.message || 'flock failed'}`, {
      hint: 'install util-linux (the command flock), or a platform for which koffi has a binary',
    });
  },
};

/** How this process takes its locks; `undefined` if koffi does not load and the program flock is not in PATH. */
export async function lockMechanism(): Promise<FlockMechanism | undefined> {
  koffiFlock ??= loadKoffi();
  if ((await koffiFlock) !== undefined) return 'koffi';
  const { runProgram } = await import('../machine/program.js');
  return (await runProgram('flock', ['--version'])).ok ? 'child' : undefined;
}

/**
 * An exclusive flock(2) on a file: the lock that `flock FILE` takes in a shell.
 *
 * The kernel holds it for the open file: it ends with `release`, `close` or the death of the process, and is never
 * broken because of its age. The file is created if it is missing, and never removed. If somebody removed or replaced
 * it, it is opened again, so that all who lock by name exclude each other. Not reentrant; one `acquire` at a time for
 * each object.
 */
export class FileLock {
  readonly path: string;
  readonly #flock: Flock;
  #fd: number;
  #held = false;

  private constructor(path: string, flock: Flock, fd: number) {
    this.path = path;
    this.#flock = flock;
    this.#fd = fd;
  }

  /**
   * Opens the lock file (and creates it if it is missing) without locking it.
   *
   * Errors: QrunError `LOCK_FAILED` when it cannot be opened.
   */
  static async open(path: string, mechanism?: FlockMechanism): Promise<FileLock> {
    koffiFlock ??= loadKoffi();
    const flock = mechanism === 'child' ? childFlock : ((await koffiFlock) ?? childFlock);
    return new FileLock(path, flock, openLockFile(path));
  }

  get mechanism(): FlockMechanism {
    return this.#flock.mechanism;
  }

  /** The open file, for content that belongs to the lock; valid while the lock is held. */
  get fd(): number {
    return this.#fd;
  }

  /** Takes the lock now or not at all; `undefined`, without trying, if that cannot be known without waiting. */
  tryAcquireNow(): boolean | undefined {
    if (this.#flock.tryLockNow === undefined) return undefined;
    if (!this.#flock.tryLockNow(this.#fd)) return false;
    return this.#confirm();
  }

  /** Takes the lock if it is free. */
  async tryAcquire(): Promise<boolean> {
    for (;;) {
      if (!(await this.#flock.tryLock(this.#fd))) return false;
      if (this.#confirm()) return true;
    }
  }

  /**
   * Waits for the lock.
   *
   * Errors: QrunError `LOCK_BUSY` naming the holder after `limitMs`; `LOCK_FAILED` when the system has no locks; the
   * reason of the signal when it aborts.
   */
  async acquire(wait: LockWait): Promise<void> {
    const deadline = performance.now() + wait.limitMs;
    for (let capMs = 2; ; capMs = Math.min(capMs * 2, RETRY_CAP_MS)) {
      wait.signal?.throwIfAborted();
      if (await this.tryAcquire()) return;
      if (performance.now() >= deadline) throw this.#timedOut(wait.limitMs);
      const waitMs = 1 + Math.random() * (capMs - 1);
      // An abort ends the pause; the next round throws its reason.
      await delay(waitMs, undefined, wait.signal ? { signal: wait.signal } : {}).catch(() => {});
    }
  }

  /** Releases the lock, if held. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    if (this.#flock.unlock !== undefined) {
      this.#flock.unlock(this.#fd);
      return;
    }
    this.#reopen();
  }

  /** Releases the lock, if held, and closes the file. */
  close(): void {
    this.#held = false;
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  // The lock counts only if the name still leads to the locked file.
  #confirm(): boolean {
    if (sameFile(this.#fd, this.path)) {
      this.#held = true;
      return true;
    }
    this.#reopen();
    return false;
  }

  // The descriptor is forgotten first: once closed, its number may belong to another file.
  #reopen(): void {
    const fd = this.#fd;
    this.#fd = -1;
    closeSync(fd);
    this.#fd = openLockFile(this.path);
  }

  #timedOut(limitMs: number): QrunError {
    const holder = lockHolder(this.path);
    return new QrunError(
      'LOCK_BUSY',
      `${this.path} was not free within ${limitMs / 1000} s: held by ${holder ?? 'an unknown process'}`,
      {
        hint: 'end or resume that process (a stopped one keeps its lock); the lock file itself is never removed',
      },
    );
  }
}

/**
 * Runs `work` while this process holds the locks on all of these files, and returns `undefined`. If somebody else holds
 * one of them, returns who that is instead, for people, and does not run it. Does not wait.
 *
 * Errors: QrunError `LOCK_FAILED`; those of `work`.
 */
export async function whileLocked(
  paths: readonly string[],
  work?: () => Promise<void>,
): Promise<string | undefined> {
  const locks: FileLock[] = [];
  try {
    for (const path of paths) {
      const lock = await FileLock.open(path);
      locks.push(lock);
      if (!(await lock.tryAcquire())) return lockHolder(path) ?? 'another process';
    }
    await work?.();
    return undefined;
  } finally {
    for (const lock of locks) lock.close();
  }
}

function openLockFile(path: string): number {
  try {
    const { fd, stat } = openToAppend(path, 'log', OWN_LOCK);
    if ((stat.mode & 0o007) !== 0 && stat.uid === ownUser()) closeToOthers(fd, stat.mode);
    return fd;
  } catch (cause) {
    const owner = otherOwner(cause, path);
    const reason =
      owner === undefined ? (cause as Error).message : `it belongs to another user (uid ${owner})`;
    throw new QrunError('LOCK_FAILED', `cannot open the lock file ${path}: ${reason}`, {
      hint:
        owner === undefined
          ? hintOf(cause, 'make its directory writable, or choose another with --log-dir')
          : `take it and the files beside it over (chown), or choose another directory with --log-dir`,
      cause,
    });
  }
}

// For a lock file that an earlier version created. A file system without modes (SMB, FAT) may show any mode.
function closeToOthers(fd: number, mode: number): void {
  try {
    fchmodSync(fd, mode & 0o770);
  } catch (error) {
    if (!NO_MODES.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

const NO_MODES: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

// The file may belong to root after a run in a container, while the directory is writable.
function otherOwner(cause: unknown, path: string): number | undefined {
  if ((cause as NodeJS.ErrnoException).code !== 'EACCES') return undefined;
  try {
    const uid = statSync(path, { throwIfNoEntry: false })?.uid;
    return uid === ownUser() ? undefined : uid;
  } catch {
    return undefined;
  }
}

function sameFile(fd: number, path: string): boolean {
  const named = statSync(path, { throwIfNoEntry: false });
  const opened = fstatSync(fd);
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}

/**
 * Returns who holds a flock(2) on the file, as "pid 4242 (name)", from /proc/locks; `undefined` if the system does not
 * tell. The pid is that of the process that took the lock. That process may have ended: the child, with the child
 * mechanism; or an owner whose command has inherited the file and goes on.
 *
 * It is for the message about a held lock; {@link listedLock} tells whether the lock is held.
 */
export function lockHolder(path: string): string | undefined {
  return listedLock(path)?.holder;
}

/**
 * Returns what /proc/locks says about locks on the file; `undefined` if it lists none that could be on the file, or if
 * it does not exist.
 *
 * `isCertain`: the device matches too. Inode numbers are unique only within a device, and on some file systems (btrfs,
 * overlay) the device in the table differs from that of stat(2): there nothing is certain. Locks of other machines and
 * other containers are never listed.
 */
export function listedLock(
  path: string,
): { readonly holder: string; readonly isCertain: boolean } | undefined {
  try {
    const { ino, dev } = statSync(path);
    const device = deviceInTable(dev);
    let pid: string | undefined;
    for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
      const match = /^\d+: FLOCK\s+\S+\s+(?:WRITE|READ)\s+(\d+) ([\da-f]+:[\da-f]+):(\d+) /.exec(line);
      if (match === null || Number(match[3]) !== ino) continue;
      pid = match[1] as string;
      if (match[2] === device) return { holder: `pid ${pid} (${commandOf(pid)})`, isCertain: true };
    }
    if (pid !== undefined) return { holder: `pid ${pid} (${commandOf(pid)})`, isCertain: false };
  } catch {
    // Not Linux, or the file has just been removed.
  }
  return undefined;
}

// Formats the device number of stat(2) as the kernel prints it (gnu_dev_major and gnu_dev_minor of glibc). A number is
// precise enough, because a device has at most 44 bits.
function deviceInTable(dev: number): string {
  const high = Math.floor(dev / 2 ** 32);
  const low = dev % 2 ** 32;
  const major = ((low >>> 8) & 0xfff) + (high & ~0xfff);
  const minor = (low & 0xff) + ((low >>> 12) & 0xfff00);
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  return `${hex(major)}:${hex(minor)}`;
}

// The lock belongs to the open file: the process that took it may have ended, while another with the same open file
// still holds it.
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'ended; the file is still open in another process';
  }
}
