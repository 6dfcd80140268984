import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { liveFrame } from '../../../src/cli/progress/live.js';
import { RunProgress } from '../../../src/cli/progress/state.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { displayWidth } from '../../../src/cli/terminal/text.js';
import type { RunEvent } from '../../../src/core/unit/events.js';

function started(due: number, concurrency = 4, settled = 0): RunEvent {
  return {
    type: 'run_started',
    run: 'r1',
    unit: 'u',
    directory: '/u',
    log: '/u.ndjson',
    engine: 'clickhouse',
    version: '26.7',
    target: 'http://127.0.0.1:8123',
    concurrency,
    selected: due + settled,
    settled,
    due,
  };
}

const begin = (query: string, attempt = 1): RunEvent => ({
  type: 'query_started',
  query,
  attempt,
  query_id: query,
});

function end(
  query: string,
  duration_ms: number,
  outcome: 'normal' | 'skipped' | 'error' = 'normal',
): RunEvent {
  return { type: 'query_recorded', query, outcome, rows: 1, attempt: 1, duration_ms, error: null };
}

const retry = (query: string, wait_ms: number): RunEvent => ({
  type: 'query_retry',
  query,
  attempt: 1,
  wait_ms,
  error: { code: 202, name: 'TOO_MANY_SIMULTANEOUS_QUERIES', kind: 'transient', message: 'too many' },
});

/** A run at a steady pace: `concurrency` queries at once, each `eachMs` long, until `untilMs`. */
function steady(
  progress: RunProgress,
  due: number,
  concurrency: number,
  eachMs: number,
  untilMs: number,
): void {
  progress.apply(started(due, concurrency), 0);
  const slots = Array.from({ length: concurrency }, (_, slot) => ({
    slot,
    endMs: ((slot + 1) * eachMs) / concurrency,
  }));
  let next = 0;
  for (const slot of slots) progress.apply(begin(`q${slot.slot}-${next++}`), 0);
  const names = slots.map((slot, index) => ({ ...slot, name: `q${slot.slot}-${index}` }));
  for (;;) {
    const first = names.reduce((a, b) => (b.endMs < a.endMs ? b : a));
    if (first.endMs > untilMs) return;
    progress.apply(end(first.name, eachMs), first.endMs);
    first.name = `q${first.slot}-${next++}`;
    progress.apply(begin(first.name), first.endMs);
    first.endMs += eachMs;
  }
}

