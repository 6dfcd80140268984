import type {
  QueueGroup,
  QueueKind,
  QueueState,
  QueueTask,
  TaskQueue,
} from '../../../src/core/queue/queue.js';
import { PUEUE } from '../../../src/io/queue/pueue/kind.js';

/** A task of a queue as a test needs it. */
export function queueTask(task: Partial<QueueTask>): QueueTask {
  return {
    id: '0',
    group: 'qrun-s',
    label: 'qrun:s:a',
    command: 'exec true </dev/null',
    directory: '/sweep',
    phase: 'queued',
    ...task,
  };
}

/** A state of a queue with these tasks and one group. */
export function queueState(
  tasks: readonly Partial<QueueTask>[],
  group: Partial<QueueGroup> = {},
): QueueState {
  const only = { name: 'qrun-s', paused: false, slots: 2, ...group };
  return {
    tasks: tasks.map((task, id) => queueTask({ id: String(id), ...task })),
    groups: new Map([[only.name, only]]),
    stateBytes: 1000,
  };
}

/** A queue of which a test says what some calls do; any other fails. */
export function fakeQueue(calls: Partial<TaskQueue>, kind: Partial<QueueKind> = {}): TaskQueue {
  const unexpected = async (): Promise<never> => {
    throw new Error('this call was not expected');
  };
  return {
    kind: { ...PUEUE, ...kind },
    version: '4.0.4',
    state: unexpected,
    add: unexpected,
    cancel: unexpected,
    ...calls,
  };
}
