import type { StopSignal } from './stop.js';

/** What one attempt at a time works in: a place at the server, or a session and a pipe of an engine in this process. */
export interface Place {
  /** Set by an attempt that has ended before its place is free again. */
  busyUntil?: Promise<void> | undefined;
}

/**
 * The places of an engine, given out in order of asking: as many at once as there are, and no more than `limit` says at
 * the time.
 */
export class Permits<P extends Place> {
  readonly #free: P[];
  readonly #limit: () => number;
  readonly #waiting: ((place: P) => void)[] = [];
  // Places that attempts left behind, and that are busy all the same.
  readonly #held = new Set<Promise<void>>();
  #taken = 0;

  constructor(places: readonly P[], limit: () => number = () => Number.POSITIVE_INFINITY) {
    this.#free = [...places];
    this.#limit = limit;
  }

  /** Settles when no place is busy that its attempt has left; `undefined` where none is. */
  get settled(): Promise<unknown> | undefined {
    return this.#held.size === 0 ? undefined : Promise.allSettled(this.#held);
  }

  /** A place, at once where one is free; `undefined` where the signal aborts first. To be given back. */
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

  /** Gives a place back, which goes to the next attempt when it is not busy any more. */
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
