import { chmodSync, statSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { QrunError } from '../../../../core/errors.js';
import { hintOf, reasonOf } from '../../../files/failures.js';
import { FileLock, whileLocked } from '../../../files/flock.js';
import { OWN_TO_READ } from '../../../files/own-file.js';
import { isBelieved } from '../../../files/owner.js';
import { namesIn, statOf } from '../../../files/paths.js';
import { readState } from '../../../files/read-file.js';
import { makeDirectories, writeFileAtomic } from '../../../files/write-file.js';

// The file beside a directory of data that says which directory was made there.
const MARK_SUFFIX = '.made-here';
// What a run would use: data named by the content of a setup.
const USED = /^[0-9a-f]{16}(?=$|\.)/;
// The suffix of a data directory that came from elsewhere and was set aside.
const ASIDE_SUFFIX = '.unknown-';

// Whoever holds the lock only sets a directory aside or makes one.
const LOCK_LIMIT_MS = 30_000;

/**
 * Ensures that the data in a directory was made there by qrun and did not come with the tree, for example in a
 * repository: engine and queries obey what the data contains. What a run would use of foreign data is set aside in
 * another directory, and `onSetAside` is called with its path. What is below a directory that the user said to trust is
 * left alone.
 *
 * A directory is recognised by its inode number and its creation time, which nobody who packs a tree can know. So a
 * copy of a directory, even a restored one, is not the same; a moved one is. If the file system has no creation time
 * (NFS), the number alone decides.
 *
 * Cost: a stat(2) and reading a small file; for a new directory, writing two. Errors: QrunError `CONFIG` if the
 * directory cannot be made, `DATA_LOCKED` if a run is using what would be set aside.
 */
export async function ensureMadeHere(directory: string, onSetAside: (path: string) => void): Promise<void> {
  if (isMadeHere(directory)) return;
  let lock: FileLock | undefined;
  try {
    makeDirectories(dirname(directory));
    lock = await FileLock.open(`${directory}.lock`);
    await lock.acquire({ limitMs: LOCK_LIMIT_MS });
    if (isMadeHere(directory)) return;
    const names = namesIn(directory).filter(name => USED.test(name));
    if (names.length > 0 && !isBelieved(directory)) {
      await refuseInUse(directory);
      const aside = `${directory}${ASIDE_SUFFIX}${Date.now().toString(36)}`;
      await mkdir(aside, 0o700);
      for (const name of names) await rename(join(directory, name), join(aside, name));
      onSetAside(aside);
    }
    makeDirectories(directory);
    const { ino, birthtimeNs } = stateOf(directory);
    await writeFileAtomic(`${directory}${MARK_SUFFIX}`, `${ino} ${birthtimeNs}\n`, 0o600);
  } catch (cause) {
    if (cause instanceof QrunError && cause.code === 'DATA_LOCKED') throw cause;
    throw new QrunError('CONFIG', `cannot use the data directory ${directory}: ${reasonOf(cause)}`, {
      hint: hintOf(cause, 'choose a directory that you may write to with --data-dir'),
      cause,
    });
  } finally {
    lock?.close();
  }
}

function isMadeHere(directory: string): boolean {
  try {
    const [number, made] = readState(`${directory}${MARK_SUFFIX}`, 'lease', OWN_TO_READ).trim().split(' ');
    const { ino, birthtimeNs } = stateOf(directory);
    if (number !== String(ino)) return false;
    return made === String(birthtimeNs) || !tellsBirth(directory);
  } catch {
    return false;
  }
}

// The times and inode numbers of some file systems do not fit into a double.
function stateOf(directory: string) {
  return statSync(directory, { bigint: true });
}

// If the system does not record when a directory was made, it returns 0 or the time of the last change. The chmod is
// such a change: the two times are then equal.
function tellsBirth(directory: string): boolean {
  if (stateOf(directory).birthtimeNs === 0n) return false;
  chmodSync(directory, Number(stateOf(directory).mode) & 0o7777);
  const { birthtimeNs, ctimeNs } = stateOf(directory);
  return birthtimeNs !== ctimeNs;
}

// For a run of an earlier version, which does not know of this mark.
async function refuseInUse(directory: string): Promise<void> {
  const holder = await whileLocked(lockFilesIn(directory));
  if (holder === undefined) return;
  throw new QrunError('DATA_LOCKED', `the data directory ${directory} is in use by ${holder}`, {
    hint: 'wait until it has ended',
  });
}

function lockFilesIn(directory: string): string[] {
  const copies = namesIn(directory).filter(name => name.endsWith('.units'));
  return [directory, ...copies.map(name => join(directory, name))].flatMap(each =>
    namesIn(each)
      .map(name => join(each, name))
      .filter(path => path.endsWith('.lock') && statOf(path)?.isFile()),
  );
}

/** Returns the directories beside this one into which {@link ensureMadeHere} has set data aside. */
export function setAsideBeside(directory: string): string[] {
  return namesIn(dirname(directory))
    .filter(name => name.startsWith(`${basename(directory)}${ASIDE_SUFFIX}`))
    .map(name => join(dirname(directory), name));
}
