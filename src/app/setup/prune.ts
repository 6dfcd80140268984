import type { FindLeftovers, Leftover } from '../../io/log/leftovers.js';

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
}

/**
 * Finds the leftovers of all kinds and, if requested, removes those that nothing needs. What is in use is never
 * removed. One that cannot be removed does not stop the removal of the others.
 */
export async function prune(
  kinds: readonly FindLeftovers[],
  { remove, all }: PruneRequest,
): Promise<Pruned[]> {
  const pruned: Pruned[] = [];
  for (const find of kinds) {
    for (const leftover of await find()) pruned.push(await pruneOne(leftover, remove, all));
  }
  return pruned;
}

async function pruneOne(leftover: Leftover, remove: boolean, all: boolean): Promise<Pruned> {
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
