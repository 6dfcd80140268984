import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Stop } from '../../../src/io/engines/stop.js';

describe('a stop', () => {
  it('tells its listeners once, and its signal, when one of its signals aborts', () => {
    const first = new AbortController();
    const second = new AbortController();
    const stop = new Stop(first.signal, second.signal);
    let calls = 0;
    stop.addEventListener('abort', () => {
      calls += 1;
    });
    const { signal } = stop;
    expect([stop.aborted, signal.aborted]).toEqual([false, false]);
    second.abort();
    first.abort();
    expect([stop.aborted, stop.why, signal.aborted, calls]).toEqual([true, 'ABORTED', true, 1]);
  });

  it('has stopped when a signal had aborted before', () => {
    const stop = new Stop(AbortSignal.abort());
    expect(stop.why).toBe('ABORTED');
    expect(stop.signal.aborted).toBe(true);
  });

  it('ends at its deadline, and the first reason stays', async () => {
    const controller = new AbortController();
    const stop = new Stop(controller.signal);
    const ended = new Promise<void>(resolve => stop.addEventListener('abort', resolve));
    stop.startDeadline(1);
    await ended;
    controller.abort();
    expect(stop.why).toBe('TIMEOUT');
  });

  it('forgets a listener that was taken away, and all when it is disposed', () => {
    const controller = new AbortController();
    const stop = new Stop(controller.signal);
    let calls = 0;
    const listener = () => {
      calls += 1;
    };
    stop.addEventListener('abort', listener);
    stop.removeEventListener('abort', listener);
    const disposed = new Stop(controller.signal);
    disposed.addEventListener('abort', listener);
    disposed.dispose();
    controller.abort();
    expect([stop.why, disposed.why, calls]).toEqual(['ABORTED', undefined, 0]);
  });

  it('adds one listener to a signal, however many share it', () => {
    const controller = new AbortController();
    for (let i = 0; i < 100; i += 1) new Stop(controller.signal);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
  });
});
