import { describe, expect, it } from 'vitest';
import { renderStatus } from '../../../src/cli/commands/status/render.js';
import { renderSubmission } from '../../../src/cli/commands/submit-all/render.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import type { HostStatus, SweepStatus, UnitStatus } from '../../../src/core/sweep/status.js';
import { PUEUE } from '../../../src/io/queue/pueue/kind.js';
import type { SubmissionReport } from '../../../src/local/sweep/submit.js';

const plain = createStyle({ color: false, unicode: true, columns: 100 });

function unit(name: string, state: UnitStatus['state'], more: Partial<UnitStatus> = {}): UnitStatus {
  return {
    unit: name,
    state,
    host: null,
    note: '',
    queries: 100,
    settled: 0,
    settled_here: 0,
    errors: 0,
    found_lines: 0,
    expected_lines: 300,
    estimated: false,
    queries_per_second: 0,
    ...more,
  };
}

function status(units: UnitStatus[], more: Partial<SweepStatus> = {}): SweepStatus {
  return {
    sweep: 'gen600',
    group: 'qrun-gen600',
    slots: 4,
    paused_groups: [],
    queue_problem: null,
    units,
    audit: { state: 'queued', note: '', verdict: null, at: null },
    queries_per_second: 0,
    eta_ms: null,
    hosts: [],
    ...more,
  };
}

const view = { all: false, queue: PUEUE };

describe('renderStatus', () => {
  it('shows sums, units and the audit, aligned', () => {
    const units = [
      unit('2up/b', 'queued'),
      unit('2down/a', 'running', { settled: 40, errors: 2, found_lines: 122, queries_per_second: 12.34 }),
    ];
    const text = renderStatus(status(units, { queries_per_second: 12.34, eta_ms: 12_800 }), plain, view);
    expect(text.split('\n')).toEqual([
      'gen600  pueue group qrun-gen600, 4 at a time',
      '',
      '  ██▌░░░░░░░░░ 21 %   42 of 200 queries   122 of 600 lines   2 errors   12.3 q/s   about 13 s left',
      '  2 units: 1 running, 1 queued',
      '',
      '  unit     state    done  queries  found  expected  errors   q/s',
      '  2down/a  running  42 %      100    122       300       2  12.3',
      '  2up/b    queued    0 %      100      0       300',
      '',
      '  audit: follows the units',
      '',
    ]);
  });

  it('says 100 % only when all is there, and marks estimates', () => {
    const units = [unit('a', 'running', { queries: 1000, settled: 999, estimated: true })];
    expect(renderStatus(status(units), plain, view)).toMatch(/ 99 % .* ~300 lines/);
  });

  it('names what somebody has to do', () => {
    const text = renderStatus(
      status([unit('a', 'queued')], { paused_groups: ['g'], queue_problem: 'no pueue daemon answers: x' }),
      plain,
      view,
    );
    expect(text).toContain('! the group g is paused, nothing starts: pueue start --group=g');
    expect(text).toContain('! without pueue: no pueue daemon answers: x');
  });

  it('shows the first few of what waits or is complete, everything that is wrong, and all on request', () => {
    const units = [
      ...Array.from({ length: 9 }, (_, n) => unit(`w${n}`, 'queued')),
      ...Array.from({ length: 9 }, (_, n) => unit(`f${n}`, 'failed', { note: 'killed' })),
    ];
    const text = renderStatus(status(units), plain, view);
    expect(text.match(/ f\d /g)).toHaveLength(9);
    expect(text.match(/ w\d /g)).toHaveLength(5);
    expect(text).toContain('and 4 more (--all)');
    expect(renderStatus(status(units), plain, { ...view, all: true }).match(/ w\d /g)).toHaveLength(9);
  });

  it('fits the terminal while it is watched', () => {
    const units = Array.from({ length: 90 }, (_, n) =>
      unit(`unit-${n}`, 'failed', { note: 'x'.repeat(200) }),
    );
    const lines = renderStatus(status(units), plain, { ...view, rows: 30 }).split('\n');
    expect(lines.length).toBeLessThanOrEqual(30);
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(100);
  });

  it.each([
    [{ state: 'running' as const }, 'audit: waits for the units'],
    [{ state: 'failed' as const, note: 'killed' }, 'audit: failed: killed; run it: qrun audit-all'],
    [{ state: 'none' as const }, 'audit: none since the last record'],
    [
      { state: 'done' as const, verdict: 'incomplete' as const, at: '2026-01-31T12:00:00.000Z' },
      'audit: incomplete  2026-01-31 12:00 UTC',
    ],
  ])('tells about the audit: %j', (audit, expected) => {
    const full = { note: '', verdict: null, at: null, ...audit };
    expect(renderStatus(status([unit('a', 'complete')], { audit: full }), plain, view)).toContain(expected);
  });

  it('escapes names that would act on a terminal', () => {
    expect(renderStatus(status([unit('a\u001b[2J', 'failed')]), plain, view)).not.toContain('\u001b[2J');
  });
});

