import { dirname, isAbsolute, relative } from 'node:path';
import {
  type CollectedLog,
  type CollectReport,
  collectTotals,
  type FetchedHost,
} from '../../../core/sweep/collect.js';
import { formatSize } from '../../../core/text/bytes.js';
import { pasteablePath } from '../../../core/text/shell.js';
import { formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable, type TableColumn } from '../../terminal/table.js';

const MAX_LINES = 20;

/** Where the command was called, for paths that can be typed there. */
export interface Caller {
  readonly directory: string;
  readonly cwd: string;
}

/**
 * Returns what an import did, for people: a line for each directory that logs came from, what is wrong with single
 * logs, and what to do next.
 */
export function renderCollect(report: CollectReport, { directory, cwd }: Caller, style: Style): string {
  const { paint, marks } = style;
  const { sweep, hosts, logs, left_out: leftOut } = report;
  const failed = logs.filter(({ problem }) => problem !== null);
  const totals = collectTotals(logs);
  const lines = [
    `${paint.strong(style.foreign(sweep))}  ${formatAmount(logs.length, 'log')} of other hosts${fetchedFrom(hosts)}`,
    ...(logs.length === 0 ? [] : ['', sourceTable(logs, cwd, style), '']),
    ...hostProblems(hosts, style),
  ];
  for (const { from, problem } of failed.slice(0, MAX_LINES)) {
    lines.push(
      `  ${paint.bad(marks.bad)} ${style.foreign(problemLine(from, problem?.message ?? '', cwd))}`,
      ...(problem?.hint == null ? [] : [`    ${paint.accent('hint: ')}${style.foreign(problem.hint)}`]),
    );
  }
  if (failed.length > MAX_LINES)
    lines.push(`  and ${formatCount(failed.length - MAX_LINES)} more (--json has all)`);
  if (leftOut.length > 0) {
    const names = leftOut.slice(0, 3).map(path => style.foreign(shown(path, cwd)));
    const more = leftOut.length > 3 ? [`and ${formatCount(leftOut.length - 3)} more`] : [];
    lines.push(
      `  ${paint.caution(marks.caution)} ${formatAmount(leftOut.length, 'log')} of no unit here left out: ${[...names, ...more].join(', ')}`,
    );
  }
  if (totals.ranTwice > 0) {
    lines.push(
      `  ${paint.caution(marks.caution)} ${formatAmount(totals.ranTwice, 'result')} dropped because the query was executed more than once; the first one counts`,
    );
  }
  if (logs.length > 0 || leftOut.length === 0)
    lines.push(`  ${verdict(logs.length, failed.length, totals, style)}`);
  if (report.exit_code === 0 && logs.length > 0) {
    lines.push(`  next: qrun audit-all ${pasteablePath(directory, !style.unicode)}`);
  }
  return `${lines.join('\n')}\n`;
}

function fetchedFrom(hosts: readonly FetchedHost[]): string {
  const reached = hosts.filter(({ fetched }) => fetched !== null);
  if (reached.length === 0) return '';
  const bytes = reached.reduce((sum, { fetched }) => sum + (fetched?.bytes ?? 0), 0);
  return `, ${formatSize(bytes)} fetched from ${formatAmount(reached.length, 'host')}`;
}

function hostProblems(hosts: readonly FetchedHost[], style: Style): string[] {
  const { paint, marks } = style;
  return hosts.flatMap(({ name, problem, fetched }) => {
    if (problem === null) return [];
    const counts = fetched === null ? 'what was copied before counts' : 'what was copied counts';
    return [
      `  ${paint.bad(marks.bad)} ${name}  ${style.foreign(problem.message)}; ${counts}`,
      ...(problem.hint === null ? [] : [`    ${paint.faint('mend:')} ${style.foreign(problem.hint)}`]),
    ];
  });
}

function verdict(
  logs: number,
  failed: number,
  { groups, lines }: { readonly groups: number; readonly lines: number },
  { paint }: Style,
): string {
  const what =
    groups === 0
      ? 'nothing new'
      : `${formatAmount(groups, 'result')} appended (${formatAmount(lines, 'line')})`;
  if (failed === 0) return paint.good(what);
  return paint.bad(`${what}; ${formatCount(failed)} of ${formatAmount(logs, 'log')} not imported`);
}

const COUNTS = [
  ['new', log => log.appended.groups],
  ['there before', log => log.there],
  ['ran twice', log => log.ran_twice],
  ['older SQL', log => log.stale],
  ['no such query', log => log.unknown],
  ['unfinished', log => log.unfinished],
  ['not imported', log => (log.problem === null ? 0 : 1)],
] as const satisfies readonly (readonly [string, (log: CollectedLog) => number])[];

// Columns that are 0 everywhere say nothing, except for the first two.
const ALWAYS = 2;

function sourceTable(logs: readonly CollectedLog[], cwd: string, style: Style): string {
  const byDirectory = new Map<string, CollectedLog[]>();
  for (const log of logs) {
    const directory = dirname(log.from);
    byDirectory.set(directory, [...(byDirectory.get(directory) ?? []), log]);
  }
  const used = COUNTS.filter(([, of], index) => index < ALWAYS || logs.some(log => of(log) > 0));
  const columns: TableColumn[] = [
    { title: 'from', shrink: 'middle' },
    { title: 'logs', align: 'right' },
    ...used.map(([title]) => ({ title, align: 'right' as const })),
  ];
  const all = [...byDirectory];
  const rows = all.slice(0, MAX_LINES).map(([directory, own]) => [
    shown(directory, cwd),
    formatCount(own.length),
    ...used.map(([, of], index) => {
      const sum = own.reduce((total, log) => total + of(log), 0);
      return sum === 0 && index >= ALWAYS ? '' : formatCount(sum);
    }),
  ]);
  const table = renderTable(columns, rows, style, 2);
  const more = all.length - rows.length;
  return more > 0 ? `${table}\n  and ${formatCount(more)} more directories (--json has all)` : table;
}

// Most messages begin with the path.
function problemLine(from: string, message: string, cwd: string): string {
  const name = shown(from, cwd);
  return message.includes(from) ? message.replaceAll(from, () => name) : `${name}: ${message}`;
}

function shown(path: string, cwd: string): string {
  const near = relative(cwd, path);
  return near === '' || near.startsWith('..') || isAbsolute(near) ? path : near;
}
