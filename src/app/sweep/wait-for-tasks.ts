import type { Clock } from '../../core/clock.js';
import { isQueueError } from '../../core/errors.js';
import { AUDIT, nameOfTask, type TaskKind, taskLabel } from '../../core/queue/labels.js';
import { isLive, isWaiting, type NewTask, type QueueTask, type TaskQueue } from '../../core/queue/queue.js';

export interface WaitRequest {
  readonly kind: TaskKind;
  readonly sweep: string;
  readonly group: string;
  /**
   * How this process is started again when it has to make room; as it was submitted. `undefined` when it is not a
   * task of a queue: it then holds no slot and just waits.
   */
  readonly again: Pick<NewTask, 'argv' | 'directory' | 'priority' | 'resources'> | undefined;
  readonly signal: AbortSignal;
}

export interface WaitDeps {
  readonly queue: TaskQueue;
  /** Names of tasks that run without the queue's knowledge: orphans of a server that died, or started by hand. */
  readonly orphans: () => Promise<readonly string[]>;
  readonly clock: Pick<Clock, 'delay'>;
  /** Called whenever what is waited for has changed. */
  readonly onWaiting: (text: string) => void;
}

/** `ended`: nothing of the sweep runs or waits. `left`: the work was handed to a later task. */
export type WaitResult = 'ended' | 'left';

// A look costs a few milliseconds and 1 KB for each task; nobody needs an audit to the second.
const POLL_MS = 2_000;
const QUEUE_AWAY_MS = 10_000;
// Long enough for the waiting tasks to be started before it. Delayed tasks are looked for once a minute.
const AGAIN_SECONDS = { queued: 15, delayed: 60 };

/**
 * Waits until every task of a sweep has ended, in whatever way: done, failed, killed, never started.
 *
 * It runs as a task of the sweep's own group, and is the last to be started there. Tasks waiting for a slot can still
 * be behind it (submitted again meanwhile, or delayed), and would wait forever for the slot that it holds. It then
 * submits itself once more, unless the very same task is queued already, and leaves. Running tasks are waited for,
 * including orphans of a server that died.
 *
 * Errors: QrunError `QUEUE_*` of the first look, but not `QUEUE_DOWN`. A later failure (a server that is away, a
 * client that is just being replaced, a machine out of processes) is waited out for as long as it takes: nobody else
 * would do the work. The signal's reason when it is aborted.
 */
export async function waitForTasks(deps: WaitDeps, request: WaitRequest): Promise<WaitResult> {
  const { kind, sweep, group, signal } = request;
  const nameOf = (task: QueueTask): string | undefined => nameOfTask(kind, sweep, task);
  let told = '';
  const tell = (text: string): void => {
    if (text !== told) deps.onWaiting(text);
    told = text;
  };
  let seen = false;
  // Returns the result if it worked; otherwise pauses.
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!isQueueError(error) || !(seen || error.code === 'QUEUE_DOWN')) throw error;
      tell(`waiting for ${deps.queue.kind.name}: ${error.message}`);
      await deps.clock.delay(QUEUE_AWAY_MS, signal);
      return undefined;
    }
  };
  for (;;) {
    signal.throwIfAborted();
    const state = await attempt(() => deps.queue.state());
    if (state === undefined) continue;
    seen = true;
    const live = state.tasks.filter(task => isLive(task) && nameOf(task) !== undefined);
    const units = live.filter(task => nameOf(task) !== AUDIT);
    const { again } = request;
    if (again !== undefined && units.some(task => task.group === group && isWaiting(task))) {
      if (await attempt(() => makeRoom(deps, { ...request, again }, live))) return 'left';
      continue;
    }
    const names = new Set(units.map(task => nameOf(task) as string));
    for (const name of await deps.orphans()) names.add(name);
    if (names.size === 0) return 'ended';
    tell(waitingText([...names]));
    await deps.clock.delay(POLL_MS, signal);
  }
}

/** Returns what is waited for, by the names of tasks. */
export function waitingText(names: readonly string[]): string {
  const first = names.slice(0, 3).join(', ');
  return `waiting for ${names.length} of the sweep to end: ${first}${names.length > 3 ? ', ...' : ''}`;
}

async function makeRoom(
  { queue, onWaiting }: WaitDeps,
  { kind, sweep, group, again }: WaitRequest & { readonly again: object },
  live: readonly QueueTask[],
): Promise<true> {
  const text = queue.kind.commandText(again.argv);
  const isFollower = (task: QueueTask): boolean => nameOfTask(kind, sweep, task) === AUDIT;
  const later = live.some(task => isFollower(task) && isWaiting(task) && task.command === text);
  onWaiting(
    later
      ? 'tasks of the sweep wait for a slot: a later audit follows them'
      : 'tasks of the sweep wait for a slot: the audit is submitted again after them',
  );
  if (later) return true;
  const queued = live.some(({ phase }) => phase === 'queued');
  const behind =
    queue.kind.last === 'priority'
      ? { delay: String(queued ? AGAIN_SECONDS.queued : AGAIN_SECONDS.delayed) }
      : { after: live.filter(task => !isFollower(task)).map(({ label }) => label) };
  await queue.add([{ ...again, group, label: taskLabel(kind, sweep, AUDIT), ...behind }]);
  return true;
}
