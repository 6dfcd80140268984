/** What is known of an engine before it is opened. Whoever treats engines differently asks for one of these facts. */
export interface EngineFacts {
  /** As `--engine`, records and events name it. */
  readonly name: string;
  /**
   * Where its data is. `server`: behind a URL, with a user and a password; it is shared with others, and setup files run
   * there only when asked for. `directory`: in a directory of qrun's, which the setup files of a unit prepare.
   */
  readonly data: 'server' | 'directory';
  /**
   * It runs inside this process: it takes the process along when it crashes, reaches what the process reaches (files,
   * network), has its time zone, and keeps it from exiting while a query runs.
   */
  readonly inProcess: boolean;
  /** The most queries that it runs at once on a machine with so many cores. */
  readonly mostQueries: (cores: number) => number;
  /** Queries for each core that use all of it, where they all compute on this machine. */
  readonly queriesForEachCore?: number;
  /** How many file descriptors it needs for so many queries at once. */
  readonly descriptors: (queries: number, cores: number) => number;
}

// Of the server's: a socket, and the unnamed file of a large result.
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
// Between two light queries of a slot the main thread has its turn: on 2 cores 970 queries a second with 4 slots,
// 1,120 with 8 and 1,220 with 16.
const MOST_EMBEDDED_FOR_EACH_CORE = 8;

/** All engines, by the names that a configuration can give. `io/engines/registry.ts` loads them. */
export const ENGINES = {
  clickhouse: {
    name: 'clickhouse',
    data: 'server',
    inProcess: false,
    mostQueries: () => Number.POSITIVE_INFINITY,
    descriptors: queries => Math.min(CONTROL_CONNECTIONS, queries) + EACH_ON_SERVER * queries,
  },
  embedded: {
    name: 'embedded',
    data: 'directory',
    inProcess: true,
    mostQueries: cores => MOST_EMBEDDED_FOR_EACH_CORE * cores,
    // With twice as many an aggregation of 3 million keys took 20 % more CPU and twice the memory.
    queriesForEachCore: 2,
    descriptors: (queries, cores) => {
      const each = EACH_EMBEDDED + EACH_EMBEDDED_THREAD * (1 + Math.min(cores, MOST_THREADS));
      return EMBEDDED_OWN + each * queries;
    },
  },
} as const satisfies Record<string, EngineFacts>;

/** The name of an engine in a configuration. */
export type EngineName = keyof typeof ENGINES;

/** All of them, for a choice. */
export const ENGINE_NAMES = Object.keys(ENGINES) as [EngineName, ...EngineName[]];

/** The engine of a configuration that names none: a server where it has a URL, else one that needs nothing. */
export function defaultEngine(hasUrl: boolean): EngineName {
  return hasUrl ? ENGINES.clickhouse.name : ENGINES.embedded.name;
}

/** The facts of an engine. */
export function factsOf(name: EngineName): EngineFacts & { readonly name: EngineName } {
  return ENGINES[name];
}
