/** How many calls run, for whoever must wait for the last of them. */
export class Running {
  #count = 0;
  #waiting: (() => void)[] = [];

  begin(): void {
    this.#count += 1;
  }

  end(): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves when nothing runs any more. */
  ended(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}
