import { accessSync, constants, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { localDisk, reasonOf } from './log-file.js';

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
