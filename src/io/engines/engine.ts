import type { EngineFacts, EngineName } from '../../core/engines/facts.js';
import type { Failure } from '../../core/engines/failure.js';
import type { Parameters, QueryStats, Settings } from '../../core/model.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import type { ResultBody } from './result-body.js';

/** What is known of an engine once it has answered. */
export interface EngineInfo {
  /** What was known before it answered. */
  readonly facts: EngineFacts & { readonly name: EngineName };
  /** `26.7.3.1` or `18.16.1`. */
  readonly version: string;
  /** Where it is, for people: a URL without user and password, or the data directory. */
  readonly target: string;
  /** The user that queries run as, if the engine knows users. */
  readonly user?: string;
  /** What the person who starts a run on it should know, one sentence each. */
  readonly notices?: readonly string[];
  /** Whether `{name:Type}` parameters work (ClickHouse 19.14 and later). */
  readonly supportsParameters: boolean;
  /** The server knows parameters, but their values do not reach it: a proxy drops them. */
  readonly parametersLost?: boolean;
  /** The most queries that it runs at once. Further ones wait in the engine, and some of these may wait too. */
  readonly permits: number;
  /** All servers of an engine that uses several, in the order in which they were named. */
  readonly servers?: readonly ServerInfo[];
}

/** One of several servers. */
export interface ServerInfo {
  /** As {@link EngineInfo.target}. */
  readonly target: string;
  /** `undefined` if it has not answered yet. */
  readonly version: string | undefined;
  /** Why it gets no queries yet; `undefined` if it does. */
  readonly away?: string | undefined;
}

/** A table that not all of several servers have. */
export interface UnevenTable {
  readonly database: string;
  readonly name: string;
  /** Whether it is in the database that queries run in. */
  readonly isCurrent: boolean;
  /** The server that lacks it. */
  readonly lacking: string;
}

/** One attempt of one query. */
export interface EngineRequest {
  readonly query: ParsedQuery;
  /** Names the attempt on the server; never used twice. Statement i > 0 of a file gets `<queryId>-<i>`. */
  readonly queryId: string;
  readonly parameters: Parameters;
  /** The user's settings; sent on top of the engine's own. */
  readonly settings: Settings;
  /** Deadline of the whole attempt in milliseconds, not counting the wait for its place; 0 means none. */
  readonly timeoutMs: number;
  /**
   * Called once when the engine has a place for the attempt, before anything is sent. If it returns `false`, the
   * attempt ends there with failure name `ABORTED`, and its place goes to the next one.
   */
  readonly begin?: () => boolean;
  /** Abort cancels the attempt on the server too. */
  readonly signal: AbortSignal;
  /** Abort ends the attempt before its next statement, with failure name `ABORTED`; a running statement continues. */
  readonly drain?: AbortSignal;
}

/**
 * How an attempt ended. With `ok: true`, `body` holds the rows of the last statement that returns rows, proven whole;
 * the caller owns `body` and disposes it. Otherwise nothing of the attempt's output is given out.
 */
export type EngineOutcome =
  | { readonly ok: true; readonly body: ResultBody; readonly stats: QueryStats | undefined }
  | { readonly ok: false; readonly failure: Failure };

/**
 * An outcome with the time from `begin` to the end, in milliseconds; 0 for an attempt that never began. `server`: the
 * target of the server that it comes from, if the engine uses several.
 */
export type EngineResult = EngineOutcome & { readonly durationMs: number; readonly server?: string };

/**
 * Executes queries on ClickHouse, whether on a server or embedded in this process.
 *
 * Contract (one test suite runs on every engine):
 * - `run` never rejects for a failure of a query or of the server: it resolves with `ok: false`. It rejects
 *   only for bugs and for a spool that cannot be written (QrunError `WRITE_FAILED`).
 * - A result is given out only when it is proven whole; an error inside an answer never becomes data.
 * - A result larger than the engine's limit fails with `RESULT_TOO_LARGE` (permanent). A result for which there is no
 *   room beside others fails as a shortage. In both cases the running statement is cancelled.
 * - Any number of concurrent calls is safe; the engine queues those beyond its `permits`, in order.
 * - Nothing leaks from one query to the next: settings, USE, temporary tables and sessions end with it.
 * - When the deadline passes or the signal aborts, the statement is cancelled on the server (best effort, at most a
 *   few seconds) before `run` resolves with failure name `TIMEOUT` (permanent) or `ABORTED`. The failure says that the
 *   statement has ended only if that is known. With a signal that was aborted before the call, nothing is sent.
 * - Every row is one line: one JSON object and nothing else (`core/log/row-proof.ts`), in valid UTF-8; 64-bit
 *   integers are bare numbers, nan and inf are null, unless the user's settings say otherwise.
 */
export interface Engine {
  readonly info: EngineInfo;
  run(request: EngineRequest): Promise<EngineResult>;
  /**
   * Resolves with `undefined` when the engine answers, even if only that it is full. Resolves with the reason when it
   * does not answer, refuses the user, or says that the user's quota is used up. Never rejects.
   */
  ping(signal: AbortSignal): Promise<Failure | undefined>;
  /** Cancels what still runs, and releases everything. Safe to call twice. */
  close(): Promise<void>;
  /**
   * The servers of an engine that uses several, as engines of their own; those that do not answer are missing. For what
   * must be done on each of them.
   */
  members?(): readonly Engine[];
  /**
   * Resolves with the tables that some of several servers have and others lack, as far as the user may see them; with
   * at most 1,000. The reason of the signal rejects it.
   */
  uneven?(signal: AbortSignal): Promise<readonly UnevenTable[]>;
}

/** A server, as its registry entry opens it. */
export interface Server extends Engine {
  /** Leaves a mark on the server, which goes away by itself within seconds. Best effort: never rejects. */
  mark(id: string, signal: AbortSignal): Promise<void>;
  /** Returns whether a mark is on the server: it is then the one that it was left on, whatever its URL. */
  hasMark(id: string, signal: AbortSignal): Promise<boolean>;
}
