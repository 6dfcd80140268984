import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, rmdirSync } from 'node:fs';
import { platform } from 'node:os';
import { dirname, join } from 'node:path';
import { namesIn, statOf } from './paths.js';

/**
 * Whether names in a directory that differ only in case are one name, as on most disks of macOS, on FAT and NTFS, in
 * network shares, and in single directories of ext4. A directory that does not exist is like the nearest existing one
 * above it. The test uses a name that exists there; if none is suitable, it makes a directory and removes it. If that
 * is not possible, it returns what is usual on the system. Never throws.
 */
export function foldsCase(directory: string): boolean {
  const existing = nearest(directory);
  for (const name of namesIn(existing)) {
    const answer = isFolded(existing, name);
    if (answer !== undefined) return answer;
  }
  const name = `.qrun-Case-${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(join(existing, name));
    try {
      return isFolded(existing, name) === true;
    } finally {
      rmdirSync(join(existing, name));
    }
  } catch {
    return platform() === 'darwin';
  }
}

function nearest(directory: string): string {
  for (let at = directory; ; at = dirname(at)) {
    if (statOf(at)?.isDirectory() || at === dirname(at)) return at;
  }
}

/** Whether a name leads to the same file with its case swapped; `undefined` if that name cannot tell. */
function isFolded(directory: string, name: string): boolean | undefined {
  const swapped = name.replace(/[a-z]/gi, letter =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
  const one = statOf(join(directory, name), lstatSync);
  if (swapped === name || one === undefined) return undefined;
  const other = statOf(join(directory, swapped), lstatSync);
  // Two names with one inode are one file. A disk that ignores case cannot list both of them.
  const isSame = other?.ino === one.ino && other.dev === one.dev;
  return isSame && !namesIn(directory).includes(swapped);
}
