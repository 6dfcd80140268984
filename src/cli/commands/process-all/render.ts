import type { CheckReport } from '../../../app/jobs/process-all.js';
import type { JobPhase } from '../../../core/jobs/state.js';
import type { QueueKind } from '../../../core/queue/queue.js';
import { pasteableCommand } from '../../../core/text/shell.js';
import type { JobsPlan, JobsReport } from '../../../local/jobs/jobs.js';
import { formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable, type TableColumn } from '../../terminal/table.js';

const COLUMNS: readonly TableColumn[] = [
  { title: 'state', paint: state => (state === 'done' ? 'good' : state === 'failed' ? 'bad' : undefined) },
  { title: 'jobs', align: 'right' },
  { title: 'names', shrink: 'end' },
];
// As many as a wide line can show; the table cuts them to the terminal.
const MAX_NAMES = 8;

/** Returns what a submission did: a line for each state, and what else is worth knowing. */
export function renderProcessAll(
  report: JobsReport,
  { commands: { startGroup } }: QueueKind,
  style: Style,
): string {
  const { paint } = style;
  const states: [string, readonly string[]][] = [
    ['submitted', report.submitted],
    ['queued', report.queued],
    ['running', report.running],
    ['done', report.done],
  ];
  const slots = report.slots === 0 ? 'no limit of slots' : formatAmount(report.slots, 'slot');
  const lines = [
    `${paint.strong(style.foreign(report.sweep))}  group ${style.foreign(report.group)}, ${slots}`,
    stateTable(states, style),
  ];
  if (report.check !== 'not due') lines.push(`a check follows them (${report.check})`);
  if (report.group_paused) {
    lines.push(
      paint.caution(
        `the group ${style.foreign(report.group)} is paused: nothing starts before --resume-group, or ${pasteableCommand(startGroup?.(report.group) ?? [], !style.unicode)}`,
      ),
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Returns what a submission would do, a line for each job. */
export function renderJobPlan({ jobs }: JobsPlan, { name }: QueueKind, style: Style): string {
  const rows = jobs.map(({ job, last_run: phase, queue, submit }) => {
    const isHeld = queue !== null && queue !== 'none';
    return [PHASE_TEXT[phase], submit ? 'yes' : isHeld ? `no (${queue})` : 'no', job];
  });
  const count = jobs.filter(({ submit }) => submit).length;
  const table = renderTable(
    [{ title: 'last run' }, { title: 'submit' }, { title: 'job', shrink: 'middle' }],
    rows,
    style,
  );
  const isUnknown = jobs.some(({ queue }) => queue === null);
  const unknown = isUnknown ? ` (${name} was not asked: it is not there, or does not answer)` : '';
  return `${table}\n${formatCount(count)} of ${formatAmount(jobs.length, 'job')} would be submitted${unknown}\n`;
}

const PHASE_TEXT: Readonly<Record<JobPhase, string>> = {
  new: 'none',
  done: 'done',
  failed: 'failed',
  interrupted: 'interrupted',
  changed: 'of other inputs',
};

/** Returns the verdict on a sweep of jobs. */
export function renderCheck(report: CheckReport, style: Style): string {
  const { paint } = style;
  const failed = report.failed.map(({ job, ended, attempt }) => `${job} (${ended}, attempt ${attempt})`);
  const states: [string, readonly string[]][] = [
    ['done', report.done],
    ['failed', failed],
    ['missing', report.missing],
    ['interrupted', report.interrupted],
    ['running', report.running],
  ];
  const verdict = report.complete
    ? paint.good(
        `complete: ${report.jobs === 1 ? 'the job is' : `all ${formatCount(report.jobs)} jobs are`} done`,
      )
    : paint.bad(
        `not complete: ${formatCount(report.jobs - report.done.length)} of ${formatAmount(report.jobs, 'job')} not done`,
      );
  return `${paint.strong(style.foreign(report.sweep))}\n${stateTable(states, style)}\n${verdict}\n`;
}

function stateTable(states: readonly [string, readonly string[]][], style: Style): string {
  const rows = states.map(([state, names]) => {
    const more = names.length > MAX_NAMES ? ', ...' : '';
    return [state, formatCount(names.length), `${names.slice(0, MAX_NAMES).join(', ')}${more}`];
  });
  return renderTable(COLUMNS, rows, style, 2);
}
