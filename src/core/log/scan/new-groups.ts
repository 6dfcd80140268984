import type { GroupRange } from './last-groups.js';
import type { LogVisitor, OtherLines } from './log-scan.js';
import type { RecordHead } from './record-head.js';
import type { RecordedAttempts } from './recorded-attempts.js';

/** What the files of a unit say now. It is asked only where the answer decides, and only about one query at a time. */
export interface PresentQueries {
  /** Whether the unit has a query of this name, whether it can run or not. */
  has(query: string): boolean;
  /** The fingerprint under which a run would record it now; `undefined` if the file cannot run. */
  fingerprint(query: string): string | undefined;
}

/**
 * What becomes of a whole group of another log:
 *
 * - `new`: it is appended;
 * - `there`: this attempt is in the log already;
 * - `ran_twice`: the query is settled with the same fingerprint, so it was executed more than once;
 * - `stale`: it is not of the present text of its query, and the log holds a result of another text: the present one, or
 *   one that counts as little;
 * - `unknown`: the unit has no such query any more, and the log holds nothing of it.
 */
export type Fate = 'new' | 'there' | 'ran_twice' | 'stale' | 'unknown';

/** How many groups of a log have which fate. */
export type Fates = Readonly<Record<Fate, number>>;

/**
 * The collector of an import: decides group by group what of another log belongs into a log, whose states and attempts
 * `known` holds. What was chosen is noted there at once, so that the next group is judged by it; if it is not appended
 * after all, `known` must not be used again.
 *
 * A group that was not completed counts for nothing. `others` is called with all other lines, and may throw. Memory: 8
 * bytes for each group that is chosen.
 */
export class NewGroups implements LogVisitor {
  readonly #known: RecordedAttempts;
  readonly #present: PresentQueries;
  readonly #others: OtherLines;
  readonly #fates: Record<Fate, number> = { new: 0, there: 0, ran_twice: 0, stale: 0, unknown: 0 };
  readonly #ranges: [start: number, end: number][] = [];
  readonly #lengths: number[] = [];
  #lines = 0;
  #bytes = 0;
  #unfinished = 0;

  constructor(known: RecordedAttempts, present: PresentQueries, others: OtherLines) {
    this.#known = known;
    this.#present = present;
    this.#others = others;
  }

  /** How many whole groups have which fate. */
  get fates(): Fates {
    return this.#fates;
  }

  /** How many groups were never completed, and have something else after them. */
  get unfinished(): number {
    return this.#unfinished;
  }

  /** How many lines, and bytes, the chosen groups have. */
  get size(): { readonly lines: number; readonly bytes: number } {
    return { lines: this.#lines, bytes: this.#bytes };
  }

  /** Where the chosen groups lie, in the order of the log; neighbours are one range. */
  get ranges(): readonly GroupRange[] {
    return this.#ranges;
  }

  /** Returns what checks that a copy of these groups, which begins at `start`, holds them and nothing else. */
  copyAt(start: number): CopiedGroups {
    return new CopiedGroups(this.#lengths, start);
  }

  group(head: RecordHead, start: number, end: number): void {
    const number = this.#known.numberOf(head);
    const fate = this.#fateOf(head, number);
    this.#fates[fate] += 1;
    if (fate !== 'new') return;
    this.#known.note(head, number);
    this.#lines += head.parts;
    this.#bytes += end - start;
    this.#lengths.push(end - start);
    const last = this.#ranges.at(-1);
    if (last?.[1] === start) last[1] = end;
    else this.#ranges.push([start, end]);
  }

  partial(): void {
    this.#unfinished += 1;
  }

  foreign(start: number, unit: string | undefined): void {
    this.#others.foreign(start, unit);
  }

  newer(start: number, schema: number): void {
    this.#others.newer(start, schema);
  }

  unreadable(start: number, bytes: number): void {
    this.#others.unreadable(start, bytes);
  }

  #fateOf(head: RecordHead, number: number): Fate {
    const known = this.#known;
    if (known.hasAttempt(head, number)) return 'there';
    const outcome = known.outcomeOf(number);
    if (outcome === undefined) return this.#present.has(head.query) ? 'new' : 'unknown';
    if (known.hasFingerprint(head, number)) {
      return outcome !== 'error' && !head.rerun ? 'ran_twice' : 'new';
    }
    // Two old texts count as little as one. If both were taken, the order of imports would decide which one is last,
    // and importing again would append again.
    return this.#present.fingerprint(head.query) === head.fingerprint ? 'new' : 'stale';
  }
}

/** Checks that something holds the expected groups, one directly after the other, and nothing else. */
export class CopiedGroups implements LogVisitor {
  readonly #lengths: readonly number[];
  #next = 0;
  #at: number;
  #isSame = true;

  constructor(lengths: readonly number[], start: number) {
    this.#lengths = lengths;
    this.#at = start;
  }

  /** Whether everything was found that was expected, and nothing else. */
  get isWhole(): boolean {
    return this.#isSame && this.#next === this.#lengths.length;
  }

  group(_head: RecordHead, start: number, end: number): void {
    this.#isSame &&= start === this.#at && end - start === this.#lengths[this.#next];
    this.#next += 1;
    this.#at = end;
  }

  partial(): void {
    this.#isSame = false;
  }

  foreign(): void {
    this.#isSame = false;
  }

  newer(): void {
    this.#isSame = false;
  }

  unreadable(): void {
    this.#isSame = false;
  }
}
