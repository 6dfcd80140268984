import type { Output } from '../schema.js';
import type { CannotRun } from '../unit/judge.js';
import { planQuery } from '../unit/plan.js';
import type { report, verdict } from './audit.schema.js';
import { AuditedLog, type Standing } from './scan/index.js';

/** A query as the audit expects it. */
export interface ExpectedQuery {
  readonly name: string;
  readonly fingerprint: string;
  /** Rows that a normal result must have, if the file or the caller says so. */
  readonly rows: number | undefined;
}

/** What a unit has besides the queries that can run. */
export interface OtherFiles {
  /** Files that cannot run as they are now, with each of their problems. */
  readonly cannotRun: readonly CannotRun[];
  /** Files that hold only comments or nothing. They are not queries. */
  readonly noStatement: readonly string[];
  /** Queries that the selection left out and of which the log holds nothing. */
  readonly leftOut: number;
}

/**
 * `complete`: every query has one whole, current result. `errors`: the same, but some are recorded as errors.
 * `incomplete`: results are missing or stale, or files cannot run. `inconsistent`: the log holds what it must not hold.
 */
export type Verdict = Output<typeof verdict>;

/** What an audit found. Lists hold query names; offsets are bytes in the log. */
export interface AuditReport extends Output<typeof report> {}

/** What the comparison alone finds; its caller knows which settings it was about. */
export type AuditFindings = Omit<AuditReport, 'settings' | 'last_run'>;

const NO_OTHERS: OtherFiles = { cannotRun: [], noStatement: [], leftOut: 0 };

/**
 * Compares the logs of a unit, read one after the other, with the queries that it has. Pure: the order of the
 * queries, the order of the logs and the time do not matter. If several logs hold a state of a query, the one with
 * the highest run id is final, because run ids begin with the time. A query that is settled with the same fingerprint
 * in another log is there twice.
 */
export class Audit {
  readonly #logs: AuditedLog[] = [];

  /** Returns the object into which a log is scanned; call its `end` once the log has been read. */
  begin(log: string): AuditedLog {
    const found = new AuditedLog(log);
    this.#logs.push(found);
    return found;
  }

  /** Returns the fingerprint of a query's newest group; `undefined` unless at least one of its groups is whole. */
  fingerprintOf(query: string): string | undefined {
    const isWhole = this.#logs.some(log => log.hasWhole(log.find(query)));
    return isWhole ? this.#standing(query)?.state.fingerprint : undefined;
  }

