import { QrunError } from '../../core/errors.js';
import { AUDIT, nameOfTask, type TaskKind, taskLabel, tasksByName } from '../../core/queue/labels.js';
import {
  isLive,
  isStarted,
  isWaiting,
  type NewTask,
  type QueueState,
  type QueueTask,
  type TaskQueue,
  type TaskResources,
} from '../../core/queue/queue.js';
import type { Output } from '../../core/schema.js';
import type { submitReport } from '../../core/sweep/submit-all.schema.js';

/** A task that should be there: the name in its label, and what it runs. */
export interface WantedTask {
  readonly name: string;
  readonly argv: readonly string[];
  /** Called when no task of this name waits or runs any more, for those that did when the caller looked. */
  readonly isDue?: () => Promise<boolean>;
}

/** How a person wants tasks to be added. */
export interface SubmitOptions {
  readonly group: string;
  /** How many tasks run at a time; `undefined` leaves a group as it is, and means 1 for a new one. */
  readonly slots: number | undefined;
  readonly priority: number;
  /** A number of seconds, or a time in the format of the queue. */
  readonly delay: string | undefined;
  /** Whether to start the group when it is paused. */
  readonly resumeGroup: boolean;
}

export interface SubmitRequest extends SubmitOptions {
  readonly kind: TaskKind;
  readonly sweep: string;
  /** Absolute; the working directory of every task. */
  readonly root: string;
  readonly tasks: readonly WantedTask[];
  /**
   * What audits the sweep. It is added as the last of the sweep's tasks whenever one of them was added or `isDue` is
   * set, unless the same audit is waiting already; also when this submission is interrupted after the first task.
   * `undefined`: none is added, because this queue has only a part of the sweep.
   */
  readonly follower: { readonly argv: readonly string[]; readonly isDue: boolean } | undefined;
  /** What each task, and the follower, takes of a cluster. */
  readonly resources?: { readonly task: TaskResources; readonly follower: TaskResources } | undefined;
}

export interface SubmitDeps {
  readonly queue: TaskQueue;
  /** The same queue, for the follower of a submission that was asked to stop. */
  readonly lastingQueue: () => Promise<TaskQueue>;
  /** Runs `work` while no other submitter of this sweep does; see {@link submitTasks}. */
  readonly locked: <T>(work: () => Promise<T>) => Promise<T>;
  /** Called after each added task. */
  readonly onAdded?: (added: number, total: number) => void;
}

/** What happened to each wanted task, by name, and what else is worth reporting. */
export interface SubmitReport extends Output<typeof submitReport> {}

// A queue may write its whole state with each change of a task: finished tasks are cleaned again after this many
// adds.
const CLEAN_EVERY = 500;

/**
 * Adds each wanted task whose label neither waits nor runs in the queue, and then the follower.
 *
 * Look and add happen under one lock of the sweep, so no label is ever there twice, however many processes submit at
 * once. Finished tasks of the group are cleaned first (never in the user's own group), because a queue's state may
 * grow with every task and be written whole with each change.
 *
 * The follower runs when nothing else of the sweep is left to start, whatever happened to the other tasks. In a queue
 * with dependencies on any end it waits for all of them. In any other queue it has a lower priority than the others,
 * and itself waits for running tasks (see `waitForTasks`).
 *
 * Errors: QrunError `QUEUE_*`; `CONFIG` when a sweep of the same name in another directory has tasks. Tasks added
 * before an error stay, and the next submission skips them.
 */
export async function submitTasks(deps: SubmitDeps, request: SubmitRequest): Promise<SubmitReport> {
  return await deps.locked(() => submitLocked(deps, request));
}

