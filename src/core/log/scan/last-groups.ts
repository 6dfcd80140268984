import { FinalStates } from './final-states.js';
import type { RecordHead } from './record-head.js';

/** Where a group lies in its log: its first byte, and the one after its last. */
export type GroupRange = readonly [start: number, end: number];

/** Where the last whole group of each query lies; of none if records of an unfinished group come after it. */
export class LastGroups extends FinalStates {
  readonly #places = new Map<number, GroupRange>();

  override group(head: RecordHead, start = 0, end = 0): void {
    const number = this.numberOf(head);
    this.set(head, number);
    this.#places.set(number, [start, end]);
  }

  override partial(head: RecordHead): void {
    super.partial(head);
    this.#places.delete(this.numberOf(head));
  }

  /** Returns the places in the order of the log. */
  inOrder(): GroupRange[] {
    return [...this.#places.values()].sort(([a], [b]) => a - b);
  }
}
