import { availableParallelism, cpus, freemem, loadavg, totalmem } from 'node:os';
import { join, posix } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CgroupPlace, cgroupPlace, counterIn, memoryLimit, readText } from './cgroup.js';
import { openFilesLimit } from './descriptors.js';

/** The state of a machine at one moment, with the limits that control groups set for this process. */
export interface HostFacts {
  /** Cores that may be used: {@link coresOnline}, or fewer because of a quota; may be a fraction. */
  readonly cores: number;
  /** Cores on which the system lets this process run. */
  readonly coresOnline: number;
  /** CPU seconds per second that the control group may use; `undefined` without a quota. */
  readonly coresQuota: number | undefined;
  /** The memory of the machine, or less if a control group limits it. */
  readonly memoryBytes: number;
  readonly machineMemoryBytes: number;
  /** The lowest limit of the control groups above this process; `undefined` without one. */
  readonly memoryLimitBytes: number | undefined;
  /** Memory available without swapping: the minimum over the machine and every limit. */
  readonly memoryAvailableBytes: number;
  /** 0 to 100: the share that is not available, on the machine or within a limit, whichever is more. */
  readonly memoryPercent: number;
  readonly swapBytes: number | undefined;
  readonly swapUsedBytes: number | undefined;
  readonly load1: number;
  /** 0 to 100, over {@link windowMs}: the share of the machine, or of the group's quota, whichever is more. */
  readonly cpuPercent: number;
  /** Pages swapped over {@link windowMs}; `undefined` if the system does not tell. */
  readonly swapPages: { readonly in: number; readonly out: number } | undefined;
  /** Time over which CPU and swap were measured, milliseconds. */
  readonly windowMs: number;
  /** The soft limit of open files for a process; `undefined` if it is unlimited or unknown. */
  readonly openFiles: number | undefined;
  /** Descriptions of what this system does not tell. */
  readonly unknown: readonly string[];
}

/** What can be read of a machine at once, without measuring over a time. */
export interface HostMoment
  extends Pick<
    HostFacts,
    'coresOnline' | 'load1' | 'memoryBytes' | 'memoryAvailableBytes' | 'swapUsedBytes'
  > {
  /** Pages swapped in and out since the machine was started; `undefined` if the system does not tell. */
  readonly swapPages: number | undefined;
}

/** Where and how the facts of a machine are read; all of it is for tests. */
export interface HostOptions {
  /** The directory with /proc and the mounts of control groups. */
  readonly root?: string;
  /** Cores on which this process may run. */
  readonly coresOnline?: number;
  readonly monotonicMs?: () => number;
  readonly delay?: (ms: number, signal: AbortSignal | undefined) => Promise<unknown>;
}

// Long enough for some hundred ticks of the kernel's clock on two cores, short enough to wait for.
const FIRST_WINDOW_MS = 500;

/**
 * Reads the state of the machine. CPU and swap are measured from one reading to the next; the first reading takes half
 * a second to measure them. On Linux everything comes from /proc and control groups (version 2, 1 or both). Elsewhere
 * (macOS) it comes from Node, and `unknown` names what Node does not tell.
 */
export class HostMeter {
  readonly #root: string;
  readonly #coresOnline: number;
  readonly #now: () => number;
  readonly #delay: NonNullable<HostOptions['delay']>;
  #last: Counters | undefined;

  constructor(options: HostOptions = {}) {
    this.#root = options.root ?? '/';
    this.#coresOnline = options.coresOnline ?? availableParallelism();
    this.#now = options.monotonicMs ?? (() => performance.now());
    this.#delay = options.delay ?? ((ms, signal) => delay(ms, undefined, signal ? { signal } : {}));
  }

