import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SweepWatch, type UnitToWatch } from '../../../src/app/sweep/status.js';
import { QrunError } from '../../../src/core/errors.js';
import { FinalStates } from '../../../src/core/log/scan/index.js';
import type { RecordHead } from '../../../src/core/log/scan/record-head.js';
import type { TaskEnd } from '../../../src/core/queue/queue.js';
import type { SweepAudit } from '../../../src/core/sweep/audit.js';
import { countStates, endNote, unitState, usualRows } from '../../../src/core/sweep/status.js';
import type { RunStart } from '../../../src/io/log/run-sidecar.js';
import { queueState, queueTask } from '../queue/samples.js';

function head(query: string, outcome: RecordHead['outcome'], parts = 1, run = 'r1'): RecordHead {
  return { query, outcome, parts, run, fingerprint: '' } as RecordHead;
}

describe('the final states of a unit', () => {
  const states = new FinalStates();
  states.group(head('a', 'error'));
  states.group(head('a', 'normal', 3));
  states.group(head('b', 'skipped'));
  states.group(head('c', 'error', 1, 'r2'));
  states.group(head('gone', 'normal', 9, 'r2'));
  states.group(head('d', 'normal', 3, 'r2'));
  states.partial(head('d', 'normal', 3, 'r2'));
  const queries = ['a', 'b', 'c', 'd', 'e'];

  it('counts final states, of the queries that the unit has', () => {
    expect(countStates(states, queries, 3)).toEqual({
      queries: 5,
      settled: 2,
      errors: 1,
      found_lines: 5,
      expected_lines: 3 + 1 + 1 + 2 * 3,
      estimated: false,
    });
  });

  it('estimates the rows of what is missing from those that are there, else from the sweep', () => {
    expect(countStates(states, queries, undefined)).toMatchObject({
      expected_lines: 3 + 1 + 1 + 2 * 3,
      estimated: true,
    });
    expect(countStates(new FinalStates(), queries, undefined, 4)).toMatchObject({
      expected_lines: 20,
      estimated: true,
    });
    expect(countStates(states, ['a', 'b'], undefined).estimated).toBe(false);
    expect([usualRows(states), usualRows(new FinalStates())]).toEqual([6, undefined]);
  });

  it('counts the groups of the newest run, for its rate', () => {
    expect(states.lastRun).toEqual({ run: 'r2', groups: 3 });
  });
});

describe('unitState', () => {
  const all = { task: undefined, holder: undefined, queries: 3, settled: 0, errors: 0 };

  it.each([
    ['queued', 'queued'],
    ['delayed', 'delayed'],
    ['running', 'running'],
    ['paused', 'paused'],
  ] as const)('of a task that is %s is %s', (phase, state) => {
    expect(unitState({ ...all, task: queueTask({ phase }) })).toEqual({ state, note: '' });
  });

  it('names who runs it without the queue', () => {
    expect(unitState({ ...all, holder: 'pid 4' })).toEqual({
      state: 'running',
      note: 'outside the queue: pid 4',
    });
    const queued = { ...all, holder: 'pid 4', task: queueTask({ phase: 'queued' }) };
    expect(unitState(queued)).toEqual({ state: 'queued', note: 'runs outside the queue: pid 4' });
    expect(unitState({ ...queued, task: queueTask({ phase: 'running' }) }).note).toBe('');
  });

  const ended = (end: TaskEnd) => queueTask({ phase: 'done', end });

  it.each([
    ['complete', { settled: 3, task: ended({ kind: 'killed' }) }, ''],
    [
      'errors',
      { settled: 2, errors: 1, task: ended({ kind: 'failed', exitCode: 20 }) },
      'some queries ended as errors (20)',
    ],
    [
      'failed',
      { settled: 1, task: ended({ kind: 'failed', exitCode: 137 }) },
      'killed at its memory cap, or by kill -9 (137)',
    ],
    [
      'failed',
      { task: ended({ kind: 'killed', says: 'killed, or it was restarted' }) },
      'killed, or it was restarted',
    ],
    ['incomplete', { settled: 1 }, ''],
    ['incomplete', { task: ended({ kind: 'success' }) }, ''],
    ['not submitted', {}, ''],
  ] as const)('is %s by what the log holds', (state, facts, note) => {
    expect(unitState({ ...all, ...facts })).toEqual({ state, note });
  });

  it.each<[TaskEnd, string]>([
    [{ kind: 'success' }, ''],
    [{ kind: 'failed', exitCode: 24 }, 'the engine was away or refused it (24)'],
    [{ kind: 'failed', exitCode: 77 }, 'failed (77)'],
    [{ kind: 'failed' }, 'failed (1)'],
    [{ kind: 'not started' }, 'was not started'],
    [{ kind: 'not started', says: 'node a is down' }, 'node a is down'],
    [{ kind: 'lost' }, 'the queue lost it'],
  ])('tells how a task ended: %j', (result, note) => {
    expect(endNote(ended(result))).toBe(note);
  });
});

