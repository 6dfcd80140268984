import { OUTCOMES, type Outcome } from '../../model.js';
import type { FinalState } from '../../unit/plan.js';
import { LineHead, viewOf } from './head-reader.js';
import type { LogVisitor, OtherLines } from './log-scan.js';
import { NameTable, twice } from './name-table.js';
import type { RecordHead } from './record-head.js';

/** What a state is made from: the head of a group, or a group that was just written. */
export type GroupOfQuery = Pick<RecordHead, 'query' | 'fingerprint' | 'outcome' | 'parts' | 'run'>;

const FINGERPRINT_BYTES = 16;

// A row: outcome + 1, or 0 for none; parts; the number of the run; 1 if the fingerprint is kept as a string; and its
// 16 bytes.
const ROW = 8;
const PARTS = 1;
const RUN = 2;
const OWN_TEXT = 3;
const FINGERPRINT = 4;

const IGNORED: OtherLines = { foreign() {}, newer() {}, unreadable() {} };

/**
 * The final states of queries, collected by a scan of their log or noted one by one: the last whole group of each
 * query, and none if records of an unfinished group come after it. `others` is called with all other lines, and may
 * throw.
 *
 * States are rows of numbers: a log of a gigabyte may hold a million, and storing them as objects in a Map takes longer
 * than reading the log. `get` returns a new object that belongs to the caller.
 *
 * Queries keep their number for good; they are ordered by when they first came. Memory: about 80 bytes per query, and
 * its name. Up to 2^32 - 1 parts.
 */
export class FinalStates implements LogVisitor {
  readonly #others: OtherLines;
  readonly #names = new NameTable();
  #rows = new Uint32Array(16 * ROW);
  #bytes = Buffer.from(this.#rows.buffer);
  #view = viewOf(this.#bytes);
  #size = 0;
  readonly #runs: string[] = [];
  readonly #runNumbers = new Map<string, number>();
  #lastRun: string | undefined;
  #lastRunNumber = 0;
  #groupsOfLastRun = 0;
  // Fingerprints that are not 16 printable bytes: qrun writes none.
  readonly #ownTexts = new Map<number, string>();

  constructor(others = IGNORED) {
    this.#others = others;
  }

  group(head: RecordHead): void {
    this.set(head);
  }

