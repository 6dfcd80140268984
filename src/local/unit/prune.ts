import { join, resolve } from 'node:path';
import { chainOf } from '../../app/setup/setup.js';
import { type ChainFile, type DataNote, sameChain } from '../../core/engines/data-note.js';
import { findData, findOldData } from '../../io/engines/embedded/data/leftovers.js';
import { statOf } from '../../io/files/paths.js';
import type { Leftover } from '../../io/log/leftovers.js';
import { findSqlDirectories } from '../../io/unit/sweep-files.js';
import { type Surroundings, sweepContext } from '../config/sweep-context.js';
import { engineVersion } from './open-engine.js';
import { chainAt, type ReadSetups } from './setup-files.js';

/** A leftover, and what happened to it. */
export interface Pruned {
  readonly leftover: Leftover;
  /** `kept`: it was not to be removed. */
  readonly fate: 'kept' | 'would be removed' | 'removed' | 'in use' | 'failed';
  /** Who uses it, or why it could not be removed. */
  readonly why?: string;
}

/** What is to be removed, and whether it is. */
export interface PruneRequest {
  readonly remove: boolean;
  /** Also what a run would use. */
  readonly all: boolean;
  /** Whether the tree is trusted, whatever it says. */
  readonly trust: boolean;
}

/**
 * Finds what qrun keeps beneath the root that a directory belongs to and nothing needs any more, and removes it if
 * requested. What is in use is never removed. One thing that cannot be removed does not stop the removal of the others.
 *
 * Errors: QrunError `CONFIG`.
 */
export async function pruneBeneath(
  directory: string,
  request: PruneRequest,
  surroundings: Surroundings,
): Promise<{ readonly root: string; readonly pruned: readonly Pruned[] }> {
  const path = resolve(surroundings.cwd, directory);
  // Where qrun keeps something, even if no configuration and no unit says that it is a root.
  const isKept = statOf(join(path, '.qrun'))?.isDirectory() === true;
  const root = isKept ? path : sweepContext(directory, { trust: request.trust }, surroundings).root;
  const store = join(root, '.qrun', 'data');
  const pruned: Pruned[] = [];
  for (const leftover of await findData(store, currentData(root))) {
    pruned.push(await pruneOne(leftover, request));
  }
  for (const leftover of await findOldData(store, join(root, '.qrun', 'data-of'))) {
    pruned.push(await pruneOne(leftover, request));
  }
  return { root, pruned };
}

async function pruneOne(leftover: Leftover, { remove, all }: PruneRequest): Promise<Pruned> {
  const { state, holder } = leftover;
  if (state === 'in use')
    return { leftover, fate: 'in use', ...(holder === undefined ? {} : { why: holder }) };
  if (state === 'current' && !all) return { leftover, fate: 'kept' };
  if (!remove) return { leftover, fate: 'would be removed' };
  try {
    const user = await leftover.remove();
    return user === undefined ? { leftover, fate: 'removed' } : { leftover, fate: 'in use', why: user };
  } catch (error) {
    return { leftover, fate: 'failed', why: (error as Error).message };
  }
}

// Data is used again when some directory beneath the root has its chain, whatever the settings of a run are.
function currentData(root: string): (note: DataNote | undefined, logs: readonly string[]) => boolean {
  let chains: ChainFile[][] | undefined;
  const version = engineVersion();
  return (note, logs) => {
    // Data that the queries of a unit made without any setup is needed as long as its log exists.
    if (note === undefined) return logs.some(log => statOf(log) !== undefined);
    chains ??= chainsBeneath(root);
    return note.engine === version && chains.some(chain => sameChain(chain, note.chain));
  };
}

function chainsBeneath(root: string): ChainFile[][] {
  const read: ReadSetups = new Map();
  // Only looked at: nothing of it is sent anywhere.
  return findSqlDirectories(root, root, null).flatMap(({ path }) => {
    try {
      return [chainOf(chainAt({ directory: join(root, path), root, linksWithin: null }, read))];
    } catch {
      // A setup file that cannot be read or parsed has made no data.
      return [];
    }
  });
}
