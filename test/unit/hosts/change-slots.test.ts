import { describe, expect, it } from 'vitest';
import { changeSlots, type SlotsHost, type SlotsRequest } from '../../../src/app/hosts/slots.js';
import type { HostSlots } from '../../../src/core/hosts/slots/report.js';
import type { HostSample } from '../../../src/core/hosts/slots/watch.js';

const calm: HostSample = {
  slots: 2,
  running: 2,
  queued: 9,
  load1: 1,
  cores: 4,
  memory_bytes: 8e9,
  memory_available_bytes: 6e9,
  swap_used_bytes: 0,
  swap_pages: 0,
  attempts: 0,
  failed: 0,
  errors: {},
};
const FAILING = { attempts: 9, failed: 9 };
const DOWN = { code: 'HOST_UNREACHABLE', says: 'gone', mend: 'look' } as const;

interface Script {
  /** What happens before each look after the change; a function may do it. */
  readonly looks?: readonly (
    | Partial<HostSample>
    | 'silent'
    | 'silent and stopped'
    | ((host: { slots: number | null }) => void)
  )[];
  readonly slots?: number | null;
  /** How often setting fails, from the second time on. */
  readonly deaf?: number;
  /** What somebody else sets just before the step back. */
  readonly meanwhile?: number;
  readonly request?: Partial<SlotsRequest>;
  readonly stopAfter?: number;
}

async function changed(
  script: Script,
): Promise<{ report: HostSlots; sets: number[]; told: string[]; nowMs: number; since: unknown[] }> {
  const there = { slots: script.slots === undefined ? 2 : script.slots };
  const looks = [...(script.looks ?? [])];
  const sets: number[] = [];
  const told: string[] = [];
  const since: unknown[] = [];
  const stop = new AbortController();
  let nowMs = 0;
  let waits = 0;
  let deaf = script.deaf ?? 0;
  const host: SlotsHost = {
    name: 'alpha',
    configured: 3,
    async measure(ask) {
      since.push(ask.since);
      const next = ask.since === null ? {} : (looks.shift() ?? {});
      if (next === 'silent and stopped') stop.abort('Ctrl-C');
      if (typeof next === 'string') return { problem: DOWN };
      if (typeof next === 'function') next(there);
      const more = typeof next === 'function' ? {} : next;
      return { returns: { sample: { ...calm, slots: there.slots, ...more }, ends: { u: since.length } } };
    },
    async set({ slots, expected }) {
      if (expected !== null && deaf > 0) {
        deaf -= 1;
        return { problem: DOWN };
      }
      if (expected !== null && script.meanwhile !== undefined) there.slots = script.meanwhile;
      const before = there.slots;
      if (expected !== null && before !== expected) {
        return { returns: { before, slots: before ?? expected, changed: false } };
      }
      sets.push(slots);
      there.slots = slots;
      return { returns: { before, slots, changed: true } };
    },
  };
  const report = await changeSlots(
    host,
    {
      slots: 4,
      from: undefined,
      watchMs: 300_000,
      watchAll: false,
      limits: { loadPerCore: 1.5 },
      ...script.request,
    },
    {
      monotonicMs: () => nowMs,
      async delay(ms) {
        nowMs += ms;
        waits += 1;
        if (waits === script.stopAfter) stop.abort('Ctrl-C');
      },
      signal: stop.signal,
      onEvent: (_, { type }) => told.push(type),
    },
  );
  return { report, sets, told: told.filter(type => type !== 'look'), nowMs, since };
}

