import { describe, expect, it } from 'vitest';
import type { HostProblem } from '../../../src/core/hosts/ssh-failure.js';
import { type HostView, mergeStatus } from '../../../src/core/sweep/merge-status.js';
import type { SweepStatus, UnitStatus } from '../../../src/core/sweep/status.js';
import { faultsOf } from '../../schemas.js';

const AT = Date.parse('2026-01-31T12:00:00.000Z');
const AWAY: HostProblem = { code: 'HOST_UNREACHABLE', says: 'it stopped answering', mend: 'ssh beta' };

function unit(name: string, state: UnitStatus['state'], more: Partial<UnitStatus> = {}): UnitStatus {
  const counts = { queries: 10, settled: 0, errors: 0, found_lines: 0, expected_lines: 10, estimated: true };
  return {
    ...{ unit: name, state, host: null, note: '', queries_per_second: 0 },
    ...counts,
    ...more,
    settled_here: more.settled ?? 0,
  };
}

function sweep(units: readonly UnitStatus[], more: Partial<SweepStatus> = {}): SweepStatus {
  return {
    ...{ sweep: 's', group: 'qrun-s', slots: null, paused_groups: [], queue_problem: null, hosts: [] },
    audit: { state: 'none', note: '', verdict: null, at: null },
    queries_per_second: units.reduce((sum, one) => sum + one.queries_per_second, 0),
    eta_ms: null,
    units,
    ...more,
  };
}

const answers = (name: string, units: readonly UnitStatus[], more: Partial<SweepStatus> = {}): HostView => ({
  ...{ name, answeredAtMs: AT, askedAtMs: AT - 1_000, problem: undefined },
  status: sweep(units, { slots: 4, ...more }),
});
const silent = (name: string, units?: readonly UnitStatus[], problem: HostProblem = AWAY): HostView => ({
  ...{ name, askedAtMs: AT - 1_000, problem },
  answeredAtMs: units === undefined ? undefined : AT,
  status: units === undefined ? undefined : sweep(units, { slots: 4 }),
});

/** The only unit, after the merge. */
function merged(here: UnitStatus, hosts: readonly HostView[], home?: string): UnitStatus {
  const status = mergeStatus(sweep([here]), hosts, () => home);
  expect(faultsOf('status', status)).toBe('');
  return status.units[0] as UnitStatus;
}

describe('a unit, seen from several hosts', () => {
  it.each<[string, UnitStatus, readonly HostView[], string | undefined, Partial<UnitStatus>]>([
    [
      'runs on one of them',
      unit('u', 'not submitted'),
      [answers('alpha', [unit('u', 'running', { settled: 4, queries_per_second: 2 })]), answers('beta', [])],
      'beta',
      { state: 'running', host: 'alpha', settled: 4, settled_here: 0, queries_per_second: 2, note: '' },
    ],
    [
      'runs on two of them, which is shown, and is counted once',
      unit('u', 'incomplete', { settled: 3 }),
      [
        answers('alpha', [unit('u', 'queued', { settled: 2 })]),
        answers('beta', [unit('u', 'running', { settled: 5, queries_per_second: 1 })]),
        answers('gamma', [unit('u', 'running', { settled: 4, queries_per_second: 2 })]),
      ],
      undefined,
      {
        ...{ state: 'running', host: 'beta', settled: 5, settled_here: 3, queries_per_second: 3 },
        note: 'also running on gamma; also queued on alpha',
      },
    ],
    [
      'runs on this machine, and waits there',
      unit('u', 'running', { note: 'outside the queue: pid 1', queries_per_second: 5 }),
      [answers('alpha', [unit('u', 'delayed')])],
      'alpha',
      {
        ...{ state: 'running', host: null, queries_per_second: 5 },
        note: 'outside the queue: pid 1; also delayed on alpha',
      },
    ],
    [
      'ran on a host that is silent now',
      unit('u', 'incomplete', { settled: 1 }),
      [silent('beta', [unit('u', 'running', { settled: 6, queries_per_second: 9 })])],
      'beta',
      { state: 'unknown', host: 'beta', note: 'was running', settled: 6, queries_per_second: 0 },
    ],
    [
      'waits on one, and perhaps on one that is silent',
      unit('u', 'not submitted'),
      [answers('alpha', [unit('u', 'queued')]), silent('beta', [unit('u', 'running')])],
      'beta',
      { state: 'queued', host: 'alpha', note: 'perhaps running on beta' },
    ],
    [
      'belongs to a host that has never answered',
      unit('u', 'incomplete', { settled: 2, errors: 1 }),
      [answers('alpha', [unit('u', 'not submitted')]), silent('beta')],
      'beta',
      { state: 'unknown', host: 'beta', settled: 2, errors: 1, note: '' },
    ],
    [
      'belongs to a host that was asked and has not answered yet',
      unit('u', 'not submitted'),
      [{ ...silent('beta'), problem: undefined }],
      'beta',
      { state: 'unknown', host: 'beta' },
    ],
    [
      'belongs to a host that has nothing of the sweep',
      unit('u', 'not submitted'),
      [silent('beta', undefined, { ...AWAY, code: 'UNIT_EMPTY' })],
      'beta',
      { state: 'not submitted', host: null },
    ],
    [
      'is complete here, whatever a silent host was doing',
      unit('u', 'complete', { settled: 10 }),
      [silent('beta', [unit('u', 'running', { settled: 6 })])],
      'beta',
      { state: 'complete', host: null, settled: 10, note: 'perhaps running on beta' },
    ],
    [
      'is complete on a host alone',
      unit('u', 'incomplete', { settled: 4 }),
      [answers('alpha', [unit('u', 'complete', { settled: 10, estimated: false })])],
      'alpha',
      { state: 'complete', host: 'alpha', settled: 10, settled_here: 4, estimated: false },
    ],
    [
      'has ended with errors there',
      unit('u', 'incomplete', { settled: 8 }),
      [answers('alpha', [unit('u', 'errors', { settled: 8, errors: 2, note: 'some queries (20)' })])],
      'alpha',
      { state: 'errors', host: 'alpha', errors: 2, note: 'some queries (20)' },
    ],
    [
      'has failed there',
      unit('u', 'not submitted'),
      [answers('alpha', [unit('u', 'failed', { settled: 1, note: 'drained (143)' })])],
      'alpha',
      { state: 'failed', host: 'alpha', note: 'drained (143)', settled: 1 },
    ],
    [
      'has more here than anywhere else, after an import',
      unit('u', 'incomplete', { settled: 7 }),
      [
        answers('alpha', [unit('u', 'incomplete', { settled: 4 })]),
        answers('beta', [unit('u', 'incomplete', { settled: 3 })]),
      ],
      undefined,
      { state: 'incomplete', host: null, settled: 7 },
    ],
    [
      'has other files there: those here say what it is',
      unit('u', 'incomplete', { queries: 5, settled: 1, expected_lines: 5 }),
      [answers('alpha', [unit('u', 'complete', { queries: 9, settled: 9, found_lines: 9 })])],
      'alpha',
      { state: 'complete', queries: 5, settled: 5, errors: 0, expected_lines: 9, estimated: true },
    ],
    [
      'is new',
      unit('u', 'not submitted'),
      [answers('alpha', [unit('u', 'not submitted')])],
      'alpha',
      { state: 'not submitted', host: null },
    ],
  ])('%s', (_, here, hosts, home, expected) => {
    expect(merged(here, hosts, home)).toMatchObject(expected);
  });
});

