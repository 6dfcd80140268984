/**
 * The phase of a task. `queued` waits for a slot; `delayed` waits for a time or a person before that; `paused` has been
 * started, and then stopped by a person.
 */
export type TaskPhase = 'queued' | 'delayed' | 'running' | 'paused' | 'done';

/** How a task ended. */
export interface TaskEnd {
  /** `killed`: its process died by a signal; `lost`: the queue does not know; `not started`: it never ran. */
  readonly kind: 'success' | 'failed' | 'killed' | 'lost' | 'not started';
  /** Only if it ended by itself and failed. */
  readonly exitCode?: number;
  /** The queue's own words for this end, if they are better than the kind. */
  readonly says?: string;
}

/** A task as a queue shows it. */
export interface QueueTask {
  /** In the form that the queue's own commands take. It may be reused, so tasks are never looked up by it. */
  readonly id: string;
  readonly group: string;
  /** The label it was given; see `taskLabel`. Empty if it has none. */
  readonly label: string;
  /** Its command as the queue shows it: what {@link QueueKind.commandText} returns for the same words. */
  readonly command: string;
  /** Where it starts, absolute. */
  readonly directory: string;
  readonly phase: TaskPhase;
  /** Why it does not start, in the queue's own words, if that is more than a free slot or a time. */
  readonly waits?: string;
  /** Only if it is done. */
  readonly end?: TaskEnd;
  /** The machine that it runs on, if the queue has more than one. */
  readonly host?: string;
}

/** Tasks that share slots. */
export interface QueueGroup {
  readonly name: string;
  /** Whether nothing in it starts until a person says so. */
  readonly paused: boolean;
  /** How many of its tasks run at a time; 0 means no limit. */
  readonly slots: number;
}

/** What one read of a queue returns. */
export interface QueueState {
  /** In the order in which they were added. */
  readonly tasks: readonly QueueTask[];
  /** By name; empty for a queue without groups. */
  readonly groups: ReadonlyMap<string, QueueGroup>;
  /** Bytes that the queue rewrites with each change of a task; `undefined` if a change always costs the same. */
  readonly stateBytes?: number;
}

/** From this size on, writing a queue's state is noticeable. 1 MB is about 2,000 tasks with a short environment. */
export const LARGE_STATE_BYTES = 1_000_000;

/** Returns whether a task has yet to run, or is running. */
export function isLive({ phase }: QueueTask): boolean {
  return phase !== 'done';
}

/** Returns whether a task has been started and has not ended. */
export function isStarted({ phase }: QueueTask): boolean {
  return phase === 'running' || phase === 'paused';
}

/** Returns whether a task has yet to start. */
export function isWaiting({ phase }: QueueTask): boolean {
  return phase === 'queued' || phase === 'delayed';
}

/** A task to add. */
export interface NewTask {
  readonly label: string;
  /** The program, absolute, and its arguments. It gets no input, and of the environment what {@link QueueKind} says. */
  readonly argv: readonly string[];
  /** Absolute; where it starts. */
  readonly directory: string;
  /** Ignored by a queue without groups. */
  readonly group: string;
  /** Higher ones start first; 0 if not given. */
  readonly priority?: number;
  /** A number of seconds, or a time in the queue's own format; the task does not start earlier. */
  readonly delay?: string;
  /** Labels of tasks that must end first, however they end; only for a queue whose `last` is `dependency`. */
  readonly after?: readonly string[];
  /** How many of its group run at a time, for a queue without groups; no limit if it is missing. */
  readonly slots?: number;
  /** What it takes of a cluster; ignored by a queue of one machine. */
  readonly resources?: TaskResources;
}

/** What a task takes of a cluster, and on whose account. What is missing is as the cluster has it. */
export interface TaskResources {
  readonly memoryBytes?: number | undefined;
  /** The cluster asks it to end after this time, and kills it some time later. */
  readonly timeMs?: number | undefined;
  readonly cpus?: number | undefined;
  readonly partition?: string | undefined;
  readonly account?: string | undefined;
  readonly qos?: string | undefined;
}

/** The labels of tasks that were asked to end, by what became of them; one that had ended before is in neither. */
export interface CancelledTasks {
  /** They waited, are gone from the queue, and never start. */
  readonly removed: readonly string[];
  /** They run, and have been sent SIGTERM, once. */
  readonly asked: readonly string[];
}

