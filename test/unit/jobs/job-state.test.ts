import { describe, expect, it } from 'vitest';
import {
  isJobDue,
  type JobEnd,
  type JobEntry,
  type JobStart,
  judgeJob,
  parseJobEntry,
  startsAfresh,
} from '../../../src/core/jobs/state.js';

const AT = '2026-01-31T12:00:00.000Z';

function start(run: string, fingerprint = 'A', at = AT): JobStart {
  return {
    event: 'start',
    schema: 1,
    job: 'j',
    run,
    at,
    attempt: 1,
    fingerprint,
    command: ['true'],
    parameters: {},
    memory_max: null,
    user: 'u',
    host: 'h',
    pid: 1,
    qrun: '0',
    log_from: 0,
  };
}

function end(run: string, exitCode: number | null, more: Partial<JobEnd> = {}): JobEnd {
  return {
    event: 'end',
    run,
    at: AT,
    duration_ms: 1,
    exit_code: exitCode,
    signal: null,
    killed_at_cap: false,
    stopped_by: null,
    log_to: 0,
    ...more,
  };
}

describe('judgeJob', () => {
  it.each<[string, JobEntry[], string]>([
    ['nothing', [], 'new'],
    ['a run that ended with 0', [start('1'), end('1', 0)], 'done'],
    ['a run that failed', [start('1'), end('1', 3)], 'failed'],
    ['a run that a signal ended', [start('1'), end('1', null, { signal: 'SIGSEGV' })], 'failed'],
    ['a run without an end', [start('1')], 'interrupted'],
    [
      'a run that was asked to stop and ended with 0',
      [start('1'), end('1', 0, { stopped_by: 'SIGTERM' })],
      'interrupted',
    ],
    ['a run with other inputs', [start('1', 'B'), end('1', 0)], 'changed'],
    ['there and back again', [start('1', 'A'), end('1', 0), start('2', 'B'), end('2', 0)], 'changed'],
    ['a good run behind a failed one', [start('1'), end('1', 3), start('2'), end('2', 0)], 'done'],
    // The last run decides: its files may be half written.
    ['a killed run behind a good one', [start('1'), end('1', 0), start('2')], 'interrupted'],
    ['an end that belongs to no run', [start('1'), end('0', 0)], 'interrupted'],
  ])('%s', (_title, entries, phase) => {
    const verdict = judgeJob(entries, 'A');
    expect(verdict.phase).toBe(phase);
    expect(isJobDue(verdict, undefined)).toBe(phase !== 'done');
  });

  it('counts the runs with the present fingerprint', () => {
    expect(judgeJob([start('1'), start('2', 'B'), start('3'), end('3', 0)], 'A').attempts).toBe(2);
  });
});

describe('a repetition', () => {
  const done = judgeJob([start('1'), end('1', 0)], 'A');
  const later = '2026-02-01T00:00:00.000Z';

  it('makes what was done before due, once: a run since then goes on where it was', () => {
    expect(isJobDue(done, later)).toBe(true);
    expect(startsAfresh(done, later)).toBe(true);
    const again = judgeJob([start('1'), end('1', 0), start('2', 'A', '2026-02-01T00:00:01.000Z')], 'A');
    expect(isJobDue(again, later)).toBe(true);
    expect(startsAfresh(again, later)).toBe(false);
    const finished = judgeJob([start('2', 'A', '2026-02-01T00:00:01.000Z'), end('2', 0)], 'A');
    expect(isJobDue(finished, later)).toBe(false);
  });

  it('is the only thing besides changed inputs that starts afresh', () => {
    expect(startsAfresh(judgeJob([], 'A'), later)).toBe(false);
    expect(startsAfresh(judgeJob([start('1')], 'A'), undefined)).toBe(false);
    expect(startsAfresh(judgeJob([start('1'), end('1', 3)], 'A'), undefined)).toBe(false);
    expect(startsAfresh(judgeJob([start('1', 'B')], 'A'), undefined)).toBe(true);
  });
});

describe('parseJobEntry', () => {
  it('reads what was written', () => {
    for (const entry of [start('1'), end('1', 0), end('1', null)]) {
      expect(parseJobEntry(JSON.stringify(entry))).toEqual(entry);
    }
  });

  it.each([
    '',
    '{"event":"start","ru',
    'null',
    '[]',
    '{"event":"start","run":"1","at":"x","schema":2,"fingerprint":"A"}',
    '{"event":"end","run":"1","at":"x"}',
  ])('leaves out %j', line => expect(parseJobEntry(line)).toBeUndefined());
});
