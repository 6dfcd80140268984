import { type Failure, ownFailure } from '../../core/engines/failure.js';
import type { EngineOutcome, EngineRequest, EngineResult } from './engine.js';
import type { Permits, Place } from './permits.js';
import { Stop } from './stop.js';

const PING_TIMEOUT_MS = 5000;

/** The failure of a ping whose caller stopped it. */
export const PING_CANCELLED = ownFailure('ABORTED', 'transient', 'the ping was cancelled');

/** Returns the failure of an attempt that had to stop. `now` says what became of it. */
export function stoppedFailure({ why }: Stop, timeoutMs: number, now: string): Failure {
  return why === 'TIMEOUT'
    ? ownFailure('TIMEOUT', 'permanent', `no result within ${timeoutMs} ms; ${now}`)
    : ownFailure('ABORTED', 'transient', `cancelled by qrun; ${now}`);
}

/** Returns the failure of a file that was stopped before its next statement: those before it have ended. */
export function stoppedBetween(): Failure {
  return ownFailure('ABORTED', 'transient', 'stopped between two statements');
}

/**
 * What every engine does around its attempts: gives each a place and then a deadline, measures its duration, and on
 * close cancels all of them and waits for them.
 */
export class Attempts<P extends Place> {
  readonly #permits: Permits<P>;
  readonly #closing = new AbortController();
  #running = 0;
  #onIdle: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(permits: Permits<P>) {
    this.#permits = permits;
  }

  /**
   * Runs one attempt in a place, with the contract of `Engine.run`. `onEnd` is called with its duration before its
   * place goes to the next attempt.
   */
  async run(
    request: EngineRequest,
    attempt: (place: P, stop: Stop) => Promise<EngineOutcome>,
    onEnd?: (durationMs: number) => void,
  ): Promise<EngineResult> {
    const stop = this.#begin(request.signal);
    try {
      const taking = this.#permits.take(stop);
      const place = taking instanceof Promise ? await taking : taking;
      if (place === undefined) return notSent(this.#closed !== undefined);
      // Measured from here: the time in the queue does not count as the query's.
      const startedMs = performance.now();
      try {
        if (request.begin?.() === false) return notSent(this.#closed !== undefined);
        stop.startDeadline(request.timeoutMs);
        const outcome = await attempt(place, stop);
        const durationMs = performance.now() - startedMs;
        onEnd?.(durationMs);
        return { ...outcome, durationMs };
      } finally {
        this.#permits.give(place);
      }
    } finally {
      this.#end(stop);
    }
  }

  /**
   * Pings, with the contract of `Engine.ping`. `ask` need not end when it is stopped. If the deadline passes, the
   * failure names `who` as what did not answer.
   */
  async ping(
    signal: AbortSignal,
    who: string,
    ask: (stop: Stop) => Promise<Failure | undefined>,
  ): Promise<Failure | undefined> {
    const stop = this.#begin(signal);
    try {
      stop.startDeadline(PING_TIMEOUT_MS);
      const stopped = new Promise<undefined>(resolve => {
        stop.addEventListener('abort', () => resolve(undefined), { once: true });
      });
      const failure = stop.aborted ? undefined : await Promise.race([ask(stop), stopped]);
      if (stop.why === 'ABORTED') return PING_CANCELLED;
      if (stop.why === undefined) return failure;
      const message = `${who} did not answer within ${PING_TIMEOUT_MS / 1000} s`;
      return { ...ownFailure('TIMEOUT', 'transient', message), serverGone: true };
    } finally {
      this.#end(stop);
    }
  }

  /**
   * Cancels what runs, and calls `release` when nothing runs any more. Does not wait for a place that is still busy
   * after its attempt has left it: `release` is then called later, when the place is free.
   */
  close(release: () => Promise<void>): Promise<void> {
    this.#closed ??= (async () => {
      this.#closing.abort();
      if (this.#running > 0) await new Promise<void>(resolve => (this.#onIdle = resolve));
      const { settled } = this.#permits;
      if (settled === undefined) await release();
      else void settled.then(release);
    })();
    return this.#closed;
  }

  #begin(signal: AbortSignal): Stop {
    this.#running += 1;
    return new Stop(signal, this.#closing.signal);
  }

  #end(stop: Stop): void {
    stop.dispose();
    this.#running -= 1;
    if (this.#running === 0) this.#onIdle?.();
  }
}

/** Returns the result of an attempt that was stopped before it was sent: by its caller, or because the engine closes. */
export function notSent(isClosed: boolean): EngineResult {
  const why = isClosed ? 'the engine is closed' : 'cancelled by qrun';
  const failure = ownFailure('ABORTED', 'transient', `${why}; it was not sent`);
  return { ok: false, failure: { ...failure, neverStarted: true }, durationMs: 0 };
}
