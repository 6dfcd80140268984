import { describe, expect, it } from 'vitest';
import { Outage } from '../../../src/app/unit/outage.js';
import { type Failure, transportFailure } from '../../../src/core/engines/failure.js';
import { FakeClock } from './fake-run.js';

const LOST = transportFailure({ code: 'ECONNRESET', syscall: 'read', message: 'read ECONNRESET' });

// An engine that is away until `backAtMs`, and what was told.
function setUp({ backAtMs = 0, limitMs = 60_000, random = (): number => 1 } = {}) {
  const clock = new FakeClock();
  const told: [string, number][] = [];
  const pings: number[] = [];
  const engine = { backAtMs };
  const tell = (what: string): void => {
    told.push([what, clock.monotonicMs()]);
  };
  const options = {
    clock,
    random,
    limitMs,
    ping: async (): Promise<Failure | undefined> => {
      pings.push(clock.monotonicMs());
      return clock.monotonicMs() >= engine.backAtMs ? undefined : LOST;
    },
    onLost: () => tell('lost'),
    onBack: (afterMs: number) => tell(`back after ${afterMs}`),
    onGaveUp: (_: Failure, afterMs: number) => tell(`gave up after ${afterMs}`),
  };
  return { outage: new Outage(options), clock, told, pings, engine };
}

const never = new AbortController().signal;

describe('Outage', () => {
  it('is none when the engine answers at once: only that connection was lost', async () => {
    const { outage, told, pings } = setUp();
    expect(outage.ready()).toBeUndefined();
    expect(await outage.report(LOST, never)).toBe(false);
    expect([told, pings, outage.ready()]).toEqual([[], [0], undefined]);
  });

  it('parks everybody until the engine answers, and asks more and more rarely', async () => {
    const { outage, told, pings } = setUp({ backAtMs: 30_000 });
    const report = outage.report(LOST, never);
    await Promise.resolve();
    const parked = outage.ready();
    expect(parked).toBeInstanceOf(Promise);
    expect(await report).toBe(true);
    await parked;
    expect(outage.ready()).toBeUndefined();
    const waits = pings.slice(1).map((at, i) => at - (pings[i] as number));
    expect(waits.slice(0, 7)).toEqual([250, 450, 850, 1650, 3250, 5050, 5050]);
    expect(told).toEqual([
      ['lost', 0],
      [`back after ${pings.at(-1)}`, pings.at(-1)],
    ]);
    expect(pings.at(-1)).toBeGreaterThanOrEqual(30_000);
    expect(pings.at(-1)).toBeLessThan(35_050);
  });

  it('never asks without a pause, however the dice fall', async () => {
    const { outage, pings } = setUp({ backAtMs: 1000, random: () => 0 });
    await outage.report(LOST, never);
    expect(pings).toHaveLength(1 + 1000 / 50);
  });

  it('is one outage for all who find it, asked for by one of them', async () => {
    const { outage, told, pings } = setUp({ backAtMs: 600 });
    const first = await Promise.all([outage.report(LOST, never), outage.report(LOST, never)]);
    expect(first).toEqual([true, true]);
    expect(told.map(([what]) => what.split(' ')[0])).toEqual(['lost', 'back']);
    // Each asks once before it knows; from then on one asks.
    expect(pings).toEqual([0, 0, 250, 700]);
  });

  it('can be met again', async () => {
    const { outage, told, engine, clock } = setUp({ backAtMs: 100 });
    await outage.report(LOST, never);
    engine.backAtMs = clock.monotonicMs() + 1000;
    expect(await outage.report(LOST, never)).toBe(true);
    expect(told.map(([what]) => what.split(' ')[0])).toEqual(['lost', 'back', 'lost', 'back']);
  });

  it('gives up exactly when the limit has passed, after having asked once more', async () => {
    const away = { backAtMs: Number.POSITIVE_INFINITY, limitMs: 10_000 };
    const { outage, told, pings, clock } = setUp(away);
    await clock.delay(5000);
    expect(await outage.report(LOST, never)).toBe(true);
    expect(told).toEqual([
      ['lost', 5000],
      ['gave up after 10000', 15_000],
    ]);
    expect(pings.at(-1)).toBe(15_000);
    expect(outage.ready()).toBeUndefined();
  });

  it('gives up at once with a limit of zero', async () => {
    const { outage, told } = setUp({ backAtMs: 1, limitMs: 0 });
    await outage.report(LOST, never);
    expect(told.map(([what]) => what)).toEqual(['lost', 'gave up after 0']);
  });

  it('ends without a word when the run stops while it waits', async () => {
    const { outage, told, clock } = setUp({ backAtMs: 60_000 });
    const stop = new AbortController();
    void clock.delay(5000).then(() => stop.abort('drained'));
    await outage.report(LOST, stop.signal);
    expect(clock.monotonicMs()).toBe(5000);
    expect(told).toEqual([['lost', 0]]);
    expect(outage.ready()).toBeUndefined();
  });

  it('is none any more when the run has stopped', async () => {
    const { outage, told } = setUp({ backAtMs: 60_000 });
    expect(await outage.report(LOST, AbortSignal.abort('drained'))).toBe(false);
    expect(told).toEqual([]);
  });
});
