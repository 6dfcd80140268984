/** The file descriptors of a process, and who will need them. */
export interface DescriptorFacts {
  /** How many it may have. */
  readonly limit: number;
  /** How many it has. */
  readonly open: number;
  readonly engine: 'clickhouse' | 'embedded';
  readonly cores: number;
}

// Log, lock, lease, journal, events, a query file, and what is open for a moment (a directory that is synced, git).
const OWN = 9;
// A server: a socket, and the unnamed file of a large result.
const EACH_ON_SERVER = 2;
// For KILL QUERY and the looks behind it; the engine has no more connections for that.
const CONTROL_CONNECTIONS = 8;
// chDB, measured with 26.7 on 2 cores: 70 to 100 for itself, the first connection, its background threads and making the
// pipes, then 16 for each heavy query: its pipe, its sockets and timers, and three files of /proc for each of its
// threads, which stay open.
const EMBEDDED_OWN = 100;
const EACH_EMBEDDED = 10;
const EACH_EMBEDDED_THREAD = 3;
// A query has a thread for each core; beyond so many they are rarely all in use.
const MOST_THREADS = 8;

/** How many file descriptors a process must be allowed to have to run so many queries at once. */
export function descriptorsNeeded({ open, engine, cores }: DescriptorFacts, concurrency: number): number {
  if (engine === 'clickhouse') {
    return open + OWN + Math.min(CONTROL_CONNECTIONS, concurrency) + EACH_ON_SERVER * concurrency;
  }
  const each = EACH_EMBEDDED + EACH_EMBEDDED_THREAD * (1 + Math.min(cores, MOST_THREADS));
  return open + EMBEDDED_OWN + each * concurrency;
}

/** How many queries at once the file descriptors are enough for, up to `concurrency`; 0 for none. */
export function concurrencyFor(facts: DescriptorFacts, concurrency: number): number {
  let fits = concurrency;
  while (fits > 0 && descriptorsNeeded(facts, fits) > facts.limit) fits -= 1;
  return fits;
}

/** What a process has free that is not short of descriptors: a query that needs more than these needs too many. */
export const AMPLE_DESCRIPTORS = 64;
