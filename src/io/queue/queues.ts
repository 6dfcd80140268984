import type { QueueKind, QueueOptions, TaskContext } from '../../core/queue/queue.js';
import { PUEUE } from './pueue/kind.js';

/** The queues that qrun can give tasks to; the first is the one that is used where nobody says otherwise. */
export const QUEUES: readonly [QueueKind, ...QueueKind[]] = [PUEUE];

/** The queue that tasks are given to. */
export const QUEUE: QueueKind = QUEUES[0];

/** The task of some queue that a process with this environment runs as; `undefined` when it is none. */
export function taskContext(env: QueueOptions['env']): TaskContext | undefined {
  for (const queue of QUEUES) {
    const task = queue.taskIn(env);
    if (task !== undefined) return task;
  }
  return undefined;
}
