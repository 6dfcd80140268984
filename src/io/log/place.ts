import { accessSync, constants, readlinkSync, realpathSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isMissing, reasonOf } from '../files/failures.js';
import { localDisk } from './disk.js';

// As many as Linux follows.
const MAX_LINKS = 40;

/**
 * The one name of a log, by whatever links it was named: its lease, its lock and its sidecar are called after it, so that
 * two names of one file are one unit at work. A log that does not exist yet has the name that it will have. What cannot
 * be followed stays as it is, for whoever opens it to say why. Only hard links have no one name; a run refuses them.
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
 * Whether logs can be written in a directory, and what kind of disk that is; a directory that does not exist is
 * judged by the nearest one above it that does. Makes and changes nothing, and never rejects.
 */
export async function lookAtLogPlace(path: string): Promise<{
  readonly path: string;
  /** Why nothing can be written there; `undefined` when it can. */
  readonly unwritable: string | undefined;
  /** What an ordinary user may still use; `undefined` when the system does not tell. */
  readonly freeBytes: number | undefined;
  readonly network: boolean;
}> {
  let existing = path;
  try {
    while (statSync(existing, { throwIfNoEntry: false }) === undefined) existing = dirname(existing);
    if (!statSync(existing).isDirectory()) {
      return { path, unwritable: `${existing} is not a directory`, freeBytes: undefined, network: false };
    }
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    return { path, unwritable: reasonOf(error), freeBytes: undefined, network: false };
  }
  try {
    const { bavail, bsize } = await statfs(existing);
    return {
      path,
      unwritable: undefined,
      freeBytes: bavail * bsize,
      network: await localDisk.isNetwork(existing),
    };
  } catch {
    return { path, unwritable: undefined, freeBytes: undefined, network: false };
  }
}
