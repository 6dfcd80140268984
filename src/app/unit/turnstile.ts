/**
 * Lets any number of holders through together, or one alone: a query that may have killed the server runs again with
 * no other beside it, so that innocent ones do not spend their attempts on it.
 *
 * Fair in one direction: while somebody waits to be alone, nobody else enters.
 */
export class Turnstile {
  #inside = 0;
  #alone = false;
  #waiting: { readonly alone: boolean; readonly enter: () => void }[] = [];

  /** Enters, and resolves with the function that leaves again. */
  async enter(alone: boolean): Promise<() => void> {
    if (!this.#admits(alone)) await new Promise<void>(enter => this.#waiting.push({ alone, enter }));
    else this.#take(alone);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#inside -= 1;
      if (alone) this.#alone = false;
      this.#admitWaiting();
    };
  }

  #admits(alone: boolean): boolean {
    if (this.#alone) return false;
    return alone ? this.#inside === 0 : !this.#waiting.some(waiter => waiter.alone);
  }

  #take(alone: boolean): void {
    this.#inside += 1;
    this.#alone = alone;
  }

  #admitWaiting(): void {
    while (!this.#alone) {
      const index = this.#waiting.findIndex(waiter => waiter.alone);
      const next = index === -1 ? this.#waiting[0] : this.#waiting[index];
      if (next === undefined || (next.alone && this.#inside > 0)) return;
      this.#waiting.splice(Math.max(0, index), 1);
      this.#take(next.alone);
      next.enter();
    }
  }
}
