import { accessSync, constants, readlinkSync, realpathSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isMissing, reasonOf } from '../files/failures.js';
import { localDisk } from './disk.js';

// The number that Linux follows.
const MAX_LINKS = 40;

/**
 * Returns the one real name of a log, whatever links the given path goes through. The lease, the lock and the sidecar
 * are named after it, so that two names of one file count as one unit. A log that does not exist yet gets the name
 * that it will have. A path that cannot be followed is not resolved further; whoever opens it reports why. Hard links
 * have no single name; a run refuses them.
 */
export function realLogPath(path: string): string {
  let at = path;
  for (let links = 0; links < MAX_LINKS; links += 1) {
    try {
      return realpathSync.native(at);
    } catch (error) {
      if (!isMissing(error) || dirname(at) === at) return at;
    }
    const directory = realLogPath(dirname(at));
    try {
      at = resolve(directory, readlinkSync(at));
    } catch {
      return join(directory, basename(at));
    }
  }
  return path;
}

/**
 * Tells whether logs can be written in a directory, and what kind of disk it is on. A directory that does not exist
 * is judged by the nearest existing one above it. Creates and changes nothing, and never rejects.
 */
export async function lookAtLogPlace(path: string): Promise<{
  readonly path: string;
  /** Why nothing can be written there; `undefined` if it can. */
  readonly unwritable: string | undefined;
  /** Space available to an ordinary user; `undefined` if the system does not tell. */
  readonly freeBytes: number | undefined;
  readonly network: boolean;
}> {
  const unknown = { path, unwritable: undefined, freeBytes: undefined, network: false };
  let existing = path;
  try {
    while (statSync(existing, { throwIfNoEntry: false }) === undefined) existing = dirname(existing);
    if (!statSync(existing).isDirectory()) {
      return { ...unknown, unwritable: `${existing} is not a directory` };
    }
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    return { ...unknown, unwritable: reasonOf(error) };
  }
  try {
    const { bavail, bsize } = await statfs(existing);
    return { ...unknown, freeBytes: bavail * bsize, network: await localDisk.isNetwork(existing) };
  } catch {
    return unknown;
  }
}
