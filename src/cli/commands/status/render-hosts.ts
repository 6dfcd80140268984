import type { QueueKind } from '../../../core/queue/queue.js';
import type { HostStatus, SweepStatus } from '../../../core/sweep/status.js';
import { pasteableCommand } from '../../../core/text/shell.js';
import { formatCount, formatRateNumber } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable, type TableColumn } from '../../terminal/table.js';

/** How the hosts of a sweep are shown. */
export interface HostsView {
  readonly queue: Pick<QueueKind, 'name' | 'commands'>;
  /** When it is shown; only needed to say that what a host said is older than `staleMs`. */
  readonly nowMs?: number | undefined;
  readonly staleMs?: number | undefined;
}

const COLUMNS: readonly (TableColumn & { readonly cell: (host: HostStatus) => string })[] = [
  { title: 'host', shrink: 'middle', cell: ({ name }) => name },
  { title: 'slots', align: 'right', cell: ({ slots }) => (slots === 0 ? 'no limit' : known(slots)) },
  { title: 'running', align: 'right', cell: host => (isSilent(host) ? '?' : known(host.running)) },
  { title: 'waiting', align: 'right', cell: host => (isSilent(host) ? '?' : known(host.waiting)) },
  {
    title: 'q/s',
    align: 'right',
    cell: ({ queries_per_second: rate }) => (rate === 0 ? '' : formatRateNumber(rate)),
  },
];

/** Returns the table of the hosts of a sweep. */
export function hostTable({ hosts }: SweepStatus, style: Style): string {
  const rows = hosts.map(host => COLUMNS.map(({ cell }) => cell(host)));
  return renderTable(COLUMNS, rows, style, 2);
}

/** Returns what somebody should know about the hosts, or do there. */
export function hostNotes(status: SweepStatus, style: Style, view: HostsView): string[] {
  const { paint, marks } = style;
  const said: string[] = [];
  for (const host of status.hosts) {
    const { name, silent_since: since, problem, queue_problem: queueProblem } = host;
    const caution = (text: string): string =>
      `  ${paint.caution(marks.caution)} ${style.foreign(`${name}: ${text}`)}`;
    if (since !== null) {
      const why = problem === null ? 'asked, and still waiting' : problem.message;
      said.push(
        `  ${paint.bad(marks.bad)} ${style.foreign(`${name}: no answer since ${clock(since)} (${why})`)}`,
      );
      if (problem?.hint != null) said.push(`    ${paint.accent('mend: ')}${style.foreign(problem.hint)}`);
    } else if (problem !== null) {
      said.push(caution(problem.message));
      if (problem.hint !== null) said.push(`    ${paint.accent('mend: ')}${style.foreign(problem.hint)}`);
    }
    if (since === null && queueProblem !== null) {
      said.push(caution(`without ${view.queue.name}: ${queueProblem}`));
    }
    const ageMs = view.nowMs === undefined ? 0 : view.nowMs - Date.parse(host.answered_at ?? '');
    if (since === null && ageMs > (view.staleMs ?? Number.POSITIVE_INFINITY)) {
      said.push(caution(`this is what it said ${formatCount(Math.round(ageMs / 1000))} s ago`));
    }
    for (const group of since === null ? host.paused_groups : []) {
      const start = view.queue.commands.startGroup?.(group) ?? [];
      said.push(
        caution(
          `the group ${group} is paused, nothing starts there: ${pasteableCommand(start, !style.unicode)}`,
        ),
      );
    }
  }
  const away = status.units.filter(unit => unit.settled > unit.settled_here);
  if (away.length > 0) {
    const results = away.reduce((sum, unit) => sum + unit.settled - unit.settled_here, 0);
    said.push(`  ${formatCount(results)} results are on the hosts alone: qrun collect brings them here`);
  }
  return said;
}

function isSilent({ silent_since: since }: HostStatus): boolean {
  return since !== null;
}

function known(value: number | null): string {
  return value === null ? '?' : formatCount(value);
}

function clock(time: string): string {
  return `${time.slice(11, 19)} UTC`;
}
