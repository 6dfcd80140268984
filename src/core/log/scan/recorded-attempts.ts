import { FinalStates } from './final-states.js';
import { twice } from './name-table.js';
import type { RecordHead } from './record-head.js';

// A row for each query: the number of the run + 1, or 0 for none; the attempt.
const ROW = 2;

/**
 * Final states, and every attempt whose whole group was found: which query, in which run, at which try. An attempt ends
 * only once, so two groups of the same attempt are copies of each other.
 *
 * Memory: 16 bytes for each query, besides what {@link FinalStates} takes, and some 100 for each further group of a
 * query. Attempts up to 2^32 - 1.
 */
export class RecordedAttempts extends FinalStates {
  readonly #runs = new Map<string, number>();
  #lastRun: string | undefined;
  #lastRunNumber = 0;
  // The last attempt of each query. A table of all attempts would be several times as slow: most queries have one, and
  // queries are numbered as they come, so that rows are read one after the other.
  #rows = new Uint32Array(16 * ROW);
  // Those before the last, by query.
  readonly #earlier = new Map<number, Set<string>>();

  override group(head: RecordHead): void {
    this.note(head, this.numberOf(head));
  }

  /** Whether a whole group of this attempt was found; `number` is that of its query. */
  hasAttempt({ run, attempt }: RecordHead, number: number): boolean {
    const row = number * ROW;
    const known = this.#rows[row] ?? 0;
    if (known === 0) return false;
    const runNumber = this.#numberOfRun(run);
    if (known === runNumber && this.#rows[row + 1] === attempt) return true;
    return this.#earlier.size > 0 && this.#earlier.get(number)?.has(keyOf(runNumber, attempt)) === true;
  }

  /** Notes a group as the final state of its query, and its attempt. */
  note(head: RecordHead, number: number): void {
    this.set(head, number);
    const row = number * ROW;
    while (row >= this.#rows.length) this.#rows = twice(this.#rows);
    const before = this.#rows[row] as number;
    if (before !== 0) this.#noteEarlier(number, keyOf(before, this.#rows[row + 1] as number));
    this.#rows[row] = this.#numberOfRun(head.run);
    this.#rows[row + 1] = head.attempt;
  }

  #noteEarlier(number: number, key: string): void {
    const known = this.#earlier.get(number);
    if (known === undefined) this.#earlier.set(number, new Set([key]));
    else known.add(key);
  }

  // From 1.
  #numberOfRun(run: string): number {
    if (run === this.#lastRun) return this.#lastRunNumber;
    let number = this.#runs.get(run);
    if (number === undefined) {
      number = this.#runs.size + 1;
      this.#runs.set(run, number);
    }
    this.#lastRun = run;
    this.#lastRunNumber = number;
    return number;
  }
}

function keyOf(run: number, attempt: number): string {
  return `${run} ${attempt}`;
}
