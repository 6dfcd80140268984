import type { Output } from '../../schema.js';
import { formatSize } from '../../text/bytes.js';
import type { hostSample, slotsHarm } from './hosts-slots.schema.js';

/** What one look at a host returned. Counters of attempts are of the time since the look before. */
export interface HostSample extends Output<typeof hostSample> {}

/** A limit that a host has passed. */
export interface SlotsHarm extends Output<typeof slotsHarm> {}

/** What a host may reach before a change of its slots is taken back. */
export interface WatchLimits {
  /** Of the load average of a minute, for each core. */
  readonly loadPerCore: number;
}

/**
 * How much a host may be loaded, for each core. `qrun autoscale` stays below 0.9 by itself; a number of slots that a
 * person has chosen may fill a host. At 1.5 every third process that wants to run waits for a core.
 */
export const LOAD_PER_CORE = 1.5;
// A host that had more than the limit before the change is harmed by what the change has added: a quarter of a core.
const LOAD_ADDED = 0.25;
/** How many looks one after the other must find the same: half a minute of them. A single one may be another program. */
export const SUSTAINED = 3;
// A machine that lacks memory swaps tens of MB a second; one that puts aside what nobody uses stays below 1.
const SWAP_BYTES_S = 1024 ** 2;
// A page of the kernel on x86-64 and most arm64.
const PAGE_BYTES = 4096;
// What is swapped out slowly: one part in 32 of the memory, 2 GB of 64, within the five minutes.
const SWAP_GROWN_SHARE = 1 / 32;
// Below this the kernel begins to end processes, qrun or the server.
const MEMORY_LEFT_SHARE = 0.05;
// Fewer failed attempts say nothing about the slots.
const LEAST_FAILED = 3;
// The share that fails without a comparison, when nothing was recorded before the change.
const FAILED_SHARE = 0.05;
// How many standard deviations the two shares must differ by. Two samples of the same share do that once in 16,000.
const DEVIATIONS = 4;

/**
 * Judges the looks at one host after its slots were changed, against the one before: load, swap, memory, and queries
 * that failed. Knows no clock and sets nothing. What it has found once stays found.
 */
export class SlotsWatch {
  readonly #before: HostSample;
  readonly #limits: WatchLimits;
  readonly #inARow = { load: 0, swap: 0, memory: 0 };
  readonly #errors = new Map<string, number>();
  #last: HostSample;
  #ended = 0;
  #failed = 0;
  #harms: readonly SlotsHarm[] = [];

  constructor(before: HostSample, limits: WatchLimits = { loadPerCore: LOAD_PER_CORE }) {
    this.#before = before;
    this.#last = before;
    this.#limits = limits;
  }

  /** The last look, with all attempts since the change. */
  get last(): HostSample {
    return {
      ...this.#last,
      attempts: this.#ended,
      failed: this.#failed,
      errors: Object.fromEntries(this.#errors),
    };
  }

  /** Which limits the host has passed; empty as long as it has passed none. */
  get harms(): readonly SlotsHarm[] {
    return this.#harms;
  }

  /** Takes a further look, `elapsedMs` after the one before, and returns {@link harms}. */
  see(sample: HostSample, elapsedMs: number): readonly SlotsHarm[] {
    this.#ended += sample.attempts;
    this.#failed += sample.failed;
    for (const [name, count] of Object.entries(sample.errors)) {
      this.#errors.set(name, (this.#errors.get(name) ?? 0) + count);
    }
    const found = [
      this.#load(sample),
      this.#swapping(sample, elapsedMs),
      this.#swapGrown(sample),
      this.#memory(sample),
      this.#failures(),
    ].filter(harm => harm !== undefined);
    this.#last = sample;
    if (this.#harms.length === 0) this.#harms = found;
    return this.#harms;
  }

  #sustained(what: 'load' | 'swap' | 'memory', is: boolean): boolean {
    this.#inARow[what] = is ? this.#inARow[what] + 1 : 0;
    return this.#inARow[what] >= SUSTAINED;
  }

  #load({ load1, cores }: HostSample): SlotsHarm | undefined {
    const before = perCore(this.#before);
    const limit = Math.max(
      this.#limits.loadPerCore,
      before + (before > this.#limits.loadPerCore ? LOAD_ADDED : 0),
    );
    const now = load1 / cores;
    if (!this.#sustained('load', now > limit)) return undefined;
    return {
      what: 'load',
      says: `load ${now.toFixed(2)} for each core, ${SUSTAINED} times in a row (limit ${limit.toFixed(2)}, ${before.toFixed(2)} before)`,
    };
  }

  #swapping({ swap_pages: pages }: HostSample, elapsedMs: number): SlotsHarm | undefined {
    const { swap_pages: lastPages } = this.#last;
    // Less than 0 if the machine was started anew, with its counter.
    const moved = pages === null || lastPages === null ? 0 : pages - lastPages;
    const bytesPerS = elapsedMs > 0 ? (moved * PAGE_BYTES * 1000) / elapsedMs : 0;
    if (!this.#sustained('swap', bytesPerS > SWAP_BYTES_S)) return undefined;
    return {
      what: 'swap',
      says: `${formatSize(bytesPerS)} a second to and from swap, ${SUSTAINED} times in a row (limit ${formatSize(SWAP_BYTES_S)})`,
    };
  }

  #swapGrown({ swap_used_bytes: used, memory_bytes: memory }: HostSample): SlotsHarm | undefined {
    const before = this.#before.swap_used_bytes;
    if (used === null || before === null || used - before <= memory * SWAP_GROWN_SHARE) return undefined;
    return {
      what: 'swap',
      says: `${formatSize(used - before)} more in swap than before (limit ${formatSize(memory * SWAP_GROWN_SHARE)})`,
    };
  }

  #memory({ memory_available_bytes: free, memory_bytes: memory }: HostSample): SlotsHarm | undefined {
    // A host that was as full before is not so because of the change.
    const limit = Math.min(memory * MEMORY_LEFT_SHARE, this.#before.memory_available_bytes / 2);
    if (!this.#sustained('memory', free < limit)) return undefined;
    return {
      what: 'memory',
      says: `${formatSize(free)} of memory left, ${SUSTAINED} times in a row (limit ${formatSize(limit)})`,
    };
  }

  #failures(): SlotsHarm | undefined {
    const { attempts: endedBefore, failed: failedBefore } = this.#before;
    if (this.#failed < LEAST_FAILED) return undefined;
    const share = this.#failed / this.#ended;
    const shareBefore = endedBefore === 0 ? 0 : failedBefore / endedBefore;
    const all = (this.#failed + failedBefore) / (this.#ended + endedBefore);
    const deviation = Math.sqrt(all * (1 - all) * (1 / this.#ended + 1 / Math.max(1, endedBefore)));
    const limit = endedBefore === 0 ? FAILED_SHARE : shareBefore + DEVIATIONS * deviation;
    if (share <= limit) return undefined;
    const names = [...this.#errors].sort(([, a], [, b]) => b - a).slice(0, 3);
    const which = names.map(([name, count]) => `${count} ${name}`).join(', ');
    const compared =
      endedBefore === 0 ? 'nothing to compare with' : `${failedBefore} of ${endedBefore} before`;
    return {
      what: 'failures',
      says: `${this.#failed} of ${this.#ended} attempts failed${which === '' ? ' and were tried again' : ` (${which})`}; ${compared}`,
    };
  }
}

function perCore({ load1, cores }: HostSample): number {
  return load1 / cores;
}
