// A query that takes less is light. On the embedded engine one of 10 ms of CPU takes 80 ms beside 15 others on 2 cores.
const LIGHT_MS = 100;
// So many light ones in a row, and the next ones will be light too; a quick error among heavy ones says nothing.
const LIGHT_IN_A_ROW = 16;

/**
 * Decides which slots of a run may start a query: the first `always` at any time, the others only while the queries
 * are light. One that was heavy closes them again; what runs goes on.
 */
export class LightSlots {
  readonly #always: number;
  #inARow = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(always: number) {
    this.#always = always;
  }

  /**
   * Waits until the slot (counted from 0) may start a query; `false` when `isOver` and there is nothing to wait for.
   * Whoever does not wait calls {@link wake} when it is over.
   */
  async admit(slot: number, isOver: () => boolean): Promise<boolean> {
    while (slot >= this.#always && this.#inARow < LIGHT_IN_A_ROW) {
      if (isOver()) return false;
      await new Promise<void>(resolve => this.#waiting.push(resolve));
    }
    return true;
  }

  /** Notes how long an attempt took. */
  note(durationMs: number): void {
    this.#inARow = durationMs < LIGHT_MS ? this.#inARow + 1 : 0;
    if (this.#inARow >= LIGHT_IN_A_ROW) this.wake();
  }

  /** Lets those that wait look again. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
