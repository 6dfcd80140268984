import { type WaitDeps, type WaitRequest, waitForTasks } from '../../app/sweep/wait-for-tasks.js';
import { systemClock } from '../../io/machine/clock.js';
import { ownCommand } from '../../io/machine/own-command.js';
import { QUEUE, taskContext } from '../../io/queue/queues.js';
import type { Surroundings } from '../config/sweep-context.js';

/** Whose tasks are waited for, and by whom. */
export interface Awaited extends Pick<WaitRequest, 'kind' | 'sweep' | 'signal'>, Pick<WaitDeps, 'orphans'> {
  /** By its configuration; the group that this process's own task runs in counts more. */
  readonly group: string;
  /** Where the task of this process is started again when it has to make room. */
  readonly directory: string;
  /** The arguments of the qrun that waits, for the same. */
  readonly arguments: readonly string[];
  readonly priority: number | undefined;
  /** Called whenever what is waited for has changed. */
  readonly onWaiting: (text: string) => void;
}

/**
 * Waits until no task of a sweep runs, for what follows them. Returns whether the work is still this process's: a later
 * task may have taken it. Errors: as `waitForTasks`.
 */
export async function untilEnded(awaited: Awaited, { env }: Pick<Surroundings, 'env'>): Promise<boolean> {
  const { kind, sweep, signal, orphans, onWaiting, directory, priority = -1 } = awaited;
  const task = taskContext(env);
  // What was typed in some directory and environment cannot be repeated in another.
  const again =
    task === undefined ? undefined : { argv: [...ownCommand(), ...awaited.arguments], directory, priority };
  const result = await waitForTasks(
    { queue: await QUEUE.open({ env, signal }), orphans, clock: systemClock, onWaiting },
    { kind, sweep, group: task?.group ?? awaited.group, again, signal },
  );
  return result === 'ended';
}
