import { mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { QrunError } from '../core/errors.js';
import { syncDirectory } from './log-file.js';

/** Which setup files an embedded data directory has seen: path relative to the sweep root -> fingerprint. */
export type AppliedSetup = Readonly<Record<string, string>>;

const FILE = 'qrun-setup.json';

/** What was applied to a data directory; nothing for a fresh one, or when the note cannot be read. */
export function readAppliedSetup(dataDirectory: string): AppliedSetup {
  try {
    return JSON.parse(readFileSync(join(dataDirectory, FILE), 'utf8')) as AppliedSetup;
  } catch {
    return {};
  }
}

/** Notes what was applied, whole or not at all: temporary file, fsync, rename, fsync of the directory. */
export async function writeAppliedSetup(dataDirectory: string, applied: AppliedSetup): Promise<void> {
  await writeFileAtomic(join(dataDirectory, FILE), `${JSON.stringify(applied, null, 2)}\n`);
}

/** Replaces a file so that a reader or a crash sees the old or the new content, never a mixture. */
export async function writeFileAtomic(path: string, content: string): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o666);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

// A setup may take minutes; the holder renews its lock every 15 s, so that a dead one is noticed in 30.
const STALE_MS = 30_000;
const WAIT_MS = 600_000;
const RETRY_MS = 250;

/**
 * Runs `work` while no other qrun of the same sweep on this machine prepares a server. This lock saves work
 * and confusion; it guards no data (setup files are idempotent, results have the kernel lock of their log).
 *
 * Errors: QrunError `SETUP_FAILED` when another one holds it for ten minutes; the errors of `work`.
 */
export async function withSetupLock<T>(sweepRoot: string, work: () => Promise<T>): Promise<T> {
  const directory = join(sweepRoot, '.qrun');
  mkdirSync(directory, { recursive: true });
  const { default: lockfile } = await import('proper-lockfile');
  let release: () => Promise<void>;
  try {
    release = await lockfile.lock(directory, {
      lockfilePath: join(directory, 'setup.lock'),
      stale: STALE_MS,
      update: STALE_MS / 2,
      retries: { retries: WAIT_MS / RETRY_MS, minTimeout: RETRY_MS, maxTimeout: RETRY_MS, factor: 1 },
      // The work goes on: it may then run beside another setup, which setups survive by being idempotent.
      onCompromised: () => {},
    });
  } catch (cause) {
    throw new QrunError(
      'SETUP_FAILED',
      `another qrun prepares this sweep's server: ${directory}/setup.lock`,
      {
        hint: 'wait for it; if none is running, remove that directory',
        cause,
      },
    );
  }
  try {
    return await work();
  } finally {
    // Fails only when the lock was taken over, which is then the other one's to release.
    await release().catch(() => {});
  }
}