describe('RunProgress', () => {
  it('counts what was recorded, what runs and what was retried', () => {
    const progress = new RunProgress();
    progress.apply(started(10, 4, 7), 1000);
    for (const query of ['a', 'b', 'c', 'd']) progress.apply(begin(query), 1000);
    progress.apply(end('a', 5), 1100);
    progress.apply(end('b', 5, 'skipped'), 1100);
    progress.apply(end('c', 5, 'error'), 1100);
    progress.apply(retry('d', 400), 1200);
    const waiting = progress.snapshot(1300);
    expect(waiting).toMatchObject({ total: 10, done: 3, settled: 7, running: 0, retries: 1, elapsedMs: 300 });
    expect(waiting.counts).toEqual({ normal: 1, skipped: 1, error: 1 });
    expect(waiting.condition).toEqual({
      kind: 'retrying',
      waiting: 1,
      nextMs: 300,
      error: 'TOO_MANY_SIMULTANEOUS_QUERIES',
    });
    progress.apply(begin('d', 2), 1600);
    const again = progress.snapshot(4600);
    expect(again.condition).toBeUndefined();
    expect(again.longest).toEqual({ query: 'd', attempt: 2, forMs: 3000 });
  });

  it('names the query that has been running longest, in its present attempt', () => {
    const progress = new RunProgress();
    progress.apply(started(3), 0);
    progress.apply(begin('first'), 0);
    progress.apply(begin('second'), 100);
    progress.apply(begin('first', 2), 200);
    expect(progress.snapshot(1000).longest).toEqual({ query: 'second', attempt: 1, forMs: 900 });
    progress.apply(end('second', 900), 1000);
    expect(progress.snapshot(1000).longest?.query).toBe('first');
  });

  it('gives quantiles to three digits, also for times below a millisecond and beyond a week', () => {
    const progress = new RunProgress();
    progress.apply(started(100), 0);
    for (let index = 1; index <= 100; index++) progress.apply(end(`q${index}`, index / 10), index);
    const { p50Ms, p95Ms } = progress.snapshot(200);
    expect(p50Ms).toBeCloseTo(5, 1);
    expect(p95Ms).toBeCloseTo(9.5, 1);
    progress.apply(end('zero', 0), 300);
    progress.apply(end('huge', 1e12), 300);
    expect(progress.snapshot(300).p50Ms).toBeGreaterThan(4);
  });

  it.each([
    { title: 'many quick queries', concurrency: 16, eachMs: 20, atMs: 60_000, perSecond: 800 },
    { title: 'more than are remembered', concurrency: 16, eachMs: 4, atMs: 10_000, perSecond: 4000 },
    { title: 'slow queries', concurrency: 8, eachMs: 40_000, atMs: 600_000, perSecond: 0.2 },
  ])('rate and estimate are right at a steady pace: $title', ({ concurrency, eachMs, atMs, perSecond }) => {
    const progress = new RunProgress();
    const due = Math.round(perSecond * 3600);
    steady(progress, due, concurrency, eachMs, atMs);
    const { perSecond: rate = 0, etaMs = 0, done } = progress.snapshot(atMs);
    expect(rate / perSecond).toBeGreaterThan(0.93);
    expect(rate / perSecond).toBeLessThan(1.07);
    const truth = ((due - done) / perSecond) * 1000;
    expect(etaMs / truth).toBeGreaterThan(0.93);
    expect(etaMs / truth).toBeLessThan(1.07);
  });

  it('the rate follows a change of pace within the window, and falls when nothing ends', () => {
    const progress = new RunProgress();
    progress.apply(started(100_000, 1), 0);
    progress.apply(begin('x'), 0);
    for (let ms = 10; ms <= 20_000; ms += 10) progress.apply(end(`q${ms}`, 10), ms);
    expect(progress.snapshot(20_000).perSecond).toBeCloseTo(100, -1);
    for (let ms = 20_100; ms <= 40_000; ms += 100) progress.apply(end(`q${ms}`, 100), ms);
    expect(progress.snapshot(40_000).perSecond).toBeCloseTo(10, 0);
    expect(progress.snapshot(160_000).perSecond).toBeLessThan(2);
  });

  it('says nothing about the end before two rounds of all that runs at once', () => {
    const progress = new RunProgress();
    progress.apply(started(1000, 16), 0);
    for (let index = 0; index < 16; index++) progress.apply(begin(`q${index}`), 0);
    for (let index = 0; index < 31; index++) progress.apply(end(`q${index}`, 100), 4000 + index);
    expect(progress.snapshot(5000).etaMs).toBeUndefined();
    progress.apply(end('q31', 100), 5000);
    expect(progress.snapshot(5000).etaMs).toBeGreaterThan(0);
  });

  it('says nothing about the end from a burst of a moment', () => {
    const progress = new RunProgress();
    progress.apply(started(1000, 1), 0);
    progress.apply(begin('q0'), 0);
    for (let index = 0; index < 50; index++) progress.apply(end(`q${index}`, 1), 500);
    expect(progress.snapshot(500).etaMs).toBeUndefined();
  });

  it('does not promise less than the query that started last is likely to need', () => {
    const progress = new RunProgress();
    steady(progress, 200, 10, 60_000, 1_140_000);
    const { done, etaMs = 0 } = progress.snapshot(1_140_000);
    expect(done).toBe(190);
    // By the rate alone: 10 queries at 10 a minute. The last one has only just begun.
    expect(etaMs).toBeGreaterThanOrEqual(59_000);
    for (let index = 0; index < 9; index++) progress.apply(end(`x${index}`, 60_000), 1_140_000);
    expect(progress.snapshot(1_140_000).etaMs).toBeGreaterThanOrEqual(59_000);
  });

  it('leaves out the time without an engine', () => {
    const progress = new RunProgress();
    steady(progress, 100_000, 4, 40, 30_000);
    const before = progress.snapshot(30_000);
    progress.apply({ type: 'engine_lost', reason: 'refused' }, 30_000);
    progress.apply({ type: 'engine_lost', reason: 'still refused' }, 60_000);
    const lost = progress.snapshot(90_000);
    expect(lost.condition).toEqual({ kind: 'lost', reason: 'still refused', forMs: 60_000 });
    expect([lost.perSecond, lost.etaMs]).toEqual([undefined, undefined]);
    progress.apply({ type: 'engine_back', after_ms: 60_000 }, 90_000);
    const back = progress.snapshot(90_000);
    expect(back.condition).toBeUndefined();
    expect(back.perSecond).toBeCloseTo(before.perSecond ?? 0, 5);
    expect(back.elapsedMs).toBe(90_000);
  });

  it('shows what matters most: a lost engine, then stopping, then setup, then retries', () => {
    const progress = new RunProgress();
    const kind = (): string | undefined => progress.snapshot(0).condition?.kind;
    progress.apply(started(10), 0);
    progress.apply(retry('a', 100), 0);
    expect(kind()).toBe('retrying');
    progress.apply({ type: 'setup_started', file: '_setup.sql' }, 0);
    expect(kind()).toBe('setup');
    progress.apply({ type: 'stopping', how: 'drain', reason: 'SIGINT' }, 0);
    expect(kind()).toBe('stopping');
    expect(progress.snapshot(0).etaMs).toBeUndefined();
    progress.apply({ type: 'engine_lost', reason: 'refused' }, 0);
    expect(kind()).toBe('lost');
  });

  it('stands still when the clock goes back', () => {
    const progress = new RunProgress();
    progress.apply(started(10), 10_000);
    progress.apply(begin('a'), 12_000);
    expect(progress.snapshot(5_000)).toMatchObject({ elapsedMs: 2000, longest: { forMs: 0 } });
  });

  it('gives the same snapshots for the same events at the same times', () => {
    const first = new RunProgress();
    const second = new RunProgress();
    steady(first, 1000, 3, 70, 20_000);
    steady(second, 1000, 3, 70, 20_000);
    first.snapshot(20_000);
    expect(first.snapshot(21_000)).toEqual(second.snapshot(21_000));
  });
});

