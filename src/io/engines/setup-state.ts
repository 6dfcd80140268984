import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QrunError } from '../../core/errors.js';
import { reasonOf } from '../files/failures.js';
import { syncTree } from '../files/file-tree.js';
import { readFields } from '../files/read-file.js';
import { makeDirectories, syncDirectory, writeFileAtomic } from '../files/write-file.js';

const FILE = 'qrun-setup.json';
const NOTE_VERSION = 2;

/**
 * Returns the identity of the data that a chain of setup files has made in a directory that the user manages. Returns
 * `undefined` for a fresh directory, for a note that cannot be read, and for a note of an earlier version, because
 * those could outlive a failed setup.
 */
export function readSetupNote(dataDirectory: string): string | undefined {
  const { version, identity } = readFields(join(dataDirectory, FILE), 'state');
  return version === NOTE_VERSION && typeof identity === 'string' ? identity : undefined;
}

// What qrun or the engine leaves in a directory that it has opened, whatever happened to the rest.
const MARKS = ['qrun.lock', FILE];
const ENGINE_MARKS = ['store', 'metadata'];
// What a newly formatted disk contains.
const NO_CONTENT = 'lost+found';

/**
 * Refuses a data directory that holds something other than data, because the engine removes files with certain names in
 * it. Accepts one that is empty or does not exist.
 *
 * Errors: QrunError `CONFIG`.
 */
export function checkDataDirectory(dataDirectory: string): void {
  let names: string[];
  try {
    names = readdirSync(dataDirectory).filter(name => name !== NO_CONTENT);
  } catch {
    // Missing or unreadable: opening it will report that.
    return;
  }
  const holds = (name: string): boolean => names.includes(name);
  if (names.length === 0 || MARKS.some(holds) || ENGINE_MARKS.every(holds)) return;
  throw new QrunError('CONFIG', `${dataDirectory} is not a data directory, and it is not empty`, {
    hint: 'name an empty or a new one with --data-dir: the engine would remove and make files there; nothing was touched',
  });
}

/**
 * Removes the note durably. Called before the first statement of a setup, so that no note outlives a setup that fails.
 *
 * Errors: QrunError `SETUP_FAILED`; nothing may run then.
 */
export async function removeSetupNote(dataDirectory: string): Promise<void> {
  await noting(dataDirectory, async () => {
    makeDirectories(dataDirectory);
    await rm(join(dataDirectory, FILE), { force: true });
    await syncDirectory(dataDirectory);
  });
}

/**
 * Makes all data in a directory durable. No engine may have it open.
 *
 * Errors: QrunError `SETUP_FAILED`; the chain then runs again.
 */
export async function syncData(dataDirectory: string): Promise<void> {
  await noting(dataDirectory, () => syncTree(dataDirectory));
}

/**
 * Notes durably what a whole chain has made. Call {@link syncData} first.
 *
 * Errors: QrunError `SETUP_FAILED`; the chain then runs again.
 */
export async function writeSetupNote(dataDirectory: string, identity: string): Promise<void> {
  const note = { version: NOTE_VERSION, identity };
  await noting(dataDirectory, () =>
    writeFileAtomic(join(dataDirectory, FILE), `${JSON.stringify(note, null, 2)}\n`),
  );
}

async function noting(dataDirectory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new QrunError(
      'SETUP_FAILED',
      `cannot note in the data directory ${dataDirectory} what was prepared: ${reasonOf(cause)}`,
      { hint: 'free space, or make the directory writable', cause },
    );
  }
}

// The only lock that is not flock(2) (see FileLock). It must be visible to all machines that share the sweep's
// directory, but some file systems keep flock(2) local to one machine (NFS with local locks, SMB) or refuse it. On all
// of them, only one process succeeds in creating a directory. The kernel does not release this lock when its holder
// dies, so it expires by age, and two processes may hold it for a moment. Setups survive that because they are
// idempotent; a log would not.
//
// A setup may take minutes. The holder renews its lock every 15 s, so a dead holder is noticed within 30 s.
const STALE_MS = 30_000;
const WAIT_MS = 600_000;
const RETRY_MS = 250;

/** How the setup of a server waits for another setup. */
export interface SetupWait {
  /** Ends the wait; the work has a signal of its own. */
  readonly signal: AbortSignal;
  /** Called once, with a line for people, when another process holds the lock. */
  readonly onWait?: (text: string) => void;
  /** Ten minutes by default. */
  readonly limitMs?: number;
}

/**
 * Runs `work` while no other qrun of the same sweep prepares a server, on any machine. This lock avoids duplicate work
 * and confusion; it does not guard data (setup files are idempotent, results have the kernel lock of their log).
 *
 * Errors: QrunError `SETUP_FAILED` if another process holds the lock for ten minutes (`limitMs`) or it cannot be taken
 * at all; the signal's reason if it aborts during the wait; the errors of `work`.
 */
export async function withSetupLock<T>(
  sweepRoot: string,
  work: () => Promise<T>,
  wait: SetupWait,
): Promise<T> {
  const release = await acquireSetupLock(join(sweepRoot, '.qrun'), wait);
  try {
    return await work();
  } finally {
    // Fails only if the lock was taken over; it is then for the other process to release.
    await release().catch(() => {});
  }
}

async function acquireSetupLock(
  directory: string,
  { signal, onWait, limitMs = WAIT_MS }: SetupWait,
): Promise<() => Promise<void>> {
  const { default: lockfile } = await import('proper-lockfile');
  const path = join(directory, 'setup.lock');
  const deadline = performance.now() + limitMs;
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    try {
      makeDirectories(directory);
      return await lockfile.lock(directory, {
        lockfilePath: path,
        stale: STALE_MS,
        update: STALE_MS / 2,
        // The work continues, perhaps at the same time as another setup. Setups survive that: they are idempotent.
        onCompromised: () => {},
      });
    } catch (cause) {
      if (!HELD.has((cause as NodeJS.ErrnoException).code ?? '')) {
        throw new QrunError('SETUP_FAILED', `cannot take the lock ${path}: ${reasonOf(cause)}`, {
          hint: 'make the sweep root writable, or remove what is in the way',
          cause,
        });
      }
      if (performance.now() >= deadline) {
        throw new QrunError('SETUP_FAILED', `another qrun is preparing this sweep's server: ${path}`, {
          hint: 'wait for it; if none is running, remove that directory',
          cause,
        });
      }
    }
    if (tries === 1) onWait?.("waiting for another qrun that prepares this sweep's server");
    // An abort ends the pause; the next round throws its reason.
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
  }
}

// ENOENT: several processes took over the lock of a dead holder at the same moment.
const HELD: ReadonlySet<string> = new Set(['ELOCKED', 'ENOENT']);
