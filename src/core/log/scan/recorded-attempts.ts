import { FinalStates } from './final-states.js';
import type { RecordHead } from './record-head.js';

const MIN_SLOTS = 64;
// A slot: the number of the query + 1, or 0 if it is free; the number of the run; the attempt.
const SLOT = 3;

/**
 * Final states, and every attempt whose whole group was found: which query, in which run, at which try. An attempt ends
 * only once, so two groups of the same attempt are copies of each other.
 *
 * Memory: at most 38 bytes for each group, besides what {@link FinalStates} takes. Attempts up to 2^32 - 1.
 */
export class RecordedAttempts extends FinalStates {
  readonly #runs = new Map<string, number>();
  #lastRun: string | undefined;
  #lastRunNumber = 0;
  // Open addressing, at most half full.
  #slots = new Uint32Array(SLOT * MIN_SLOTS);
  #count = 0;

  override group(head: RecordHead): void {
    this.note(head, this.numberOf(head));
  }

  /** Whether a whole group of this attempt was found; `number` is that of its query. */
  hasAttempt({ run, attempt }: RecordHead, number: number): boolean {
    return this.#slots[this.#find(number, this.#numberOfRun(run), attempt)] !== 0;
  }

  /** Notes a group as the final state of its query, and its attempt. */
  note(head: RecordHead, number: number): void {
    this.set(head, number);
    const run = this.#numberOfRun(head.run);
    const slot = this.#find(number, run, head.attempt);
    if (this.#slots[slot] !== 0) return;
    this.#put(slot, number + 1, run, head.attempt);
    this.#count += 1;
    if (2 * this.#count * SLOT > this.#slots.length) this.#grow();
  }

  #numberOfRun(run: string): number {
    if (run === this.#lastRun) return this.#lastRunNumber;
    let number = this.#runs.get(run);
    if (number === undefined) {
      number = this.#runs.size;
      this.#runs.set(run, number);
    }
    this.#lastRun = run;
    this.#lastRunNumber = number;
    return number;
  }

  // Returns where the attempt is, or the free slot where it belongs.
  #find(query: number, run: number, attempt: number): number {
    const slots = this.#slots;
    const mask = slots.length / SLOT - 1;
    for (let at = hashOf(query + 1, run, attempt) & mask; ; at = (at + 1) & mask) {
      const slot = at * SLOT;
      const known = slots[slot] as number;
      if (known === 0) return slot;
      if (known === query + 1 && slots[slot + 1] === run && slots[slot + 2] === attempt) return slot;
    }
  }

  #put(slot: number, query: number, run: number, attempt: number): void {
    this.#slots[slot] = query;
    this.#slots[slot + 1] = run;
    this.#slots[slot + 2] = attempt;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let slot = 0; slot < old.length; slot += SLOT) {
      const query = old[slot] as number;
      if (query === 0) continue;
      const run = old[slot + 1] as number;
      const attempt = old[slot + 2] as number;
      this.#put(this.#find(query - 1, run, attempt), query, run, attempt);
    }
  }
}

// The last step of MurmurHash3 (Austin Appleby, public domain), over a sum that keeps neighbours apart.
function hashOf(query: number, run: number, attempt: number): number {
  let hash = Math.imul(query, 0x9e3779b1) ^ Math.imul(run + 1, 0x85ebca6b) ^ Math.imul(attempt, 0x27d4eb2f);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