const names = fc.constantFrom('a', 'b', 'long__name__of__a__query__2down__ofi_gt_p50', '漢字\x1b[2J');
const anyEvent: fc.Arbitrary<RunEvent> = fc.oneof(
  fc
    .tuple(fc.nat(3000), fc.integer({ min: 1, max: 64 }))
    .map(([due, concurrency]) => started(due, concurrency)),
  fc.tuple(names, fc.integer({ min: 1, max: 5 })).map(([query, attempt]) => begin(query, attempt)),
  fc
    .tuple(names, fc.double({ min: 0, max: 1e9, noNaN: true }), fc.constantFrom('normal', 'skipped', 'error'))
    .map(([query, ms, outcome]) => end(query, ms, outcome as 'normal')),
  fc.tuple(names, fc.nat(60_000)).map(([query, ms]) => retry(query, ms)),
  fc.constant<RunEvent>({ type: 'engine_lost', reason: 'connect ECONNREFUSED\n\x1b[31m' }),
  fc.constant<RunEvent>({ type: 'engine_back', after_ms: 100 }),
  fc.constant<RunEvent>({ type: 'stopping', how: 'abort', reason: 'SIGTERM' }),
  fc.constant<RunEvent>({ type: 'setup_started', file: '_setup.sql' }),
);

