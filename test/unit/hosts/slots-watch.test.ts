import { describe, expect, it } from 'vitest';
import { slotsExit, watchAdvice } from '../../../src/core/hosts/slots/report.js';
import { type HostSample, SlotsWatch, SUSTAINED } from '../../../src/core/hosts/slots/watch.js';

const GB = 1024 ** 3;
const LOOK_MS = 10_000;
const calm: HostSample = {
  slots: 4,
  running: 4,
  queued: 20,
  load1: 3,
  cores: 8,
  memory_bytes: 64 * GB,
  memory_available_bytes: 40 * GB,
  swap_used_bytes: 0,
  swap_pages: 1_000,
  attempts: 200,
  failed: 0,
  errors: {},
};
const look = (more: Partial<HostSample> = {}): HostSample => ({ ...calm, attempts: 50, ...more });

/** The number of the look at which a limit was passed, from 1, and which; `undefined` if none was. */
function harmOf(
  looks: readonly Partial<HostSample>[],
  before: Partial<HostSample> = {},
  loadPerCore = 1.5,
): { at: number; what: string; says: string } | undefined {
  const watch = new SlotsWatch({ ...calm, ...before }, { loadPerCore });
  for (const [index, one] of looks.entries()) {
    const [harm] = watch.see(look(one), LOOK_MS);
    if (harm !== undefined) return { at: index + 1, ...harm };
  }
  return undefined;
}

const times = <T>(count: number, one: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => one(index));

