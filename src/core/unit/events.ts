import type { ExitCode } from '../errors.js';
import type { Outcome, QueryError } from '../model.js';
import type { CannotRun } from './judge.js';

/** How often each outcome was recorded. */
export interface OutcomeCounts {
  readonly normal: number;
  readonly skipped: number;
  readonly error: number;
}

/** Quantiles of the duration of recorded queries in milliseconds (last attempt only, without waiting). */
export interface DurationQuantiles {
  readonly p50_ms: number;
  readonly p95_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** What a run did, when it has ended. */
export interface RunSummary {
  readonly run: string;
  readonly unit: string;
  readonly log: string;
  /** Queries of the unit that the selection (include, exclude, shard, limit) left in. */
  readonly selected: number;
  /** Of these: settled before the run, so not run again. */
  readonly settled_before: number;
  /** Queries that this run recorded. */
  readonly recorded: OutcomeCounts;
  /** Lines that this run appended. */
  readonly records: number;
  /** Queries that were due and not run, because the run was drained, aborted or halted. */
  readonly not_run: number;
  /** Attempts that failed and were followed by another. */
  readonly retries: number;
  readonly elapsed_ms: number;
  /** `undefined` when nothing ran. */
  readonly durations: DurationQuantiles | undefined;
  /**
   * How the same durations are spread, in ascending order: each count holds those above the bound before and
   * at or below `up_to_ms`. Bounds in the steps 1, 2, 5 of each power of ten are easiest to read.
   */
  readonly histogram?: readonly { readonly up_to_ms: number; readonly count: number }[] | undefined;
  /** At most five, slowest first. */
  readonly slowest: readonly { readonly query: string; readonly duration_ms: number }[];
  /** Failed queries by error, most frequent first; `example` is one query of each. */
  readonly errors: readonly {
    readonly code: number;
    readonly name: string;
    readonly count: number;
    readonly example: string;
    readonly message: string;
  }[];
  /** Files that were left out because they cannot run (`--skip-bad`), with each of their problems. */
  readonly cannot_run?: readonly CannotRun[];
  /** Files that hold only comments or nothing, and are no queries. */
  readonly no_statement?: readonly string[];
  /** Why the run ended before its end, where it did. */
  readonly stopped: string | undefined;
  readonly exit_code: ExitCode;
}

/**
 * What happens in a run, in order. The same objects go to the terminal and, one JSON line each with `at` in
 * front, to `--events FILE`; keys are therefore written as they appear in the file.
 */
export type RunEvent =
  | {
      readonly type: 'run_started';
      readonly run: string;
      readonly unit: string;
      readonly directory: string;
      readonly log: string;
      readonly engine: 'clickhouse' | 'embedded';
      readonly version: string;
      readonly target: string;
      readonly concurrency: number;
      readonly selected: number;
      readonly settled: number;
      readonly due: number;
    }
  | { readonly type: 'setup_started'; readonly file: string }
  | {
      readonly type: 'setup_done';
      readonly file: string;
      readonly duration_ms: number;
      /** The server that it ran on, and its database there. */
      readonly target?: string;
      readonly database?: string;
    }
  | {
      readonly type: 'query_started';
      readonly query: string;
      readonly attempt: number;
      readonly query_id: string;
    }
  | {
      readonly type: 'query_retry';
      readonly query: string;
      readonly attempt: number;
      readonly wait_ms: number;
      readonly error: QueryError;
    }
  | {
      readonly type: 'query_recorded';
      readonly query: string;
      readonly outcome: Outcome;
      readonly rows: number;
      readonly attempt: number;
      readonly duration_ms: number;
      readonly error?: QueryError;
    }
  | { readonly type: 'engine_lost'; readonly reason: string }
  | { readonly type: 'engine_back'; readonly after_ms: number }
  | { readonly type: 'log_repaired'; readonly bytes: number; readonly saved_as: string }
  | { readonly type: 'warning'; readonly message: string }
  | { readonly type: 'stopping'; readonly how: 'drain' | 'abort'; readonly reason: string }
  | ({ readonly type: 'run_ended' } & RunSummary);

/** Where a run tells what happens; must not throw. */
export type EventSink = (event: RunEvent) => void;
