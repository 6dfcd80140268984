import type { EngineFacts } from './facts.js';

/** The file descriptors of a process, and who will need them. */
export interface DescriptorFacts {
  /** How many it may have. */
  readonly limit: number;
  /** How many it has. */
  readonly open: number;
  readonly engine: Pick<EngineFacts, 'descriptors'>;
  readonly cores: number;
}

// Log, lock, lease, journal, events, a query file, and what is open for a moment (a directory that is synced, git).
const OWN = 9;

/** How many file descriptors a process must be allowed to have to run so many queries at once. */
export function descriptorsNeeded({ open, engine, cores }: DescriptorFacts, concurrency: number): number {
  return open + OWN + engine.descriptors(concurrency, cores);
}

/** How many queries at once the file descriptors are enough for, up to `concurrency`; 0 for none. */
export function concurrencyFor(facts: DescriptorFacts, concurrency: number): number {
  let fits = concurrency;
  while (fits > 0 && descriptorsNeeded(facts, fits) > facts.limit) fits -= 1;
  return fits;
}

/** What a process has free that is not short of descriptors: a query that needs more than these needs too many. */
export const AMPLE_DESCRIPTORS = 64;
