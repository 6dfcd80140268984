import { type WaitDeps, waitForTasks } from '../../app/sweep/wait-for-tasks.js';
import type { TaskKind } from '../../core/queue/labels.js';
import { systemClock } from '../../io/machine/clock.js';
import { QUEUE, taskContext } from '../../io/queue/queues.js';
import type { Flags } from '../command.js';
import type { Terminal } from '../terminal/streams.js';
import { AUDIT_PRIORITY, wholeNumberFlag } from './options.js';
import { repeatedTask } from './unit-tasks.js';

/** Whose tasks are waited for. */
export interface Awaited {
  readonly kind: TaskKind;
  readonly sweep: string;
  /** By its configuration; the group that this task runs in counts more. */
  readonly group: string;
  /** Where this task is started again when it has to make room. */
  readonly directory: string;
  readonly orphans: WaitDeps['orphans'];
}

/**
 * Waits until no task of a sweep runs, for what follows them (`--when-ended`). Gives whether the work is still this
 * process's: a later task may have taken it. Errors: as `waitForTasks`.
 */
export async function untilEnded(
  { kind, sweep, group, directory, orphans }: Awaited,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<boolean> {
  const result = await waitForTasks(
    {
      queue: await QUEUE.open({ env: terminal.env, signal }),
      orphans,
      clock: systemClock,
      onWaiting: text => terminal.err.write(`${text}\n`),
    },
    {
      kind,
      sweep,
      group: taskContext(terminal.env)?.group ?? group,
      again: repeatedTask(terminal, directory, wholeNumberFlag(flags, 'priority', AUDIT_PRIORITY)),
      signal,
    },
  );
  return result === 'ended';
}
