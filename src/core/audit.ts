import { twice } from './columns.js';
import { FinalStates } from './final-states.js';
import type { CannotRun } from './judge.js';
import type { LogVisitor } from './log-scan.js';
import type { Settings } from './model.js';
import { planQuery } from './plan.js';
import type { RecordHead } from './record.js';

/** A query as the audit expects it. */
export interface ExpectedQuery {
  readonly name: string;
  readonly fingerprint: string;
  /** Rows that a normal result must have, where the file or the caller says so. */
  readonly rows: number | undefined;
}

/** What a unit has besides the queries that can run. */
export interface OtherFiles {
  /** Files that cannot run as they are now, with each of their problems. */
  readonly cannotRun: readonly CannotRun[];
  /** Files that hold only comments or nothing: no queries. */
  readonly noStatement: readonly string[];
  /** Queries that the selection left out, and that the log holds nothing of. */
  readonly leftOut: number;
}

/**
 * `complete`: every query has one whole, present result. `errors`: the same, but some stand as error.
 * `incomplete`: results are missing or stale, or files cannot run. `inconsistent`: the log holds what it must not hold.
 */
export type Verdict = 'complete' | 'errors' | 'incomplete' | 'inconsistent';

/** One term of the formula: `queries x rows` normal queries of the same width. */
export interface NormalTerm {
  readonly queries: number;
  readonly rows: number;
}

/** What an audit found. Lists hold query names; offsets are bytes in the log. */
export interface AuditReport {
  readonly unit: string;
  readonly log: string;
  /** Only where several logs were judged together: each with its lines, `null` where there is no such file. */
  readonly logs?: readonly { readonly log: string; readonly lines: number | null }[];
  readonly verdict: Verdict;
  /** What is judged: queries that can run or not, without those that the selection leaves out. */
  readonly queries: number;
  readonly normal: readonly NormalTerm[];
  readonly skipped: number;
  readonly errors: number;
  /** `sum(normal.queries x normal.rows) + skipped + errors`: the lines that the final states must have. */
  readonly expected_lines: number;
  /** Lines of the final states that the log really has. */
  readonly found_lines: number;
  /** Lines in the log, torn ones not counted. */
  readonly total_lines: number;
  readonly missing: readonly string[];
  readonly failed: readonly { readonly query: string; readonly attempt: number }[];
  /** The last group of the query is not whole. */
  readonly partial: readonly { readonly query: string; readonly found: number; readonly parts: number }[];
  /** Settled more than once with the same fingerprint, or with the same attempt in the log twice. */
  readonly duplicate: readonly { readonly query: string; readonly times: number; readonly lines: number }[];
  /** Recorded for other SQL, parameters or settings than the present ones. */
  readonly stale: readonly string[];
  /** Files that a run would refuse as they are now; `query` is null for a problem of the whole unit. */
  readonly cannot_run: readonly CannotRun[];
  /** Files that hold only comments or nothing. They are no queries, and nothing of them is missing. */
  readonly no_statement: readonly string[];
  /** Queries that the selection left out, unless the log holds results of them. */
  readonly left_out: number;
  /** Recorded queries that the unit does not have, and lines that are no records of the unit. */
  readonly foreign: readonly {
    readonly query: string | null;
    readonly lines: number;
    readonly offset: number;
    /** Where several logs were judged. */
    readonly log?: string;
  }[];
  readonly wrong_width: readonly {
    readonly query: string;
    readonly rows: number;
    readonly expected: number;
  }[];
  /** Older groups that a later one of the same query replaces: lines to leave out when reading the log. */
  readonly superseded: { readonly groups: number; readonly lines: number };
  readonly unreadable: readonly {
    readonly offset: number;
    readonly bytes: number;
    readonly reason: string;
    readonly log?: string;
  }[];
  /** The settings that decided what is stale: those that a run with this configuration would have. */
  readonly settings?: Settings;
  /** The last run, where it had others. */
  readonly last_run?: { readonly run: string; readonly settings: Settings };
}

interface LogLines {
  readonly log: string;
  lines: number | null;
}

const NO_OTHERS: OtherFiles = { cannotRun: [], noStatement: [], leftOut: 0 };

/**
 * Collects a log, or several one after the other (as visitor of LogScanners), and compares them with the queries that a
 * unit has. Pure: neither the order of the queries nor the time plays a part. Of the groups that a query has in several
 * logs the one with the highest run id is its final state, because run ids begin with the time.
 */
