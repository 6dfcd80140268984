import type { Verdict } from '../../../core/log/audit.js';
import { type SweepAudit, sweepTotals, type UnitAudit } from '../../../core/sweep/audit.js';
import { formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';
import { formulaLine } from '../audit/render.js';

const MAX_UNITS = 40;

const COLUMNS = [
  'missing',
  'errors',
  'partial',
  'duplicate',
  'stale',
  'cannot_run',
  'foreign',
  'wrong_width',
  'unreadable',
] as const;

/**
 * Returns the audit of a sweep for people: the units that are not complete, what is wrong with each, and the formula.
 */
export function renderSweepAudit(audit: SweepAudit, style: Style): string {
  const { paint } = style;
  const wrong = audit.units.filter(({ verdict }) => verdict !== 'complete');
  const totals = sweepTotals(audit.units);
  const lines = [
    `${paint.strong(style.foreign(audit.sweep))}  ${formatCount(audit.units.length)} units, ${formatCount(totals.queries)} queries`,
  ];
  if (wrong.length > 0) lines.push('', unitTable(wrong, style), '');
  lines.push(
    formulaLine(totals),
    `  ${(audit.verdict === 'complete' ? paint.good : paint.bad)(verdictText(audit.verdict, wrong, audit.units.length))}`,
  );
  return `${lines.join('\n')}\n`;
}

function unitTable(units: readonly UnitAudit[], style: Style): string {
  const shown = units.slice(0, MAX_UNITS);
  // Only columns that occur.
  const columns = COLUMNS.filter(name => shown.some(unit => unit[name] > 0));
  const problems = shown.some(({ problem }) => problem !== null);
  const table = renderTable(
    [
      { title: 'unit', shrink: 'middle' },
      { title: 'verdict', paint: cell => (cell === 'errors' ? 'caution' : 'bad') },
      { title: 'found', align: 'right' },
      { title: 'expected', align: 'right' },
      ...columns.map(name => ({ title: name.replace('_', ' '), align: 'right' as const })),
      ...(problems ? [{ title: 'problem', shrink: 'end' as const }] : []),
    ],
    shown.map(unit => [
      unit.unit,
      unit.verdict,
      formatCount(unit.found_lines),
      formatCount(unit.expected_lines),
      ...columns.map(name => (unit[name] === 0 ? '' : formatCount(unit[name]))),
      unit.problem ?? '',
    ]),
    style,
    2,
  );
  const more = units.length - shown.length;
  return more > 0 ? `${table}\n  and ${formatCount(more)} more units (--json has all)` : table;
}

function verdictText(verdict: Verdict, wrong: readonly UnitAudit[], units: number): string {
  if (verdict === 'complete')
    return 'complete: every query of every unit has one whole result, and the logs hold nothing else';
  const counts = (['inconsistent', 'incomplete', 'errors'] as const)
    .map(name => [wrong.filter(unit => unit.verdict === name).length, name] as const)
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${formatCount(count)} ${name === 'errors' ? 'with errors' : name}`);
  return `${verdict}: ${formatCount(units - wrong.length)} of ${formatCount(units)} units complete, ${counts.join(', ')}; qrun audit DIR names the queries`;
}
