import { LARGE_STATE_BYTES } from '../../../core/queue/queue.js';
import { formatSize } from '../../../core/text/bytes.js';
import { pasteableCommand } from '../../../core/text/shell.js';
import type { Submission, SubmissionReport } from '../../../local/sweep/submit.js';
import { firstOf, formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';

const MAX_NAMES = 20;
const REST = 'more (--json has all)';

/** Returns the end of `qrun submit-all`: a table of what happened to the units, and what to do next. */
export function renderSubmission({ report, due, queue }: Submission, style: Style): string {
  const { complete, elsewhere, sweep, group, dry_run: dry, state_bytes: stateBytes } = report;
  const queries = (units: readonly string[]): string => {
    const known = units.filter(unit => due.has(unit));
    return known.length === 0 ? '' : formatCount(known.reduce((sum, unit) => sum + (due.get(unit) ?? 0), 0));
  };
  const rows: (readonly [string, readonly string[], string])[] = [
    [dry ? 'to submit' : 'submitted', report.submitted, queries(report.submitted)],
    ['already queued', report.queued, ''],
    ['running', report.running, ''],
    ...(elsewhere.length === 0 ? [] : [['running elsewhere', elsewhere, ''] as const]),
    ['complete', complete, ''],
  ];
  const table = renderTable(
    [{ title: 'units' }, { title: '', align: 'right' }, { title: 'queries due', align: 'right' }],
    rows.map(([title, units, count]) => [title, formatCount(units.length), count]),
    style,
    2,
  );
  const { paint } = style;
  const slots = `${formatCount(report.slots)} at a time`;
  const lines = [
    `${paint.strong(style.foreign(sweep))}  ${style.foreign(report.root)}  ${paint.faint(`${queue.name} group ${style.foreign(group)}, ${slots}`)}`,
    '',
    table,
    '',
    ...(dry ? listed(report.submitted, style) : []),
    ...leftOut(report, style),
    `  ${auditLine(report)}`,
  ];
  const { startGroup, clean } = queue.commands;
  const typed = (words: readonly string[] = []): string => pasteableCommand(words, !style.unicode);
  if (report.group_paused) {
    lines.push(
      `  ${paint.caution(style.marks.caution)} the group is paused: ${typed(startGroup?.(group))}   (or submit with --resume-group)`,
    );
  }
  if (stateBytes !== null && stateBytes >= LARGE_STATE_BYTES) {
    lines.push(
      `  ${paint.caution(style.marks.caution)} ${queue.name}'s state has ${formatSize(stateBytes)}, which each of its changes writes: ${typed(clean?.())}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Returns the first of the units, a line each, and an empty line. */
export function listed(units: readonly string[], style: Style): string[] {
  if (units.length === 0) return [];
  return [...firstOf(units, MAX_NAMES, style.foreign, REST).map(line => `  ${line}`), ''];
}

/** Returns the units with files that cannot run. */
export function leftOut({ cannot_run: cannotRun }: SubmissionReport, style: Style): string[] {
  if (cannotRun.length === 0) return [];
  const show = ({ unit, queries, problem }: SubmissionReport['cannot_run'][number]): string => {
    const why = problem === null ? `${formatAmount(queries, 'query')} left out` : style.foreign(problem);
    return `${style.paint.caution('cannot run')}  ${style.foreign(unit)}: ${why}`;
  };
  return [...firstOf(cannotRun, MAX_NAMES, show, REST).map(line => `  ${line}`), ''];
}

function auditLine({ audit, dry_run: dry }: SubmissionReport): string {
  if (audit === 'waiting') return 'the audit waits until they have ended';
  if (audit === 'not due') return 'the last audit was complete, and nothing was recorded since';
  return dry ? 'the audit would follow' : 'the audit follows, however they end: see qrun status';
}
