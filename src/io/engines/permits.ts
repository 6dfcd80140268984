import type { StopSignal } from './stop.js';

/** What one attempt at a time works in: a permit on the server, or a session and a pipe of an engine in this process. */
export interface Place {
  /** Set by an attempt that ends before its place is free again. */
  busyUntil?: Promise<void> | undefined;
}

/**
 * The places of an engine, given out in the order of the requests. No more are out at once than exist, and no more than
 * `limit` returns at the time.
 */
export class Permits<P extends Place> {
  readonly #free: P[];
  readonly #limit: () => number;
  readonly #waiting: ((place: P) => void)[] = [];
  // Places that their attempts have left, but that are still busy.
  readonly #held = new Set<Promise<void>>();
  #taken = 0;

  constructor(places: readonly P[], limit: () => number = () => Number.POSITIVE_INFINITY) {
    this.#free = [...places];
    this.#limit = limit;
  }

  /** Settles when no place is busy any more that its attempt has left; `undefined` if there is none. */
  get settled(): Promise<unknown> | undefined {
    return this.#held.size === 0 ? undefined : Promise.allSettled(this.#held);
  }

  /**
   * Returns a place: at once if one is free, otherwise as a promise; `undefined` if the signal aborts first. Give it
   * back with {@link give}.
   */
  take(signal: StopSignal): P | undefined | Promise<P | undefined> {
    if (signal.aborted) return undefined;
    const place = this.#next();
    if (place !== undefined) return place;
    return new Promise(resolve => {
      const take = (given: P): void => {
        signal.removeEventListener('abort', leave);
        resolve(given);
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        resolve(undefined);
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** Gives a place back; it goes to the next attempt as soon as it is not busy. */
  give(place: P): void {
    const { busyUntil } = place;
    if (busyUntil === undefined) this.#putBack(place);
    else {
      const putBack = (): void => {
        this.#held.delete(held);
        place.busyUntil = undefined;
        this.#putBack(place);
      };
      const held = busyUntil.then(putBack, putBack);
      this.#held.add(held);
    }
  }

  #putBack(place: P): void {
    this.#taken -= 1;
    this.#free.push(place);
    while (this.#waiting.length > 0) {
      const next = this.#next();
      if (next === undefined) return;
      this.#waiting.shift()?.(next);
    }
  }

  #next(): P | undefined {
    if (this.#taken >= this.#limit()) return undefined;
    const place = this.#free.pop();
    if (place !== undefined) this.#taken += 1;
    return place;
  }
}
