// A query that takes less is light. On the embedded engine one of 10 ms of CPU takes 80 ms beside 15 others on 2 cores.
const LIGHT_MS = 100;
// So many light ones in a row, and the next ones will be light too; a quick error among heavy ones says nothing.
const LIGHT_IN_A_ROW = 16;

/**
 * Decides how many queries may run at once: `heavy` of them, and any number while queries are light. A heavy query
 * brings the limit back; what runs goes on.
 */
export class LightLoad {
  readonly #heavy: number;
  #inARow = 0;

  constructor(heavy: number) {
    this.#heavy = heavy;
  }

  /** How many may run at this time. */
  get limit(): number {
    return this.#inARow >= LIGHT_IN_A_ROW ? Number.POSITIVE_INFINITY : this.#heavy;
  }

  /** Notes how long an attempt took. */
  note(durationMs: number): void {
    this.#inARow = durationMs < LIGHT_MS ? this.#inARow + 1 : 0;
  }
}
