import { hostname } from 'node:os';
import type { QueueName } from '../../core/queue/names.js';
import type { QueueKind, QueueOptions, TaskContext } from '../../core/queue/queue.js';
import { PUEUE } from './pueue/kind.js';
import { SLURM } from './slurm/kind.js';

// The queues that qrun can give tasks to.
const QUEUES: Readonly<Record<QueueName, QueueKind>> = { pueue: PUEUE, slurm: SLURM };

/** The queue of a machine, where nobody names another: that of jobs, of `autoscale`, and of each of several hosts. */
export const QUEUE: QueueKind = PUEUE;

/** Returns the queue that a sweep is submitted to: the one that `[sweep]` of its qrun.toml, or `--on`, names. */
export function queueOf({ on }: { readonly on?: QueueName | undefined }): QueueKind {
  return on === undefined ? QUEUE : QUEUES[on];
}

/** The queue task that a process with this environment runs as; `undefined` if it is not a task. */
export function taskContext(env: QueueOptions['env']): TaskContext | undefined {
  return Object.values(QUEUES)
    .map(queue => queue.taskIn(env))
    .find(task => task !== undefined);
}

/** How the queue that started a process starts it again; `undefined` if none did that can. */
export function restartIn(
  env: QueueOptions['env'],
): { readonly starts: number; readonly ask: (options: QueueOptions) => Promise<void> } | undefined {
  for (const { again } of Object.values(QUEUES)) {
    const starts = again?.starts(env);
    if (again !== undefined && starts !== undefined) return { starts, ask: options => again.ask(options) };
  }
  return undefined;
}

/** Returns the name of this machine, for a process with this environment: that which its queue knows it by, or its own. */
export function machineName(env: QueueOptions['env']): string {
  const given = Object.values(QUEUES)
    .map(queue => queue.hostIn?.(env))
    .find(name => name !== undefined);
  return given ?? hostname();
}
