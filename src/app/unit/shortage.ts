import type { Clock } from '../../core/clock.js';
import type { Failure } from '../../core/engines/failure.js';
import { backoffMs } from '../../core/engines/retry.js';

// What is short becomes available again when another query ends, which may be soon.
const BACKOFF = { baseMs: 100, capMs: 5_000 };
const LEAST_WAIT_MS = 20;
// For a process that runs nothing else: nobody is left who could release something.
const ALONE_LIMIT_MS = 5_000;

export interface ShortageOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** How long nothing may succeed before the run gives up. */
  readonly limitMs: number;
  /** Called at the beginning of a shortage. */
  readonly onShort: (failure: Failure) => void;
}

/**
 * Waits while this process is short of what every query needs: file descriptors, memory. That is not the fault of a
 * query and never its result.
 */
export class Shortage {
  readonly #options: ShortageOptions;
  #sinceMs: number | undefined;
  #times = 0;

  constructor(options: ShortageOptions) {
    this.#options = options;
  }

  /** To be called for each query that was not affected. */
  over(): void {
    this.#sinceMs = undefined;
  }

  /**
   * Waits a little. Resolves with `undefined` when another try is worthwhile; otherwise with the milliseconds for
   * which nothing has succeeded, and the run should end. `alone`: nothing else runs in this process, so nothing else
   * can release anything.
   */
  async wait(failure: Failure, alone: boolean, signal: AbortSignal): Promise<number | undefined> {
    const { clock, random, limitMs, onShort } = this.#options;
    if (this.#sinceMs === undefined) {
      this.#sinceMs = clock.monotonicMs();
      this.#times = 0;
      onShort(failure);
    }
    const forMs = clock.monotonicMs() - this.#sinceMs;
    if (forMs >= (alone ? Math.min(limitMs, ALONE_LIMIT_MS) : limitMs)) return forMs;
    this.#times += 1;
    await clock.delay(LEAST_WAIT_MS + backoffMs(Math.min(this.#times, 8), random, BACKOFF), signal);
    return undefined;
  }
}
