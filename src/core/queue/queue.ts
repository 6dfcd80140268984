/**
 * Where a task is in its life. `queued` waits for a slot; `delayed` waits for a time or for a person before that;
 * `paused` has been started, and stopped by a person.
 */
export type TaskPhase = 'queued' | 'delayed' | 'running' | 'paused' | 'done';

/** How a task ended. */
export interface TaskEnd {
  /** `killed`: its process died by a signal; `lost`: the queue does not know; `not started`: it never ran. */
  readonly kind: 'success' | 'failed' | 'killed' | 'lost' | 'not started';
  /** Only where it ended by itself and failed. */
  readonly exitCode?: number;
  /** The queue's own words for this end, where it has better ones than the kind. */
  readonly says?: string;
}

/** A task as a queue shows it. */
export interface QueueTask {
  /** As the queue's own commands take it. It may be given again, so that nothing is found by it. */
  readonly id: string;
  readonly group: string;
  /** What it was given; see `taskLabel`. Empty where it has none. */
  readonly label: string;
  /** Its command as the queue shows it: what {@link QueueKind.commandText} returns for the same words. */
  readonly command: string;
  /** Where it starts, absolute. */
  readonly directory: string;
  readonly phase: TaskPhase;
  /** Only of one that is done. */
  readonly end?: TaskEnd;
  /** The machine that it runs on, where the queue has more than one. */
  readonly host?: string;
}

/** Tasks that share slots. */
export interface QueueGroup {
  readonly name: string;
  /** Whether nothing in it starts until a person says so. */
  readonly paused: boolean;
  /** How many of its tasks run at a time; 0: no limit. */
  readonly slots: number;
}

/** What one read of a queue returns. */
export interface QueueState {
  /** In the order in which they were added. */
  readonly tasks: readonly QueueTask[];
  /** By name; empty for a queue without groups. */
  readonly groups: ReadonlyMap<string, QueueGroup>;
  /** Bytes that the queue writes anew with each change of a task; `undefined` where a change costs the same always. */
  readonly stateBytes?: number;
}

/** From here on the writing of a queue's state can be felt. 1 MB is about 2,000 tasks with a short environment. */
export const LARGE_STATE_BYTES = 1_000_000;

/** Whether a task is still to run, or runs. */
export function isLive({ phase }: QueueTask): boolean {
  return phase !== 'done';
}

/** Whether a task has been started and has not ended. */
export function isStarted({ phase }: QueueTask): boolean {
  return phase === 'running' || phase === 'paused';
}

/** Whether a task is still to start. */
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
  /** Higher ones start first; 0 where it is not given. */
  readonly priority?: number;
  /** A number of seconds, or a time as the queue takes it; it does not start earlier. */
  readonly delay?: string;
  /** Labels of tasks that have to end first, whatever their end; only for a queue whose `last` is `dependency`. */
  readonly after?: readonly string[];
}

/** What a queue is opened with. */
export interface QueueOptions {
  /** Of the process. A queue takes the variables that it needs, and passes on only those that are no secrets. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends a call that is under way. */
  readonly signal?: AbortSignal;
}

/** The task that a process runs as. */
export interface TaskContext {
  readonly group: string;
}

/** A kind of queue: what is known of one before it is asked. */
export interface QueueKind {
  /** As people call it. */
  readonly name: string;
  /** What has to be alive for it, as people call that. */
  readonly server: string;
  /**
   * How a task becomes the last of its sweep: by a lower priority than the others (it is started when nothing else
   * waits, and waits for what runs by itself), or by a dependency on their ends.
   */
  readonly last: 'priority' | 'dependency';
  /** The group that is the user's own, and is never cleaned or scaled unless it is named. */
  readonly usersGroup?: string;
  /** What {@link QueueTask.command} is for a task with these words. */
  commandText(argv: readonly string[]): string;
  /** The task that a process with this environment runs as; `undefined` when it is none. */
  taskIn(env: QueueOptions['env']): TaskContext | undefined;
  /** Finds the queue's client and checks its version; the server is not asked. Errors: as {@link TaskQueue}. */
  open(options: QueueOptions): Promise<TaskQueue>;
  /** What a person types, as words, for what only a person should decide. */
  readonly commands: {
    readonly startGroup?: (group: string) => readonly string[];
    /** Removes finished tasks; of all groups without one. */
    readonly clean?: (group?: string) => readonly string[];
    readonly listGroups?: readonly string[];
  };
}

/**
 * A queue that runs tasks. What is optional a queue may lack; what it has keeps the promises of the suite in
 * test/queue/contract.ts. Nothing is remembered between calls: tasks are found by their labels in what `state` returns.
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
  /** Every task and group, from one read. */
  state(): Promise<QueueState>;
  /**
   * Adds tasks in their order, durably, and calls `onAdded` for each that is there. When it fails, those that it was
   * called for are there, and others may be. Labels are not unique: whoever adds looks first, under a lock.
   */
  add(tasks: readonly NewTask[], onAdded?: (task: NewTask) => void): Promise<void>;
  /** Makes a group; one that exists stays as it is. */
  addGroup?(name: string, slots: number): Promise<void>;
  /** Sets how many tasks of a group run at a time, at least 1. Running ones are never stopped. */
  setSlots?(group: string, slots: number): Promise<void>;
  /** Starts a paused group and its paused tasks. */
  start?(group: string): Promise<void>;
  /** Removes the finished tasks of a group. */
  clean?(group: string): Promise<void>;
}