describe('a change of slots', () => {
  it('is kept after five minutes in which nothing happens, with a look every ten seconds', async () => {
    const { report, sets, told, nowMs, since } = await changed({});
    expect(report).toMatchObject({
      ...{ outcome: 'kept', before: 2, slots: 4, configured: 3, samples: 30, harms: [] },
    });
    expect([sets, told, nowMs]).toEqual([[4], ['set'], 300_000]);
    expect(since.slice(0, 3)).toEqual([null, { u: 1 }, { u: 2 }]);
  });

  it('has ten looks when the watch is short', async () => {
    const { report, nowMs } = await changed({ request: { watchMs: 30_000 } });
    expect([report.samples, nowMs]).toEqual([10, 30_000]);
  });

  it('is taken back at the first harm, once', async () => {
    const { report, sets, told } = await changed({ looks: [{}, FAILING, FAILING, FAILING] });
    expect(report).toMatchObject({
      outcome: 'stepped_back',
      before: 2,
      slots: 2,
      samples: 2,
      harms: [{ what: 'failures' }],
      last: { attempts: 9, failed: 9 },
    });
    expect([sets, told]).toEqual([
      [4, 2],
      ['set', 'harm'],
    ]);
  });

  it('is taken back to one slot where there was no group', async () => {
    const { report, sets } = await changed({ slots: null, looks: [FAILING] });
    expect([report.outcome, report.before, sets]).toEqual(['stepped_back', null, [4, 1]]);
  });

  it.each([
    ['fewer slots', 8],
    ['the same number', 4],
    ['slots where there was no limit', 0],
  ])('is not watched for %s, and only said when that is asked for', async (_, slots) => {
    const unwatched = await changed({ slots, looks: [FAILING] });
    expect(unwatched.report).toMatchObject({ outcome: 'set', before: slots, slots: 4, samples: 0 });
    const watched = await changed({ slots, looks: [FAILING], request: { watchAll: true } });
    expect(watched.report).toMatchObject({ outcome: 'harmed', before: slots, slots: 4 });
    expect(watched.sets).toEqual([4]);
  });

  it('is taken back to what it was before somebody else made it more', async () => {
    const { report, sets } = await changed({ slots: 4, looks: [FAILING], request: { from: 3 } });
    expect(report).toMatchObject({ outcome: 'stepped_back', before: 3, slots: 3 });
    expect(sets).toEqual([4, 3]);
  });

  it('is not watched with --no-watch, nor when only shown', async () => {
    expect((await changed({ request: { watchMs: undefined } })).report.outcome).toBe('set');
    const shown = await changed({ request: { slots: undefined } });
    expect([shown.report.outcome, shown.report.slots, shown.sets]).toEqual(['shown', 2, []]);
  });

  it('yields to somebody else, whether seen by a look or when stepping back', async () => {
    const byHand = (to: number | null) => (host: { slots: number | null }) => {
      host.slots = to;
    };
    const seen = await changed({ looks: [{}, byHand(7), FAILING] });
    expect(seen.report).toMatchObject({ outcome: 'overruled', slots: 7, samples: 1, harms: [] });
    expect(seen.sets).toEqual([4]);
    const gone = await changed({ looks: [byHand(null)] });
    expect(gone.report).toMatchObject({ outcome: 'overruled', slots: null });
    // Between the look and the step back.
    const late = await changed({ looks: [FAILING], meanwhile: 6 });
    expect(late.report).toMatchObject({ outcome: 'overruled', slots: 6, harms: [{ what: 'failures' }] });
    expect(late.sets).toEqual([4]);
  });

  it('waits for a silent host, says so once, and counts what it recorded meanwhile', async () => {
    const { report, told } = await changed({
      looks: [{}, 'silent', 'silent', 'silent', {}, 'silent', FAILING],
    });
    expect(report).toMatchObject({ outcome: 'stepped_back', samples: 3 });
    expect(told).toEqual(['set', 'silent', 'back', 'silent', 'back', 'harm']);
  });

  it('leaves the slots of a host that is silent at the end', async () => {
    const looks = Array.from({ length: 40 }, () => 'silent' as const);
    const { report, sets } = await changed({ looks });
    expect(report).toMatchObject({
      outcome: 'silent',
      slots: 4,
      says: 'gone',
      mend: 'look',
      samples: 0,
      last: null,
    });
    expect(sets).toEqual([4]);
  });

  it('tries to step back until the host answers, three times at least', async () => {
    const late = await changed({ looks: [FAILING], deaf: 20 });
    expect([late.report.outcome, late.sets]).toEqual(['stepped_back', [4, 2]]);
    const never = await changed({ looks: [FAILING], deaf: 1_000 });
    expect(never.report).toMatchObject({ outcome: 'failed', slots: 4, harms: [{ what: 'failures' }] });
    const short = await changed({ looks: [FAILING], deaf: 3, request: { watchMs: 5_000 } });
    expect(short.report.outcome).toBe('failed');
    const just = await changed({ looks: [FAILING], deaf: 2, request: { watchMs: 5_000 } });
    expect(just.report.outcome).toBe('stepped_back');
  });

  it('stays as it is after Ctrl-C', async () => {
    const { report, sets } = await changed({ stopAfter: 3 });
    expect(report).toMatchObject({ outcome: 'interrupted', before: 2, slots: 4, samples: 2 });
    expect(sets).toEqual([4]);
    // In a terminal it ends ssh as well.
    const gone = await changed({ looks: [{}, 'silent and stopped'] });
    expect([gone.report.outcome, gone.told]).toEqual(['interrupted', ['set']]);
    const back = await changed({ looks: [FAILING], deaf: 9, stopAfter: 2 });
    expect(back.report).toMatchObject({ outcome: 'interrupted', slots: 4, harms: [{ what: 'failures' }] });
  });
});
