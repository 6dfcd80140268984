import { isInterruption } from '../../core/errors.js';
import { endNow } from './end-now.js';

/** Exit codes of a run that a signal ended: 128 + the signal's number. */
export const SIGNAL_EXIT = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** A signal that asks to stop. */
export type SignalName = keyof typeof SIGNAL_EXIT;

// npx, timeout(1), what signals a process group and then its leader, and the like pass a signal on to a process that has
// had it already: one that comes so soon after another is the same one. No second Ctrl-C of a person comes sooner.
const REPEAT_MS = 100;

/** The signals that ask to stop, once they are heard. */
export interface Signals {
  /**
   * Begins to hear them; before that, one ends the process as it ends any other, also while a system call waits for a
   * disk that does not answer. May be called again.
   */
  readonly listen: () => void;
  /** The first one that came, or `undefined`. */
  readonly received: () => SignalName | undefined;
  /** From now on the listener is called with each that comes, instead of the one before. */
  readonly onSignal: (listener: (signal: SignalName) => void) => void;
  readonly dispose: () => void;
}

/** Hears the signals that ask to stop; one that comes twice within a tenth of a second counts once. */
export function hearSignals(proc: NodeJS.Process): Signals {
  let received: SignalName | undefined;
  let listener: ((signal: SignalName) => void) | undefined;
  let lastMs = Number.NEGATIVE_INFINITY;
  const names = Object.keys(SIGNAL_EXIT) as SignalName[];
  const handlers = names.map(name => {
    const handler = (): void => {
      const nowMs = performance.now();
      if (nowMs - lastMs < REPEAT_MS) return;
      lastMs = nowMs;
      received ??= name;
      listener?.(name);
    };
    return { name, handler };
  });
  const dispose = (): void => {
    for (const { name, handler } of handlers) proc.off(name, handler);
  };
  return {
    listen() {
      dispose();
      for (const { name, handler } of handlers) proc.on(name, handler);
    },
    received: () => received,
    onSignal: given => {
      listener = given;
    },
    dispose,
  };
}

/** The two stops of a run, as signals of the operating system ask for them. */
export interface Stops extends Pick<Signals, 'listen' | 'received' | 'dispose'> {
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
}

// docker stop and most supervisors send SIGKILL 10 s after SIGTERM: by then the queries must be cancelled.
const GRACE_MS = 7_000;

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
  const signals = hearSignals(proc);
  const drain = new AbortController();
  const abort = new AbortController();
  let count = 0;
  let grace: NodeJS.Timeout | undefined;
  let limit: NodeJS.Timeout | undefined;
  const exitCode = (): number => SIGNAL_EXIT[signals.received() ?? 'SIGTERM'];
  abort.signal.addEventListener('abort', () => {
    limit = setTimeout(() => endNow(exitCode()), ABORT_LIMIT_MS).unref();
  });
  signals.onSignal(name => {
    count += 1;
    if (count === 1) {
      drain.abort(name === 'SIGINT' ? 'Ctrl-C (again: cancel what runs)' : name);
      if (name === 'SIGINT') return;
      grace = setTimeout(() => abort.abort(`${name}, ${GRACE_MS / 1000} s ago`), GRACE_MS).unref();
    } else if (count === 2) abort.abort(`${name} for the second time`);
    else endNow(exitCode());
  });
  if (from === 'now') signals.listen();
  return {
    drain: drain.signal,
    abort: abort.signal,
    listen: signals.listen,
    received: signals.received,
    dispose: () => {
      clearTimeout(grace);
      clearTimeout(limit);
      signals.dispose();
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
