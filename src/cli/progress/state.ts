import { RunTally } from '../../app/unit/tally.js';
import type { OutcomeCounts, RunEvent } from '../../core/unit/events.js';

/** What a run waits for, other than its queries; if several apply, the most important. */
type RunCondition =
  | { readonly kind: 'setup'; readonly file: string; readonly forMs: number }
  | { readonly kind: 'lost'; readonly reason: string; readonly forMs: number }
  | { readonly kind: 'stopping'; readonly how: 'drain' | 'abort'; readonly reason: string }
  | {
      readonly kind: 'retrying';
      /** Queries that wait for their next attempt. */
      readonly waiting: number;
      /** Until the first of them runs again. */
      readonly nextMs: number;
      /** The error of the last of them, as ClickHouse or qrun names it. */
      readonly error: string;
    };

/** The state of a run at one moment. */
export interface ProgressSnapshot {
  readonly unit: string;
  /** Queries that this run has to do; 0 before `run_started`. */
  readonly total: number;
  /** Queries that this run has recorded. */
  readonly done: number;
  /** Queries that were settled before this run. */
  readonly settled: number;
  readonly counts: OutcomeCounts;
  readonly retries: number;
  readonly running: number;
  /** The query that has been running longest, in its present attempt. */
  readonly longest: { readonly query: string; readonly attempt: number; readonly forMs: number } | undefined;
  /** Recent rate of recorded queries a second; `undefined` before the first and while the engine is lost. */
  readonly perSecond: number | undefined;
  readonly p50Ms: number | undefined;
  readonly p95Ms: number | undefined;
  /** Remaining time; `undefined` while no honest estimate is possible. */
  readonly etaMs: number | undefined;
  readonly elapsedMs: number;
  readonly condition: RunCondition | undefined;
  readonly started: boolean;
  readonly ended: boolean;
}

// The rate is that of the last ten seconds, or of a longer time if fewer queries than these have ended in it. With
// twenty, one more or less changes it by 5 %. With two rounds of everything that runs at once, queries that end
// together make it swing less.
const RATE_WINDOW_MS = 10_000;
const ENOUGH_FOR_RATE = 20;
const ROUNDS_FOR_RATE = 2;
// Two queries in the first millisecond are not 2,000 a second.
const MIN_TIME_FOR_RATE_MS = 1_000;
// How many completions are remembered: those of 10 s at 1,600 queries a second; at higher rates the window is
// shorter.
const REMEMBERED = 16_384;
// An estimate needs this many completions, and as many as two rounds of everything that runs at once: the queries
// that end first are the quick ones, and a rate from them alone is too optimistic.
const ENOUGH_FOR_ETA = 10;
const ROUNDS_FOR_ETA = 2;
const MIN_TIME_FOR_ETA_MS = 3_000;

interface Running {
  readonly attempt: number;
  readonly sinceMs: number;
}

/**
 * What a run has done, from its events and a clock: the same events at the same times always give the same snapshots.
 * It never reads a clock itself and has no effect on anything else.
 *
 * Times are milliseconds on one clock; a clock that goes back counts as standing still. The cost of an event does not
 * depend on how many came before; memory is bounded by the queries that run or wait at once.
 */
export class RunProgress {
  #unit = '';
  #total = 0;
  #settled = 0;
  #concurrency = 1;
  #retries = 0;
  #started = false;
  #ended = false;
  #nowMs = Number.NEGATIVE_INFINITY;
  #startMs: number | undefined;
  #endMs: number | undefined;
  readonly #running = new Map<string, Running>();
  readonly #waiting = new Map<string, { readonly untilMs: number; readonly error: string }>();
  #setup: { readonly file: string; readonly sinceMs: number } | undefined;
  #lost: { readonly reason: string; readonly sinceMs: number } | undefined;
  #stopping: { readonly how: 'drain' | 'abort'; readonly reason: string } | undefined;
  /** Time that the engine was away, which counts neither for the rate nor for the estimate. */
  #lostMs = 0;
  #firstQueryActiveMs: number | undefined;
  readonly #completions = new Float64Array(REMEMBERED);
  readonly #tally = new RunTally();

