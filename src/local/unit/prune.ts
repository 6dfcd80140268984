import { join, resolve } from 'node:path';
import { type Pruned, type PruneRequest, prune } from '../../app/setup/prune.js';
import { chainOf } from '../../app/setup/setup.js';
import { type ChainFile, type DataNote, sameChain } from '../../core/engines/data-note.js';
import { findData, findOldData } from '../../io/engines/embedded/data/leftovers.js';
import { findSqlDirectories } from '../../io/unit/sweep-files.js';
import { statOf } from '../../io/unit/unit-files.js';
import { type Surroundings, sweepContext } from '../config/sweep-context.js';
import { engineVersion } from './open-engine.js';
import { chainAt, type ReadSetups } from './setup-files.js';

/**
 * Finds what qrun keeps beneath the root that a directory belongs to and nothing needs any more, and removes it if
 * requested. `trust`: whether the tree is trusted, whatever it says.
 *
 * Errors: QrunError `CONFIG`.
 */
export async function pruneBeneath(
  directory: string,
  { trust, ...request }: PruneRequest & { readonly trust: boolean },
  surroundings: Surroundings,
): Promise<{ readonly root: string; readonly pruned: readonly Pruned[] }> {
  const path = resolve(surroundings.cwd, directory);
  // Where qrun keeps something, even if no configuration and no unit says that it is a root.
  const isKept = statOf(join(path, '.qrun'))?.isDirectory() === true;
  const root = isKept ? path : sweepContext(directory, { trust }, surroundings).root;
  const store = join(root, '.qrun', 'data');
  const pruned = await prune(
    [() => findData(store, currentData(root)), () => findOldData(store, join(root, '.qrun', 'data-of'))],
    request,
  );
  return { root, pruned };
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