export class Audit implements LogVisitor {
  readonly #states = new FinalStates();
  // By the number of a query: the attempt of its last group, and where that begins.
  #attempts = new Float64Array(16);
  #offsets = new Float64Array(16);
  // The log of its last group.
  #logOf = new Float64Array(16);
  readonly #logs: LogLines[] = [];
  readonly #duplicates = new Map<number, { readonly times: number; readonly lines: number }>();
  // The newest group of the query is not whole.
  readonly #partial = new Map<number, { readonly found: number; readonly parts: number }>();
  // Queries of which no group was ever whole.
  readonly #neverWhole = new Set<number>();
  readonly #foreignLines: { offset: number; log: number }[] = [];
  readonly #unreadable: { offset: number; bytes: number; reason: string; log: number }[] = [];
  #log = 0;
  #supersededGroups = 0;
  #supersededLines = 0;

  /** What is visited from here on stands in this log; not needed for a single one. */
  begin(log: string): void {
    this.#log = this.#logs.length;
    this.#logs.push({ log, lines: 0 });
  }

  /** The log that was begun last does not exist. */
  noLog(): void {
    const log = this.#logs[this.#log];
    if (log !== undefined) log.lines = null;
  }

  group(head: RecordHead, start: number): void {
    this.#count(head.parts);
    const number = this.#states.numberOf(head);
    const before = this.#states.at(number);
    if (before !== undefined) {
      const elsewhere = this.#logOf[number] !== this.#log;
      const settledTwice =
        before.fingerprint === head.fingerprint &&
        before.outcome !== 'error' &&
        !this.#partial.has(number) &&
        head.outcome !== 'error' &&
        (elsewhere || !head.rerun);
      // An attempt ends once: its records, or some of them, were copied.
      const copied = before.run === head.run && this.#attempts[number] === head.attempt;
      const older = elsewhere && head.run < before.run;
      const lines = older ? head.parts : (this.#partial.get(number)?.found ?? before.parts);
      if (settledTwice || copied) {
        const earlier = this.#duplicates.get(number) ?? { times: 0, lines: 0 };
        this.#duplicates.set(number, { times: earlier.times + 1, lines: earlier.lines + lines });
      } else this.#supersede(lines);
      if (older) return;
      this.#partial.delete(number);
      this.#neverWhole.delete(number);
    }
    this.#note(number, head, start);
  }

  partial(head: RecordHead, seen: number, start: number): void {
    this.#count(seen);
    const number = this.#states.numberOf(head);
    const before = this.#states.at(number);
    if (before === undefined) this.#neverWhole.add(number);
    else if (this.#logOf[number] !== this.#log && head.run < before.run) {
      this.#supersede(seen);
      return;
    } else this.#supersede(this.#partial.get(number)?.found ?? before.parts);
    this.#partial.set(number, { found: seen, parts: head.parts });
    this.#note(number, head, start);
  }

  foreign(start: number): void {
    this.#count(1);
    this.#foreignLines.push({ offset: start, log: this.#log });
  }

  newer(start: number, schema: number): void {
    this.#count(1);
    this.#bad(start, 0, `record of schema ${schema}, newer than this qrun`);
  }

  unreadable(start: number, bytes: number): void {
    this.#count(1);
    this.#bad(start, bytes, 'no JSON');
  }

  /** A torn end of the log: a writer died there, or is writing at this moment. */
  torn(start: number, bytes: number, reason: string): void {
    this.#bad(start, bytes, `torn end: ${reason}`);
  }

  #bad(offset: number, bytes: number, reason: string): void {
    this.#unreadable.push({ offset, bytes, reason, log: this.#log });
  }

  #count(lines: number): void {
    if (this.#logs.length === 0) this.begin('');
    const log = this.#logs[this.#log] as LogLines;
    log.lines = (log.lines ?? 0) + lines;
  }

  /** The fingerprint of a query's newest group; `undefined` unless any group of it is whole. */
  fingerprintOf(query: string): string | undefined {
    const number = this.#states.find(query);
    return this.#neverWhole.has(number) ? undefined : this.#states.at(number)?.fingerprint;
  }

