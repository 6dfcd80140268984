import type { FinalState } from '../../unit/plan.js';
import { FinalStates } from './final-states.js';
import type { LogTail, LogVisitor } from './log-scan.js';
import { twice } from './name-table.js';
import type { RecordHead } from './record-head.js';

/** How a query stands in one log. */
export interface Standing {
  /** The state of its newest group. */
  readonly state: FinalState;
  readonly attempt: number;
  /** Set when the newest group is not whole. */
  readonly partial: { readonly found: number; readonly parts: number } | undefined;
  /** Extra groups that settle it with the same fingerprint or repeat an attempt: how many, and their lines. */
  readonly again: { readonly times: number; readonly lines: number } | undefined;
}

/**
 * What one log holds, for an audit: final states, including those of groups that are not whole, and everything else. A
 * scan of the log collects it; {@link end} finishes it.
 */
export class AuditedLog implements LogVisitor {
  /** The log's name. */
  readonly log: string;
  /** Lines in it, not counting torn ones; `null` if there is no such log. */
  lines: number | null = 0;
  /** Older groups that a later one of the same query replaces. */
  supersededGroups = 0;
  supersededLines = 0;
  /** Where lines begin that are not records of the unit. */
  readonly foreignLines: number[] = [];
  readonly unreadableParts: { readonly offset: number; readonly bytes: number; readonly reason: string }[] =
    [];
  readonly #states = new FinalStates();
  // By the number of a query: the attempt of its last group, and where that group begins.
  #attempts = new Float64Array(16);
  #offsets = new Float64Array(16);
  readonly #duplicates = new Map<number, { readonly times: number; readonly lines: number }>();
  // Queries whose newest group is not whole.
  readonly #partial = new Map<number, { readonly found: number; readonly parts: number }>();
  // Queries that have never had a whole group.
  readonly #neverWhole = new Set<number>();

  constructor(log: string) {
    this.log = log;
  }

  group(head: RecordHead, start: number): void {
    this.#count(head.parts);
    const number = this.#states.numberOf(head);
    const before = this.#states.at(number);
    if (before !== undefined) {
      const settledTwice =
        before.fingerprint === head.fingerprint &&
        before.outcome !== 'error' &&
        !this.#partial.has(number) &&
        head.outcome !== 'error' &&
        !head.rerun;
      // An attempt ends only once: its records, or some of them, were copied.
      const copied = before.run === head.run && this.#attempts[number] === head.attempt;
      const lines = this.#partial.get(number)?.found ?? before.parts;
      if (settledTwice || copied) {
        const earlier = this.#duplicates.get(number) ?? { times: 0, lines: 0 };
        this.#duplicates.set(number, { times: earlier.times + 1, lines: earlier.lines + lines });
      } else this.#supersede(lines);
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
    else this.#supersede(this.#partial.get(number)?.found ?? before.parts);
    this.#partial.set(number, { found: seen, parts: head.parts });
    this.#note(number, head, start);
  }

  foreign(start: number): void {
    this.#count(1);
    this.foreignLines.push(start);
  }

  newer(start: number, schema: number): void {
    this.#count(1);
    const reason = `record of schema ${schema}, newer than this qrun`;
    this.unreadableParts.push({ offset: start, bytes: 0, reason });
  }

  unreadable(start: number, bytes: number): void {
    this.#count(1);
    this.unreadableParts.push({ offset: start, bytes, reason: 'not JSON' });
  }

  /** Notes how the log ends; `undefined`: there is no such log. A torn end: a writer died there, or is writing now. */
  end(tail: LogTail | undefined): void {
    if (tail === undefined) this.lines = null;
    else if (tail.reason !== undefined) {
      const reason = `torn end: ${tail.reason}`;
      this.unreadableParts.push({ offset: tail.goodEnd, bytes: tail.tornBytes, reason });
    }
  }

  /** Returns the number of a query here; -1 if the log holds nothing of it. */
  find(query: string): number {
    return this.#states.find(query);
  }

  /** How many queries have a number; the numbers begin at 0. */
  get numbers(): number {
    return this.#states.numbers;
  }

  /** Returns how the query with this number stands; `undefined` for -1. */
  standing(number: number): Standing | undefined {
    const state = this.#states.at(number);
    if (state === undefined) return undefined;
    return {
      state,
      attempt: this.#attempts[number] as number,
      partial: this.#partial.get(number),
      again: this.#duplicates.get(number),
    };
  }

  /** Returns whether any group of this query is whole. */
  hasWhole(number: number): boolean {
    return this.#states.at(number) !== undefined && !this.#neverWhole.has(number);
  }

  /** Returns a query that the unit does not have: its name, the lines of its newest group, and where that begins. */
  unknown(number: number): { query: string; lines: number; offset: number; log: string } {
    return {
      query: this.#states.name(number),
      lines: this.#partial.get(number)?.found ?? this.#states.partsOf(number),
      offset: this.#offsets[number] as number,
      log: this.log,
    };
  }

  #note(number: number, head: RecordHead, start: number): void {
    this.#states.set(head, number);
    if (number >= this.#attempts.length) {
      this.#attempts = twice(this.#attempts);
      this.#offsets = twice(this.#offsets);
    }
    this.#attempts[number] = head.attempt;
    this.#offsets[number] = start;
  }

  #count(lines: number): void {
    this.lines = (this.lines ?? 0) + lines;
  }

  #supersede(lines: number): void {
    this.supersededGroups += 1;
    this.supersededLines += lines;
  }
}
