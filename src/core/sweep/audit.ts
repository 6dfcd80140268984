import { Audit, type AuditFindings, type AuditReport, type Verdict } from '../log/audit.js';
import type { Output } from '../schema.js';
import { sharedLines } from '../unit/judge.js';
import type { schema, unitAudit as unitSchema } from './audit-all.schema.js';

/** One unit in the audit of a sweep: the report of its own audit, with counts instead of lists. */
export interface UnitAudit extends Output<typeof unitSchema> {}

/** The audit of all requested units. */
export interface SweepAudit extends Output<typeof schema> {}

/** The audit of a unit; the time of a new one is that of the sweep's audit. */
export type Audited = Omit<UnitAudit, 'at'> & Partial<Pick<UnitAudit, 'at'>>;

const SEVERITY: readonly Verdict[] = ['complete', 'errors', 'incomplete', 'inconsistent'];

/** Returns the audit of a sweep, from the audits of its units. */
export function sweepAudit(sweep: string, at: string, units: readonly Audited[]): SweepAudit {
  const worst = Math.max(0, ...units.map(({ verdict }) => SEVERITY.indexOf(verdict)));
  const timed = units.map(unit => ({ ...unit, at: unit.at ?? at }));
  return { sweep, at, verdict: SEVERITY[worst] as Verdict, units: timed, then_done: [] };
}

/**
 * Returns what is kept of an audit: its units, and those units of the previous audit that it did not cover, with
 * their times. The audit of a part therefore never hides what is known of the rest. `covers`: ids for which the audit
 * contains every unit that exists; other units among them in the previous audit are gone.
 */
export function keptAudit(
  before: SweepAudit | undefined,
  audit: SweepAudit,
  covers: (unit: string) => boolean,
): SweepAudit {
  const audited = new Set(audit.units.map(({ unit }) => unit));
  const rest = (before?.units ?? []).filter(({ unit }) => !audited.has(unit) && !covers(unit));
  return sweepAudit(audit.sweep, audit.at, [...audit.units, ...rest]);
}

/** Returns what a kept audit says about some units: without the others, and with the worst verdict of these. */
export function auditOf(audit: SweepAudit, units: Iterable<string>): SweepAudit {
  const asked = new Set(units);
  const about = audit.units.filter(({ unit }) => asked.has(unit));
  return { ...sweepAudit(audit.sweep, audit.at, about), then_done: audit.then_done };
}

/** Returns the audit of a requested unit that cannot be audited: its directory is gone, or one of its files is bad. */
export function unaudited(unit: string, log: string, problem: string): Audited {
  return { ...unitAudit(new Audit().report(unit, log, [])), verdict: 'incomplete', problem };
}

/** Returns the audit of a unit in the form that the audit of its sweep holds. */
export function unitAudit(report: AuditFindings): Audited {
  return {
    unit: report.unit,
    log: report.log,
    verdict: report.verdict,
    queries: report.queries,
    normal: report.normal,
    skipped: report.skipped,
    errors: report.errors,
    expected_lines: report.expected_lines,
    found_lines: report.found_lines,
    missing: report.missing.length,
    partial: report.partial.length,
    duplicate: report.duplicate.length,
    stale: report.stale.length,
    cannot_run: new Set(report.cannot_run.map(({ query }) => query)).size,
    foreign: report.foreign.length,
    wrong_width: report.wrong_width.length,
    unreadable: report.unreadable.length,
    problem: report.cannot_run.length === 0 ? null : problemOf(report),
  };
}

// How many problems of a unit are shown; its own audit has all of them.
const TOLD = 3;

function problemOf({ cannot_run }: AuditFindings): string {
  const lines = sharedLines(cannot_run);
  const more = lines.length > TOLD ? [`and ${lines.length - TOLD} more`] : [];
  return [...lines.slice(0, TOLD), ...more].join('; ');
}

/** Returns the sums of a sweep as if it were one unit, for the formula. */
export function sweepTotals(
  units: readonly UnitAudit[],
): Pick<AuditReport, 'normal' | 'skipped' | 'errors' | 'expected_lines' | 'found_lines' | 'queries'> {
  const widths = new Map<number, number>();
  for (const { rows, queries } of units.flatMap(unit => unit.normal)) {
    widths.set(rows, (widths.get(rows) ?? 0) + queries);
  }
  const sum = (pick: (unit: UnitAudit) => number): number =>
    units.reduce((total, unit) => total + pick(unit), 0);
  return {
    normal: [...widths].map(([rows, queries]) => ({ queries, rows })).sort((a, b) => b.queries - a.queries),
    skipped: sum(unit => unit.skipped),
    errors: sum(unit => unit.errors),
    expected_lines: sum(unit => unit.expected_lines),
    found_lines: sum(unit => unit.found_lines),
    queries: sum(unit => unit.queries),
  };
}
