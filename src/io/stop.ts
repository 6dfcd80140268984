import { setMaxListeners } from 'node:events';

// setTimeout fires at once beyond this (24.8 days).
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Why and when an attempt must stop: the deadline, or one of the signals. Dispose it. */
export class Stop {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];
  readonly #abort = () => this.#end('ABORTED');
  #timer: NodeJS.Timeout | undefined;
  #deadlineMs: number | undefined;
  #why: 'TIMEOUT' | 'ABORTED' | undefined;

  constructor(...signals: readonly AbortSignal[]) {
    this.#signals = signals;
    // Any number of attempts may share a signal; Node warns of more than ten listeners.
    setMaxListeners(0, ...signals);
    for (const signal of signals) {
      if (signal.aborted) this.#abort();
      // Not AbortSignal.any: it holds on to its sources for as long as they live.
      else signal.addEventListener('abort', this.#abort, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get why(): 'TIMEOUT' | 'ABORTED' | undefined {
    return this.#why;
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
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#abort);
  }

  #end(why: 'TIMEOUT' | 'ABORTED'): void {
    this.#why ??= why;
    this.#controller.abort();
  }
}