  /** The comparison with what the unit has; everything must have been visited. */
  report(
    unit: string,
    log: string,
    expected: readonly ExpectedQuery[],
    { cannotRun, noStatement, leftOut }: OtherFiles = NO_OTHERS,
  ): AuditReport {
    const missing: string[] = [];
    const failed: { query: string; attempt: number }[] = [];
    const partial: { query: string; found: number; parts: number }[] = [];
    const duplicate: { query: string; times: number; lines: number }[] = [];
    const stale: string[] = [];
    const wrongWidth: { query: string; rows: number; expected: number }[] = [];
    const widths = new Map<number, number>();
    const known = new Uint8Array(this.#states.numbers);
    let skipped = 0;
    let expectedLines = 0;
    let foundLines = 0;
    const refused = new Set(cannotRun.flatMap(({ query }) => query ?? []));
    for (const name of refused) {
      const number = this.#states.find(name);
      if (this.#states.at(number) !== undefined) known[number] = 1;
    }
    for (const query of expected) {
      const number = this.#states.find(query.name);
      const state = this.#states.at(number);
      if (state === undefined) {
        missing.push(query.name);
        continue;
      }
      known[number] = 1;
      const duplicates = this.#duplicates.get(number);
      if (duplicates !== undefined) {
        duplicate.push({ query: query.name, times: duplicates.times + 1, lines: duplicates.lines });
      }
      const incomplete = this.#partial.get(number);
      if (incomplete !== undefined) {
        partial.push({ query: query.name, ...incomplete });
        foundLines += incomplete.found;
        continue;
      }
      // The question that a run asks, so that what is due there is not complete here.
      const reason = planQuery(state, query.fingerprint, 'errors');
      if (reason === 'changed') {
        stale.push(query.name);
        continue;
      }
      foundLines += state.parts + (duplicates?.lines ?? 0);
      if (reason === 'failed') {
        failed.push({ query: query.name, attempt: this.#attempts[number] as number });
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
    const inconsistent = duplicate.length + foreign.length + wrongWidth.length + this.#unreadable.length > 0;
    const incomplete = missing.length + partial.length + stale.length + cannotRun.length > 0;
    return {
      unit,
      log,
      ...(this.#logs.length > 1 ? { logs: this.#logs } : {}),
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
      superseded: { groups: this.#supersededGroups, lines: this.#supersededLines },
      unreadable: this.#unreadable.map(({ log: at, ...bad }) => ({ ...bad, ...this.#named(at) })),
    };
  }

  #note(number: number, head: RecordHead, start: number): void {
    this.#states.set(head, number);
    if (number >= this.#attempts.length) {
      this.#attempts = twice(this.#attempts);
      this.#offsets = twice(this.#offsets);
      this.#logOf = twice(this.#logOf);
    }
    this.#logOf[number] = this.#log;
    this.#attempts[number] = head.attempt;
    this.#offsets[number] = start;
  }

  #supersede(lines: number): void {
    this.#supersededGroups += 1;
    this.#supersededLines += lines;
  }

  #foreign(known: Uint8Array): AuditReport['foreign'] {
    const found: { query: string | null; lines: number; offset: number; log?: string }[] = [];
    for (let number = 0; number < known.length; number += 1) {
      if (known[number] === 1) continue;
      found.push({
        query: this.#states.name(number),
        lines: this.#partial.get(number)?.found ?? this.#states.partsOf(number),
        offset: this.#offsets[number] as number,
        ...this.#named(this.#logOf[number] as number),
      });
    }
    for (const { offset, log } of this.#foreignLines) {
      found.push({ query: null, lines: 1, offset, ...this.#named(log) });
    }
    return found;
  }

  #named(log: number): { log?: string } {
    return this.#logs.length > 1 ? { log: (this.#logs[log] as LogLines).log } : {};
  }
}

/** The formula with its numbers: `290 = 95 x 3 + 5 x 1 + 0 x 1`; one term for each width of normal results. */
export function formula(
  report: Pick<AuditReport, 'normal' | 'skipped' | 'errors' | 'expected_lines'>,
): string {
  const normal = report.normal.length === 0 ? [{ queries: 0, rows: 1 }] : report.normal;
  const terms = normal.map(({ queries, rows }) => `${queries} x ${rows}`);
  return `${report.expected_lines} = ${[...terms, `${report.skipped} x 1`, `${report.errors} x 1`].join(' + ')}`;
}
