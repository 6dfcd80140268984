/** A `{name:Type}` parameter as the SQL names it. */
export interface QueryParameter {
  readonly name: string;
  readonly type: string;
}

/**
 * Whether a statement answers with rows. `yes`: that is its purpose (SELECT, SHOW, ..., an expression), however many
 * rows there are. `no`: it certainly returns none (SET, USE, CREATE, DROP, INSERT, FORMAT Null). `maybe`: all others,
 * such as EXPLAIN with FORMAT Null, which some versions ignore.
 *
 * The result of a query is the answer of its last statement with `yes`, unless a statement with `maybe` after it
 * returns rows: then it is the answer of the last of these.
 */
export type RowsOf = 'yes' | 'maybe' | 'no';

/** What a SET changes in its session. */
export interface SessionChange {
  /** The settings and `param_` parameters that it names, as the engine takes them. */
  readonly names: readonly string[];
  /** It also changes settings that it does not name, or forbids changing any: a profile, a role, `readonly`. */
  readonly others: boolean;
}

/** One statement of a query file, ready to be sent. */
export interface Statement {
  /**
   * The SQL to send: without comments before the first and after the last token, without the closing `;`, and without
   * a trailing `FORMAT x`, except for `FORMAT Null`. A FORMAT would decide what the server answers; qrun always asks
   * for its own. A byte of the file that is not UTF-8 is a lone surrogate (see {@link encodeSql}).
   */
  readonly text: string;
  /**
   * Inline data of an `INSERT ... FORMAT x` or `INSERT ... VALUES`, exactly as in the file; `text` then ends with
   * `VALUES` or the format's name. For VALUES it goes from the first row to the last, without comments around them.
   * Empty if the data is missing, `undefined` if none is expected.
   */
  readonly data: string | undefined;
  /**
   * The first word in upper case: `SELECT`, `INSERT`, `SET`, ...; for `(SELECT 1)` the first word within the brackets.
   * Empty if the statement does not begin with a word, such as `1 + 1`.
   */
  readonly keyword: string;
  /** The output format that was removed, as written. */
  readonly format: string | undefined;
  readonly rows: RowsOf;
  /** For a SET; and for `EXECUTE AS user`, which applies to everything that follows. */
  readonly sets: SessionChange | undefined;
  /**
   * The names in all its SETTINGS clauses, including subqueries, where they may have no effect on the result. What
   * follows commas after a clause may be among them.
   */
  readonly settingNames: readonly string[];
  /** Whether it changes nothing on the server, so that running it again after a lost answer is safe. */
  readonly readOnly: boolean;
  /** Whether it needs a session that outlives it: SET, USE, transactions, and all work on TEMPORARY tables. */
  readonly needsSession: boolean;
  /**
   * Parameters in order of first use, each once; without those that an earlier `SET param_x = ...` supplies, and
   * without those in the definition of a view.
   */
  readonly parameters: readonly QueryParameter[];
  /**
   * UTF-16 offsets of the statement in the file, from its first token to its last or to the end of its inline data: the
   * source of `text` and `data`. Between statements there are only blanks, comments and terminators.
   */
  readonly start: number;
  readonly end: number;
}

/** What the first-line comment `-- qrun: timeout=30s rows=3 retries=1` sets for one query. */
export interface QueryOverrides {
  readonly timeoutMs?: number;
  readonly rows?: number;
  readonly retries?: number;
}

/** A query file as qrun understands it. */
export interface ParsedQuery {
  /** At least one. */
  readonly statements: readonly Statement[];
  readonly overrides: QueryOverrides;
  /** `true` if no statement changes anything on the server (SET, USE and temporary tables do not count). */
  readonly readOnly: boolean;
  /** `true` if the statements must share a session. */
  readonly needsSession: boolean;
  /** What looks like the unreplaced placeholder of a template, as written, in order, each once: see `CodeScanner`. */
  readonly placeholders: readonly string[];
}
