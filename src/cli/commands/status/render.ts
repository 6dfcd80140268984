import type { AuditStatus } from '../../../app/sweep/status.js';
import type { SweepStatus, UnitState, UnitStatus } from '../../../core/sweep/status.js';
import { pasteableCommand } from '../../../core/text/shell.js';
import { drawBar } from '../../terminal/bar.js';
import {
  formatAmount,
  formatCount,
  formatEstimate,
  formatRate,
  formatRateNumber,
} from '../../terminal/format.js';
import type { Paint, Style } from '../../terminal/style.js';
import { renderTable, type TableColumn } from '../../terminal/table.js';
import { type HostsView, hostNotes, hostTable } from './render-hosts.js';

/** How much of a status is shown. */
export interface StatusView extends HostsView {
  /** Every unit, instead of only those that need attention. */
  readonly all: boolean;
  /** Rows of the terminal that the whole view has to fit into. */
  readonly rows?: number | undefined;
}

// Units are listed in this order: first those that are moving or have a problem.
const ORDER: readonly UnitState[] = [
  'running',
  'failed',
  'errors',
  'incomplete',
  'unknown',
  'paused',
  'queued',
  'delayed',
  'not submitted',
  'complete',
];

// Units in these states are many, and each of them says little.
const QUIET: ReadonlySet<UnitState> = new Set(['queued', 'delayed', 'not submitted', 'complete']);
const MAX_QUIET = 5;
const BAR_CELLS = 12;
// Half of a usual terminal.
const SHORT_ID = 40;
// Title, bar, counts, notes and the line of the audit.
const ROWS_AROUND_TABLE = 12;
// The titles of their table, and an empty line.
const ROWS_AROUND_HOSTS = 2;

const STATE_PAINT: Readonly<Partial<Record<UnitState, keyof Paint>>> = {
  running: 'accent',
  complete: 'good',
  failed: 'bad',
  errors: 'caution',
  incomplete: 'caution',
  paused: 'caution',
  unknown: 'caution',
};

const COLUMNS: readonly (TableColumn & {
  readonly cell: (unit: UnitStatus) => string;
  readonly always?: boolean;
  /** Whether it gives way to the host and to longer notes, where there are hosts. */
  readonly onlyHere?: boolean;
})[] = [
  { title: 'unit', shrink: 'middle', always: true, cell: unit => unit.unit },
  { title: 'state', paint: cell => STATE_PAINT[cell as UnitState], always: true, cell: unit => unit.state },
  { title: 'host', cell: unit => unit.host ?? '' },
  { title: 'done', align: 'right', cell: unit => percent(unit.settled + unit.errors, unit.queries) },
  { title: 'queries', align: 'right', cell: unit => formatCount(unit.queries) },
  { title: 'found', align: 'right', onlyHere: true, cell: unit => formatCount(unit.found_lines) },
  {
    title: 'expected',
    align: 'right',
    onlyHere: true,
    cell: unit => `${unit.estimated ? '~' : ''}${formatCount(unit.expected_lines)}`,
  },
  { title: 'errors', align: 'right', cell: unit => (unit.errors === 0 ? '' : formatCount(unit.errors)) },
  {
    title: 'q/s',
    align: 'right',
    cell: unit => (unit.queries_per_second === 0 ? '' : formatRateNumber(unit.queries_per_second)),
  },
  { title: 'note', shrink: 'end', cell: unit => unit.note },
];

/** Returns a sweep at one moment: its sums, its units, its audit, and what somebody has to do. */
export function renderStatus(status: SweepStatus, style: Style, view: StatusView): string {
  const { paint } = style;
  const lines = [
    `${paint.strong(style.foreign(status.sweep))}  ${paint.faint(groupText(status, view.queue.name, style))}`,
    '',
    `  ${sumLine(status, style)}`,
    `  ${stateLine(status, style)}`,
    '',
    ...(status.hosts.length === 0 ? [] : [hostTable(status, style), '']),
    unitTable(status, style, view),
    '',
    `  ${auditLine(status.audit, style)}`,
    ...(status.hosts.length > 0
      ? hostNotes(status, style, view)
      : notes(status, style, view).map(note => `  ${paint.caution(style.marks.caution)} ${note}`)),
  ];
  return `${lines.join('\n')}\n`;
}

function groupText({ group, slots, hosts }: SweepStatus, queue: string, style: Style): string {
  const name = `${queue} group ${style.foreign(group)}`;
  const where = hosts.length === 0 ? '' : ` on ${formatAmount(hosts.length, 'host')}`;
  const most = slots === null ? '' : `, ${slots === 0 ? 'no limit' : `${formatCount(slots)} at a time`}`;
  return `${name}${where}${most}`;
}

