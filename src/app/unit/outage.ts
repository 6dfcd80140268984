import type { Clock } from '../../core/clock.js';
import type { Failure } from '../../core/engines/failure.js';
import { quotaEndsInMs, refusalOf } from '../../core/engines/refusal.js';
import { backoffMs, PING_BACKOFF } from '../../core/engines/retry.js';

// A single refusal may come from one of several proxies, or from a server that was just reloading its users. After
// these attempts the refusal is final, and more of them would only lock the account.
const LOOKS_WHEN_REFUSED_MS: readonly number[] = [500, 1_000, 2_000, 4_000];

/** For how long in total a refused user is tried again, in milliseconds. */
export const REFUSED_LIMIT_MS = LOOKS_WHEN_REFUSED_MS.reduce((sum, ms) => sum + ms, 0);

// The server's clock shows whole seconds, and differs from ours.
const AFTER_QUOTA_MS = 1_000;

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
 * Parks all queries of a run while the engine is away; one of them asks for it.
 *
 * `ready` resolves at once while the engine is there. After `report` it resolves when the engine answers again, or
 * when the limit has passed and the run has been told to give up. A server that refuses the user is tried a few more
 * times. One whose quota is used up is waited for until the quota's interval ends, or given up at once if that is
 * after the limit.
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
   * Reports that a query found the engine gone, and waits for it. Resolves with `true` when the engine really was
   * away, with `false` when it answered at once (only that connection was lost) or the run stops.
   */
  async report(failure: Failure, signal: AbortSignal): Promise<boolean> {
    if (this.#waiting === undefined) {
      const gone = await this.#options.ping(signal);
      if (gone === undefined || signal.aborted) return false;
      this.#waiting ??= this.#wait(failure, gone, signal).finally(() => {
        this.#waiting = undefined;
      });
    }
    await this.#waiting;
    return true;
  }

  async #wait(reported: Failure, gone: Failure, signal: AbortSignal): Promise<void> {
    const { clock, ping, onLost, onBack, onGaveUp } = this.#options;
    const since = clock.monotonicMs();
    let last = gone;
    let refused = 0;
    onLost(reported);
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      refused = refusalOf(last) === 'credentials' ? refused + 1 : 0;
      const awayMs = clock.monotonicMs() - since;
      const waitMs = this.#waitMs(last, { attempt, refused, awayMs });
      if (waitMs === undefined) {
        onGaveUp(last, awayMs);
        return;
      }
      await clock.delay(waitMs, signal);
      if (signal.aborted) return;
      const failure = await ping(signal);
      if (failure === undefined) {
        onBack(clock.monotonicMs() - since);
        return;
      }
      last = failure;
    }
  }

  // Returns how long until the engine is asked again; `undefined` when it is not asked any more.
  #waitMs(
    failure: Failure,
    { attempt, refused, awayMs }: { attempt: number; refused: number; awayMs: number },
  ): number | undefined {
    const { clock, limitMs, random } = this.#options;
    const leftMs = limitMs - awayMs;
    if (leftMs <= 0) return undefined;
    if (refused > 0) {
      const waitMs = LOOKS_WHEN_REFUSED_MS[refused - 1];
      return waitMs === undefined ? undefined : Math.min(waitMs, leftMs);
    }
    const quotaMs =
      refusalOf(failure) === 'quota' ? quotaEndsInMs(failure.message, clock.nowMs()) : undefined;
    if (quotaMs !== undefined) return quotaMs > leftMs ? undefined : quotaMs + AFTER_QUOTA_MS;
    return Math.min(50 + backoffMs(attempt, random, PING_BACKOFF), leftMs);
  }
}
