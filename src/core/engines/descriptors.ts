import type { EngineFacts } from './facts.js';

/** The file descriptors of a process, and what needs more of them. */
export interface DescriptorFacts {
  /** How many it may have. */
  readonly limit: number;
  /** How many it has. */
  readonly open: number;
  readonly engine: Pick<EngineFacts, 'descriptors'>;
  readonly cores: number;
  /** How many servers run the queries; 1 if omitted. */
  readonly servers?: number;
}

// Log, lock, lease, journal, events, a query file, and what is open only briefly (a directory that is synced, git).
const OWN = 9;

/** Returns how many file descriptors a process must be allowed in order to run this many queries at once. */
export function descriptorsNeeded(
  { open, engine, cores, servers }: DescriptorFacts,
  concurrency: number,
): number {
  return open + OWN + engine.descriptors(concurrency, cores, servers);
}

/** Returns how many queries at once the file descriptors suffice for, up to `concurrency`; 0 if not even for one. */
export function concurrencyFor(facts: DescriptorFacts, concurrency: number): number {
  let fits = concurrency;
  while (fits > 0 && descriptorsNeeded(facts, fits) > facts.limit) fits -= 1;
  return fits;
}

/** The free descriptors of a process that is not short of them. A query that needs more than these needs too many. */
export const AMPLE_DESCRIPTORS = 64;
