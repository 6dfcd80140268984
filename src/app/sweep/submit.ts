import { QrunError } from '../../core/errors.js';
import { AUDIT, nameOfTask, type TaskKind, taskLabel, tasksByName } from '../../core/queue/labels.js';
import { isLive, type PueueState, type TaskPhase } from '../../core/queue/pueue-state.js';
import type { Pueue } from '../../io/queue/pueue.js';

/** A task that should be there: the name in its label, and its command line for `sh -c`. */
export interface WantedTask {
  readonly name: string;
  readonly command: string;
  /** Asked when its label is no longer queued or running, for tasks that were when the caller looked. */
  readonly isDue?: () => Promise<boolean>;
}

export interface SubmitRequest {
  readonly kind: TaskKind;
  readonly sweep: string;
  /** Absolute; where every task starts. */
  readonly root: string;
  readonly group: string;
  /** How many tasks run at a time; `undefined` leaves an existing group as it is. */
  readonly slots: number | undefined;
  /** Slots of a group that has to be made. */
  readonly newGroupSlots: number;
  readonly priority: number;
  /** As pueue takes it. */
  readonly delay: string | undefined;
  readonly tasks: readonly WantedTask[];
  /**
   * The command that audits the sweep: added behind the others whenever one of them was added or `auditDue` is
   * set, unless the same is waiting already; also when this submission is broken off after the first. Its priority is
   * one less than that of the others.
   */
  readonly audit: string;
  readonly auditDue: boolean;
  /** Whether to start the group when it is paused. */
  readonly resumeGroup: boolean;
}

export interface SubmitDeps {
  readonly pueue: Pick<Pueue, 'status' | 'addGroup' | 'setSlots' | 'add' | 'clean' | 'start'>;
  /** Runs `work` while no other submitter of this sweep does; see {@link submitTasks}. */
  readonly locked: <T>(work: () => Promise<T>) => Promise<T>;
  /** Adds a task also when the caller has been asked to stop. */
  readonly addLast: Pueue['add'];
  /** Told after each added task. */
  readonly onAdded?: (added: number, total: number) => void;
}

/** What became of each wanted task, by name, and what else is worth saying. */
export interface SubmitReport {
  readonly submitted: readonly string[];
  /** Also delayed and stashed ones. */
  readonly queued: readonly string[];
  /** Also paused ones. */
  readonly running: readonly string[];
  /** Ended since the caller looked, with nothing left to do. */
  readonly ended: readonly string[];
  readonly audit: 'submitted' | 'waiting' | 'not due';
  readonly group: string;
  readonly slots: number;
  readonly groupPaused: boolean;
  readonly stateBytes: number;
}

// Each add, start and end rewrites the whole state: finished tasks are cleaned again after so many adds.
const CLEAN_EVERY = 500;

/**
 * Adds to pueue each wanted task whose label is neither queued nor running, and then the audit.
 *
 * Look and add happen under one lock of the sweep, so that no label is ever there twice, however many submit at
 * once. Whatever the group held that is finished is cleaned first (never in pueue's group `default`, which is the
 * user's), because pueue's state grows with every task and each of its changes writes all of it.
 *
 * The audit has a lower priority than the units and no dependency on them: pueue starts it when nothing else of
 * the sweep is left to start, whatever has become of the others, while a dependent task would never run if one
 * unit failed.
 *
 * Errors: QrunError `PUEUE_*`; `CONFIG` when a sweep of the same name in another directory has tasks; tasks added
 * before an error stay, and the next submit-all skips them.
 */
export async function submitTasks(deps: SubmitDeps, request: SubmitRequest): Promise<SubmitReport> {
  return await deps.locked(() => submitLocked(deps, request));
}

