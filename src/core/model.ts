/** `normal`: one or more rows. `skipped`: ran and gave no row. `error`: did not run to its end. */
export type Outcome = (typeof OUTCOMES)[number];

export const OUTCOMES = ['normal', 'skipped', 'error'] as const;

/** Values bound to `{name:Type}` in the SQL, as text; ClickHouse converts them to `Type`. */
export type Parameters = Readonly<Record<string, string>>;

/** ClickHouse settings sent with each statement, as text. */
export type Settings = Readonly<Record<string, string>>;

/**
 * `transient`: the same query may succeed later. `permanent`: it fails each time. `unknown`: it was sent and
 * the answer was lost, so that only a query which changes nothing may run again.
 */
export type FailureKind = 'transient' | 'permanent' | 'unknown';

/** What is recorded of a failed query. */
export interface QueryError {
  /** ClickHouse's own number (241), or 0 where the failure is not ClickHouse's (transport, timeout, proof). */
  readonly code: number;
  /** ClickHouse's name (`MEMORY_LIMIT_EXCEEDED`) or ours (`TIMEOUT`, `CONNECTION_LOST`, `RESULT_CUT`, ...). */
  readonly name: string;
  readonly kind: FailureKind;
  /** The whole message, as it came. */
  readonly message: string;
}

/** What the engine says about the cost of a query; each figure only where it is given. */
export interface QueryStats {
  readonly read_rows?: number;
  readonly read_bytes?: number;
  readonly memory_bytes?: number;
  readonly elapsed_ms?: number;
}