describe('SweepWatch', () => {
  const SWEEP = { sweep: 's', group: 'qrun-s' };
  const START = { run: 'r1', at: '2026-01-31T12:00:00.000Z', rows_per_query: null } as unknown as RunStart;
  const nowMs = () => Date.parse('2026-01-31T12:00:10.000Z');

  function unit(name: string, heads: RecordHead[], more: Partial<UnitToWatch> = {}): UnitToWatch {
    return {
      unit: name,
      queries: () => ['a', 'b', 'c', 'd'],
      rowsPerQuery: undefined,
      follow: newStates => {
        const states = newStates();
        return {
          catchUp: async () => {
            for (const one of heads.splice(0)) states.group(one);
            return undefined;
          },
        };
      },
      holder: async () => undefined,
      lastStart: () => START,
      ...more,
    };
  }

  const look = (
    units: UnitToWatch[],
    state = queueState([]),
    audit?: { audit: SweepAudit; outdated: boolean },
  ) =>
    new SweepWatch({ ...SWEEP, units, readQueue: async () => state, readAudit: () => audit, nowMs }).look();

  it('adds up the rates of what runs, and says how long the rest takes', async () => {
    const state = queueState([{ phase: 'running' }]);
    const status = await look([unit('a', [head('a', 'normal'), head('b', 'normal')]), unit('b', [])], state);
    expect(status.queries_per_second).toBeCloseTo(0.2);
    // 2 queries of a and 4 of b.
    expect(status.eta_ms).toBeCloseTo(30_000);
    expect(status.units.map(({ state: where }) => where)).toEqual(['running', 'not submitted']);
  });

  it('counts no file without a statement, and reads each once, and only those without a result', async () => {
    const read: string[] = [];
    const isQuery = (name: string): boolean => {
      read.push(name);
      return name === 'c';
    };
    const watched = unit('u', [head('a', 'normal')], { isQuery });
    const watch = new SweepWatch({
      ...SWEEP,
      units: [watched],
      readQueue: async () => queueState([]),
      readAudit: () => undefined,
      nowMs,
    });
    for (let n = 0; n < 2; n += 1) {
      const [status] = (await watch.look()).units;
      expect(status).toMatchObject({ state: 'incomplete', queries: 2, settled: 1 });
    }
    expect(read).toEqual(['b', 'c', 'd']);
    // A unit that has hardly begun is not read.
    const names = Array.from({ length: 200 }, (_, n) => `q${n}`);
    const [large] = (await look([unit('u', [], { queries: () => names, isQuery })])).units;
    expect(large).toMatchObject({ queries: 200 });
    expect(read).toHaveLength(3);
  });

  it('takes no rate from a run that is over, or from one that recorded nothing yet', async () => {
    const state = queueState([{ phase: 'running' }]);
    const status = await look([unit('a', [head('a', 'normal', 1, 'r0')])], state);
    expect([status.queries_per_second, status.eta_ms]).toEqual([0, null]);
    expect((await look([unit('b', [head('a', 'normal')])])).queries_per_second).toBe(0);
  });

  it('reads only what is new with each look', async () => {
    const heads = [head('a', 'normal')];
    const watch = new SweepWatch({
      ...SWEEP,
      units: [unit('a', heads)],
      readQueue: async () => new QrunError('QUEUE_DOWN', 'away'),
      readAudit: () => undefined,
      nowMs,
    });
    expect((await watch.look()).units[0]?.settled).toBe(1);
    heads.push(head('b', 'normal'));
    expect((await watch.look()).units[0]?.settled).toBe(2);
  });

  it('looks once at a time, because a log is followed by one reader; a look that failed ends no other', async () => {
    let reading = 0;
    let most = 0;
    let reads = 0;
    const catchUp = async (): Promise<undefined> => {
      reads += 1;
      reading += 1;
      most = Math.max(most, reading);
      await setImmediate();
      reading -= 1;
      if (reads === 1) throw new QrunError('LOG_DAMAGED', 'bad');
    };
    const watch = new SweepWatch({
      ...SWEEP,
      units: [unit('a', [], { follow: () => ({ catchUp }) })],
      readQueue: async () => queueState([]),
      readAudit: () => undefined,
      nowMs,
    });
    const looks = await Promise.allSettled([watch.look(), watch.look(), watch.look()]);
    expect(looks.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect([most, reads]).toEqual([1, 3]);
  });

  it('names paused groups that hold something of the sweep', async () => {
    expect((await look([unit('a', [])], queueState([], { paused: true }))).paused_groups).toEqual(['qrun-s']);
    expect((await look([unit('a', [])], queueState([]))).paused_groups).toEqual([]);
  });

  const AUDIT = { verdict: 'complete', at: '2026-01-31T12:00:00.000Z' } as SweepAudit;

  it.each([
    ['none', {}, undefined],
    ['done', {}, { audit: AUDIT, outdated: false }],
    ['queued', { phase: 'queued' as const }, undefined],
    ['running', { phase: 'running' as const }, undefined],
    ['done', { phase: 'done' as const, end: { kind: 'failed' as const, exitCode: 21 } }, undefined],
    ['failed', { phase: 'done' as const, end: { kind: 'killed' as const } }, undefined],
  ])('tells that the audit is %s', async (expected, task, audit) => {
    const state = queueState(Object.keys(task).length === 0 ? [] : [{ label: 'qrun:s:#audit', ...task }]);
    expect((await look([unit('a', [])], state, audit)).audit.state).toBe(expected);
  });

  it('does not show a verdict on logs that have changed since', async () => {
    const { audit } = await look([unit('a', [])], queueState([]), { audit: AUDIT, outdated: true });
    expect(audit).toMatchObject({ state: 'none', verdict: null });
  });
});
