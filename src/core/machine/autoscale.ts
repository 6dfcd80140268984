/** A group of a queue as the autoscaler sees it. */
export interface GroupLoad {
  readonly name: string;
  /** How many of its tasks run at a time; 0 means no limit. */
  readonly slots: number;
  readonly paused: boolean;
  /** Tasks that wait for a slot. */
  readonly queued: number;
  readonly running: number;
}

/** How busy the machine is. */
export interface HostLoad {
  /** 0 to 100, over all cores that may be used. */
  readonly cpuPercent: number;
  /** 0 to 100: the share that is not available. */
  readonly memoryPercent: number;
  readonly memoryAvailableBytes: number;
}

/** The numbers of slots between which the autoscaler moves. */
export interface ScaleLimits {
  /** Slots of a group; at least 1. */
  readonly min: number;
  /** Slots of a group. */
  readonly max: number;
  /** Slots of all groups with tasks together: what the machine can take; infinite if only `max` counts. */
  readonly total: number;
  readonly memoryPerJobBytes: number | undefined;
}

/** The reason for a decision. */
export type ScaleReason = (typeof SCALE_REASONS)[number];

/** All reasons. */
export const SCALE_REASONS = [
  'idle',
  'busy',
  'between',
  'paused',
  'nothing queued',
  'slots free',
  'at min',
  'at max',
  'machine full',
  'does not fit',
  'above max',
  'below min',
  'settling',
] as const;

/** What is done about one group. */
export interface ScaleDecision {
  readonly group: GroupLoad;
  readonly from: number;
  readonly to: number;
  readonly reason: ScaleReason;
  /** What is available to a further job of this group, less what other groups were given in the same round. */
  readonly memoryAvailableBytes: number;
}

/** Below both of these there is room for one more job. In percent. */
export const IDLE = { cpu: 40, memory: 60 } as const;
/** Above either of these there is one job too many. In percent. */
export const BUSY = { cpu: 80, memory: 80 } as const;

/**
 * Returns one round of decisions, at most one slot for each group: up when CPU < 40 % and memory < 60 %, down when
 * CPU > 80 % or memory > 80 %, otherwise no change. Never up while a slot of the group is free, when a job's memory
 * does not fit into what is available, above `max`, or when all groups together have `total` slots; never down below
 * `min`. Paused groups and groups with nothing queued do not change. `mayGrow` says whether a group may go up in this
 * round. A group without a limit gets `max`.
 */
export function decideSlots(
  groups: readonly GroupLoad[],
  host: HostLoad,
  limits: ScaleLimits,
  mayGrow: (group: string) => boolean = () => true,
): ScaleDecision[] {
  let memoryAvailableBytes = host.memoryAvailableBytes;
  let total = groups.reduce((sum, { slots, queued, running }) => sum + (queued + running > 0 ? slots : 0), 0);
  return groups.map(group => {
    const { to, reason } = decideOne(group, { ...host, memoryAvailableBytes }, limits, {
      total,
      mayGrow: mayGrow(group.name),
    });
    const decision = { group, from: group.slots, to, reason, memoryAvailableBytes };
    total += to - group.slots;
    // The job that will take the new slot has not started yet, and other groups must not count on the same memory.
    if (reason === 'idle') memoryAvailableBytes -= limits.memoryPerJobBytes ?? 0;
    return decision;
  });
}

function decideOne(
  { slots, paused, queued, running }: GroupLoad,
  { cpuPercent, memoryPercent, memoryAvailableBytes }: HostLoad,
  { min, max, total: most, memoryPerJobBytes }: ScaleLimits,
  { total, mayGrow }: { readonly total: number; readonly mayGrow: boolean },
): { to: number; reason: ScaleReason } {
  const stay = (reason: ScaleReason) => ({ to: slots, reason });
  if (paused) return stay('paused');
  if (queued === 0) return stay('nothing queued');
  if (slots === 0) return { to: max, reason: 'above max' };
  if (slots > max) return { to: slots - 1, reason: 'above max' };
  if (slots < min) return { to: slots + 1, reason: 'below min' };
  if (cpuPercent > BUSY.cpu || memoryPercent > BUSY.memory) {
    return slots > min ? { to: slots - 1, reason: 'busy' } : stay('at min');
  }
  if (cpuPercent >= IDLE.cpu || memoryPercent >= IDLE.memory) return stay('between');
  if (slots === max) return stay('at max');
  if (!mayGrow) return stay('settling');
  if (running < slots) return stay('slots free');
  if (total >= most) return stay('machine full');
  if (memoryPerJobBytes !== undefined && memoryPerJobBytes > memoryAvailableBytes)
    return stay('does not fit');
  return { to: slots + 1, reason: 'idle' };
}

/** What is checked while a change is watched. */
export interface WatchReading {
  /** Mean number of processes that run or want to run, over a minute. */
  readonly load1: number;
  readonly cores: number;
  /** Pages written to or read from swap since the last reading; `undefined` if the system does not report it. */
  readonly swapPages: number | undefined;
  /** Queries that failed while they ran, since the change; `undefined` if no query log can be read. */
  readonly exceptions: number | undefined;
}

/** How long a change is watched, and how long a group then stays unchanged after a step back. */
export const WATCH_MS = 5 * 60_000;
/** The share of the cores that the load must stay below. */
export const LOAD_SHARE = 0.9;

/** Returns what a reading shows against the last change, in words; empty if nothing. */
export function watchViolations({ load1, cores, swapPages, exceptions }: WatchReading): string[] {
  const found: string[] = [];
  if (load1 >= LOAD_SHARE * cores) {
    found.push(
      `load ${load1.toFixed(1)} (must be < ${(LOAD_SHARE * cores).toFixed(1)}: 0.9 x ${cores} cores)`,
    );
  }
  if (swapPages !== undefined && swapPages > 0)
    found.push(`${swapPages} ${swapPages === 1 ? 'page' : 'pages'} moved to or from swap`);
  if (exceptions !== undefined && exceptions > 0) {
    found.push(`${exceptions} ${exceptions === 1 ? 'query' : 'queries'} failed while running`);
  }
  return found;
}
