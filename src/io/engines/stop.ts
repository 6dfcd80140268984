import { setMaxListeners } from 'node:events';

// setTimeout fires at once for a longer delay (24.8 days).
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The part of an AbortSignal that a {@link Stop} also offers. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void, options: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * Says when and why an attempt must stop: the deadline, or one of the signals. Dispose it afterwards.
 *
 * It is itself a signal for the few listeners of an attempt, because an AbortController and its events take longer than
 * hashing the query (5 of 100 microseconds). {@link signal} is a real AbortSignal, for code that needs one.
 */
export class Stop implements StopSignal {
  readonly #links: Link[] = [];
  #listeners: (() => void)[] = [];
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #deadlineMs: number | undefined;
  #why: 'TIMEOUT' | 'ABORTED' | undefined;

  constructor(...signals: readonly AbortSignal[]) {
    const abort = (): void => this.#end('ABORTED');
    for (const signal of signals) {
      if (signal.aborted) abort();
      else this.#links.push(followersOf(signal).add(abort));
    }
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#why !== undefined) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#why !== undefined;
  }

  get why(): 'TIMEOUT' | 'ABORTED' | undefined {
    return this.#why;
  }

  /** Calls `listener` once when it stops; never if it has stopped already. */
  addEventListener(_type: 'abort', listener: () => void, _options?: { readonly once: true }): void {
    if (this.#why === undefined) this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const index = this.#listeners.indexOf(listener);
    if (index !== -1) this.#listeners.splice(index, 1);
  }

  /** Starts the clock; 0 means no deadline. */
  startDeadline(timeoutMs: number): void {
    if (timeoutMs <= 0 || timeoutMs > LONGEST_TIMER_MS) return;
    this.#deadlineMs = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => this.#end('TIMEOUT'), timeoutMs);
  }

  /** Milliseconds until the deadline, `undefined` without one. */
  leftMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - performance.now();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    for (const link of this.#links) link.remove();
  }

  #end(why: 'TIMEOUT' | 'ABORTED'): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
    this.#controller?.abort();
  }
}

// One listener for all attempts that share a signal: adding a listener to an AbortSignal and removing it costs more the
// more there are, and AbortSignal.any keeps references to its sources for as long as they live.
const followers = new WeakMap<AbortSignal, Followers>();

function followersOf(signal: AbortSignal): Followers {
  let all = followers.get(signal);
  if (all === undefined) {
    const known = new Followers();
    all = known;
    followers.set(signal, known);
    setMaxListeners(0, signal);
    signal.addEventListener('abort', () => known.abort(), { once: true });
  }
  return all;
}

// A linked ring, not a Set. The hash tables of a Set that changes with each query point from the oldest to the newest,
// so their old entries stay in memory until the next full GC.
class Followers {
  readonly #ring = new Link(undefined);

  add(abort: () => void): Link {
    const link = new Link(abort);
    link.putBefore(this.#ring);
    return link;
  }

  abort(): void {
    while (this.#ring.next !== this.#ring) {
      const { next } = this.#ring;
      next.remove();
      next.abort?.();
    }
  }
}

class Link {
  readonly abort: (() => void) | undefined;
  next: Link = this;
  #previous: Link = this;

  constructor(abort: (() => void) | undefined) {
    this.abort = abort;
  }

  putBefore(link: Link): void {
    this.next = link;
    this.#previous = link.#previous;
    link.#previous.next = this;
    link.#previous = this;
  }

  /** Removes the link from its ring. Safe to call twice. */
  remove(): void {
    this.#previous.next = this.next;
    this.next.#previous = this.#previous;
    this.next = this;
    this.#previous = this;
  }
}
