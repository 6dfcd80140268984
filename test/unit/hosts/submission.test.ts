import { describe, expect, it } from 'vitest';
import { type ErrorCode, QrunError } from '../../../src/core/errors.js';
import type { HostPart, SubmittedThere, UnitThere } from '../../../src/core/hosts/part.js';
import {
  completeThere,
  type DueHere,
  type HostEnd,
  hostRow,
  isToCorrect,
  liveUnits,
  type PlannedThere,
  partOf,
  refuseDifferences,
  submissionExit,
  sums,
} from '../../../src/core/hosts/submission.js';

const host = (name: string) => ({ name, ssh: name, root: '/sweep', slots: 2, qrun: ['qrun'] });
const part = (more: Partial<HostPart> = {}): HostPart => ({
  ...{ log_directory: '/sweep/results', has_logs: true, queued: [], running: [], elsewhere: [] },
  ...{ slots: null, group_paused: false, state_bytes: null, queue_problem: null },
  ...more,
});
const here = (digests: Readonly<Record<string, string>>): DueHere => ({
  engine: 'clickhouse',
  settings: { database: 'd' },
  digests: new Map(Object.entries(digests)),
});
const there = (name: string, units: UnitThere[], more: Partial<PlannedThere> = {}): PlannedThere => ({
  ...{ host: host(name), engine: 'clickhouse', settings: { database: 'd' }, units },
  ...more,
});
const unit = (name: string, digest: string, due = 3): UnitThere => ({ unit: name, due, digest });

function refusal(due: DueHere, ...plans: PlannedThere[]): QrunError {
  try {
    refuseDifferences(due, plans);
  } catch (error) {
    if (error instanceof QrunError) return error;
  }
  throw new Error('nothing was refused');
}

describe('refuseDifferences', () => {
  it('accepts units that are the same there, and does not look at others', () => {
    const plans = [
      there('a', [unit('u', '1'), unit('done', 'x'), { unit: 'gone', refusal: null }]),
      there('b', []),
    ];
    expect(refuseDifferences(here({ u: '1' }), plans)).toBeUndefined();
  });

  it('names all that is missing or differs, in a line for each host and kind', () => {
    const units = ['p', 'q', 'r', 's'];
    const error = refusal(
      here({ p: '1', q: '1', r: '1', s: '1', t: '1', m: '1' }),
      there(
        'a',
        units.map(name => unit(name, '2')),
      ),
      there('b', [{ unit: 'm', refusal: null }, unit('t', '1')]),
    );
    expect(error).toMatchObject({
      exitCode: 2,
      hint: 'send the files: qrun hosts push',
      details: ['a: 4 units are not the same there as here: p, q, r, ...', 'b: 1 unit is not there: m'],
    });
  });

  it('tells another engine and other settings from other files', () => {
    const plans = [
      there('a', [unit('u', '2')], { engine: 'embedded' }),
      there('b', [unit('v', '2')], { settings: { max_rows: '1' } }),
    ];
    expect(refusal(here({ u: '1', v: '1' }), ...plans).details).toEqual([
      'a: its units would run on the engine embedded there, and here it is clickhouse',
      'b: what decides the results is not the same there as here: database, max_rows',
    ]);
  });

  it('refuses with the code of a damaged log before all others', () => {
    const damaged = { code: 'LOG_DAMAGED' as const, says: 'byte 7', details: ['x'], hint: 'repair it' };
    const error = refusal(
      here({ u: '1', v: '1' }),
      there('a', [unit('u', '2'), { unit: 'v', refusal: damaged }]),
    );
    expect(error).toMatchObject({ code: 'LOG_DAMAGED', hint: 'repair it' });
    expect(error.details[1]).toBe('a: v: byte 7; x');
  });
});

describe('completeThere', () => {
  it('holds units of which nothing is due there, if they are the same', () => {
    const plans = [there('a', [unit('u', '1', 0), unit('v', '2', 0), unit('w', '1', 1), unit('x', '1', 0)])];
    expect([...completeThere(here({ u: '1', v: '1', w: '1' }), plans)]).toEqual(['u']);
  });
});