  partial(head: RecordHead): void {
    this.clear(this.numberOf(head));
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

  /** The run of the last group, and how many groups of it came last in a row; `undefined` if there are no groups. */
  get lastRun(): { readonly run: string; readonly groups: number } | undefined {
    return this.#lastRun === undefined ? undefined : { run: this.#lastRun, groups: this.#groupsOfLastRun };
  }

  /** How many queries have a final state. */
  get size(): number {
    return this.#size;
  }

  /** Returns the number of a query, from 0; a new one has no state yet. */
  numberOf(group: Pick<RecordHead, 'query'>): number {
    if (!(group instanceof LineHead) || !group.isPlainQuery || group.bytes === undefined) {
      return this.#names.addText(group.query);
    }
    return this.#names.add(group.bytes, group.view, group.queryFrom, group.queryTo);
  }

  /** Notes a group as the query's final state. */
  set(group: GroupOfQuery, number = this.numberOf(group)): void {
    const row = number * ROW;
    if (row >= this.#rows.length) this.#grow(row);
    const rows = this.#rows;
    if (rows[row] === 0) this.#size += 1;
    rows[row] = OUTCOMES.indexOf(group.outcome) + 1;
    rows[row + PARTS] = group.parts;
    rows[row + RUN] = this.#runNumber(group.run);
    if (rows[row + OWN_TEXT] !== 0) this.#ownTexts.delete(number);
    const at = plainFingerprintAt(group);
    if (at >= 0) {
      const { view } = group as LineHead;
      rows[row + OWN_TEXT] = 0;
      for (let i = 0; i < FINGERPRINT_BYTES; i += 4) {
        this.#view.setInt32((row + FINGERPRINT) * 4 + i, view.getInt32(at + i));
      }
      return;
    }
    this.#setFingerprint(number, group.fingerprint);
  }

  /** Removes the final state of the query with this number, if it has one. */
  clear(number: number): void {
    if (!this.#isSet(number)) return;
    this.#rows[number * ROW] = 0;
    this.#size -= 1;
  }

  get(query: string): FinalState | undefined {
    return this.at(this.#names.find(query));
  }

  /** Returns the number of a query that came before, otherwise -1. */
  find(query: string): number {
    return this.#names.find(query);
  }

  /** How many queries have a number. */
  get numbers(): number {
    return this.#names.size;
  }

  /** Returns the name of the query with this number. */
  name(number: number): string {
    return this.#names.name(number);
  }

  /** Returns the outcome of the query with this number (-1: of none); `undefined` without a final state. */
  outcomeOf(number: number): Outcome | undefined {
    return this.#isSet(number) ? OUTCOMES[(this.#rows[number * ROW] as number) - 1] : undefined;
  }

  /** Whether the query with this number has a final state, with the fingerprint of this group. */
  hasFingerprint(group: GroupOfQuery, number: number): boolean {
    if (!this.#isSet(number)) return false;
    const row = number * ROW;
    const at = this.#rows[row + OWN_TEXT] === 0 ? plainFingerprintAt(group) : -1;
    if (at < 0) return this.#fingerprint(number) === group.fingerprint;
    const { view } = group as LineHead;
    for (let i = 0; i < FINGERPRINT_BYTES; i += 4) {
      if (this.#view.getInt32((row + FINGERPRINT) * 4 + i) !== view.getInt32(at + i)) return false;
    }
    return true;
  }

  /** Returns the parts of its final state; 0 without one. */
  partsOf(number: number): number {
    return this.#isSet(number) ? (this.#rows[number * ROW + PARTS] as number) : 0;
  }

  /** Returns the final state of the query with this number. */
  at(number: number): FinalState | undefined {
    if (!this.#isSet(number)) return undefined;
    const row = number * ROW;
    return {
      fingerprint: this.#fingerprint(number),
      outcome: OUTCOMES[(this.#rows[row] as number) - 1] as Outcome,
      parts: this.#rows[row + PARTS] as number,
      run: this.#runs[this.#rows[row + RUN] as number] as string,
    };
  }

  /** The queries that have a final state, each with its state. */
  *[Symbol.iterator](): Generator<[string, FinalState], undefined, undefined> {
    for (let number = 0; number < this.#names.size; number += 1) {
      const state = this.at(number);
      if (state !== undefined) yield [this.name(number), state];
    }
  }

  #isSet(number: number): boolean {
    return number >= 0 && number * ROW < this.#rows.length && this.#rows[number * ROW] !== 0;
  }

  #runNumber(run: string): number {
    this.#groupsOfLastRun += 1;
    if (run === this.#lastRun) return this.#lastRunNumber;
    this.#groupsOfLastRun = 1;
    let number = this.#runNumbers.get(run);
    if (number === undefined) {
      number = this.#runs.push(run) - 1;
      this.#runNumbers.set(run, number);
    }
    this.#lastRun = run;
    this.#lastRunNumber = number;
    return number;
  }

  #fingerprint(number: number): string {
    const from = (number * ROW + FINGERPRINT) * 4;
    return this.#ownTexts.get(number) ?? this.#bytes.toString('latin1', from, from + FINGERPRINT_BYTES);
  }

  #setFingerprint(number: number, text: string): void {
    const row = number * ROW;
    const isPlain = this.#writePlain(text, (row + FINGERPRINT) * 4);
    this.#rows[row + OWN_TEXT] = isPlain ? 0 : 1;
    if (!isPlain) this.#ownTexts.set(number, text);
  }

  #writePlain(text: string, from: number): boolean {
    if (text.length !== FINGERPRINT_BYTES) return false;
    for (let i = 0; i < FINGERPRINT_BYTES; i += 1) {
      const unit = text.charCodeAt(i);
      if (unit < 0x20 || unit > 0x7e) return false;
      this.#bytes[from + i] = unit;
    }
    return true;
  }

  #grow(row: number): void {
    while (row >= this.#rows.length) this.#rows = twice(this.#rows);
    this.#bytes = Buffer.from(this.#rows.buffer);
    this.#view = viewOf(this.#bytes);
  }
}

// Returns where the fingerprint is in the line, if it is plain there, otherwise -1.
function plainFingerprintAt(group: GroupOfQuery): number {
  if (!(group instanceof LineHead) || !group.isPlainFingerprint || group.bytes === undefined) return -1;
  return group.fingerprintTo - group.fingerprintFrom === FINGERPRINT_BYTES ? group.fingerprintFrom : -1;
}
