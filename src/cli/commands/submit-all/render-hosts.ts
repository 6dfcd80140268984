import type { HostRow } from '../../../core/hosts/submission.js';
import { LARGE_STATE_BYTES, type QueueKind } from '../../../core/queue/queue.js';
import { formatSize } from '../../../core/text/bytes.js';
import { pasteableCommand } from '../../../core/text/shell.js';
import type { Submission, SubmissionReport } from '../../../local/sweep/submit.js';
import { formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';
import { leftOut, listed } from './render.js';

/** As `renderSubmission`, for a sweep that runs on these hosts: a table of them. */
export function renderHostsSubmission(
  { report, due, queue }: Submission,
  hosts: readonly HostRow[],
  style: Style,
): string {
  const { sweep, root, group, dry_run: dry } = report;
  const { paint } = style;
  const where = `${formatAmount(hosts.length, 'host')}, ${queue.name} group ${style.foreign(group)}`;
  const lines = [
    `${paint.strong(style.foreign(sweep))}  ${style.foreign(root)}  ${paint.faint(where)}`,
    '',
    hostTable(hosts, due, dry, style),
    '',
    ...(dry ? placed(hosts, style) : []),
    ...leftOut(report, style),
    `  ${units(report, hosts)}`,
    ...hosts.flatMap(host => warnings(host, group, queue, style)),
    `  ${nextLine(report, hosts)}`,
  ];
  return `${lines.join('\n')}\n`;
}

function hostTable(
  hosts: readonly HostRow[],
  due: ReadonlyMap<string, number>,
  dry: boolean,
  style: Style,
): string {
  const notes = hosts.map(noteOf);
  const isNoted = notes.some(note => note !== '');
  return renderTable(
    [
      { title: 'host', shrink: 'end' },
      { title: dry ? 'to submit' : 'submitted', align: 'right' },
      { title: 'queries due', align: 'right' },
      { title: 'already queued', align: 'right' },
      { title: 'running', align: 'right' },
      { title: 'at a time', align: 'right' },
      ...(isNoted ? [{ title: '', paint: () => 'caution' as const }] : []),
    ],
    hosts.map(({ name, submitted, queued, running, elsewhere, slots }, index) => [
      name,
      formatCount(submitted.length),
      formatCount(submitted.reduce((sum, unit) => sum + (due.get(unit) ?? 0), 0)),
      formatCount(queued.length),
      formatCount(running.length + elsewhere.length),
      slots === null ? '' : formatCount(slots),
      notes[index] ?? '',
    ]),
    style,
    2,
  );
}

function noteOf({ problem, not_submitted: lost }: HostRow): string {
  if (lost.length > 0) return `failed: ${formatAmount(lost.length, 'unit')} not submitted`;
  return problem === null ? '' : 'left out';
}

function placed(hosts: readonly HostRow[], style: Style): string[] {
  return hosts.flatMap(({ name, submitted }) =>
    submitted.length === 0
      ? []
      : [`  ${name}`, ...listed(submitted, style).map(line => `  ${line}`.trimEnd())],
  );
}

function units({ complete, elsewhere }: SubmissionReport, hosts: readonly HostRow[]): string {
  const there = new Set(hosts.flatMap(host => host.elsewhere));
  const here = elsewhere.filter(unit => !there.has(unit));
  const running = here.length === 0 ? '' : `; ${formatAmount(here.length, 'unit')} running on this machine`;
  return `${formatAmount(complete.length, 'unit')} complete${running}`;
}

function warnings(
  { name, group_paused: paused, state_bytes: bytes }: HostRow,
  group: string,
  { name: queue, commands }: QueueKind,
  style: Style,
): string[] {
  const mark = `  ${style.paint.caution(style.marks.caution)} ${name}:`;
  const typed = (words: readonly string[] = []): string => pasteableCommand(words, !style.unicode);
  const lines: string[] = [];
  if (paused) {
    lines.push(
      `${mark} the group is paused: there ${typed(commands.startGroup?.(group))}   (or submit with --resume-group)`,
    );
  }
  if (bytes !== null && bytes >= LARGE_STATE_BYTES) {
    lines.push(
      `${mark} ${queue}'s state has ${formatSize(bytes)}, which each of its changes writes: there ${typed(commands.clean?.())}`,
    );
  }
  return lines;
}

function nextLine({ audit, dry_run: dry }: SubmissionReport, hosts: readonly HostRow[]): string {
  if (audit === 'not due') return 'the last audit was complete, and nothing was recorded since';
  if (dry) return 'nothing was submitted';
  if (hosts.some(host => host.not_submitted.length > 0))
    return 'next: qrun submit-all again, for what was not submitted';
  return 'next: qrun status; then qrun audit-all, which collects and audits (--when-ended waits until all have ended)';
}