async function submitLocked(deps: SubmitDeps, request: SubmitRequest): Promise<SubmitReport> {
  const { pueue } = deps;
  const { kind, sweep, group } = request;
  const state = await pueue.status();
  refuseNamesake(state, request);
  const present = tasksByName(kind, state.tasks, sweep);
  const queued: string[] = [];
  const running: string[] = [];
  const ended: string[] = [];
  const missing: WantedTask[] = [];
  for (const task of request.tasks) {
    const found = present.get(task.name);
    if (found === undefined || !isLive(found)) {
      if ((await task.isDue?.()) === false) ended.push(task.name);
      else missing.push(task);
    } else if (found.phase === 'running' || found.phase === 'paused') running.push(task.name);
    else queued.push(task.name);
  }
  const slots = await prepareGroup(deps, request, state);
  if (missing.length > 0 && state.tasks.some(task => task.group === group && !isLive(task))) {
    await cleanGroup(deps, group);
  }
  const add = async (addTo: Pueue['add'], { name, command }: WantedTask, priority: number): Promise<void> => {
    await addTo({
      command,
      directory: request.root,
      group,
      label: taskLabel(kind, sweep, name),
      priority,
      ...(request.delay === undefined ? {} : { delay: request.delay }),
    });
  };
  const submitted: string[] = [];
  // One of other units, or with other commands behind it, is another audit.
  const waiting = state.tasks.some(
    task =>
      nameOfTask(kind, sweep, task) === AUDIT && isWaiting(task.phase) && task.command === request.audit,
  );
  const audit = { name: AUDIT, command: request.audit };
  try {
    for (const task of missing) {
      await add(next => pueue.add(next), task, request.priority);
      submitted.push(task.name);
      deps.onAdded?.(submitted.length, missing.length);
      if (submitted.length % CLEAN_EVERY === 0) await cleanGroup(deps, group);
    }
  } catch (error) {
    // What was added runs, whatever becomes of this process; so it is audited. The first error is the one to tell.
    if (submitted.length > 0 && !waiting)
      await add(deps.addLast, audit, request.priority - 1).catch(() => {});
    throw error;
  }
  const due = submitted.length > 0 || request.auditDue;
  if (due && !waiting) await add(next => pueue.add(next), audit, request.priority - 1);
  const paused = state.groups.get(group)?.paused === true;
  if (paused && request.resumeGroup) await pueue.start(group);
  return {
    submitted,
    queued,
    running,
    ended,
    audit: waiting ? 'waiting' : due ? 'submitted' : 'not due',
    group,
    slots,
    groupPaused: paused && !request.resumeGroup,
    stateBytes: state.sizeBytes,
  };
}

// One that runs has looked at the units already, or is about to: a new one comes behind the new units.
function isWaiting(phase: TaskPhase): boolean {
  return phase === 'queued' || phase === 'stashed' || phase === 'locked';
}

async function prepareGroup(deps: SubmitDeps, request: SubmitRequest, state: PueueState): Promise<number> {
  const { group, slots, newGroupSlots } = request;
  const present = state.groups.get(group);
  if (present === undefined) {
    await deps.pueue.addGroup(group, slots ?? newGroupSlots);
    return slots ?? newGroupSlots;
  }
  if (slots === undefined || slots === present.slots) return present.slots;
  await deps.pueue.setSlots(group, slots);
  return slots;
}

async function cleanGroup({ pueue }: SubmitDeps, group: string): Promise<void> {
  if (group !== 'default') await pueue.clean(group);
}

function refuseNamesake(state: PueueState, { kind, sweep, root, tasks }: SubmitRequest): void {
  const present = tasksByName(kind, state.tasks, sweep);
  for (const { name } of [...tasks, { name: AUDIT }]) {
    const task = present.get(name);
    if (task === undefined || !isLive(task) || task.directory === root) continue;
    throw new QrunError('CONFIG', `another sweep is called ${sweep} too: ${task.directory}`, {
      hint: `give this one a name of its own: name = "..." under [sweep] in ${root}/qrun.toml`,
    });
  }
}
