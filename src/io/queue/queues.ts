import type { QueueKind, QueueOptions, TaskContext } from '../../core/queue/queue.js';
import { PUEUE } from './pueue/kind.js';

// The queues that qrun can give tasks to; the first one is the default.
const QUEUES: readonly [QueueKind, ...QueueKind[]] = [PUEUE];

/** The queue that tasks are given to. */
export const QUEUE: QueueKind = QUEUES[0];

/** The queue task that a process with this environment runs as; `undefined` if it is not a task. */
export function taskContext(env: QueueOptions['env']): TaskContext | undefined {
  return QUEUES.map(queue => queue.taskIn(env)).find(task => task !== undefined);
}
