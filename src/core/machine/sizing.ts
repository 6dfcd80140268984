import type { EngineFacts, EngineName } from '../engines/facts.js';

/** What a machine has for jobs, as far as sizing considers it. */
export interface Capacity {
  /** Less than the machine's if a control group limits it; may be a fraction. */
  readonly cores: number;
  /** The total, not what is currently free; limited by a control group too. */
  readonly memoryBytes: number;
}

/** What one job takes. */
export interface JobSize {
  /** `undefined` if nobody has specified it; sizing then ignores memory. */
  readonly memoryBytes: number | undefined;
  /** May be a fraction, for jobs that mostly wait for a server. */
  readonly cores: number;
}

/** How many jobs a machine can take at once, and what follows from which input. */
export interface Sizing {
  /** A whole number, at least 1. */
  readonly slots: number;
  /** What memory alone would allow, unrounded; `undefined` without an estimate for a job. */
  readonly byMemory: number | undefined;
  /** What the cores alone would allow, unrounded. */
  readonly byCores: number;
  /** What decided; `minimum` if not even one job fits into the margin. */
  readonly bound: 'memory' | 'cores' | 'minimum';
  readonly capacity: Capacity;
  readonly job: JobSize;
}

/** The share of a machine that jobs may take; a fifth is left for the system, the server's caches and peaks. */
export const USABLE_SHARE = 0.8;

/**
 * Returns `min(memory x 0.8 / memory of a job, cores x 0.8 / cores of a job)`, rounded down, and at least 1: the
 * slots of a queue's group whose tasks are the jobs.
 */
export function sizeSlots(capacity: Capacity, job: JobSize): Sizing {
  const byCores = (capacity.cores * USABLE_SHARE) / job.cores;
  const byMemory =
    job.memoryBytes === undefined ? undefined : (capacity.memoryBytes * USABLE_SHARE) / job.memoryBytes;
  const least = Math.min(byCores, byMemory ?? Number.POSITIVE_INFINITY);
  const slots = Math.max(1, Math.floor(least));
  const bound = least < 1 ? 'minimum' : byMemory !== undefined && byMemory < byCores ? 'memory' : 'cores';
  return { slots, byMemory, byCores, bound, capacity, job };
}

/** The known limits of whatever executes the queries; everything but its facts may be unknown. */
export interface EngineLimits {
  readonly facts: Pick<EngineFacts, 'data' | 'queriesForEachCore'> & { readonly name: EngineName };
  /** `max_concurrent_queries`; 0 means no limit. */
  readonly maxQueries?: number | undefined;
  /** `concurrent_threads_soft_limit_num`; 0 means no limit. */
  readonly softThreads?: number | undefined;
  /** `concurrent_threads_soft_limit_ratio_to_cores`; 0 means no limit. */
  readonly softThreadsPerCore?: number | undefined;
  /** The default of `max_threads`: the cores that the server sees. */
  readonly maxThreads?: number | undefined;
}

/** How many queries a unit should run at once, and with how many threads each, including all inputs. */
export interface Advice {
  /** Threads of the engine for all queries together. */
  readonly threads: number;
  readonly threadsFrom: 'soft limit' | 'soft limit per core' | 'cores';
  /** Cores of the engine: those of the server if it reports them, otherwise those of this machine. */
  readonly cores: number;
  readonly coresFrom: 'server' | 'host';
  /** Units that run at the same time. */
  readonly slots: number;
  /** `threads / slots`: what one unit can count on. */
  readonly threadsPerSlot: number;
  /** Queries at a time in each unit: `-P`. A whole number, at least 1. */
  readonly concurrency: number;
  /** With several servers: the advice for each, of which this is the sum. */
  readonly of?: readonly Advice[];
  /** What limited `concurrency`. */
  readonly bound: 'threads' | 'max_concurrent_queries' | 'minimum' | EngineName;
  readonly engine: EngineLimits;
}

// ClickHouse's own default of concurrent_threads_soft_limit_ratio_to_cores (26.7).
const THREADS_PER_CORE = 2;
/**
 * The most queries that run at a time. More connections are a mistake, not a plan: file descriptors and the limits of
 * the server run out far below this.
 */
export const MAX_CONCURRENCY = 1024;

/**
 * Returns the recommended `-P` for units of which `slots` run at the same time. It allows at least one thread for each
 * query, because a server at its soft limit still gives that, and four fifths of `max_concurrent_queries`, because
 * queries beyond that are refused. For an engine that works on this machine, its own limit per core applies too.
 */
export function adviseConcurrency(hostCores: number, engine: EngineLimits, slots: number): Advice {
  const { name, data, queriesForEachCore } = engine.facts;
  const told = data === 'server' ? positive(engine.maxThreads) : undefined;
  const cores = told ?? hostCores;
  const num = positive(engine.softThreads);
  const ratio = positive(engine.softThreadsPerCore);
  const threads = num ?? cores * (ratio ?? THREADS_PER_CORE);
  const threadsPerSlot = threads / slots;
  const bounds: [Advice['bound'], number][] = [['threads', threadsPerSlot]];
  const maxQueries = positive(engine.maxQueries);
  if (maxQueries !== undefined) bounds.push(['max_concurrent_queries', (maxQueries * USABLE_SHARE) / slots]);
  // No other process can have the same data open, so it is not shared with other units.
  if (queriesForEachCore !== undefined) bounds.push([name, hostCores * queriesForEachCore]);
  const [bound, least] = bounds.reduce((a, b) => (b[1] < a[1] ? b : a));
  return {
    threads,
    threadsFrom: num !== undefined ? 'soft limit' : ratio !== undefined ? 'soft limit per core' : 'cores',
    cores,
    coresFrom: told === undefined ? 'host' : 'server',
    slots,
    threadsPerSlot,
    concurrency: Math.min(MAX_CONCURRENCY, Math.max(1, Math.floor(least))),
    bound: least < 1 ? 'minimum' : bound,
    engine,
  };
}

/**
 * Returns the recommendation for servers that share the queries: that of {@link adviseConcurrency} for one, the sum for
 * several. Each is taken to be a machine of its own.
 */
export function adviseServers(
  hostCores: number,
  engines: readonly [EngineLimits, ...EngineLimits[]],
  slots: number,
): Advice {
  const [first, ...others] = engines.map(engine => adviseConcurrency(hostCores, engine, slots)) as [
    Advice,
    ...Advice[],
  ];
  if (others.length === 0) return first;
  const of = [first, ...others];
  const sum = (figure: (advice: Advice) => number): number =>
    of.reduce((total, one) => total + figure(one), 0);
  return {
    ...first,
    threads: sum(({ threads }) => threads),
    cores: sum(({ cores }) => cores),
    threadsPerSlot: sum(({ threadsPerSlot }) => threadsPerSlot),
    concurrency: Math.min(
      MAX_CONCURRENCY,
      sum(({ concurrency }) => concurrency),
    ),
    of,
  };
}

/** Returns the `max_threads` with which this many queries in each slot share the threads evenly; at least 1. */
export function adviseMaxThreads({ threadsPerSlot }: Advice, concurrency: number): number {
  return Math.max(1, Math.floor(threadsPerSlot / concurrency));
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined;
}
