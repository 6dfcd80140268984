import type { EngineFacts, EngineName } from '../engines/facts.js';

/** What a machine has for jobs, as far as the sizing looks at it. */
export interface Capacity {
  /** Less than the machine's where a control group limits it; may be a fraction. */
  readonly cores: number;
  /** In all, not what is free at the moment; likewise limited. */
  readonly memoryBytes: number;
}

/** What one job takes. */
export interface JobSize {
  /** `undefined` where nobody has said it: memory is then left out of the sizing. */
  readonly memoryBytes: number | undefined;
  /** May be a fraction, for jobs that mostly wait for a server. */
  readonly cores: number;
}

/** How many jobs a machine takes at once, and what follows from which input. */
export interface Sizing {
  /** A whole number, at least 1. */
  readonly slots: number;
  /** What memory alone would allow, unrounded; `undefined` without an estimate for a job. */
  readonly byMemory: number | undefined;
  /** What the cores alone would allow, unrounded. */
  readonly byCores: number;
  /** What decided; `minimum` where not even one job fits into the margin. */
  readonly bound: 'memory' | 'cores' | 'minimum';
  readonly capacity: Capacity;
  readonly job: JobSize;
}

/** The part of a machine that jobs may take: a fifth is spare for the system, the server's caches and peaks. */
export const USABLE_SHARE = 0.8;

/**
 * `min(memory x 0.8 / memory of a job, cores x 0.8 / cores of a job)`, rounded down, and at least 1. For the slots
 * of a queue's group, whose tasks are the jobs.
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

/** What is known of the limits of whatever executes the queries; all but its facts may be unknown. */
export interface EngineLimits {
  readonly facts: Pick<EngineFacts, 'data' | 'queriesForEachCore'> & { readonly name: EngineName };
  /** `max_concurrent_queries`; 0 is no limit. */
  readonly maxQueries?: number | undefined;
  /** `concurrent_threads_soft_limit_num`; 0 is no limit. */
  readonly softThreads?: number | undefined;
  /** `concurrent_threads_soft_limit_ratio_to_cores`; 0 is no limit. */
  readonly softThreadsPerCore?: number | undefined;
  /** The default of `max_threads`: the cores that the server sees. */
  readonly maxThreads?: number | undefined;
}

/** How many queries a unit should run at once, and with how many threads each, with all inputs. */
export interface Advice {
  /** Threads of the engine for all queries together. */
  readonly threads: number;
  readonly threadsFrom: 'soft limit' | 'soft limit per core' | 'cores';
  /** Cores of the engine: the server's, where it tells, else those of this machine. */
  readonly cores: number;
  readonly coresFrom: 'server' | 'host';
  /** Units that run side by side. */
  readonly slots: number;
  /** `threads / slots`: what one unit can count on. */
  readonly threadsPerSlot: number;
  /** Queries at a time in each unit: `-P`. A whole number, at least 1. */
  readonly concurrency: number;
  /** What decided about `concurrency`. */
  readonly bound: 'threads' | 'max_concurrent_queries' | 'minimum' | EngineName;
  readonly engine: EngineLimits;
}

// ClickHouse's own default of concurrent_threads_soft_limit_ratio_to_cores (26.7).
const THREADS_PER_CORE = 2;
/**
 * The most queries that run at a time. More connections are a mistake, not a plan: file descriptors and the server's
 * limits end far below.
 */
export const MAX_CONCURRENCY = 1024;

/**
 * The recommended `-P` for units of which `slots` run side by side: one thread for each query at least, because
 * that is what a server under its soft limit still gives; four fifths of `max_concurrent_queries`, because beyond
 * it queries are refused; and no more for each core than the engine says where it works on this machine.
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
  // Another process cannot have the same data open, so that it is not shared with other units.
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

/** The `max_threads` with which so many queries in each slot share the threads evenly; at least 1. */
export function adviseMaxThreads({ threadsPerSlot }: Advice, concurrency: number): number {
  return Math.max(1, Math.floor(threadsPerSlot / concurrency));
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined;
}
