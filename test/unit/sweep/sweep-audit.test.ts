import { describe, expect, it } from 'vitest';
import { renderSweepAudit } from '../../../src/cli/commands/audit-all/render.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { type AuditFindings, formula, type Verdict } from '../../../src/core/log/audit.js';
import {
  type Audited,
  auditOf,
  keptAudit,
  sweepAudit,
  sweepTotals,
  unaudited,
  unitAudit,
} from '../../../src/core/sweep/audit.js';

function report(unit: string, verdict: Verdict, more: Partial<AuditFindings> = {}): Audited {
  return unitAudit({
    unit,
    log: `/results/${unit}.ndjson`,
    logs: [],
    verdict,
    queries: 100,
    normal: [{ queries: 95, rows: 3 }],
    skipped: 5,
    errors: 0,
    expected_lines: 290,
    found_lines: 290,
    total_lines: 290,
    missing: [],
    failed: [],
    partial: [],
    duplicate: [],
    stale: [],
    cannot_run: [],
    no_statement: [],
    left_out: 0,
    foreign: [],
    wrong_width: [],
    superseded: { groups: 0, lines: 0 },
    unreadable: [],
    ...more,
  });
}

const AT = '2026-01-31T12:00:00.000Z';
const plain = createStyle({ color: false, unicode: true, columns: 100 });

describe('sweepAudit', () => {
  it.each<[Verdict[], Verdict]>([
    [['complete', 'complete'], 'complete'],
    [['errors', 'complete'], 'errors'],
    [['errors', 'incomplete'], 'incomplete'],
    [['inconsistent', 'incomplete'], 'inconsistent'],
  ])('has the worst verdict of %j', (verdicts, worst) => {
    expect(
      sweepAudit(
        's',
        AT,
        verdicts.map(verdict => report('u', verdict)),
      ).verdict,
    ).toBe(worst);
  });

  it('adds up the formula, a term for each width', () => {
    const two = report('v', 'complete', {
      normal: [{ queries: 10, rows: 1 }],
      expected_lines: 15,
      found_lines: 15,
    });
    const totals = sweepTotals(
      sweepAudit('s', AT, [report('u', 'complete'), report('w', 'complete'), two]).units,
    );
    expect(formula(totals)).toBe('595 = 190 x 3 + 10 x 1 + 15 x 1 + 0 x 1');
  });
});

describe('keptAudit', () => {
  const LATER = '2026-01-31T13:00:00.000Z';
  const none = () => false;
  const full = {
    ...sweepAudit('s', AT, [report('a', 'complete'), report('b', 'incomplete'), report('c', 'complete')]),
    then_done: ['x'],
  };

  it('is the audit itself where there was none, or where it covers all', () => {
    const audit = sweepAudit('s', LATER, [report('a', 'complete')]);
    expect(keptAudit(undefined, audit, none)).toEqual(audit);
    expect(keptAudit(full, audit, () => true)).toEqual(audit);
  });

  it('keeps the units of the one before that it is not about, with their time, and the worst verdict', () => {
    const first = keptAudit(full, sweepAudit('s', LATER, [report('a', 'errors')]), none);
    expect(first).toMatchObject({ at: LATER, verdict: 'incomplete' });
    expect(first.then_done).toEqual([]);
    const times = ({ units }: typeof first) => units.map(({ unit, verdict, at }) => [unit, verdict, at]);
    expect(times(first)).toEqual([
      ['a', 'errors', LATER],
      ['b', 'incomplete', AT],
      ['c', 'complete', AT],
    ]);
    // The time stays with the unit, however often others are audited.
    const second = keptAudit(
      first,
      sweepAudit('s', '2026-01-31T14:00:00.000Z', [report('b', 'complete')]),
      none,
    );
    expect(times(second)).toEqual([
      ['b', 'complete', '2026-01-31T14:00:00.000Z'],
      ['a', 'errors', LATER],
      ['c', 'complete', AT],
    ]);
    expect(second.verdict).toBe('errors');
  });

  it('forgets units that are gone from what it covers', () => {
    const kept = keptAudit(full, sweepAudit('s', LATER, [report('a', 'complete')]), unit => unit !== 'c');
    expect(kept.units.map(({ unit }) => unit)).toEqual(['a', 'c']);
  });

  it('says of some units what it says of them', () => {
    expect(auditOf(full, ['a', 'c'])).toMatchObject({ at: AT, verdict: 'complete', then_done: ['x'] });
    expect(auditOf(full, ['b']).verdict).toBe('incomplete');
  });
});

describe('renderSweepAudit', () => {
  it('is short when all is complete', () => {
    const text = renderSweepAudit(
      sweepAudit('gen600', AT, [report('a', 'complete'), report('b', 'complete')]),
      plain,
    );
    expect(text.split('\n')).toEqual([
      'gen600  2 units, 200 queries',
      '  580 = 190 x 3 + 10 x 1 + 0 x 1   (queries x rows: normal, skipped, error; found as many)',
      '  complete: every query of every unit has one whole result, and the logs hold nothing else',
      '',
    ]);
  });

  it('lists the others with what is wrong, and only the columns that occur', () => {
    const units = [
      report('a', 'complete'),
      report('b', 'incomplete', { missing: ['x', 'y'], expected_lines: 284, found_lines: 284 }),
      report('c', 'inconsistent', { duplicate: [{ query: 'x', times: 2, lines: 3 }], found_lines: 293 }),
    ];
    const text = renderSweepAudit(sweepAudit('s', AT, units), plain);
    expect(text).toMatch(/unit\s+verdict\s+found\s+expected\s+missing\s+duplicate\n/);
    expect(text).toMatch(/ b\s+incomplete\s+284\s+284\s+2\n/);
    expect(text).toMatch(/ c\s+inconsistent\s+293\s+290\s+1\n/);
    expect(text).not.toMatch(/ a /);
    expect(text).toContain('found 867');
    expect(text).toContain(
      'inconsistent: 1 of 3 units complete, 1 inconsistent, 1 incomplete; qrun audit DIR',
    );
  });

  it('says why a unit could not be audited, which makes the sweep incomplete', () => {
    const audit = sweepAudit('s', AT, [
      report('a', 'complete'),
      unaudited('b', '/b', 'its directory is gone'),
    ]);
    expect(audit.verdict).toBe('incomplete');
    expect(renderSweepAudit(audit, plain)).toMatch(/ b\s+incomplete\s+0\s+0\s+its directory is gone\n/);
  });

  it('says what is wrong with files that cannot run, the first of many', () => {
    const cannot_run = ['a', 'b', 'c', 'd', 'e'].map(query => ({ query, problem: `${query} is bad` }));
    const one = report('u', 'incomplete', { cannot_run });
    expect(one).toMatchObject({
      cannot_run: 5,
      problem: 'a.sql: a is bad; b.sql: b is bad; c.sql: c is bad; and 2 more',
    });
    const text = renderSweepAudit(sweepAudit('s', AT, [one]), plain);
    expect(text).toMatch(/cannot run\s+problem\n.*5\s+a\.sql: a is bad; /);
    expect(report('u', 'complete').problem).toBeNull();
  });

  it('cuts a long list and says so', () => {
    const units = Array.from({ length: 50 }, (_, n) => report(`u${n}`, 'errors'));
    expect(renderSweepAudit(sweepAudit('s', AT, units), plain)).toContain(
      'and 10 more units (--json has all)',
    );
  });
});