describe('what a submission did on the hosts', () => {
  const done = (more: Partial<SubmittedThere> = {}): SubmittedThere => ({
    ...{ submitted: ['u'], queued: [], running: [], slots: 4 },
    ...{ group_paused: false, state_bytes: 7, notices: [] },
    ...more,
  });
  const row = (name: string, end: Partial<HostEnd>) =>
    hostRow(host(name), {
      ...{ part: part(), planned: [], done: undefined, problem: undefined, chosenSlots: 4 },
      ...end,
    });
  const problem = { code: 'HOST_UNREACHABLE' as const, says: 'gone', mend: 'ssh b' };

  it('is what was there before and what was added, also by another submission', () => {
    const before = part({ queued: ['q'], running: ['r'], elsewhere: ['e'], slots: 1 });
    expect(row('a', { part: before, planned: ['u', 'v'], done: done({ queued: ['v'] }) })).toEqual({
      ...{ name: 'a', submitted: ['u'], queued: ['q', 'v'], running: ['r'], elsewhere: ['e'] },
      ...{ not_submitted: [], slots: 4, group_paused: false, state_bytes: 7, problem: null },
    });
  });

  it('is nothing for a host that is away, and what it was not given for one that failed', () => {
    expect(row('a', { part: undefined, problem })).toMatchObject({
      submitted: [],
      not_submitted: [],
      slots: null,
      problem,
    });
    const failed = row('b', { planned: ['u'], problem });
    expect(failed).toMatchObject({ submitted: [], not_submitted: ['u'] });
    expect(submissionExit({ hosts: [row('a', { problem })] })).toBe(0);
    expect(submissionExit({ hosts: [row('a', {}), failed] })).toBe(26);
    expect(submissionExit({ hosts: null })).toBe(0);
  });

  it('is what would be done in a dry run', () => {
    const before = part({ slots: 3 });
    expect(row('a', { part: before, planned: ['u'], done: 'dry' })).toMatchObject({
      submitted: ['u'],
      slots: 4,
    });
    expect(row('a', { part: before, done: 'dry', chosenSlots: 'auto' }).slots).toBe(3);
  });

  it('adds up with each unit once', () => {
    const rows = [
      row('a', { part: part({ queued: ['q', 'x'] }), planned: ['u'], done: done() }),
      row('b', { part: part({ running: ['x'], queued: ['q'], group_paused: true }), planned: [] }),
    ];
    expect(sums(rows)).toEqual({
      ...{ submitted: ['u'], queued: ['q', 'x'], running: ['x'], elsewhere: [] },
      ...{ slots: 4, group_paused: true, state_bytes: 7 },
    });
    expect(sums([]).state_bytes).toBeNull();
  });
});

describe('partOf', () => {
  it('leaves out what was not asked for', () => {
    const all = part({ queued: ['a', 'x'], running: ['b', 'x'], elsewhere: ['x'], slots: 2 });
    expect(partOf(all, new Set(['a', 'b']))).toEqual(part({ queued: ['a'], running: ['b'], slots: 2 }));
  });
});

describe('liveUnits', () => {
  it('holds what waits or runs anywhere', () => {
    const parts = [part({ queued: ['a'], running: ['b'] }), part({ elsewhere: ['c'], queued: ['a'] })];
    expect([...liveUnits(parts)].sort()).toEqual(['a', 'b', 'c']);
  });
});

describe('isToCorrect', () => {
  it.each<[ErrorCode, boolean]>([
    ['CONFIG', true],
    ['UNIT_NOT_FOUND', true],
    ['SQL_INVALID', true],
    ['HOST_UNREACHABLE', false],
    ['HOST_FAILED', false],
    ['QUEUE_DOWN', false],
    ['ENGINE_REFUSED', false],
    ['WRITE_FAILED', false],
  ])('%s: %s', (code, expected) => {
    expect(isToCorrect({ code })).toBe(expected);
  });
});
