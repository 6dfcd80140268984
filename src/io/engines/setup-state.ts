import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QrunError } from '../../core/errors.js';
import { isMissing, reasonOf } from '../files/failures.js';
import { syncTree } from '../files/file-tree.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readState } from '../files/read-file.js';
import { makeDirectories, syncDirectory, writeFileAtomic } from '../files/write-file.js';

const FILE = 'qrun-setup.json';
const NOTE_VERSION = 2;

/**
 * Which data a chain of setup files has made in a directory that the user manages: its identity. `undefined` for a
 * fresh one, when the note cannot be read, and for those of earlier versions, which could outlive a failed setup.
 */
export function readSetupNote(dataDirectory: string): string | undefined {
  let note: unknown;
  try {
    note = JSON.parse(readState(join(dataDirectory, FILE), 'state', OWN_TO_READ));
  } catch {
    return undefined;
  }
  const { version, identity } = (note ?? {}) as Partial<Record<'version' | 'identity', unknown>>;
  return version === NOTE_VERSION && typeof identity === 'string' ? identity : undefined;
}

// What qrun or the engine leaves in a directory that it has opened, whatever became of the rest.
const MARKS = ['qrun.lock', FILE];
const ENGINE_MARKS = ['store', 'metadata'];
// What a disk of its own begins with.
const NO_CONTENT = 'lost+found';

/**
 * Refuses a directory as data that holds something else: the engine removes files under some names of its own there. One
 * that is empty, or not there, is as good as data.
 *
 * Errors: QrunError `CONFIG`.
 */
export function checkDataDirectory(dataDirectory: string): void {
  let names: string[];
  try {
    names = readdirSync(dataDirectory).filter(name => name !== NO_CONTENT);
  } catch {
    // Not there, or not to be read: whoever opens it says so.
    return;
  }
  const holds = (name: string): boolean => names.includes(name);
  if (names.length === 0 || MARKS.some(holds) || ENGINE_MARKS.every(holds)) return;
  throw new QrunError('CONFIG', `${dataDirectory} is no data directory, and it is not empty`, {
    hint: 'name an empty or a new one with --data-dir: the engine would remove and make files there; nothing was touched',
  });
}

/**
 * Removes the note, durably: before the first statement of a setup, so that no note outlives one that fails.
 *
 * Errors: QrunError `SETUP_FAILED`: nothing may run then.
 */
export async function removeSetupNote(dataDirectory: string): Promise<void> {
  try {
    makeDirectories(dataDirectory);
    try {
      unlinkSync(join(dataDirectory, FILE));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    await syncDirectory(dataDirectory);
  } catch (cause) {
    throw noteError(dataDirectory, cause);
  }
}

/**
 * Makes all data in a directory durable that no engine has open.
 *
 * Errors: QrunError `SETUP_FAILED`: the chain then runs again.
 */
export async function syncData(dataDirectory: string): Promise<void> {
  try {
    await syncTree(dataDirectory);
  } catch (cause) {
    throw noteError(dataDirectory, cause);
  }
}

/**
 * Notes, durably, what a whole chain has made; after {@link syncData}.
 *
 * Errors: QrunError `SETUP_FAILED`: the chain then runs again.
 */
export async function writeSetupNote(dataDirectory: string, identity: string): Promise<void> {
  try {
    const note = { version: NOTE_VERSION, identity };
    await writeFileAtomic(join(dataDirectory, FILE), `${JSON.stringify(note, null, 2)}\n`);
  } catch (cause) {
    throw noteError(dataDirectory, cause);
  }
}

function noteError(dataDirectory: string, cause: unknown): QrunError {
  return new QrunError(
    'SETUP_FAILED',
    `cannot note in the data directory ${dataDirectory} what was prepared: ${reasonOf(cause)}`,
    { hint: 'free space, or make the directory writable', cause },
  );
}

// The one lock that is not flock(2) (see FileLock), because here it is the better one. It has to be seen by all machines
// that share the sweep's directory, and some file systems keep flock(2) on one machine (NFS with local locks, SMB) or
// refuse it; a directory is made by one alone on all of them. No kernel ends it with its holder, so that its age must, and
// two may hold it for a moment: setups survive that, because they are idempotent; a log would not.
//
// A setup may take minutes; the holder renews its lock every 15 s, so that a dead one is noticed in 30.
const STALE_MS = 30_000;
const WAIT_MS = 600_000;
const RETRY_MS = 250;

/** How the setup of a server waits for another one. */
export interface SetupWait {
  /** Ends the wait; the work has a signal of its own. */
  readonly signal: AbortSignal;
  /** Told once when another one has the lock. */
  readonly onWait?: () => void;
  /** Ten minutes where it is not given. */
  readonly limitMs?: number;
}

/**
 * Runs `work` while no other qrun of the same sweep prepares a server, on whatever machine. This lock saves work
 * and confusion; it guards no data (setup files are idempotent, results have the kernel lock of their log).
 *
 * Errors: QrunError `SETUP_FAILED` when another one holds it for ten minutes (`limitMs`) or it cannot be taken at
 * all; the signal's reason when it aborts during the wait; the errors of `work`.
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
    // Fails only when the lock was taken over, which is then the other one's to release.
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
        // The work goes on: it may then run beside another setup, which setups survive by being idempotent.
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
        throw new QrunError('SETUP_FAILED', `another qrun prepares this sweep's server: ${path}`, {
          hint: 'wait for it; if none is running, remove that directory',
          cause,
        });
      }
    }
    if (tries === 1) onWait?.();
    // An abort ends the pause; the next round throws its reason.
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
  }
}

// ENOENT: several took over the lock of a dead one at the same moment.
const HELD: ReadonlySet<string> = new Set(['ELOCKED', 'ENOENT']);