/** What a queue is opened with. */
export interface QueueOptions {
  /** Of the process. A queue takes the variables that it needs, and passes on only those that are not secrets. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts a call in progress. */
  readonly signal?: AbortSignal;
}

/** The task that a process runs as. */
export interface TaskContext {
  readonly group: string;
}

/** A kind of queue: what is known about it without asking it. */
export interface QueueKind {
  /** The name that people use. */
  readonly name: string;
  /** What must be running for it, by the name that people use. */
  readonly server: string;
  /**
   * How a task becomes the last of its sweep: by a lower priority than the others (it starts when nothing else waits,
   * and itself waits for what is running), or by a dependency on their ends.
   */
  readonly last: 'priority' | 'dependency';
  /**
   * Whether its tasks run on any of several machines that see the same directories, each of which records into logs of
   * its own; otherwise they run on this machine.
   */
  readonly isCluster?: boolean;
  /** The group that belongs to the user. It is never cleaned or scaled unless it is named. */
  readonly usersGroup?: string;
  /** Returns what {@link QueueTask.command} is for a task with these words. */
  commandText(argv: readonly string[]): string;
  /** Returns the task that a process with this environment runs as; `undefined` if it does not run as one. */
  taskIn(env: QueueOptions['env']): TaskContext | undefined;
  /** Finds the queue's client and checks its version; does not ask the server. Errors: as {@link TaskQueue}. */
  open(options: QueueOptions): Promise<TaskQueue>;
  /** The name of this machine there, for a process of one of its tasks; only for a queue of several machines. */
  hostIn?(env: QueueOptions['env']): string | undefined;
  /** For a queue that can start a task again, from within the task. */
  readonly again?: {
    /**
     * How many times the task that a process with this environment runs as has been started, this time included;
     * `undefined` if it does not run as one.
     */
    starts(env: QueueOptions['env']): number | undefined;
    /**
     * Asks the queue to start it again later, on any machine; the queue then ends this process. Errors: as
     * {@link TaskQueue}.
     */
    ask(options: QueueOptions): Promise<void>;
  };
  /** What a person types, as words, for what only a person should decide. */
  readonly commands: {
    readonly startGroup?: (group: string) => readonly string[];
    /** Removes finished tasks; without a group, those of all groups. */
    readonly clean?: (group?: string) => readonly string[];
    readonly listGroups?: readonly string[];
  };
}

/**
 * A queue that runs tasks. It may lack what is optional; what it has keeps the promises of the suite in
 * test/queue/contract.ts. Nothing is remembered between calls: tasks are found by their labels in the result of
 * `state`.
 *
 * Every call fails with one of these QrunErrors, in the queue's own words and with its own hints:
 *
 * - `QUEUE_MISSING`: it is not installed;
 * - `QUEUE_UNSUPPORTED`: its version is not one that qrun knows;
 * - `QUEUE_DOWN`: its server does not answer;
 * - `QUEUE_FAILED`: it refused.
 */
export interface TaskQueue {
  readonly kind: QueueKind;
  readonly version: string;
  /** Returns every task and group, from one read. */
  state(): Promise<QueueState>;
  /**
   * Adds tasks in their order, durably, and calls `onAdded` for each one that has been added. If it fails, the tasks
   * for which `onAdded` was called are there, and others may be. Labels are not unique: check before adding, under a
   * lock.
   */
  add(tasks: readonly NewTask[], onAdded?: (task: NewTask) => void): Promise<void>;
  /**
   * Asks all tasks with these labels to end. When it resolves, none of them waits any more, and each that runs has been
   * sent SIGTERM, also one that was paused. They end in their own time. Tasks with other labels, and whether a group
   * starts tasks, stay as they are. A task may start or end meanwhile. One that others follow counts as ended for them.
   */
  cancel(labels: readonly string[]): Promise<CancelledTasks>;
  /** Makes a group; an existing one stays as it is. */
  addGroup?(name: string, slots: number): Promise<void>;
  /** Sets how many tasks of a group run at a time, at least 1. Never stops running ones. */
  setSlots?(group: string, slots: number): Promise<void>;
  /** Starts a paused group and its paused tasks. */
  start?(group: string): Promise<void>;
  /** Removes the finished tasks of a group. */
  clean?(group: string): Promise<void>;
}
