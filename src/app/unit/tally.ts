import { createHistogram } from 'node:perf_hooks';
import type { Outcome } from '../../core/model.js';

/** Counts what a run records, by outcome, and how long it took, in bounded memory. */
export class RunTally {
  readonly #counts = { normal: 0, skipped: 0, error: 0 };
  // In microseconds; three significant digits cost about 350 kB.
  readonly #durations = createHistogram({ figures: 3 });

  /** Counts a recorded query, with the duration of its last attempt. */
  record(outcome: Outcome, durationMs: number): void {
    this.#counts[outcome] += 1;
    this.#durations.record(Math.max(1, Math.round(durationMs * 1000)));
  }

  /** How often each outcome has been recorded so far. */
  get counts(): Readonly<Record<Outcome, number>> {
    return { ...this.#counts };
  }

  /** How many queries were recorded. */
  get recorded(): number {
    return this.#durations.count;
  }

  /**
   * Returns the duration, in milliseconds, that this percentage of the queries did not exceed; `undefined` before the
   * first.
   */
  percentileMs(percent: number): number | undefined {
    return this.recorded === 0 ? undefined : this.#durations.percentile(percent) / 1000;
  }
}
