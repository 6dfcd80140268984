/** What is known about an engine before it is opened. Code that treats engines differently asks for such a fact. */
export interface EngineFacts {
  /** Its name in `--engine`, records and events. */
  readonly name: string;
  /**
   * Where its data is. `server`: behind a URL, with a user and a password; it is shared with others, and setup files
   * run there only on request. `directory`: in a directory of qrun's own, which the setup files of a unit prepare.
   */
  readonly data: 'server' | 'directory';
  /**
   * Whether it runs inside this process. If so, its crash ends the process; it can reach what the process can (files,
   * network), has its time zone, and keeps it from exiting while a query runs.
   */
  readonly inProcess: boolean;
  /** The package that holds it, which need not be installed. */
  readonly package?: string;
  /** The most queries that it runs at once on a machine with this many cores. */
  readonly mostQueries: (cores: number) => number;
  /** Queries per core that fully use it, if they all compute on this machine. */
  readonly queriesForEachCore?: number;
  /** How many file descriptors it needs for this many queries at once, on this many servers together. */
  readonly descriptors: (queries: number, cores: number, servers?: number) => number;
}

// Per query on a server: a socket, and the unnamed file of a large result.
const EACH_ON_SERVER = 2;
// For KILL QUERY and the checks after it; the engine has no more connections for that.
const CONTROL_CONNECTIONS = 8;
// chDB, measured with 26.7 on 2 cores: 70 to 100 for itself, the first connection, its background threads and creating
// the pipes; then 16 for each heavy query: its pipe, its sockets and timers, and three files of /proc for each of its
// threads, which stay open.
const EMBEDDED_OWN = 100;
const EACH_EMBEDDED = 10;
const EACH_EMBEDDED_THREAD = 3;
// A query has a thread per core; beyond this number they are rarely all in use.
const MOST_THREADS = 8;
// Between two light queries of a permit, the main thread takes its turn: on 2 cores 970 queries a second with 4 permits,
// 1,120 with 8 and 1,220 with 16.
const MOST_EMBEDDED_FOR_EACH_CORE = 8;

/** All engines, by the names that a configuration can use. `io/engines/registry.ts` loads them. */
export const ENGINES = {
  clickhouse: {
    name: 'clickhouse',
    data: 'server',
    inProcess: false,
    mostQueries: () => Number.POSITIVE_INFINITY,
    descriptors: (queries, _cores, servers = 1) =>
      servers * Math.min(CONTROL_CONNECTIONS, queries) + EACH_ON_SERVER * queries,
  },
  embedded: {
    name: 'embedded',
    data: 'directory',
    inProcess: true,
    package: 'chdb',
    mostQueries: cores => MOST_EMBEDDED_FOR_EACH_CORE * cores,
    // With twice as many, an aggregation of 3 million keys took 20 % more CPU and twice the memory.
    queriesForEachCore: 2,
    descriptors: (queries, cores) => {
      const each = EACH_EMBEDDED + EACH_EMBEDDED_THREAD * (1 + Math.min(cores, MOST_THREADS));
      return EMBEDDED_OWN + each * queries;
    },
  },
} as const satisfies Record<string, EngineFacts>;

/** The name of an engine in a configuration. */
export type EngineName = keyof typeof ENGINES;

/** The names of all engines, as the choices of an option. */
export const ENGINE_NAMES = Object.keys(ENGINES) as [EngineName, ...EngineName[]];

/**
 * Returns the engine for a configuration that names none: a server if it has a URL, otherwise one that needs nothing.
 */
export function defaultEngine(hasUrl: boolean): EngineName {
  return hasUrl ? ENGINES.clickhouse.name : ENGINES.embedded.name;
}

/** Returns the facts of an engine. */
export function factsOf(name: EngineName): EngineFacts & { readonly name: EngineName } {
  return ENGINES[name];
}
