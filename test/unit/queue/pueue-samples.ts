import type { PueueGroup, PueueState, PueueTask } from '../../../src/core/queue/pueue-state.js';

/** A task of pueue as a test needs it. */
export function pueueTask(task: Partial<PueueTask>): PueueTask {
  return {
    id: 0,
    group: 'qrun-s',
    label: 'qrun:s:a',
    command: 'exec true',
    directory: '/sweep',
    phase: 'queued',
    result: undefined,
    createdMs: 0,
    startMs: undefined,
    endMs: undefined,
    ...task,
  };
}

/** A state of pueue with these tasks and one group. */
export function pueueState(
  tasks: readonly Partial<PueueTask>[],
  group: Partial<PueueGroup> = {},
): PueueState {
  const only = { name: 'qrun-s', paused: false, slots: 2, ...group };
  return {
    tasks: tasks.map((task, id) => pueueTask({ id, ...task })),
    groups: new Map([[only.name, only]]),
    sizeBytes: 1000,
  };
}
