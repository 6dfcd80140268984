import type { AuditReport, NormalTerm, Verdict } from '../log/audit.js';
import { sharedLines } from '../unit/judge.js';

/** One unit in the audit of a sweep: the report of its own audit, with counts in place of lists. */
export interface UnitAudit {
  readonly unit: string;
  readonly log: string;
  readonly verdict: Verdict;
  readonly queries: number;
  readonly normal: readonly NormalTerm[];
  readonly skipped: number;
  readonly errors: number;
  readonly expected_lines: number;
  readonly found_lines: number;
  readonly missing: number;
  readonly partial: number;
  readonly duplicate: number;
  readonly stale: number;
  /** Files that cannot run as they are now. */
  readonly cannot_run: number;
  readonly foreign: number;
  readonly wrong_width: number;
  readonly unreadable: number;
  /**
   * What is wrong with files that cannot run, or why the unit could not be audited: then it is incomplete, whatever its
   * log holds, and the counts are 0.
   */
  readonly problem: string | null;
  /** When it was audited, where that was before the sweep's own time; see {@link keptAudit}. */
  readonly at?: string;
}

/** The audit of all units that were asked for. */
export interface SweepAudit {
  readonly sweep: string;
  /** When it began: what was written later is not in it. ISO 8601, UTC. */
  readonly at: string;
  /** The worst verdict of a unit; `inconsistent` is worse than `incomplete`, that than `errors`. */
  readonly verdict: Verdict;
  readonly units: readonly UnitAudit[];
  /** The commands that were run after it, all with success. */
  readonly then_done?: readonly string[];
}

const SEVERITY: readonly Verdict[] = ['complete', 'errors', 'incomplete', 'inconsistent'];

/** Puts the audits of all units together. */
export function sweepAudit(sweep: string, at: string, units: readonly UnitAudit[]): SweepAudit {
  const worst = Math.max(0, ...units.map(({ verdict }) => SEVERITY.indexOf(verdict)));
  return { sweep, at, verdict: SEVERITY[worst] as Verdict, units };
}

/**
 * What is kept of an audit: its units, and those of the one before that it was not about, with their time. So the audit
 * of a part never hides what is known of the rest. `covers`: ids of which all that exist are in the audit; what the one
 * before says of others among them is of units that are gone.
 */
export function keptAudit(
  before: SweepAudit | undefined,
  audit: SweepAudit,
  covers: (unit: string) => boolean,
): SweepAudit {
  const audited = new Set(audit.units.map(({ unit }) => unit));
  const rest = (before?.units ?? []).filter(({ unit }) => !audited.has(unit) && !covers(unit));
  const older = rest.map(unit => ({ ...unit, at: unit.at ?? (before as SweepAudit).at }));
  return sweepAudit(audit.sweep, audit.at, [...audit.units, ...older]);
}

/** What a kept audit says of some units: without the others, and with the worst verdict of these. */
export function auditOf(audit: SweepAudit, units: Iterable<string>): SweepAudit {
  const asked = new Set(units);
  const about = audit.units.filter(({ unit }) => asked.has(unit));
  return { ...audit, ...sweepAudit(audit.sweep, audit.at, about) };
}

/** A unit that was asked for and cannot be audited: its directory is gone, or one of its files is bad. */
export function unaudited(unit: string, log: string, problem: string): UnitAudit {
  const none = { queries: 0, normal: [], skipped: 0, errors: 0, expected_lines: 0, found_lines: 0 };
  const nothing = {
    missing: 0,
    partial: 0,
    duplicate: 0,
    stale: 0,
    cannot_run: 0,
    foreign: 0,
    wrong_width: 0,
    unreadable: 0,
  };
  return { unit, log, verdict: 'incomplete', ...none, ...nothing, problem };
}

/** The audit of a unit, as it stands in that of its sweep. */
export function unitAudit(report: AuditReport): UnitAudit {
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

// So many problems of a unit are told; its own audit has all.
const TOLD = 3;

function problemOf({ cannot_run }: AuditReport): string {
  const lines = sharedLines(cannot_run);
  const more = lines.length > TOLD ? [`and ${lines.length - TOLD} more`] : [];
  return [...lines.slice(0, TOLD), ...more].join('; ');
}

/** The sums of a sweep as one unit would have them, for the formula. */
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
