import type { ExitCode } from '../../core/errors.js';
import type { Outcome, QueryError } from '../../core/model.js';
import type { RunSummary } from '../../core/unit/events.js';
import type { CannotRun } from '../../core/unit/judge.js';
import type { UnitPlan } from './plan.js';
import type { RunOptions } from './run-options.js';
import { RunTally } from './tally.js';

const SLOWEST = 5;

// 1, 2, 5, 10, 20, 50 ms and so on to 5e6 ms (83 minutes); the last bucket takes everything above.
const BOUNDS_MS = [0, 1, 2, 3, 4, 5, 6].flatMap(power => [1, 2, 5].map(digit => digit * 10 ** power));

/** Returns how many queries of the unit were selected, including those that cannot run. */
export function selectedBy(plan: UnitPlan): number {
  return plan.settled + plan.keptErrors + plan.due.total + plan.refused;
}

/** Collects what a run does, in bounded memory whatever its size. */
export class SummaryBuilder {
  readonly #options: Pick<RunOptions, 'run' | 'unit' | 'plan'>;
  readonly #log: string;
  readonly #tally = new RunTally();
  readonly #errors = new Map<
    string,
    { code: number; name: string; count: number; example: string; message: string }
  >();
  readonly #histogram = BOUNDS_MS.map(() => 0);
  #slowest: { query: string; duration_ms: number }[] = [];
  // By server, in a run on several.
  readonly #servers: Map<string, number>;
  #retries = 0;
  #elsewhere = 0;
  readonly #leftOut: CannotRun[] = [];
  readonly #noQueries: string[] = [];

  /** `servers`: all that may record something, in a run on several. */
  constructor(
    options: Pick<RunOptions, 'run' | 'unit' | 'plan'>,
    log: string,
    servers: readonly string[] = [],
  ) {
    this.#options = options;
    this.#log = log;
    this.#servers = new Map(servers.map(server => [server, 0]));
  }

  /** Counts a recorded query (`server`: where, in a run on several); returns how many have failed so far. */
  recorded(
    query: string,
    outcome: Outcome,
    durationMs: number,
    error: QueryError | undefined,
    server?: string,
  ): number {
    if (server !== undefined) this.#servers.set(server, (this.#servers.get(server) ?? 0) + 1);
    this.#tally.record(outcome, durationMs);
    const bucket = BOUNDS_MS.findIndex(bound => durationMs <= bound);
    const index = bucket === -1 ? BOUNDS_MS.length - 1 : bucket;
    this.#histogram[index] = (this.#histogram[index] ?? 0) + 1;
    this.#noteSlow(query, durationMs);
    if (error !== undefined) {
      const key = `${error.code} ${error.name}`;
      const known = this.#errors.get(key);
      if (known !== undefined) known.count += 1;
      else {
        const { code, name, message } = error;
        this.#errors.set(key, { code, name, count: 1, example: query, message });
      }
    }
    return this.#tally.counts.error;
  }

  /** Counts a query that another process settled while it ran here. */
  recordedElsewhere(): void {
    this.#elsewhere += 1;
  }

  /** Counts a query whose file can no longer run, and that is not recorded. */
  leftOut(query: string, problem: string): void {
    this.#leftOut.push({ query, problem });
  }

  /** Counts a query whose file no longer holds a statement. */
  noQuery(query: string): void {
    this.#noQueries.push(query);
  }

  retried(): void {
    this.#retries += 1;
  }

  build(end: {
    records: number;
    elapsedMs: number;
    stopped: string | undefined;
    exitCode: ExitCode | undefined;
  }): RunSummary {
    const { plan, run, unit } = this.#options;
    const { recorded, counts } = this.#tally;
    const done = recorded + this.#elsewhere + this.#leftOut.length + this.#noQueries.length;
    const refused = plan.refused + this.#leftOut.length;
    const standing = counts.error + plan.keptErrors + refused;
    const notRun = plan.due.total - done;
    // A stop that came after all was done has stopped nothing.
    const stop = notRun > 0 ? end : undefined;
    return {
      run,
      unit,
      log: this.#log,
      selected: selectedBy(plan) - this.#noQueries.length,
      settled_before: plan.settled,
      recorded: counts,
      records: end.records,
      not_run: notRun,
      retries: this.#retries,
      elapsed_ms: Math.round(end.elapsedMs),
      durations: recorded === 0 ? null : this.#quantiles(),
      histogram: recorded === 0 ? null : this.#buckets(),
      slowest: this.#slowest,
      servers: Array.from(this.#servers, ([server, count]) => ({ server, recorded: count })),
      errors: [...this.#errors.values()].sort((a, b) => b.count - a.count),
      cannot_run: [...plan.cannotRun, ...this.#leftOut],
      no_statement: [...plan.noStatement, ...this.#noQueries],
      stopped: stop?.stopped ?? null,
      // A drain without an exit code is the caller's own policy.
      exit_code: notRun > 0 ? (end.exitCode ?? 25) : standing > 0 ? 20 : 0,
    };
  }

  // From the first non-empty bucket to the last.
  #buckets() {
    const all = BOUNDS_MS.map((up_to_ms, index) => ({ up_to_ms, count: this.#histogram[index] ?? 0 }));
    const first = all.findIndex(bucket => bucket.count > 0);
    return all.slice(first, all.findLastIndex(bucket => bucket.count > 0) + 1);
  }

  #quantiles() {
    const at = (percent: number): number => Math.round((this.#tally.percentileMs(percent) ?? 0) * 10) / 10;
    return {
      p50_ms: at(50),
      p95_ms: at(95),
      p99_ms: at(99),
      max_ms: at(100),
    };
  }

  #noteSlow(query: string, durationMs: number): void {
    const last = this.#slowest[SLOWEST - 1];
    if (last !== undefined && last.duration_ms >= durationMs) return;
    this.#slowest.push({ query, duration_ms: Math.round(durationMs * 10) / 10 });
    this.#slowest.sort((a, b) => b.duration_ms - a.duration_ms);
    this.#slowest.length = Math.min(this.#slowest.length, SLOWEST);
  }
}
