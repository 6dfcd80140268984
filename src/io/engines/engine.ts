import type { EngineFacts, EngineName } from '../../core/engines/facts.js';
import type { Failure } from '../../core/engines/failure.js';
import type { Parameters, QueryStats, Settings } from '../../core/model.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import type { ResultBody } from './result-body.js';

/** What is known of an engine once it has answered. */
export interface EngineInfo {
  /** What was known of it before. */
  readonly facts: EngineFacts & { readonly name: EngineName };
  /** `26.7.3.1` or `18.16.1`. */
  readonly version: string;
  /** Where it is, for people: a URL without user and password, or the data directory. */
  readonly target: string;
  /** Who asks, where the engine knows users. */
  readonly user?: string;
  /** What the person who starts a run on it should know, a sentence each. */
  readonly notices?: readonly string[];
  /** Whether `{name:Type}` parameters work (ClickHouse 19.14 and later). */
  readonly supportsParameters: boolean;
  /** The server knows parameters, but their values do not reach it: a proxy drops them. */
  readonly parametersLost?: boolean;
  /** The most queries that it runs at once; more than these wait in it, and so may some of these. */
  readonly slots: number;
}

/** One attempt of one query. */
export interface EngineRequest {
  readonly query: ParsedQuery;
  /** Names the attempt on the server; never used twice. Statement i > 0 of a file gets `<queryId>-<i>`. */
  readonly queryId: string;
  readonly parameters: Parameters;
  /** The user's settings; sent on top of the engine's own. */
  readonly settings: Settings;
  /** Deadline of the whole attempt in milliseconds, without the wait for its place; 0 means none. */
  readonly timeoutMs: number;
  /**
   * Called once when the engine has a place for the attempt, before anything of it is sent. With `false` the attempt ends
   * there, with failure name `ABORTED`, and gives its place to the next one.
   */
  readonly begin?: () => boolean;
  /** Abort cancels the attempt on the server too. */
  readonly signal: AbortSignal;
  /** Abort ends the attempt before its next statement, with failure name `ABORTED`; one that runs goes on. */
  readonly drain?: AbortSignal;
}

/**
 * How an attempt ended. `ok`: the rows of the last statement that returns rows, proven whole; the caller owns
 * `body` and disposes it. Otherwise nothing of the attempt's output is given out.
 */
export type EngineOutcome =
  | { readonly ok: true; readonly body: ResultBody; readonly stats: QueryStats | undefined }
  | { readonly ok: false; readonly failure: Failure };

/** With the time from `begin` to the end, in milliseconds; 0 for an attempt that never began. */
export type EngineResult = EngineOutcome & { readonly durationMs: number };

/**
 * Executes queries on ClickHouse, wherever it is.
 *
 * Contract (one test suite runs on every engine):
 * - `run` never rejects for a failure of a query or of the server: it resolves with `ok: false`. It rejects
 *   only for bugs and for a spool that cannot be written (QrunError `WRITE_FAILED`).
 * - A result is given out only when it is proven whole; an error inside an answer never becomes data.
 * - A result that is larger than the engine was told to take ends with `RESULT_TOO_LARGE` (permanent), and one that has
 *   no room beside others as a shortage; what runs is cancelled.
 * - Concurrent calls are safe up to any number; the engine queues those beyond its `slots`, in their order.
 * - Nothing leaks from one query to the next: settings, USE, temporary tables and sessions end with it.
 * - When the deadline passes or the signal aborts, the statement is cancelled on the server (best effort, at most a
 *   few seconds) before `run` resolves with failure name `TIMEOUT` (permanent) or `ABORTED`; that it has ended is said
 *   only where it is known. A signal that was aborted before the call sends nothing.
 * - Every row is one line: one JSON object and nothing else (`core/row-proof.ts`), in valid UTF-8; 64-bit
 *   integers are bare numbers, nan and inf are null, unless the user's settings say otherwise.
 */
export interface Engine {
  readonly info: EngineInfo;
  run(request: EngineRequest): Promise<EngineResult>;
  /**
   * Resolves with `undefined` when the engine answers, also that it is full; else, and when it refuses the user or his
   * quota is used up, with the reason. Never rejects.
   */
  ping(signal: AbortSignal): Promise<Failure | undefined>;
  /** Cancels what still runs and releases everything. Safe to call twice. */
  close(): Promise<void>;
}