describe('renderStatus over hosts', () => {
  const host = (name: string, more: Partial<HostStatus> = {}): HostStatus => ({
    ...{ name, answered_at: '2026-01-31T12:00:00.000Z', silent_since: null, problem: null },
    ...{ slots: 8, running: 2, waiting: 18, paused_groups: [], queue_problem: null, queries_per_second: 0 },
    ...more,
  });
  const narrow = createStyle({ color: false, unicode: true, columns: 80 });

  it('shows where units are, and of each host its slots and what is wrong there', () => {
    const units = [
      unit('2down/a', 'running', { host: 'alpha', settled: 40, settled_here: 40, queries_per_second: 12.34 }),
      unit('2down/b', 'unknown', { host: 'beta', note: 'was running', settled: 7 }),
      unit('2down/c', 'queued', { host: 'alpha' }),
    ];
    const problem = {
      ...{ code: 'HOST_UNREACHABLE', message: 'it stopped answering', exit_code: 26 },
      hint: 'look whether it is alive: ssh beta',
    };
    const silent = { slots: 4, silent_since: '2026-01-31T11:58:03.123Z', problem };
    const hosts = [host('alpha', { queries_per_second: 12.34 }), host('beta', silent)];
    const text = renderStatus(status(units, { slots: 8, hosts }), narrow, view);
    expect(text).toBe(`gen600  pueue group qrun-gen600 on 2 hosts, 8 at a time

  █▉░░░░░░░░░░ 15 %   47 of 300 queries   0 of 900 lines
  3 units: 1 running, 1 unknown, 1 queued

  host   slots  running  waiting   q/s
  alpha      8        2       18  12.3
  beta       4        ?        ?

  unit     state    host   done  queries   q/s  note
  2down/a  running  alpha  40 %      100  12.3
  2down/b  unknown  beta    7 %      100        was running
  2down/c  queued   alpha   0 %      100

  audit: follows the units
  ✗ beta: no answer since 11:58:03 UTC (it stopped answering)
    mend: look whether it is alive: ssh beta
  7 results are on the hosts alone: qrun collect brings them here
`);
  });

  it('tells what is wrong with a queue there, and how old an answer is', () => {
    const hosts = [
      host('alpha', { queue_problem: 'no pueue daemon answers: x', slots: null }),
      host('beta', { paused_groups: ['g'], slots: 0 }),
      host('gamma', { answered_at: null, silent_since: '2026-01-31T12:00:00.000Z', running: null }),
    ];
    const nowMs = Date.parse('2026-01-31T12:00:12.400Z');
    const text = renderStatus(status([], { hosts }), narrow, { ...view, nowMs, staleMs: 5_000 });
    expect(text).toContain('! alpha: without pueue: no pueue daemon answers: x\n');
    expect(text).toContain('! alpha: this is what it said 12 s ago\n');
    expect(text).toContain('! beta: the group g is paused, nothing starts there: pueue start --group=g\n');
    expect(text).toContain('✗ gamma: no answer since 12:00:00 UTC (asked, and still waiting)\n');
    expect(text).toMatch(/ {2}alpha +\? +2 +18\n {2}beta +no limit +2 +18\n/);
    expect(renderStatus(status([], { hosts }), narrow, view)).not.toContain('s ago');
    const bad = renderStatus(status([], { hosts: [host('a\u001b[2J')] }), narrow, view);
    expect(bad).not.toContain('\u001b[2J');
  });
});

describe('renderSubmission', () => {
  const report = {
    sweep: 'gen600',
    root: '/sweep',
    group: 'qrun-gen600',
    slots: 2,
    submitted: ['a'],
    queued: ['q1', 'q2'],
    running: [],
    complete: ['c'],
    elsewhere: [],
    cannot_run: [],
    audit: 'submitted' as const,
    group_paused: false,
    state_bytes: 10,
    dry_run: false,
    hosts: null,
  };
  const due = new Map([
    ['a', 1368],
    ['c', 0],
  ]);
  const rendered = (more: Partial<SubmissionReport> = {}): string =>
    renderSubmission({ report: { ...report, ...more }, due, queue: PUEUE }, plain);

  it('ends with a table of what became of the units', () => {
    expect(rendered().split('\n')).toEqual([
      'gen600  /sweep  pueue group qrun-gen600, 2 at a time',
      '',
      '  units              queries due',
      '  submitted       1        1,368',
      '  already queued  2',
      '  running         0',
      '  complete        1',
      '',
      '  the audit follows, however they end: see qrun status',
      '',
    ]);
  });

  it('warns of a paused group and of a state that slows pueue down', () => {
    const text = rendered({ group_paused: true, state_bytes: 94_000_000 });
    expect(text).toContain('the group is paused: pueue start --group=qrun-gen600');
    expect(text).toContain("pueue's state has 89.6M");
  });

  it('names the units with queries that cannot run, and those of which nothing can', () => {
    const cannot_run = [
      { unit: 'a', queries: 1, problem: null },
      { unit: 'b', queries: 0, problem: 'holds no query' },
    ];
    const text = rendered({ cannot_run });
    expect(text).toContain(
      '  cannot run  a: 1 query left out\n  cannot run  b: holds no query\n\n  the audit',
    );
  });

  it('lists what a dry run would submit', () => {
    const submitted = Array.from({ length: 25 }, (_, n) => `u${n}`);
    const text = rendered({ submitted, elsewhere: ['z'], dry_run: true });
    expect(text).toMatch(/to submit\s+25\n/);
    expect(text).toMatch(/running elsewhere\s+1\n/);
    expect(text).toContain('and 5 more (--json has all)');
    expect(text).toContain('the audit would follow');
  });

  it.each([
    ['waiting' as const, 'the audit waits until they have ended'],
    ['not due' as const, 'the last audit was complete'],
  ])('tells that the audit is %s', (audit, expected) => {
    expect(rendered({ audit })).toContain(expected);
  });
});