function sumLine({ units, queries_per_second: rate, eta_ms: eta }: SweepStatus, style: Style): string {
  const sum = (pick: (unit: UnitStatus) => number): number =>
    units.reduce((total, unit) => total + pick(unit), 0);
  const queries = sum(unit => unit.queries);
  const ended = sum(unit => unit.settled + unit.errors);
  const errors = sum(unit => unit.errors);
  const estimated = units.some(unit => unit.estimated) ? '~' : '';
  const parts = [
    `${drawBar(queries === 0 ? 1 : ended / queries, BAR_CELLS, style)} ${percent(ended, queries)}`,
    `${formatCount(ended)} of ${formatCount(queries)} queries`,
    `${formatCount(sum(unit => unit.found_lines))} of ${estimated}${formatCount(sum(unit => unit.expected_lines))} lines`,
    ...(errors === 0 ? [] : [style.paint.caution(`${formatCount(errors)} errors`)]),
    ...(rate === 0 ? [] : [formatRate(rate)]),
    ...(eta === null ? [] : [`about ${formatEstimate(eta)} left`]),
  ];
  return parts.join('   ');
}

function stateLine({ units }: SweepStatus, style: Style): string {
  const counts = ORDER.map(state => [state, units.filter(unit => unit.state === state).length] as const)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => {
      const color = STATE_PAINT[state];
      const text = `${formatCount(count)} ${state}`;
      return color === undefined ? text : style.paint[color](text);
    });
  return `${formatCount(units.length)} units: ${counts.join(', ')}`;
}

function unitTable({ units, hosts }: SweepStatus, style: Style, view: StatusView): string {
  const ordered = ORDER.flatMap(state => units.filter(unit => unit.state === state));
  const seen = new Map<UnitState, number>();
  const limit =
    view.rows === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(
          1,
          view.rows - ROWS_AROUND_TABLE - (hosts.length > 0 ? hosts.length + ROWS_AROUND_HOSTS : 0),
        );
  const shown = ordered
    .filter(({ state }) => {
      const count = (seen.get(state) ?? 0) + 1;
      seen.set(state, count);
      return view.all || !QUIET.has(state) || count <= MAX_QUIET;
    })
    .slice(0, limit);
  // Columns that are empty for all units are left out.
  const columns = COLUMNS.filter(
    ({ always, onlyHere, cell }) =>
      always || (!(onlyHere && hosts.length > 0) && shown.some(unit => cell(unit) !== '')),
  );
  const short = shown.every(({ unit }) => unit.length <= SHORT_ID);
  const table = renderTable(
    // The end of a note says less than the middle of an id.
    columns.map(column => (column.title === 'unit' && short ? { ...column, shrink: 'keep' } : column)),
    shown.map(unit => columns.map(({ cell }) => cell(unit))),
    style,
    2,
  );
  const hidden = units.length - shown.length;
  if (hidden === 0) return table;
  return `${table}\n${style.paint.faint(`  and ${formatCount(hidden)} more${view.all ? '' : ' (--all)'}`)}`;
}

function auditLine({ state, note, verdict, at }: AuditStatus, style: Style): string {
  const { paint } = style;
  const where = note === '' ? '' : ` ${style.foreign(note)}`;
  if (state === 'queued') return `audit: follows the units${where}`;
  if (state === 'running') return paint.accent(`audit: waits for the units, or reads their logs${where}`);
  if (state === 'failed') return paint.bad(`audit: failed: ${note}; run it: qrun audit-all`);
  if (verdict === null) return 'audit: none since the last record; run it: qrun audit-all';
  const color = verdict === 'complete' ? paint.good : verdict === 'errors' ? paint.caution : paint.bad;
  return `${color(`audit: ${verdict}`)}${at === null ? '' : paint.faint(`  ${at.replace('T', ' ').slice(0, 16)} UTC`)}`;
}

function notes(status: SweepStatus, style: Style, { queue }: StatusView): string[] {
  const { startGroup } = queue.commands;
  const { queue_problem: problem } = status;
  return [
    ...status.paused_groups.map(
      group =>
        `the group ${style.foreign(group)} is paused, nothing starts: ${pasteableCommand(startGroup?.(group) ?? [], !style.unicode)}`,
    ),
    ...(problem === null ? [] : [`without ${queue.name}: ${style.foreign(problem)}`]),
  ];
}

// 100 % only when everything is there.
function percent(done: number, total: number): string {
  return total === 0 ? '100 %' : `${Math.floor((done / total) * 100)} %`;
}