async function submitLocked(deps: SubmitDeps, request: SubmitRequest): Promise<SubmitReport> {
  const { queue } = deps;
  const { kind, sweep, group } = request;
  const state = await queue.state();
  const present = tasksByName(kind, state.tasks, sweep);
  const known = [...request.tasks.map(({ name }) => name), AUDIT].flatMap(name => present.get(name) ?? []);
  refuseNamesake(known.filter(isLive), request);
  const queued: string[] = [];
  const running: string[] = [];
  const ended: string[] = [];
  const missing: WantedTask[] = [];
  for (const task of request.tasks) {
    const found = present.get(task.name);
    if (found === undefined || !isLive(found)) {
      if ((await task.isDue?.()) === false) ended.push(task.name);
      else missing.push(task);
    } else if (isStarted(found)) running.push(task.name);
    else queued.push(task.name);
  }
  const slots = await prepareGroup(queue, request, state);
  const clean = async (): Promise<void> => {
    if (group !== queue.kind.usersGroup) await queue.clean?.(group);
  };
  if (missing.length > 0 && state.tasks.some(task => task.group === group && !isLive(task))) await clean();
  const added: NewTask[] = [];
  // One for other units, or one with other commands, is a different follower.
  const { follower } = request;
  const text = follower === undefined ? undefined : queue.kind.commandText(follower.argv);
  const waiting = state.tasks.some(
    task => nameOfTask(kind, sweep, task) === AUDIT && isWaiting(task) && task.command === text,
  );
  // A follower that waits by dependency does not wait for tasks added since.
  const isFollowed = (): boolean => waiting && (queue.kind.last === 'priority' || added.length === 0);
  const addFollower = async (to: TaskQueue): Promise<void> => {
    if (follower === undefined) return;
    const before = state.tasks.filter(task => isLive(task) && isOther(nameOfTask(kind, sweep, task)));
    await to.add([followerOf(queue, request, follower.argv, [...before, ...added])]);
  };
  try {
    for (let first = 0; first < missing.length; first += CLEAN_EVERY) {
      if (first > 0) await clean();
      const some = missing.slice(first, first + CLEAN_EVERY);
      await queue.add(
        some.map(task => ({ ...newTask(request, task), ...ofCluster(queue, request, slots) })),
        task => {
          added.push(task);
          deps.onAdded?.(added.length, missing.length);
        },
      );
    }
  } catch (error) {
    // What was added runs, whatever happens to this process, so it must be audited. The first error is the one to
    // report.
    if (added.length > 0 && !isFollowed()) {
      await deps
        .lastingQueue()
        .then(addFollower)
        .catch(() => {});
    }
    throw error;
  }
  const due = follower !== undefined && (added.length > 0 || follower.isDue);
  const followed = isFollowed();
  if (due && !followed) await addFollower(queue);
  const paused = state.groups.get(group)?.paused === true;
  const resumes = paused && request.resumeGroup && queue.start !== undefined;
  if (resumes) await queue.start?.(group);
  return {
    submitted: missing.map(({ name }) => name),
    queued,
    running,
    ended,
    follower: followed ? 'waiting' : due ? 'submitted' : 'not due',
    group,
    slots,
    group_paused: paused && !resumes,
    state_bytes: state.stateBytes ?? null,
  };
}

function isOther(name: string | undefined): boolean {
  return name !== undefined && name !== AUDIT;
}

function newTask(
  { kind, sweep, root, group, priority, delay }: SubmitRequest,
  { name, argv }: WantedTask,
): NewTask {
  return {
    label: taskLabel(kind, sweep, name),
    argv,
    directory: root,
    group,
    priority,
    ...(delay === undefined ? {} : { delay }),
  };
}

// A queue without groups learns with each task how many of them run at a time.
function ofCluster(
  queue: TaskQueue,
  { resources }: SubmitRequest,
  slots: number,
): Pick<NewTask, 'slots' | 'resources'> {
  return {
    ...(queue.addGroup === undefined ? { slots } : {}),
    ...(resources === undefined ? {} : { resources: resources.task }),
  };
}

function followerOf(
  { kind }: TaskQueue,
  request: SubmitRequest,
  argv: readonly string[],
  before: readonly { readonly label: string }[],
): NewTask {
  const task = newTask(request, { name: AUDIT, argv });
  return kind.last === 'priority'
    ? { ...task, priority: request.priority - 1 }
    : {
        ...task,
        after: before.map(({ label }) => label),
        ...(request.resources === undefined ? {} : { resources: request.resources.follower }),
      };
}

async function prepareGroup(
  queue: TaskQueue,
  { group, slots }: SubmitRequest,
  { groups }: QueueState,
): Promise<number> {
  const present = groups.get(group);
  if (present === undefined) {
    await queue.addGroup?.(group, slots ?? 1);
    return slots ?? 1;
  }
  if (slots === undefined || slots === present.slots || queue.setSlots === undefined) return present.slots;
  await queue.setSlots(group, slots);
  return slots;
}

/**
 * Refuses tasks of a sweep that were not submitted from its root: they are those of another sweep of the same name.
 * Errors: QrunError `CONFIG`.
 */
export function refuseNamesake(
  tasks: readonly QueueTask[],
  { sweep, root }: Pick<SubmitRequest, 'sweep' | 'root'>,
): void {
  const other = tasks.find(({ directory }) => directory !== root);
  if (other === undefined) return;
  throw new QrunError('CONFIG', `another sweep is also called ${sweep}: ${other.directory}`, {
    hint: `give this one a name of its own: name = "..." under [sweep] in ${root}/qrun.toml`,
  });
}
