import { type WaitDeps, type WaitRequest, waitForTasks } from '../../app/sweep/wait-for-tasks.js';
import type { QueueKind, TaskResources } from '../../core/queue/queue.js';
import { systemClock } from '../../io/machine/clock.js';
import { ownCommand } from '../../io/machine/this-process.js';
import { QUEUE } from '../../io/queue/queues.js';
import type { Surroundings } from '../config/sweep-context.js';

/** Whose tasks are waited for, and by whom. */
export interface Awaited extends Pick<WaitRequest, 'kind' | 'sweep' | 'signal'>, Pick<WaitDeps, 'orphans'> {
  /** From its configuration; the group that this process's own task runs in takes precedence. */
  readonly group: string;
  /** The directory in which the task of this process is started again when it has to make room. */
  readonly directory: string;
  /** The arguments with which the waiting qrun is started again. */
  readonly arguments: readonly string[];
  readonly priority: number | undefined;
  /** The queue that the tasks are in; that of this machine if it is missing. */
  readonly queue?: QueueKind;
  /** What the waiting qrun takes of a cluster, when it is started again. */
  readonly resources?: TaskResources;
  /** Called whenever what is waited for has changed. */
  readonly onWaiting: (text: string) => void;
}

/**
 * Waits until no task of a sweep runs, for the work that follows. Returns whether that work is still this process's:
 * a later task may have taken it over. Errors: as `waitForTasks`.
 */
export async function untilEnded(awaited: Awaited, { env }: Pick<Surroundings, 'env'>): Promise<boolean> {
  const { kind, sweep, signal, orphans, onWaiting, directory, priority = -1 } = awaited;
  const { queue = QUEUE, resources } = awaited;
  const task = queue.taskIn(env);
  // A command typed in one directory and environment cannot be repeated in another.
  const again =
    task === undefined
      ? undefined
      : {
          argv: [...ownCommand(), ...awaited.arguments],
          directory,
          priority,
          ...(resources === undefined ? {} : { resources }),
        };
  const result = await waitForTasks(
    { queue: await queue.open({ env, signal }), orphans, clock: systemClock, onWaiting },
    { kind, sweep, group: task?.group ?? awaited.group, again, signal },
  );
  return result === 'ended';
}
