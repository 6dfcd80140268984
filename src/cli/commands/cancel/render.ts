import type { CancelledTask, CancelReport } from '../../../core/sweep/cancel.js';
import { pasteablePath } from '../../../core/text/shell.js';
import { firstOf, formatAmount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';

const MAX_NAMES = 20;
const REST = 'more (--json has all)';

/** Returns what became of the tasks of a sweep, for people, and what to do next. `argument`: as the user gave it. */
export function renderCancel(report: CancelReport, argument: string, style: Style): string {
  const { paint, marks } = style;
  const { tasks, kind, sweep, hosts, audits, dry_run: dry } = report;
  const silent = hosts.filter(({ problem }) => problem !== null);
  const lines = [paint.strong(style.foreign(sweep)), ''];
  for (const [fate, text] of titles(report)) {
    const own = tasks.filter(task => task.fate === fate);
    if (own.length === 0) continue;
    lines.push(`  ${formatAmount(own.length, kind)} ${text}`);
    lines.push(...firstOf(own, MAX_NAMES, task => shown(task, style), REST).map(line => `    ${line}`));
  }
  if (tasks.length === 0) lines.push(`  ${nothing(report, silent.length)}`);
  for (const { host, fate } of audits) {
    const where = host === null ? '' : ` on ${style.foreign(host)}`;
    const what = kind === 'unit' ? 'audit' : 'check';
    lines.push(`  the ${what} after them${where}: ${auditText(fate, dry)}`);
  }
  for (const { name, problem } of silent) {
    lines.push(
      `  ${paint.bad(marks.bad)} ${style.foreign(`${name}: ${problem?.message}`)}; what waits or runs there may go on`,
      ...(problem?.hint == null ? [] : [`    ${paint.accent('mend: ')}${style.foreign(problem.hint)}`]),
    );
  }
  const root = pasteablePath(argument, !style.unicode);
  const runs = tasks.some(({ fate }) => fate === 'asked') && report.ended !== true;
  if (tasks.length > 0 && !dry && kind === 'unit') {
    if (runs) lines.push(`  see them end: qrun status ${root}`);
    lines.push(`  what was recorded stays; to continue: qrun submit-all ${root}`);
  } else if (tasks.length > 0 && !dry) {
    lines.push(`  to continue: qrun process-all ${root}`);
  }
  return `${lines.join('\n')}\n`;
}

function titles({ dry_run: dry, ended, kind }: CancelReport): [CancelledTask['fate'], string][] {
  const drains = kind === 'unit' ? ', finishing what has begun (7 s at most):' : ' by SIGTERM:';
  return [
    ['removed', dry ? 'would never start:' : 'removed from the queue:'],
    [
      'asked',
      ended === true ? 'ran and has ended:' : `${dry ? 'would be asked to end' : 'asked to end'}${drains}`,
    ],
    ['outside', 'not in the queue, left alone:'],
  ];
}

function nothing({ kind }: CancelReport, silent: number): string {
  const where = silent > 0 ? ' on the hosts that answered' : '';
  return `nothing to cancel: no ${kind} waits or runs${where}`;
}

function shown({ name, host, note }: CancelledTask, style: Style): string {
  const where = host === null ? '' : ` on ${host}`;
  return style.foreign(`${name}${where}${note === '' ? '' : `: ${note}`}`);
}

function auditText(fate: CancelReport['audits'][number]['fate'], dry: boolean): string {
  if (fate === 'stays') return 'stays, for the others';
  return dry ? 'would be cancelled' : 'cancelled';
}
