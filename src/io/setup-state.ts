import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QrunError } from '../core/errors.js';
import { writeFileAtomic } from './atomic-file.js';
import { makeDirectories, reasonOf } from './log-file.js';
import { readState } from './read-file.js';

/** Which setup files an embedded data directory has seen: path relative to the sweep root -> fingerprint. */
export type AppliedSetup = Readonly<Record<string, string>>;

const FILE = 'qrun-setup.json';

/** What was applied to a data directory; nothing for a fresh one, or when the note cannot be read. */
export function readAppliedSetup(dataDirectory: string): AppliedSetup {
  let applied: unknown;
  try {
    applied = JSON.parse(readState(join(dataDirectory, FILE), 'state'));
  } catch {
    return {};
  }
  if (typeof applied !== 'object' || applied === null || Array.isArray(applied)) return {};
  return Object.values(applied).every(value => typeof value === 'string') ? (applied as AppliedSetup) : {};
}

/** Notes what was applied, whole or not at all: temporary file, fsync, rename, fsync of the directory. */
export async function writeAppliedSetup(dataDirectory: string, applied: AppliedSetup): Promise<void> {
  await writeFileAtomic(join(dataDirectory, FILE), `${JSON.stringify(applied, null, 2)}\n`);
}

// A setup may take minutes; the holder renews its lock every 15 s, so that a dead one is noticed in 30.
const STALE_MS = 30_000;
const WAIT_MS = 600_000;
const RETRY_MS = 250;

/**
 * Runs `work` while no other qrun of the same sweep on this machine prepares a server. This lock saves work
 * and confusion; it guards no data (setup files are idempotent, results have the kernel lock of their log).
 *
 * Errors: QrunError `SETUP_FAILED` when another one holds it for ten minutes (`limitMs`) or it cannot be taken at
 * all; the errors of `work`.
 */
export async function withSetupLock<T>(
  sweepRoot: string,
  work: () => Promise<T>,
  limitMs = WAIT_MS,
): Promise<T> {
  const release = await acquireSetupLock(join(sweepRoot, '.qrun'), limitMs);
  try {
    return await work();
  } finally {
    // Fails only when the lock was taken over, which is then the other one's to release.
    await release().catch(() => {});
  }
}

async function acquireSetupLock(directory: string, limitMs: number): Promise<() => Promise<void>> {
  const { default: lockfile } = await import('proper-lockfile');
  const path = join(directory, 'setup.lock');
  const deadline = performance.now() + limitMs;
  for (;;) {
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
    await delay(RETRY_MS);
  }
}

// ENOENT: several took over the lock of a dead one at the same moment.
const HELD: ReadonlySet<string> = new Set(['ELOCKED', 'ENOENT']);
