// A query that takes less is light. On the embedded engine, a query of 10 ms of CPU takes 80 ms beside 15 others on 2
// cores.
const LIGHT_MS = 100;
// After this many light queries in a row, the next ones are expected to be light too. A quick error among heavy queries
// says nothing.
const LIGHT_IN_A_ROW = 16;

/**
 * Decides how many queries may run at once: `heavy` of them, or any number while queries are light. A heavy query
 * restores the limit; queries that already run are not affected.
 */
export class LightLoad {
  readonly #heavy: number;
  #inARow = 0;

  constructor(heavy: number) {
    this.#heavy = heavy;
  }

  /** How many queries may run now. */
  get limit(): number {
    return this.#inARow >= LIGHT_IN_A_ROW ? Number.POSITIVE_INFINITY : this.#heavy;
  }

  /** Notes how long an attempt took. */
  note(durationMs: number): void {
    this.#inARow = durationMs < LIGHT_MS ? this.#inARow + 1 : 0;
  }
}