// A linear congruential generator (Numerical Recipes): the same looks in each run.
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('a watch of a host', () => {
  it('finds nothing on a calm one', () => {
    expect(harmOf(times(30, () => ({})))).toBeUndefined();
  });

  it('finds a load that lasts, and no peak', () => {
    const high = { load1: 13 };
    expect(harmOf(times(30, index => (index % SUSTAINED === 0 ? {} : high)))).toBeUndefined();
    expect(harmOf(times(SUSTAINED, () => ({ load1: 12 })))).toBeUndefined();
    expect(harmOf([{}, high, high, high])).toEqual({
      at: 4,
      what: 'load',
      says: 'load 1.63 for each core, 3 times in a row (limit 1.50, 0.38 before)',
    });
    expect(
      harmOf(
        times(30, () => high),
        {},
        2,
      ),
    ).toBeUndefined();
  });

  it('counts of a host that was busy before only what was added', () => {
    const before = { load1: 20 };
    expect(
      harmOf(
        times(30, () => ({ load1: 21.9 })),
        before,
      ),
    ).toBeUndefined();
    expect(
      harmOf(
        times(30, () => ({ load1: 22.1 })),
        before,
      ),
    ).toMatchObject({ at: 3, what: 'load' });
  });

  it('finds swapping that lasts', () => {
    // 1 MiB a second is 2,560 pages in ten seconds.
    expect(harmOf(times(30, index => ({ swap_pages: 1_000 + 2_560 * (index + 1) })))).toBeUndefined();
    const storm = times(30, index => ({ swap_pages: 1_000 + 20_000 * Math.max(0, index - 4) }));
    expect(harmOf(storm)).toEqual({
      at: 8,
      what: 'swap',
      says: '7.8M a second to and from swap, 3 times in a row (limit 1M)',
    });
    // The machine was started anew: its counter is lower.
    expect(harmOf(times(30, () => ({ swap_pages: 0 })))).toBeUndefined();
    expect(harmOf(times(30, () => ({ swap_pages: null })))).toBeUndefined();
    expect(
      harmOf(
        times(30, index => ({ swap_pages: 1e6 * index })),
        { swap_pages: null },
      ),
    ).toMatchObject({ at: 4 });
  });

  it('finds swap that grows slowly, and none that was full before', () => {
    expect(harmOf([{ swap_used_bytes: 2 * GB }])).toBeUndefined();
    expect(harmOf([{}, { swap_used_bytes: 2.5 * GB }])).toEqual({
      at: 2,
      what: 'swap',
      says: '2.5G more in swap than before (limit 2G)',
    });
    expect(harmOf([{ swap_used_bytes: 31 * GB }], { swap_used_bytes: 30 * GB })).toBeUndefined();
    expect(harmOf([{ swap_used_bytes: null }])).toBeUndefined();
    expect(harmOf([{ swap_used_bytes: 9 * GB }], { swap_used_bytes: null })).toBeUndefined();
  });

  it('finds memory that runs out', () => {
    const low = { memory_available_bytes: 3 * GB };
    expect(harmOf([low, low, {}, low, low, {}])).toBeUndefined();
    expect(harmOf([low, low, low])).toMatchObject({ at: 3, what: 'memory', says: /^3G of memory left/ });
    // It was nearly as full before.
    expect(
      harmOf(
        times(9, () => low),
        { memory_available_bytes: 4 * GB },
      ),
    ).toBeUndefined();
  });

  it('finds attempts that fail, and says which errors', () => {
    const failing = { attempts: 10, failed: 5, errors: { TIMEOUT: 4, MEMORY_LIMIT_EXCEEDED: 1 } };
    expect(harmOf([{}, failing, failing])).toEqual({
      at: 2,
      what: 'failures',
      says: '5 of 60 attempts failed (4 TIMEOUT, 1 MEMORY_LIMIT_EXCEEDED); 0 of 200 before',
    });
    expect(harmOf([{ attempts: 6, failed: 3 }])).toMatchObject({
      says: '3 of 6 attempts failed and were tried again; 0 of 200 before',
    });
  });

  it('does not count what failed as often before, nor two failures', () => {
    const tenth = { attempts: 50, failed: 5 };
    expect(
      harmOf(
        times(30, () => tenth),
        { failed: 20 },
      ),
    ).toBeUndefined();
    expect(
      harmOf(
        times(30, () => ({ attempts: 50, failed: 25 })),
        { failed: 20 },
      ),
    ).toMatchObject({
      what: 'failures',
    });
    expect(harmOf([{ attempts: 2, failed: 2 }])).toBeUndefined();
    expect(harmOf(times(5, () => ({ attempts: 0, failed: 0 })))).toBeUndefined();
  });

  it('has a limit of its own where nothing was recorded before', () => {
    const none = { attempts: 0, failed: 0 };
    expect(harmOf([{ attempts: 100, failed: 5 }], none)).toBeUndefined();
    expect(harmOf([{ attempts: 100, failed: 6 }], none)).toMatchObject({
      says: '6 of 100 attempts failed and were tried again; nothing to compare with',
    });
  });

  it('is not misled by chance: the same share before and after, in a thousand watches', () => {
    const random = numbers(13);
    const failures = (attempts: number, share: number): number =>
      times(attempts, () => random()).filter(value => value < share).length;
    let found = 0;
    for (let trial = 0; trial < 1_000; trial += 1) {
      const share = random() * 0.3;
      const size = 20 + Math.floor(random() * 200);
      const before = { attempts: size, failed: failures(size, share) };
      const looks = times(10, () => {
        const attempts = Math.floor(random() * 40);
        return { attempts, failed: failures(attempts, share), load1: random() * 12 };
      });
      if (harmOf(looks, before) !== undefined) found += 1;
    }
    expect(found).toBeLessThanOrEqual(2);
  });

  it('finds a share that has grown by a third, in nearly every watch', () => {
    const random = numbers(7);
    let found = 0;
    for (let trial = 0; trial < 200; trial += 1) {
      const share = 0.02 + random() * 0.2;
      const failures = (attempts: number, of: number): number =>
        times(attempts, () => random()).filter(value => value < of).length;
      const before = { attempts: 200, failed: failures(200, share) };
      const looks = times(30, () => ({ attempts: 20, failed: failures(20, share + 0.33) }));
      if (harmOf(looks, before)?.what === 'failures') found += 1;
    }
    expect(found).toBeGreaterThanOrEqual(199);
  });

  it('keeps the first harm, and adds up what was recorded', () => {
    const watch = new SlotsWatch(calm);
    expect(watch.last).toEqual({ ...calm, attempts: 0, failed: 0 });
    watch.see(look({ attempts: 4, failed: 4, errors: { A: 4 } }), LOOK_MS);
    const { harms } = watch;
    expect(harms).toHaveLength(1);
    expect(watch.see(look({ attempts: 90, failed: 0, errors: { B: 1 } }), LOOK_MS)).toBe(harms);
    expect(watch.last).toMatchObject({ attempts: 94, failed: 4, errors: { A: 4, B: 1 } });
  });
});

describe('the exit code of a change', () => {
  const harms = [{ what: 'load' as const, says: '' }];
  it.each([
    ['kept', [], 0],
    ['overruled', [], 0],
    ['stepped_back', harms, 25],
    ['harmed', harms, 25],
    ['silent', [], 26],
    ['failed', harms, 26],
  ] as const)('%s', (outcome, found, code) => {
    expect(
      slotsExit([
        { outcome: 'kept', harms: [] },
        { outcome, harms: found },
      ]),
    ).toBe(code);
  });
  it('is 0 without hosts', () => expect(slotsExit([])).toBe(0));
});

describe('the advice after another change', () => {
  const advised = (before: number | null, slots: number) =>
    watchAdvice('alpha', { before, slots }, "/data/it's");
  it('is the command that watches it', () => {
    expect(advised(4, 8)).toBe(
      `alpha: 4 -> 8 units at a time; to watch for five minutes what that does: qrun hosts slots '/data/it'\\''s' --host alpha --from 4 --to 8`,
    );
  });
  it.each([
    [8, 4],
    [4, 4],
    [0, 4],
    [null, 4],
  ])('is none for %j -> %j', (before, slots) => expect(advised(before, slots)).toBeUndefined());
});
