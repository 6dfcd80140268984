import { setMaxListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { LightLoad } from '../../../src/io/engines/embedded/light-load.js';
import { Permits, type Place } from '../../../src/io/engines/permits.js';

const never = new AbortController().signal;
setMaxListeners(0, never);
const places = (count: number): Place[] => Array.from({ length: count }, () => ({}));

async function turns(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve));
}

describe('permits', () => {
  it('are given out in the order of asking, as many as there are', async () => {
    const permits = new Permits(places(2));
    const given: string[] = [];
    const held: Place[] = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      void Promise.resolve(permits.take(never)).then(place => {
        given.push(name);
        if (place !== undefined) held.push(place);
      });
    }
    await turns();
    expect(given).toEqual(['a', 'b']);
    permits.give(held[1] as Place);
    await turns();
    expect(given).toEqual(['a', 'b', 'c']);
    expect(held[2]).toBe(held[1]);
  });

  it('are not waited for any more by whoever was stopped', async () => {
    const permits = new Permits(places(1));
    const place = permits.take(never) as Place;
    const stop = new AbortController();
    const left = permits.take(stop.signal);
    const stays = permits.take(never);
    stop.abort();
    expect(await left).toBeUndefined();
    expect(permits.take(stop.signal)).toBeUndefined();
    permits.give(place);
    expect(await stays).toBe(place);
  });

  it('go on when a place is not busy any more that its attempt has left, however that ended', async () => {
    const permits = new Permits(places(1));
    for (const end of ['resolve', 'reject'] as const) {
      const place = (await permits.take(never)) as Place;
      let settle = (): void => {};
      place.busyUntil = new Promise((resolve, reject) => {
        settle = end === 'resolve' ? resolve : () => reject(new Error('the pipe broke'));
      });
      permits.give(place);
      const next = permits.take(never);
      let isSettled = false;
      void permits.settled?.then(() => {
        isSettled = true;
      });
      await turns();
      expect(isSettled).toBe(false);
      settle();
      expect(await next).toBe(place);
      await turns();
      expect([isSettled, permits.settled, place.busyUntil]).toEqual([true, undefined, undefined]);
      permits.give(place);
    }
  });
});

describe('the load of the embedded engine', () => {
  // Attempts one after the other, as many at once as there are permits; `running` is noted when each begins.
  function load(heavy: number, all: number) {
    const light = new LightLoad(heavy);
    const permits = new Permits(places(all), () => light.limit);
    const running: Place[] = [];
    for (let n = 0; n < all; n += 1) void begin();
    async function begin(): Promise<void> {
      const place = await permits.take(never);
      if (place !== undefined) running.push(place);
    }
    return {
      running: () => running.length,
      end: async (durationMs: number): Promise<void> => {
        light.note(durationMs);
        permits.give(running.shift() as Place);
        void begin();
        await turns();
      },
    };
  }

  it('is no more than heavy queries want, however quickly some of them fail', async () => {
    const { end, running } = load(4, 12);
    await turns();
    for (let n = 0; n < 60; n += 1) {
      expect(running()).toBe(4);
      await end(n % 3 > 0 ? 1 : 150);
    }
  });

  it('is all that there is while queries are light, and falls back when one is heavy', async () => {
    const { end, running } = load(4, 12);
    await turns();
    for (let n = 0; n < 15; n += 1) await end(10);
    expect(running()).toBe(4);
    await end(10);
    expect(running()).toBe(12);
    // What runs goes on.
    for (let left = 11; left >= 4; left -= 1) {
      await end(500);
      expect(running()).toBe(left);
    }
    await end(500);
    expect(running()).toBe(4);
    for (let n = 0; n < 16; n += 1) await end(10);
    expect(running()).toBe(12);
  });
});
