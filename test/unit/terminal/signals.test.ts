import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stopsOf, untilStopped } from '../../../src/cli/terminal/signals.js';
import { isInterruption, QrunError } from '../../../src/core/errors.js';

/** A process as far as signals go, and work that a signal stops. */
function stopped(
  name: 'SIGHUP' | 'SIGINT' | 'SIGTERM',
  work: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const proc = new EventEmitter() as unknown as NodeJS.Process;
  return untilStopped(proc, (signal, listen) => {
    listen();
    const running = work(signal);
    proc.emit(name);
    return running;
  });
}

/** Rejects with what `error` makes of the reason, once the signal has come. */
const failing =
  (error: (reason: unknown) => unknown) =>
  (signal: AbortSignal): Promise<number> =>
    new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(error(signal.reason)), { once: true }),
    );

describe('untilStopped', () => {
  const disk = new QrunError('WRITE_FAILED', 'cannot write audit.json: no space left on device');
  const bug = new TypeError('undefined is not a function');
  it.each([
    ['an error of the outside world', disk],
    ['a bug', bug],
    ['an error that another one caused', new QrunError('SUBMIT_LOCK', 'no lock', { cause: disk })],
    ['a text', 'SIGUSR1'],
  ])('passes %s on, although a signal came', async (_, error) => {
    for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
      await expect(
        stopped(
          name,
          failing(() => error),
        ),
      ).rejects.toBe(error);
    }
  });

  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('gives the code of %s for what it interrupted', async (name, code) => {
    expect(
      await stopped(
        name,
        failing(reason => reason),
      ),
    ).toBe(code);
    const caused = (cause: unknown) => new QrunError('ENGINE_UNREACHABLE', 'was interrupted', { cause });
    expect(await stopped(name, failing(caused))).toBe(code);
    expect(await stopped(name, signal => delay(60_000, 1, { signal }))).toBe(code);
    expect(
      await stopped(name, async signal => {
        signal.throwIfAborted();
        await delay(60_000, 1, { signal }).catch(() => {});
        signal.throwIfAborted();
        return 0;
      }),
    ).toBe(code);
  });

  it('gives the exit code of work that ended by itself, and errors without a signal as they are', async () => {
    expect(await stopped('SIGTERM', async () => 21)).toBe(21);
    const proc = new EventEmitter() as unknown as NodeJS.Process;
    const aborted = new DOMException('no signal did this', 'AbortError');
    await expect(untilStopped(proc, () => Promise.reject(aborted))).rejects.toBe(aborted);
    expect(proc.listenerCount('SIGTERM')).toBe(0);
  });
});

describe('isInterruption', () => {
  it('ends on errors that are causes of each other', () => {
    const one = new Error('one');
    one.cause = new Error('two', { cause: one });
    expect(isInterruption(one, AbortSignal.abort('SIGTERM'))).toBe(false);
    expect(isInterruption('SIGTERM', new AbortController().signal)).toBe(false);
  });
});

describe('a stop that is asked for', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function process(): { proc: NodeJS.Process; sent: unknown[] } {
    const sent: unknown[] = [];
    const proc = Object.assign(new EventEmitter(), { pid: 7, kill: (...args: unknown[]) => sent.push(args) });
    return { proc: proc as unknown as NodeJS.Process, sent };
  }

  it('drains, aborts after the time that SIGTERM gives, and counts as SIGTERM', () => {
    const { proc, sent } = process();
    const stops = stopsOf(proc, () => {});
    stops.listen();
    stops.ask('the worker is gone');
    expect([stops.drain.aborted, stops.drain.reason, stops.abort.aborted]).toEqual([
      true,
      'the worker is gone',
      false,
    ]);
    expect(stops.received()).toBe('SIGTERM');
    vi.advanceTimersByTime(7_000);
    expect(stops.abort.reason).toBe('the worker is gone, 7 s ago');
    expect(sent).toEqual([]);
    stops.dispose();
  });

  it('after Ctrl-C gives what runs the same time, and a signal after it aborts at once', () => {
    const { proc } = process();
    const first = stopsOf(proc, () => {});
    first.listen();
    proc.emit('SIGINT');
    first.ask('the worker is gone');
    expect([first.received(), first.abort.aborted]).toEqual(['SIGINT', false]);
    vi.advanceTimersByTime(7_000);
    expect(first.abort.aborted).toBe(true);
    first.dispose();
    const second = stopsOf(proc, () => {});
    second.listen();
    second.ask('the worker is gone');
    proc.emit('SIGTERM');
    expect(second.abort.reason).toBe('SIGTERM for the second time');
    second.dispose();
  });

  it('before anything has to be finished ends the process as SIGTERM does', () => {
    const { proc, sent } = process();
    const stops = stopsOf(proc, () => {});
    stops.ask('the worker is gone');
    expect(sent).toEqual([[7, 'SIGTERM']]);
    expect(stops.drain.aborted).toBe(false);
    stops.dispose();
  });
});
