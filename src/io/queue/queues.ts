import type { QueueKind, QueueOptions, TaskContext } from '../../core/queue/queue.js';
import { PUEUE } from './pueue/kind.js';

/** The queues that qrun can give tasks to; the first one is the default. */
export const QUEUES: readonly [QueueKind, ...QueueKind[]] = [PUEUE];

/** The queue that tasks are given to. */
export const QUEUE: QueueKind = QUEUES[0];

/** The queue task that a process with this environment runs as; `undefined` if it is not a task. */
export function taskContext(env: QueueOptions['env']): TaskContext | undefined {
  for (const queue of QUEUES) {
    const task = queue.taskIn(env);
    if (task !== undefined) return task;
  }
  return undefined;
}