  /** Applies an event that happened at `nowMs`. */
  apply(event: RunEvent, nowMs: number): void {
    const now = this.#tick(nowMs);
    this.#startMs ??= now;
    switch (event.type) {
      case 'run_started':
        this.#started = true;
        this.#unit = event.unit;
        this.#total = event.due;
        this.#settled = event.settled;
        this.#concurrency = event.concurrency;
        break;
      case 'setup_started':
        this.#setup = { file: event.file, sinceMs: now };
        break;
      case 'setup_done':
        this.#setup = undefined;
        break;
      case 'query_started':
        this.#waiting.delete(event.query);
        // Removed first, so that the map stays in the order of the starts.
        this.#running.delete(event.query);
        this.#running.set(event.query, { attempt: event.attempt, sinceMs: now });
        this.#firstQueryActiveMs ??= this.#activeMs(now);
        break;
      case 'query_retry':
        this.#retries++;
        this.#running.delete(event.query);
        this.#waiting.set(event.query, { untilMs: now + event.wait_ms, error: event.error.name });
        break;
      case 'query_recorded':
        this.#running.delete(event.query);
        this.#waiting.delete(event.query);
        this.#completions[this.#tally.recorded % REMEMBERED] = this.#activeMs(now);
        this.#tally.record(event.outcome, event.duration_ms);
        break;
      case 'engine_lost':
        this.#lost = { reason: event.reason, sinceMs: this.#lost?.sinceMs ?? now };
        break;
      case 'engine_back':
        if (this.#lost !== undefined) this.#lostMs += now - this.#lost.sinceMs;
        this.#lost = undefined;
        break;
      case 'stopping':
        this.#stopping = { how: event.how, reason: event.reason };
        break;
      case 'run_ended':
        this.#ended = true;
        this.#endMs = now;
        break;
      case 'log_repaired':
      case 'warning':
        break;
    }
  }

  /** Returns the state of the run at `nowMs`. */
  snapshot(nowMs: number): ProgressSnapshot {
    const now = this.#tick(nowMs);
    const { counts, recorded } = this.#tally;
    return {
      unit: this.#unit,
      total: this.#total,
      done: recorded,
      settled: this.#settled,
      counts,
      retries: this.#retries,
      // The other started queries wait for the disk.
      running: Math.min(this.#running.size, this.#concurrency),
      longest: this.#longest(now),
      perSecond: this.#lost === undefined ? this.#recentRate(now) : undefined,
      p50Ms: this.#tally.percentileMs(50),
      p95Ms: this.#tally.percentileMs(95),
      etaMs: this.#eta(now),
      elapsedMs: (this.#endMs ?? now) - (this.#startMs ?? now),
      condition: this.#ended ? undefined : this.#condition(now),
      started: this.#started,
      ended: this.#ended,
    };
  }

  #tick(nowMs: number): number {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    return this.#nowMs;
  }

  /** Returns the clock without the time that the engine was away. */
  #activeMs(now: number): number {
    return (this.#lost?.sinceMs ?? now) - this.#lostMs;
  }

  #longest(now: number): ProgressSnapshot['longest'] {
    for (const [query, { attempt, sinceMs }] of this.#running) {
      return { query, attempt, forMs: now - sinceMs };
    }
    return undefined;
  }

  #condition(now: number): RunCondition | undefined {
    if (this.#lost !== undefined) {
      return { kind: 'lost', reason: this.#lost.reason, forMs: now - this.#lost.sinceMs };
    }
    if (this.#stopping !== undefined) return { kind: 'stopping', ...this.#stopping };
    if (this.#setup !== undefined) {
      return { kind: 'setup', file: this.#setup.file, forMs: now - this.#setup.sinceMs };
    }
    if (this.#waiting.size === 0) return undefined;
    const waits = [...this.#waiting.values()];
    return {
      kind: 'retrying',
      waiting: waits.length,
      nextMs: Math.max(0, Math.min(...waits.map(wait => wait.untilMs)) - now),
      error: waits.at(-1)?.error ?? '',
    };
  }

  /** Returns the time of the completion that has `later` others after it; only for remembered ones. */
  #completion(later: number): number {
    return this.#completions[(this.#tally.recorded - 1 - later) % REMEMBERED] ?? 0;
  }

  /** Returns how many of the remembered completions, which are in order of time, came after `sinceMs`. */
  #completedSince(sinceMs: number): number {
    let low = 0;
    let high = Math.min(this.#tally.recorded, REMEMBERED);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#completion(middle) > sinceMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Returns completions a second on the clock of {@link #activeMs}. */
  #recentRate(now: number): number | undefined {
    if (this.#tally.recorded === 0 || this.#firstQueryActiveMs === undefined) return undefined;
    const active = this.#activeMs(now);
    const enough = Math.max(ENOUGH_FOR_RATE, ROUNDS_FOR_RATE * this.#concurrency);
    const remembered = Math.min(this.#tally.recorded, REMEMBERED);
    // The remembered time begins with the first query, or with the oldest completion that is still remembered.
    const begin =
      this.#tally.recorded > REMEMBERED ? this.#completion(REMEMBERED - 1) : this.#firstQueryActiveMs;
    const wanted = remembered > enough ? this.#completion(enough) : begin;
    const since = Math.max(begin, Math.min(active - RATE_WINDOW_MS, wanted));
    const count = since > this.#firstQueryActiveMs ? this.#completedSince(since) : remembered;
    return (count * 1000) / Math.max(MIN_TIME_FOR_RATE_MS, active - since);
  }

  /**
   * Returns the remaining time: the remaining queries at the recent rate, but never less than the query that started
   * last needs to reach the median. When fewer queries are left than run at once, the rate alone is too optimistic.
   */
  #eta(now: number): number | undefined {
    const remaining = this.#total - this.#tally.recorded;
    if (this.#ended || this.#lost !== undefined || this.#stopping !== undefined || remaining <= 0) {
      return undefined;
    }
    const rate = this.#recentRate(now);
    const enough = Math.max(ENOUGH_FOR_ETA, ROUNDS_FOR_ETA * this.#concurrency);
    if (rate === undefined || rate === 0 || this.#tally.recorded < enough) return undefined;
    if (this.#activeMs(now) - (this.#firstQueryActiveMs ?? 0) < MIN_TIME_FOR_ETA_MS) return undefined;
    const youngest = [...this.#running.values()].at(-1);
    const medianMs = this.#tally.percentileMs(50) ?? 0;
    const untilMedianMs = youngest === undefined ? 0 : medianMs - (now - youngest.sinceMs);
    return Math.max((remaining * 1000) / rate, untilMedianMs);
  }
}
