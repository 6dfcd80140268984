import { describe, expect, it } from 'vitest';
import type { UnitPlan } from '../../../src/app/unit/plan.js';
import { SummaryBuilder } from '../../../src/app/unit/summary.js';
import { planOf, reads } from './fake-run.js';

const ERROR = { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent', message: 'Code: 62. first' } as const;
const END = { records: 0, elapsedMs: 0, stopped: undefined, exitCode: undefined };

function builder(due: number, plan: Partial<UnitPlan> = {}): SummaryBuilder {
  return new SummaryBuilder(
    { run: 'r1', unit: 'u', plan: { ...planOf(reads(due)), ...plan } },
    '/results/u.ndjson',
  );
}

describe('counts', () => {
  it('selected, settled, recorded, elsewhere and not run add up', () => {
    const summary = builder(10, { settled: 5, keptErrors: 2 });
    for (let n = 0; n < 4; n += 1) summary.recorded(`q${n}`, 'normal', 1, undefined);
    summary.recorded('q4', 'skipped', 1, undefined);
    expect(summary.recorded('q5', 'error', 1, ERROR)).toBe(1);
    expect(summary.recorded('q6', 'error', 1, ERROR)).toBe(2);
    summary.recordedElsewhere();
    summary.retried();
    expect(summary.build({ ...END, records: 15, elapsedMs: 1234.6 })).toMatchObject({
      run: 'r1',
      unit: 'u',
      log: '/results/u.ndjson',
      selected: 17,
      settled_before: 5,
      recorded: { normal: 4, skipped: 1, error: 2 },
      records: 15,
      not_run: 2,
      retries: 1,
      elapsed_ms: 1235,
    });
  });

  it('of nothing: no durations, no histogram', () => {
    const summary = builder(0).build(END);
    expect(summary).toMatchObject({ selected: 0, not_run: 0, durations: null, slowest: [], errors: [] });
    expect(summary.histogram).toBeNull();
  });
});

describe('exit code', () => {
  const of = (
    outcome: 'normal' | 'error',
    due: number,
    end: Partial<Parameters<SummaryBuilder['build']>[0]> = {},
    keptErrors = 0,
  ) => {
    const summary = builder(due, { keptErrors });
    summary.recorded('q1', outcome, 1, outcome === 'error' ? ERROR : undefined);
    const { exit_code, stopped } = summary.build({ ...END, ...end });
    return [exit_code, stopped];
  };

  it.each([
    ['all settled', of('normal', 1), [0, null]],
    ['an error stands', of('error', 1), [20, null]],
    ['an error of an earlier run stands', of('normal', 1, {}, 1), [20, null]],
    ['stopped', of('normal', 2, { stopped: 'why', exitCode: 24 }), [24, 'why']],
    ['stopped by a caller who names no code', of('normal', 2, { stopped: 'why' }), [25, 'why']],
    ['queries are left, whatever the reason', of('error', 3), [25, null]],
    ['stopped, errors stand too', of('error', 2, { stopped: 'why', exitCode: 130 }), [130, 'why']],
    ['stopped when all was done', of('normal', 1, { stopped: 'why', exitCode: 130 }), [0, null]],
    ['halted by the last query', of('error', 1, { stopped: 'why', exitCode: 25 }), [20, null]],
  ])('%s', (_title, got, expected) => {
    expect(got).toEqual(expected);
  });

  it('a file that cannot run leaves its query undone, one without a statement is no query', () => {
    const plan = {
      cannotRun: [
        { query: 'x', problem: '1' },
        { query: 'x', problem: '2' },
      ],
      refused: 1,
      noStatement: ['y'],
    };
    expect(builder(0, plan).build(END)).toMatchObject({
      selected: 1,
      not_run: 0,
      exit_code: 20,
      cannot_run: plan.cannotRun,
      no_statement: ['y'],
    });
    const during = builder(3);
    during.recorded('q1', 'normal', 1, undefined);
    during.leftOut('q2', 'bad');
    during.noQuery('q3');
    expect(during.build(END)).toMatchObject({
      selected: 2,
      not_run: 0,
      exit_code: 20,
      cannot_run: [{ query: 'q2', problem: 'bad' }],
      no_statement: ['q3'],
    });
    expect(builder(0).build(END)).toMatchObject({ cannot_run: [], no_statement: [] });
  });
});

describe('durations', () => {
  it('quantiles, the slowest five, and a histogram without empty ends', () => {
    const summary = builder(1000);
    // 1 to 1000 ms in an order of no meaning.
    for (let n = 0; n < 1000; n += 1) {
      const ms = ((n * 617) % 1000) + 1;
      summary.recorded(`q${ms}`, 'normal', ms, undefined);
    }
    const { durations, slowest, histogram } = summary.build(END);
    // Three significant digits.
    expect(durations?.p50_ms).toBeCloseTo(500, -1);
    expect(durations?.p95_ms).toBeCloseTo(950, -1);
    expect(durations?.p99_ms).toBeCloseTo(990, -1);
    expect(durations?.max_ms).toBeCloseTo(1000, -1);
    expect(slowest.map(({ query }) => query)).toEqual(['q1000', 'q999', 'q998', 'q997', 'q996']);
    expect(histogram).toEqual([
      { up_to_ms: 1, count: 1 },
      { up_to_ms: 2, count: 1 },
      { up_to_ms: 5, count: 3 },
      { up_to_ms: 10, count: 5 },
      { up_to_ms: 20, count: 10 },
      { up_to_ms: 50, count: 30 },
      { up_to_ms: 100, count: 50 },
      { up_to_ms: 200, count: 100 },
      { up_to_ms: 500, count: 300 },
      { up_to_ms: 1000, count: 500 },
    ]);
  });

  it('of nothing, of hours and of weeks are all counted', () => {
    const summary = builder(3);
    for (const ms of [0, 3_600_000, 3 * 7 * 24 * 3_600_000]) summary.recorded('q', 'normal', ms, undefined);
    const { durations, histogram } = summary.build(END);
    expect(durations?.max_ms).toBeGreaterThan(1.8e9);
    expect(histogram?.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  });
});

describe('errors', () => {
  it('are grouped by code and name, most frequent first, with the first of each as example', () => {
    const summary = builder(10);
    const lost = { code: 0, name: 'CONNECTION_LOST', kind: 'unknown', message: 'reset' } as const;
    summary.recorded('a', 'error', 1, lost);
    summary.recorded('b', 'error', 1, ERROR);
    summary.recorded('c', 'error', 1, { ...ERROR, message: 'Code: 62. second' });
    summary.recorded('d', 'error', 1, { ...lost, name: 'TIMEOUT' });
    expect(summary.build(END).errors).toEqual([
      { code: 62, name: 'SYNTAX_ERROR', count: 2, example: 'b', message: 'Code: 62. first' },
      { code: 0, name: 'CONNECTION_LOST', count: 1, example: 'a', message: 'reset' },
      { code: 0, name: 'TIMEOUT', count: 1, example: 'd', message: 'reset' },
    ]);
  });
});