  /** The state of the machine now. Rejects only if `signal` aborts the wait of the first reading. */
  async read(signal?: AbortSignal): Promise<HostFacts> {
    const groups = this.#groups();
    let before = this.#last;
    if (before === undefined) {
      before = this.#counters(groups.cpu);
      await this.#delay(FIRST_WINDOW_MS, signal);
    }
    const after = this.#counters(groups.cpu);
    this.#last = after;
    const windowMs = after.atMs - before.atMs;
    const { cores, coresQuota } = this.#cores(groups.cpu);
    const ofMachine = share(after.busy - before.busy, after.total - before.total);
    const ofQuota =
      coresQuota === undefined || after.groupMs === undefined || before.groupMs === undefined
        ? 0
        : share(after.groupMs - before.groupMs, windowMs * coresQuota);
    const unknown: string[] = [];
    const swapPages =
      after.swap === undefined || before.swap === undefined
        ? undefined
        : { in: after.swap.in - before.swap.in, out: after.swap.out - before.swap.out };
    if (swapPages === undefined) unknown.push('swap activity');
    const openFiles = openFilesLimit(this.#text('proc/self/limits'));
    if (openFiles === undefined) unknown.push('the limit of open files');
    return {
      cores,
      coresOnline: this.#coresOnline,
      coresQuota,
      ...this.#memory(groups.memory, unknown),
      load1: this.#load(),
      cpuPercent: Math.max(ofMachine, ofQuota),
      swapPages,
      windowMs,
      openFiles: typeof openFiles === 'number' ? openFiles : undefined,
      unknown,
    };
  }

  /** Load, memory and the counter of swapped pages, at once. */
  moment(): HostMoment {
    const { memory } = this.#groups();
    const { memoryBytes, memoryAvailableBytes, swapUsedBytes } = this.#memory(memory, []);
    const swap = swapCounters(this.#text('proc/vmstat'));
    return {
      coresOnline: this.#coresOnline,
      load1: this.#load(),
      memoryBytes,
      memoryAvailableBytes,
      swapUsedBytes,
      swapPages: swap === undefined ? undefined : swap.in + swap.out,
    };
  }

  /** Cores and memory alone, at once. */
  capacity(): Pick<HostFacts, 'cores' | 'memoryBytes'> {
    const groups = this.#groups();
    const { cores } = this.#cores(groups.cpu);
    return { cores, memoryBytes: this.#memory(groups.memory, []).memoryBytes };
  }

  #cores(group: CgroupPlace | undefined): Pick<HostFacts, 'cores' | 'coresQuota'> {
    const coresQuota = group === undefined ? undefined : cpuQuota(this.#root, group);
    return { cores: Math.min(this.#coresOnline, coresQuota ?? Number.POSITIVE_INFINITY), coresQuota };
  }

  #text(path: string): string | undefined {
    return readText(join(this.#root, path));
  }

  #groups(): { memory: CgroupPlace | undefined; cpu: CgroupPlace | undefined } {
    const membership = this.#text('proc/self/cgroup') ?? '';
    const mounts = this.#text('proc/self/mountinfo') ?? '';
    return {
      memory: cgroupPlace('memory', membership, mounts),
      cpu: cgroupPlace('cpu', membership, mounts),
    };
  }

  #counters(group: CgroupPlace | undefined): Counters {
    const { busy, total } = cpuTimes(this.#text('proc/stat'));
    return {
      atMs: this.#now(),
      busy,
      total,
      groupMs: group === undefined ? undefined : groupCpuMs(this.#root, group),
      swap: swapCounters(this.#text('proc/vmstat')),
    };
  }

  #load(): number {
    const load = Number(this.#text('proc/loadavg')?.split(' ')[0] ?? Number.NaN);
    return Number.isFinite(load) ? load : (loadavg()[0] ?? 0);
  }

  #memory(group: CgroupPlace | undefined, unknown: string[]) {
    const info = this.#text('proc/meminfo');
    const kilobytes = (name: string): number | undefined => {
      const value = new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(info ?? '')?.[1];
      return value === undefined ? undefined : Number(value) * 1024;
    };
    const machine = kilobytes('MemTotal') ?? totalmem();
    // Memory in caches that could be freed is not included if the number comes from Node.
    const free = kilobytes('MemAvailable') ?? freemem();
    if (info === undefined) unknown.push('memory that caches would give up (counted as used)', 'swap');
    const swapBytes = kilobytes('SwapTotal');
    const swapFree = kilobytes('SwapFree');
    const limits = group === undefined ? [] : limitsAbove(this.#root, group);
    // A limit above the machine's memory does not count.
    const real = limits.filter(({ limitBytes }) => limitBytes < machine);
    return {
      memoryBytes: Math.min(machine, ...real.map(({ limitBytes }) => limitBytes)),
      machineMemoryBytes: machine,
      memoryLimitBytes: real.length === 0 ? undefined : Math.min(...real.map(({ limitBytes }) => limitBytes)),
      memoryAvailableBytes: Math.min(free, ...real.map(({ freeBytes }) => freeBytes)),
      memoryPercent: Math.max(
        share(machine - free, machine),
        ...real.map(({ limitBytes, freeBytes }) => share(limitBytes - freeBytes, limitBytes)),
      ),
      swapBytes,
      swapUsedBytes: swapBytes === undefined || swapFree === undefined ? undefined : swapBytes - swapFree,
    };
  }
}

interface Counters {
  readonly atMs: number;
  /** In ticks of the kernel, or in milliseconds if it comes from Node. */
  readonly busy: number;
  readonly total: number;
  readonly groupMs: number | undefined;
  readonly swap: { readonly in: number; readonly out: number } | undefined;
}

// proc(5): user nice system idle iowait irq softirq steal; guest time is included in user already.
function cpuTimes(stat: string | undefined): { busy: number; total: number } {
  const line = /^cpu +(.*)$/m.exec(stat ?? '')?.[1];
  if (line === undefined) {
    const times = cpus().map(cpu => cpu.times);
    const total = times.reduce(
      (sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq,
      0,
    );
    return { total, busy: total - times.reduce((sum, { idle }) => sum + idle, 0) };
  }
  const fields = line.split(' ').map(Number).slice(0, 8);
  const total = fields.reduce((sum, field) => sum + field, 0);
  return { total, busy: total - (fields[3] ?? 0) - (fields[4] ?? 0) };
}

function swapCounters(vmstat: string | undefined): Counters['swap'] {
  const [into, out] = [counterIn(vmstat, 'pswpin'), counterIn(vmstat, 'pswpout')];
  return into === undefined || out === undefined ? undefined : { in: into, out };
}

/** Returns the group and those above it, up to the mount. */
function levels({ mount, directory }: CgroupPlace): string[] {
  const result = [directory];
  let at = directory;
  while (at !== mount && at.startsWith(`${mount}/`)) {
    at = posix.dirname(at);
    result.push(at);
  }
  return result;
}

// The files of cgroup-v2.rst (memory.max, memory.current, memory.stat) and of cgroup-v1/memory.rst.
function limitsAbove(root: string, place: CgroupPlace): { limitBytes: number; freeBytes: number }[] {
  return levels(place).flatMap(directory => {
    const limitBytes = memoryLimit({ ...place, directory }, root);
    if (limitBytes === undefined) return [];
    const at = (name: string) => readText(join(root, directory, name)) ?? '';
    const used = Number(at(place.version === 2 ? 'memory.current' : 'memory.usage_in_bytes'));
    const name = place.version === 2 ? 'inactive_file' : 'total_inactive_file';
    // Cached files that have not been used for a while are dropped before anything is killed.
    const cached = counterIn(at('memory.stat'), name) ?? 0;
    return [{ limitBytes, freeBytes: Math.max(0, limitBytes - Math.max(0, used - cached)) }];
  });
}

// cpu.max holds "quota period" or "max period"; version 1 has a file for each, and -1 for no quota.
function cpuQuota(root: string, place: CgroupPlace): number | undefined {
  const quotas = levels(place).flatMap(directory => {
    const at = (name: string) => readText(join(root, directory, name))?.trim() ?? '';
    const [quota = Number.NaN, period = Number.NaN] =
      place.version === 2
        ? at('cpu.max').split(' ').map(Number)
        : [Number(at('cpu.cfs_quota_us') || Number.NaN), Number(at('cpu.cfs_period_us') || Number.NaN)];
    return quota > 0 && period > 0 ? [quota / period] : [];
  });
  return quotas.length === 0 ? undefined : Math.min(...quotas);
}

// CPU time of a group, in milliseconds. In version 1 another controller has it, usually mounted beside this one.
function groupCpuMs(root: string, { version, directory, mount }: CgroupPlace): number | undefined {
  if (version === 2) {
    const usage = counterIn(readText(join(root, directory, 'cpu.stat')), 'usage_usec');
    return usage === undefined ? undefined : usage / 1000;
  }
  const beside = directory.replace(mount, posix.join(posix.dirname(mount), 'cpuacct'));
  const text =
    readText(join(root, directory, 'cpuacct.usage')) ?? readText(join(root, beside, 'cpuacct.usage'));
  return text === undefined ? undefined : Number(text) / 1e6;
}

function share(part: number, whole: number): number {
  return whole > 0 ? Math.min(100, Math.max(0, (100 * part) / whole)) : 0;
}
