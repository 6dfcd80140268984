import { isInterruption } from '../../core/errors.js';
import { endNow } from './end-now.js';

/** Exit codes of a run that a signal ended: 128 + the signal's number. */
export const SIGNAL_EXIT = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** A signal that asks to stop. */
export type SignalName = keyof typeof SIGNAL_EXIT;

// npx, timeout(1), programs that signal a process group and then its leader, and the like pass a signal on to a
// process that has already received it: one that comes this soon after another is the same one. A person's second
// Ctrl-C never comes sooner.
const REPEAT_MS = 100;

/** The signals that ask to stop, once they are handled. */
export interface Signals {
  /**
   * Begins to handle them. Before that, a signal ends the process as it ends any other, even while a system call
   * waits for a disk that does not answer. May be called again.
   */
  readonly listen: () => void;
  /** Returns the first one received, or `undefined`. */
  readonly received: () => SignalName | undefined;
  /** From now on the listener is called with each one received, instead of the previous listener. */
  readonly onSignal: (listener: (signal: SignalName) => void) => void;
  readonly dispose: () => void;
}

/** Handles the signals that ask to stop; one that comes twice within a tenth of a second counts once. */
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

/** The two stops of a run, as requested by signals of the operating system. */
export interface Stops extends Signals {
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
  /**
   * Stops for another reason as SIGTERM does: drains, and aborts by itself after the same time. Before `listen` was
   * called it ends the process, as the signal would.
   */
  readonly ask: (reason: string) => void;
}

// docker stop and most supervisors send SIGKILL 10 s after SIGTERM: by then the queries must be cancelled.
const GRACE_MS = 7_000;

// A run that still continues this long after it was aborted waits for a disk that does not answer, and is ended.
// Cancelling running queries takes 5 s at most (CANCEL_LIMIT_MS in src/io/engines/clickhouse/cancel.ts); this leaves
// room for twice that.
const ABORT_LIMIT_MS = 12_000;

/**
 * Turns signals into stops: the first SIGINT drains, a second aborts, a third ends the process at once. SIGTERM and
 * SIGHUP drain, and abort by themselves after 7 s, because whoever sends them does not send a second. A run that has
 * not ended 12 s after it was aborted is ended, with `end`.
 *
 * Nothing is handled before `listen` is called.
 */
export function stopsOf(proc: NodeJS.Process, end: (exitCode: number) => void): Stops {
  const signals = hearSignals(proc);
  const drain = new AbortController();
  const abort = new AbortController();
  let count = 0;
  let grace: NodeJS.Timeout | undefined;
  let limit: NodeJS.Timeout | undefined;
  let isListening = false;
  let asked: SignalName | undefined;
  const received = (): SignalName | undefined => signals.received() ?? asked;
  const exitCode = (): number => SIGNAL_EXIT[received() ?? 'SIGTERM'];
  const abortLater = (reason: string): void => {
    grace ??= setTimeout(() => abort.abort(`${reason}, ${GRACE_MS / 1000} s ago`), GRACE_MS).unref();
  };
  abort.signal.addEventListener('abort', () => {
    limit = setTimeout(() => end(exitCode()), ABORT_LIMIT_MS).unref();
  });
  signals.onSignal(name => {
    count += 1;
    if (count === 1) {
      drain.abort(name === 'SIGINT' ? 'Ctrl-C (again: cancel what runs)' : name);
      if (name !== 'SIGINT') abortLater(name);
    } else if (count === 2) abort.abort(`${name} for the second time`);
    else end(exitCode());
  });
  return {
    ...signals,
    drain: drain.signal,
    abort: abort.signal,
    listen: () => {
      isListening = true;
      signals.listen();
    },
    received,
    ask: reason => {
      if (!isListening) {
        proc.kill(proc.pid, 'SIGTERM');
        return;
      }
      asked = 'SIGTERM';
      count = Math.max(count, 1);
      drain.abort(reason);
      abortLater(reason);
    },
    dispose: () => {
      clearTimeout(grace);
      clearTimeout(limit);
      signals.dispose();
    },
  };
}

/**
 * Runs a command that signals stop: the first SIGINT drains, a second aborts, a third ends the process. Until the
 * command calls `listen`, it has nothing to finish, and the signal ends the process itself. From then on, whatever it
 * waits for receives the signal as an AbortSignal. Returns its exit code, or 128 plus the signal's number when that is
 * what ended it: what an operation rejects with when a stop interrupts it is the reason of the stop, an `AbortError`,
 * or an error that one of them caused. Any other rejection is passed on, even after a signal: a full disk is a full
 * disk whether or not Ctrl-C was pressed.
 */
export async function untilStopped(
  proc: NodeJS.Process,
  work: (signal: AbortSignal, listen: () => void, stops: Stops) => Promise<number>,
  end = (exitCode: number): void => endNow(proc, exitCode),
): Promise<number> {
  const stops = stopsOf(proc, end);
  const { drain, abort } = stops;
  try {
    return await work(drain, stops.listen, stops);
  } catch (error) {
    const signal = stops.received();
    if (signal === undefined || !(isInterruption(error, drain) || isInterruption(error, abort))) throw error;
    return SIGNAL_EXIT[signal];
  } finally {
    stops.dispose();
  }
}
