import type { Failure } from '../core/failure.js';
import { backoffMs } from '../core/retry.js';
import type { Clock } from './run-unit.js';

// A restart takes a server 1 to 30 s: ask often at first, then every few seconds.
const PING_BACKOFF = { baseMs: 200, capMs: 5_000 };

export interface OutageOptions {
  readonly ping: (signal: AbortSignal) => Promise<Failure | undefined>;
  readonly clock: Clock;
  readonly random: () => number;
  /** How long the engine may be away before the run gives up. */
  readonly limitMs: number;
  readonly onLost: (failure: Failure) => void;
  readonly onBack: (afterMs: number) => void;
  readonly onGaveUp: (failure: Failure, afterMs: number) => void;
}

/**
 * Parks all queries of a run while the engine is away, with one of them asking for it.
 *
 * `ready` resolves at once while the engine is there. After `report` it resolves when the engine answers
 * again, or when the limit has passed and the run was told to give up.
 */
export class Outage {
  readonly #options: OutageOptions;
  #waiting: Promise<void> | undefined;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  ready(): Promise<void> | undefined {
    return this.#waiting;
  }

  /**
   * Says that a query found the engine gone, and waits for it. Resolves with `true` when the engine really was
   * away, `false` when it answered at once (only that connection was lost) or the run stops.
   */
  async report(failure: Failure, signal: AbortSignal): Promise<boolean> {
    if (this.#waiting === undefined) {
      const gone = await this.#options.ping(signal);
      if (gone === undefined || signal.aborted) return false;
      this.#waiting ??= this.#wait(failure, signal).finally(() => {
        this.#waiting = undefined;
      });
    }
    await this.#waiting;
    return true;
  }

  async #wait(failure: Failure, signal: AbortSignal): Promise<void> {
    const { clock, ping, limitMs, random, onLost, onBack, onGaveUp } = this.#options;
    const since = clock.monotonicMs();
    onLost(failure);
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      const awayMs = clock.monotonicMs() - since;
      if (awayMs >= limitMs) {
        onGaveUp(failure, awayMs);
        return;
      }
      await clock.delay(Math.min(50 + backoffMs(attempt, random, PING_BACKOFF), limitMs - awayMs), signal);
      if (signal.aborted || (await ping(signal)) !== undefined) continue;
      onBack(clock.monotonicMs() - since);
      return;
    }
  }
}