describe('a sweep, seen from several hosts', () => {
  it('adds up slots, rates and what is left, of the hosts that answer', () => {
    const here = sweep([
      unit('a', 'not submitted'),
      unit('b', 'not submitted'),
      unit('c', 'complete', { settled: 10 }),
    ]);
    const hosts = [
      answers('alpha', [unit('a', 'running', { settled: 4, queries_per_second: 2 })], {
        paused_groups: ['g'],
      }),
      answers('beta', [unit('b', 'running', { settled: 2, queries_per_second: 5 })], { slots: 3 }),
      silent('gamma', [unit('a', 'running', { queries_per_second: 100 })]),
    ];
    const status = mergeStatus(here, hosts, () => undefined);
    expect(status).toMatchObject({
      ...{
        slots: 7,
        queries_per_second: 7,
        eta_ms: (14 / 7) * 1000,
        paused_groups: ['g'],
        queue_problem: null,
      },
      hosts: [
        {
          name: 'alpha',
          slots: 4,
          running: 1,
          waiting: 0,
          queries_per_second: 2,
          silent_since: null,
          problem: null,
        },
        { name: 'beta', slots: 3, running: 1 },
        {
          ...{
            name: 'gamma',
            answered_at: '2026-01-31T12:00:00.000Z',
            silent_since: '2026-01-31T12:00:00.000Z',
          },
          ...{
            queries_per_second: 0,
            problem: { code: 'HOST_UNREACHABLE', hint: 'ssh beta', exit_code: 26 },
          },
        },
      ],
    });
    expect(faultsOf('status', status)).toBe('');
    const never = mergeStatus(here, [silent('beta')], () => undefined);
    expect(never).toMatchObject({
      ...{ slots: null, queries_per_second: 0, eta_ms: null },
      hosts: [{ answered_at: null, silent_since: '2026-01-31T11:59:59.000Z', running: null, waiting: null }],
    });
    const free = mergeStatus(here, [answers('a', [], { slots: 0 }), answers('b', [])], () => undefined);
    expect(free.slots).toBe(0);
  });

  it('takes the verdict of the audit from here, and whether one waits or runs from the hosts', () => {
    const audit = { state: 'done', note: '', verdict: 'complete', at: null } as const;
    const there = (state: SweepStatus['audit']['state']) => ({ audit: { ...audit, verdict: null, state } });
    const here = sweep([], { audit });
    const of = (...hosts: readonly HostView[]) => mergeStatus(here, hosts, () => undefined).audit;
    expect(of(answers('a', [], there('done')), silent('b'))).toEqual(audit);
    expect(of(answers('a', [], there('queued')), answers('b', [], there('queued')))).toEqual({
      ...audit,
      state: 'queued',
      note: 'on a, b',
    });
    expect(of(answers('a', [], there('queued')), answers('b', [], there('running'))).state).toBe('running');
  });
});
