/** `normal`: one or more rows. `skipped`: ran and returned no rows. `error`: did not run to its end. */
export type Outcome = (typeof OUTCOMES)[number];

export const OUTCOMES = ['normal', 'skipped', 'error'] as const;

/** Values bound to `{name:Type}` in the SQL, as strings; ClickHouse converts them to `Type`. */
export type Parameters = Readonly<Record<string, string>>;

/** ClickHouse settings sent with each statement, as strings. */
export type Settings = Readonly<Record<string, string>>;

/**
 * `transient`: the same query may succeed later. `permanent`: it fails every time. `unknown`: it was sent and the
 * answer was lost, so it may run again only if it changes nothing.
 */
export type FailureKind = 'transient' | 'permanent' | 'unknown';

/** What is recorded of a failed query. */
export interface QueryError {
  /** ClickHouse's own number (241), or 0 if the failure is not ClickHouse's (transport, timeout, proof). */
  readonly code: number;
  /** ClickHouse's name (`MEMORY_LIMIT_EXCEEDED`) or ours (`TIMEOUT`, `CONNECTION_LOST`, `RESULT_CUT`, ...). */
  readonly name: string;
  readonly kind: FailureKind;
  /** The whole message, as received. */
  readonly message: string;
}

/** What the engine reports about the cost of a query; figures that it does not report are missing. */
export interface QueryStats {
  readonly read_rows?: number;
  readonly read_bytes?: number;
  readonly memory_bytes?: number;
  readonly elapsed_ms?: number;
}