  /** Returns the comparison with what the unit has. All logs must have been read. */
  report(
    unit: string,
    log: string,
    expected: readonly ExpectedQuery[],
    { cannotRun, noStatement, leftOut }: OtherFiles = NO_OTHERS,
  ): AuditFindings {
    const missing: string[] = [];
    const failed: { query: string; attempt: number }[] = [];
    const partial: { query: string; found: number; parts: number }[] = [];
    const duplicate: { query: string; times: number; lines: number }[] = [];
    const stale: string[] = [];
    const wrongWidth: { query: string; rows: number; expected: number }[] = [];
    const widths = new Map<number, number>();
    const known = this.#logs.map(({ numbers }) => new Uint8Array(numbers));
    const superseded = { groups: 0, lines: 0 };
    for (const { supersededGroups, supersededLines } of this.#logs) {
      superseded.groups += supersededGroups;
      superseded.lines += supersededLines;
    }
    let skipped = 0;
    let expectedLines = 0;
    let foundLines = 0;
    const refused = new Set(cannotRun.flatMap(({ query }) => query ?? []));
    for (const name of refused) this.#standing(name, known);
    for (const query of expected) {
      const standing = this.#standing(query.name, known, superseded);
      if (standing === undefined) {
        missing.push(query.name);
        continue;
      }
      const { state, again } = standing;
      if (again !== undefined) {
        duplicate.push({ query: query.name, times: again.times + 1, lines: again.lines });
      }
      if (standing.partial !== undefined) {
        partial.push({ query: query.name, ...standing.partial });
        foundLines += standing.partial.found;
        continue;
      }
      // The same question that a run asks, so that what is due there is not complete here.
      const reason = planQuery(state, query.fingerprint, 'errors');
      if (reason === 'changed') {
        stale.push(query.name);
        continue;
      }
      foundLines += state.parts + (again?.lines ?? 0);
      if (reason === 'failed') {
        failed.push({ query: query.name, attempt: standing.attempt });
        expectedLines += 1;
      } else if (state.outcome === 'skipped') {
        skipped += 1;
        expectedLines += 1;
      } else {
        const rows = query.rows ?? state.parts;
        widths.set(rows, (widths.get(rows) ?? 0) + 1);
        expectedLines += rows;
        if (rows !== state.parts) wrongWidth.push({ query: query.name, rows: state.parts, expected: rows });
      }
    }
    const foreign = this.#foreign(known);
    const unreadable = this.#logs.flatMap(({ log, unreadableParts }) =>
      unreadableParts.map(part => ({ ...part, log })),
    );
    const inconsistent = duplicate.length + foreign.length + wrongWidth.length + unreadable.length > 0;
    const incomplete = missing.length + partial.length + stale.length + cannotRun.length > 0;
    return {
      unit,
      log,
      logs: this.#logs.map(one => ({ log: one.log, lines: one.lines })),
      verdict: inconsistent
        ? 'inconsistent'
        : incomplete
          ? 'incomplete'
          : failed.length > 0
            ? 'errors'
            : 'complete',
      queries: expected.length + refused.size,
      normal: [...widths].map(([rows, queries]) => ({ queries, rows })).sort((a, b) => b.queries - a.queries),
      skipped,
      errors: failed.length,
      expected_lines: expectedLines,
      found_lines: foundLines,
      total_lines: this.#logs.reduce((sum, { lines }) => sum + (lines ?? 0), 0),
      missing,
      failed,
      partial,
      duplicate,
      stale,
      cannot_run: cannotRun,
      no_statement: noStatement,
      left_out: leftOut,
      foreign,
      wrong_width: wrongWidth,
      superseded,
      unreadable,
    };
  }

  // Returns how a query stands in all logs together. Marks it as known, and counts what its states in the other logs
  // are.
  #standing(
    query: string,
    known?: readonly Uint8Array[],
    superseded = { groups: 0, lines: 0 },
  ): Standing | undefined {
    let final: Standing | undefined;
    for (const [index, log] of this.#logs.entries()) {
      const number = log.find(query);
      const standing = log.standing(number);
      if (standing === undefined) continue;
      const marks = known?.[index];
      if (marks !== undefined) marks[number] = 1;
      final = final === undefined ? standing : together(final, standing, superseded);
    }
    return final;
  }

  #foreign(known: readonly Uint8Array[]): AuditReport['foreign'] {
    const found: { query: string | null; lines: number; offset: number; log: string }[] = [];
    for (const [index, log] of this.#logs.entries()) {
      const marks = known[index] as Uint8Array;
      for (let number = 0; number < marks.length; number += 1) {
        if (marks[number] === 0) found.push(log.unknown(number));
      }
      for (const offset of log.foreignLines) {
        found.push({ query: null, lines: 1, offset, log: log.log });
      }
    }
    return found;
  }
}

// Returns the later of two states in different logs, and records what the other one is: the same again, or replaced.
function together(one: Standing, other: Standing, superseded: { groups: number; lines: number }): Standing {
  const [final, older] = one.state.run < other.state.run ? [other, one] : [one, other];
  const copied = final.state.run === older.state.run && final.attempt === older.attempt;
  const settledTwice =
    final.state.fingerprint === older.state.fingerprint &&
    [final, older].every(({ state, partial }) => state.outcome !== 'error' && partial === undefined);
  const lines = older.partial?.found ?? older.state.parts;
  if (!copied && !settledTwice) {
    superseded.groups += 1;
    superseded.lines += lines;
  }
  const again = [final.again, older.again, copied || settledTwice ? { times: 1, lines } : undefined].reduce(
    (sum, more) =>
      sum === undefined || more === undefined
        ? (sum ?? more)
        : { times: sum.times + more.times, lines: sum.lines + more.lines },
    undefined,
  );
  return { ...final, again };
}

/** Returns the formula with its numbers: `290 = 95 x 3 + 5 x 1 + 0 x 1`; one term for each width of normal results. */
export function formula(
  report: Pick<AuditReport, 'normal' | 'skipped' | 'errors' | 'expected_lines'>,
): string {
  const normal = report.normal.length === 0 ? [{ queries: 0, rows: 1 }] : report.normal;
  const terms = normal.map(({ queries, rows }) => `${queries} x ${rows}`);
  return `${report.expected_lines} = ${[...terms, `${report.skipped} x 1`, `${report.errors} x 1`].join(' + ')}`;
}