describe('liveFrame', () => {
  const style = createStyle({ color: false, unicode: true });

  it('fits any terminal in any state and holds nothing that could drive it', () => {
    const steps = fc.array(fc.tuple(anyEvent, fc.nat(5000)), { maxLength: 60 });
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 50 }),
        (events, columns, rows) => {
          const progress = new RunProgress();
          let nowMs = 0;
          for (const [event, afterMs] of events) {
            nowMs += afterMs;
            progress.apply(event, nowMs);
          }
          const snapshot = progress.snapshot(nowMs);
          const lines = liveFrame(snapshot, style, columns, rows);
          expect(lines.length).toBeLessThanOrEqual(4);
          for (const line of lines) {
            expect(displayWidth(line)).toBeLessThanOrEqual(Math.max(0, columns - 1));
            expect(line).not.toMatch(/\p{Cc}/u);
          }
          for (const value of [snapshot.perSecond, snapshot.etaMs, snapshot.p50Ms, snapshot.elapsedMs]) {
            if (value !== undefined) expect(Number.isFinite(value) && value >= 0).toBe(true);
          }
        },
      ),
    );
  });

  const midRun = (): RunProgress => {
    const progress = new RunProgress();
    steady(progress, 1368, 16, 200, 10_000);
    progress.apply(end('bad', 5_000, 'error'), 10_000);
    progress.apply(retry('other', 5000), 10_000);
    progress.apply(begin('other', 2), 10_000);
    return progress;
  };

  it('at 80 columns', () => {
    const progress = new RunProgress();
    progress.apply(started(1368, 16, 300), 0);
    progress.apply(begin('2down__ofi_lt_p19__vpin_above_median__window_133'), 2_000);
    for (let index = 0; index < 15; index++) progress.apply(begin(`r${index}`), 2_000);
    for (let index = 0; index < 400; index++) progress.apply(end(`q${index}`, 140), 4_000 + index * 10);
    for (let index = 0; index < 16; index++) progress.apply(end(`s${index}`, 519, 'skipped'), 8_000);
    for (let index = 0; index < 7; index++) progress.apply(end(`e${index}`, 519, 'error'), 8_000);
    progress.apply(retry('again', 400), 8_000);
    expect(liveFrame(progress.snapshot(8_300), style, 80)).toEqual([
      '█████████████████▉░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░    423/1,368  30%',
      'normal    400   error      7   running    16   p50  140 ms   elapsed     8 s',
      'skipped    16   retries    1   q/s      67.1   p95  519 ms   ETA        15 s',
      'retrying 1  longest 2down__ofi_lt_p19__vpin_above_median__window_133 6 s',
    ]);
  });

  it.each([
    [120, ['normal', 'running', 'p50', 'elapsed']],
    [80, ['normal', 'running', 'p50', 'elapsed']],
    [65, ['normal', 'running', 'elapsed']],
    [50, ['error', 'running', 'elapsed']],
    [40, ['error', 'elapsed']],
    [20, ['elapsed']],
  ])('at %i columns it shows what there is room for', (columns, shown) => {
    const [bar = '', upper = '', lower = ''] = liveFrame(midRun().snapshot(10_000), style, columns);
    expect(bar).toMatch(/801\/1,368 +58%$/);
    for (const label of ['normal', 'error', 'running', 'p50', 'elapsed']) {
      if (shown.includes(label)) expect(upper).toContain(label);
    }
    expect(upper.includes('p50')).toBe(shown.includes('p50'));
    expect(upper.includes('normal')).toBe(shown.includes('normal'));
    expect(lower).toContain('ETA');
  });

  it('is one line in a window of a few rows', () => {
    expect(liveFrame(midRun().snapshot(10_000), style, 80, 4)).toHaveLength(1);
  });

  it('keeps its places while the numbers grow', () => {
    const places = (line = ''): number[] =>
      ['normal', 'error', 'running', 'p50', 'elapsed'].map(label => line.indexOf(label));
    const progress = new RunProgress();
    progress.apply(started(1368, 16), 0);
    const before = places(liveFrame(progress.snapshot(0), style, 80)[1]);
    expect(before).not.toContain(-1);
    expect(places(liveFrame(midRun().snapshot(10_000), style, 80)[1])).toEqual(before);
  });

  it('reaches 100 % only with the last query', () => {
    const progress = new RunProgress();
    progress.apply(started(1000), 0);
    for (let index = 0; index < 999; index++) progress.apply(end(`q${index}`, 1), 1);
    expect(liveFrame(progress.snapshot(1), style, 80)[0]).toContain('999/1,000  99%');
    progress.apply(end('last', 1), 1);
    expect(liveFrame(progress.snapshot(1), style, 80)[0]).toMatch(/^█+ {2}1,000\/1,000 100%$/);
  });

  it.each<[RunEvent, RegExp]>([
    [
      { type: 'engine_lost', reason: 'connect ECONNREFUSED' },
      /^engine lost 3 s ago, waiting: connect ECONNREFUSED/,
    ],
    [
      { type: 'stopping', how: 'drain', reason: 'SIGINT' },
      /^stopping \(SIGINT\): finishing 1 {2}longest slow 9 s$/,
    ],
    [
      { type: 'stopping', how: 'abort', reason: 'second SIGINT' },
      /^stopping \(second SIGINT\): cancelling 1 /,
    ],
    [{ type: 'setup_started', file: '_setup.sql' }, /^setup _setup\.sql for 3 s/],
    [retry('r', 7500), /^retrying 1 {2}longest slow 9 s$/],
  ])('tells the state %#', (event, wanted) => {
    const progress = new RunProgress();
    progress.apply(started(10), 0);
    progress.apply(begin('slow'), 0);
    progress.apply(event, 6_000);
    expect(liveFrame(progress.snapshot(9_000), style, 100)[3]).toMatch(wanted);
  });

  it('tells why queries are retried while none runs long', () => {
    const progress = new RunProgress();
    progress.apply(started(10), 0);
    progress.apply(retry('r', 7500), 0);
    const lines = liveFrame(progress.snapshot(1_000), style, 100);
    expect(lines[3]).toBe('retrying 1, next in 7 s (TOO_MANY_SIMULTANEOUS_QUERIES)');
  });
});
