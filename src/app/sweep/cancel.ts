import type { Clock } from '../../core/clock.js';
import { AUDIT, nameOfTask, type TaskKind } from '../../core/queue/labels.js';
import { isLive, isWaiting, type QueueTask, type TaskQueue } from '../../core/queue/queue.js';
import type { CancelledTask, CancelReport } from '../../core/sweep/cancel.js';
import { refuseNamesake, type SubmitDeps } from './submit.js';

export interface CancelRequest {
  readonly kind: TaskKind;
  readonly sweep: string;
  /** Absolute; where the tasks of the sweep start. */
  readonly root: string;
  /** Whether a unit or a job is meant, by its name. */
  readonly isChosen: (name: string) => boolean;
  /** Whether the audit is meant, too, if nothing is left that it would follow. */
  readonly withAudit: boolean;
  /** Cancels nothing. */
  readonly dryRun: boolean;
}

/** What became of the tasks of a sweep on one machine. */
export interface Cancellation extends Pick<CancelReport, 'tasks' | 'audits'> {
  /** The labels of those that run, and were asked to end. */
  readonly running: readonly string[];
}

/**
 * Asks the chosen tasks of a sweep to end: those that wait are removed, those that run drain. Submissions of the sweep
 * wait meanwhile, so that none is left half cancelled; one that has not added its tasks yet adds them afterwards.
 *
 * Errors: QrunError `QUEUE_*`; `CONFIG` when a sweep of the same name in another directory has such tasks.
 */
export async function cancelTasks(
  { queue, locked }: Pick<SubmitDeps, 'queue' | 'locked'>,
  request: CancelRequest,
): Promise<Cancellation> {
  if (request.dryRun) {
    const { units, audits } = await chosenTasks(queue, request);
    const labelsOf = (tasks: readonly QueueTask[]): string[] => tasks.map(({ label }) => label);
    const all = [...units, ...audits.meant];
    return cancellation(request, units, audits, {
      removed: labelsOf(all.filter(isWaiting)),
      asked: labelsOf(all.filter(task => !isWaiting(task))),
    });
  }
  return await locked(async () => {
    const { units, audits } = await chosenTasks(queue, request);
    const labels = [...units, ...audits.meant].map(({ label }) => label);
    const done = labels.length === 0 ? { removed: [], asked: [] } : await queue.cancel([...new Set(labels)]);
    return cancellation(request, units, audits, done);
  });
}

interface Audits {
  readonly all: readonly QueueTask[];
  readonly meant: readonly QueueTask[];
}

async function chosenTasks(
  queue: TaskQueue,
  { kind, sweep, root, isChosen, withAudit }: CancelRequest,
): Promise<{ readonly units: readonly QueueTask[]; readonly audits: Audits }> {
  const { tasks } = await queue.state();
  const nameOf = (task: QueueTask): string | undefined => nameOfTask(kind, sweep, task);
  const mine = tasks.filter(task => isLive(task) && nameOf(task) !== undefined);
  const audits = mine.filter(task => nameOf(task) === AUDIT);
  const others = mine.filter(task => nameOf(task) !== AUDIT);
  const units = others.filter(task => isChosen(nameOf(task) as string));
  const meant = withAudit && units.length === others.length ? audits : [];
  refuseNamesake([...units, ...meant], { sweep, root });
  return { units, audits: { all: audits, meant } };
}

function cancellation(
  { kind, sweep }: CancelRequest,
  units: readonly QueueTask[],
  audits: Audits,
  { removed, asked }: { readonly removed: readonly string[]; readonly asked: readonly string[] },
): Cancellation {
  const isAsked = new Set(asked);
  const isRemoved = new Set(removed);
  // One of several with one label may run while another waits; that it runs is what counts. One that has ended
  // meanwhile is in neither.
  const fateOf = ({ label }: QueueTask): 'asked' | 'removed' | undefined =>
    isAsked.has(label) ? 'asked' : isRemoved.has(label) ? 'removed' : undefined;
  const tasks = new Map<string, CancelledTask>();
  for (const task of units) {
    const fate = fateOf(task);
    const name = nameOfTask(kind, sweep, task) as string;
    if (fate !== undefined) tasks.set(name, { name, host: null, fate, note: '' });
  }
  const [audit] = audits.all;
  const fate = audit === undefined ? undefined : audits.meant.length === 0 ? 'stays' : fateOf(audit);
  return {
    tasks: [...tasks.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    audits: fate === undefined ? [] : [{ host: null, fate }],
    running: asked,
  };
}

// A look costs a few milliseconds. What drains takes up to seven seconds.
const POLL_MS = 250;

/** Waits until no task with one of these labels is left to run. Errors: QrunError `QUEUE_*`; the signal's reason. */
export async function untilTasksEnded(
  { queue, clock }: { readonly queue: TaskQueue; readonly clock: Pick<Clock, 'delay'> },
  labels: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const awaited = new Set(labels);
  while (awaited.size > 0) {
    const { tasks } = await queue.state();
    if (!tasks.some(task => isLive(task) && awaited.has(task.label))) return;
    await clock.delay(POLL_MS, signal);
  }
}
