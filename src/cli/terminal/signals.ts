import { isInterruption } from '../../core/errors.js';
import { endNow } from './end-now.js';

/** The two stops of a run, as signals of the operating system ask for them. */
export interface Stops {
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
  /**
   * Begins to turn signals into stops; before that one ends the process as it ends any other, also while a system call
   * waits for a disk that does not answer. May be called again.
   */
  readonly listen: () => void;
  /** The first signal that came, or `undefined`. */
  readonly received: () => 'SIGHUP' | 'SIGINT' | 'SIGTERM' | undefined;
  readonly dispose: () => void;
}

/** Exit codes of a run that a signal ended: 128 + the signal's number. */
export const SIGNAL_EXIT = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

// docker stop and most supervisors send SIGKILL 10 s after SIGTERM: by then the queries must be cancelled.
const GRACE_MS = 7_000;
// npx, timeout(1) and the like pass a signal on to a process that has had it from the terminal already: one that
// comes so soon after another is the same one. No second Ctrl-C of a person comes sooner.
const REPEAT_MS = 100;

// What ends a run that was aborted and goes on all the same: it waits for a disk that does not answer. Cancelling what
// runs takes 5 s at most (CANCEL_LIMIT_MS in src/io/engines/clickhouse/cancel.ts); this leaves room for twice that.
const ABORT_LIMIT_MS = 12_000;

/**
 * Turns signals into stops: the first SIGINT drains, a second aborts, a third ends the process at once. SIGTERM
 * and SIGHUP drain, and abort by themselves after 7 s, because whoever sends them does not send a second. What has
 * not ended 12 s after it was aborted is ended.
 *
 * It listens at once, or when `listen` is called.
 */
export function listenForStops(
  proc: NodeJS.Process,
  endNow: (exitCode: number) => void,
  from: 'now' | 'later' = 'now',
): Stops {
  const drain = new AbortController();
  const abort = new AbortController();
  let received: 'SIGHUP' | 'SIGINT' | 'SIGTERM' | undefined;
  let count = 0;
  let lastMs = Number.NEGATIVE_INFINITY;
  let grace: NodeJS.Timeout | undefined;
  let limit: NodeJS.Timeout | undefined;
  abort.signal.addEventListener('abort', () => {
    limit = setTimeout(() => endNow(SIGNAL_EXIT[received ?? 'SIGTERM']), ABORT_LIMIT_MS);
    limit.unref();
  });
  const handlers = (['SIGHUP', 'SIGINT', 'SIGTERM'] as const).map(name => {
    const handler = (): void => {
      const nowMs = performance.now();
      if (nowMs - lastMs < REPEAT_MS) return;
      lastMs = nowMs;
      count += 1;
      received ??= name;
      if (count === 1) {
        const hint = name === 'SIGINT' ? 'Ctrl-C (again: cancel what runs)' : name;
        drain.abort(hint);
        if (name !== 'SIGINT') {
          grace = setTimeout(() => abort.abort(`${name}, ${GRACE_MS / 1000} s ago`), GRACE_MS);
          grace.unref();
        }
      } else if (count === 2) abort.abort(`${name} for the second time`);
      else endNow(SIGNAL_EXIT[received]);
    };
    return { name, handler };
  });
  let isListening = false;
  const listen = (): void => {
    if (!isListening) for (const { name, handler } of handlers) proc.on(name, handler);
    isListening = true;
  };
  if (from === 'now') listen();
  return {
    drain: drain.signal,
    abort: abort.signal,
    listen,
    received: () => received,
    dispose: () => {
      clearTimeout(grace);
      clearTimeout(limit);
      for (const { name, handler } of handlers) proc.off(name, handler);
    },
  };
}

/**
 * Runs a command that a first signal ends at once. Until it calls `listen`, nothing of it has to be finished, and the
 * signal ends the process itself; from then on what it waits for gets the signal as an AbortSignal. Gives its exit
 * code, or 128 plus the signal's number when that is what ended it; what it rejects with otherwise is passed on, also
 * after a signal: a full disk is one whether or not Ctrl-C was pressed.
 */
export async function untilStopped(
  proc: NodeJS.Process,
  work: (signal: AbortSignal, listen: () => void) => Promise<number>,
): Promise<number> {
  const stops = listenForStops(proc, exitCode => endNow(proc, exitCode), 'later');
  try {
    return await work(stops.drain, stops.listen);
  } catch (error) {
    return stoppedExit(stops, error);
  } finally {
    stops.dispose();
  }
}

/**
 * The exit code of the signal that an error tells of, which is what something rejects with that a stop interrupted:
 * the reason of the stop, an `AbortError`, or an error that one of them caused. Throws any other error again.
 */
export function stoppedExit(
  stops: Pick<Stops, 'drain' | 'abort' | 'received'>,
  error: unknown,
): 129 | 130 | 143 {
  const signal = stops.received();
  if (signal !== undefined && (isInterruption(error, stops.drain) || isInterruption(error, stops.abort))) {
    return SIGNAL_EXIT[signal];
  }
  throw error;
}
