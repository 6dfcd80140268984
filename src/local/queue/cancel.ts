import { type CancelRequest, cancelTasks, untilTasksEnded } from '../../app/sweep/cancel.js';
import type { QueueKind, QueueOptions } from '../../core/queue/queue.js';
import type { CancelReport } from '../../core/sweep/cancel.js';
import { systemClock } from '../../io/machine/clock.js';
import { QUEUE } from '../../io/queue/queues.js';
import { submitDeps } from './submit-deps.js';

/** How tasks are cancelled. */
export interface CancelOptions {
  /** Cancels nothing. */
  readonly dryRun?: boolean | undefined;
  /** Whether to wait until those that run have ended. */
  readonly wait?: boolean | undefined;
}

/** What a cancellation is watched and stopped by. */
export interface CancelWatch {
  readonly signal: AbortSignal;
  /** Called before anything that may have to wait. */
  readonly onBegin?: (() => void) | undefined;
}

/**
 * Cancels tasks in a queue, by default that of this machine, and returns what became of them, with the names of those that ran.
 * Errors: as {@link cancelTasks}; QrunError `SUBMIT_LOCK`.
 */
export async function cancelHere(
  request: Omit<CancelRequest, 'dryRun'>,
  { env }: Pick<QueueOptions, 'env'>,
  { dryRun = false, wait = false }: CancelOptions,
  signal: AbortSignal,
  from: QueueKind = QUEUE,
): Promise<{ readonly report: CancelReport; readonly startedBefore: ReadonlySet<string> }> {
  const queue = await from.open({ env, signal });
  const { kind, sweep, root } = request;
  const done = await cancelTasks(submitDeps(queue, root, env, signal), { ...request, dryRun });
  const { tasks, audits, running } = done;
  const waits = wait && !dryRun;
  if (waits) await untilTasksEnded({ queue, clock: systemClock }, running, signal);
  const asked = tasks.filter(({ fate }) => fate === 'asked');
  return {
    report: {
      ...{ sweep, kind, tasks, audits },
      ...{ dry_run: dryRun, ended: waits ? true : null, hosts: [], exit_code: 0 },
    },
    startedBefore: new Set(asked.map(({ name }) => name)),
  };
}
