import type { PushedHost, PushReport } from '../../../core/hosts/push.js';
import { formatSize } from '../../../core/text/bytes.js';
import { pasteablePath } from '../../../core/text/shell.js';
import { formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';

const MAX_LINES = 20;

/** Returns what was sent to each host, what was left out, what is wrong, and what to do next. */
export function renderPush(report: PushReport, directory: string, style: Style): string {
  const { paint, marks } = style;
  const { sweep, units, hosts, dry_run: isDry, refused_links: refused } = report;
  const columns = [
    { title: 'host', shrink: 'end' as const },
    { title: 'units', align: 'right' as const },
    { title: isDry ? 'would send' : 'sent', align: 'right' as const },
    { title: 'size', align: 'right' as const },
    { title: isDry ? 'would remove' : 'removed', align: 'right' as const },
  ];
  const lines = [
    `${paint.strong(style.foreign(sweep))}  ${formatAmount(units, 'unit')}`,
    '',
    renderTable(columns, hosts.map(rowOf), style, 2),
    '',
  ];
  const few = (all: readonly string[]): void => {
    lines.push(...all.slice(0, MAX_LINES));
    if (all.length > MAX_LINES)
      lines.push(`  and ${formatCount(all.length - MAX_LINES)} more (--json has all)`);
  };
  for (const { name, changes } of hosts) few(changes.map(change => `  ${name}  ${style.foreign(change)}`));
  few(
    hosts.flatMap(({ name, left_out: leftOut }) =>
      leftOut.map(({ unit, state, holder }) => {
        const who = holder === null ? '' : ` (${style.foreign(holder)})`;
        return `  ${paint.caution(marks.caution)} ${name}  ${style.foreign(unit)} is ${state} there${who}: left out`;
      }),
    ),
  );
  few(
    refused.map(
      ({ path, says }) =>
        `  ${paint.caution(marks.caution)} ${style.foreign(path)} is not sent: ${style.foreign(says)}`,
    ),
  );
  for (const { name, problem } of hosts) {
    if (problem === null) continue;
    lines.push(`  ${paint.bad(marks.bad)} ${name}  ${style.foreign(problem.message)}`);
    if (problem.hint !== null) lines.push(`    ${paint.faint('mend:')} ${style.foreign(problem.hint)}`);
  }
  lines.push(`  ${verdict(report, style)}`);
  if (report.exit_code === 0 && !isDry) {
    lines.push(`  next: qrun submit-all ${pasteablePath(directory, !style.unicode)}`);
  }
  return `${lines.join('\n')}\n`;
}

function rowOf({ name, units, sent, removed, problem }: PushedHost): string[] {
  const isNothing = problem !== null && sent.files === 0 && removed === 0;
  if (isNothing) return [name, problem.exit_code === 0 ? '' : '-'];
  return [
    name,
    formatCount(units),
    formatAmount(sent.files, 'file'),
    formatSize(sent.bytes),
    formatCount(removed),
  ];
}

function verdict({ hosts, dry_run: isDry }: PushReport, { paint }: Style): string {
  const bad = hosts.filter(({ problem }) => problem !== null).length;
  const leftOut = hosts.reduce((sum, one) => sum + one.left_out.length, 0);
  const all = formatAmount(hosts.length, 'host');
  if (bad > 0) return paint.bad(`${bad} of ${all} ${bad === 1 ? 'has' : 'have'} not got all of it`);
  if (leftOut > 0) {
    return paint.caution(`${formatAmount(leftOut, 'unit')} left out: push again when they have ended`);
  }
  return paint.good(isDry ? `${all} can be pushed to` : `the sweep is on ${all}`);
}
