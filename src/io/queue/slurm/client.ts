import { QrunError } from '../../../core/errors.js';
import { inPieces } from '../../../core/queue/pieces.js';
import {
  type CancelledTasks,
  isLive,
  isStarted,
  isWaiting,
  type NewTask,
  type QueueKind,
  type QueueOptions,
  type QueueState,
  type QueueTask,
  type TaskQueue,
  type TaskResources,
} from '../../../core/queue/queue.js';
import { shellCommand } from '../../../core/text/shell.js';
import { ownCommand } from '../../machine/this-process.js';
import { readTaskList, type TaskList, taskListPath, writeTaskList } from '../task-list.js';
import { type Call, slurmCalls } from './calls.js';
import { type ArrayTask, CANCELLED, EXIT_FORMAT, parseExits, parseTasks, STATE_FORMAT } from './state.js';

// What Slurm takes for the largest array, plus one, if nobody has configured it.
const DEFAULT_ARRAY_SIZE = 1001;
// How the comment of an array begins; the digest of its list follows.
const NOTE = 'qrun-list:';

// One is usually enough; a look and an order are 20 ms.
const CANCEL_LOOKS = 100;

/** A task of a list that this process has read. */
interface KnownTask extends QueueTask {
  readonly array: string;
  /** How many of its array run at a time; `undefined` for all. */
  readonly slots: number | undefined;
}

/**
 * A Slurm cluster, called through its own clients. Tasks that are added together become job arrays: a list of them in
 * the directory in which they start says what each index is, and the array names that list in its comment. So nothing
 * but Slurm and that directory is needed to find them again; no accounting database is.
 *
 * Every call is a process of its own (5 to 10 ms). Errors: those of {@link TaskQueue}; `WRITE_FAILED` for the list.
 */
export class Slurm implements TaskQueue {
  readonly kind: QueueKind;
  readonly version: string;
  readonly #call: Call;
  readonly #lists = new Map<string, TaskList | undefined>();

  private constructor(kind: QueueKind, version: string, call: Call) {
    this.kind = kind;
    this.version = version;
    this.#call = call;
  }

  /** Finds the clients and checks their version; does not ask the controller. */
  static async open(kind: QueueKind, options: QueueOptions): Promise<Slurm> {
    const { call, version } = await slurmCalls(options);
    return new Slurm(kind, version, call);
  }

  async state(): Promise<QueueState> {
    // What was cancelled before it started is gone, although Slurm remembers it for some minutes.
    const tasks = (await this.#tasks()).filter(task => !wasRemoved(task));
    return { tasks: tasks.map(({ array: _, slots: __, ...task }) => task), groups: new Map() };
  }

  async add(tasks: readonly NewTask[], onAdded: (task: NewTask) => void = () => {}): Promise<void> {
    if (tasks.length === 0) return;
    const [live, most] = await Promise.all([this.#live(tasks), this.#arraySize(tasks.length)]);
    // An array has one priority, so that what starts first has to be added first.
    const ordered = [...tasks].sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0));
    for (const batch of batches(ordered)) {
      const [first] = batch as [NewTask, ...NewTask[]];
      const before = arraysOf(live.filter(({ label }) => first.after?.includes(label)));
      const free = freeSlots(first, live);
      const ids: string[] = [];
      for (const piece of inPieces(batch, most, free?.slots)) {
        const after = [...before, ...(free?.after ?? [])];
        if (piece.after !== undefined) after.push(ids[piece.after] as string);
        const id = await this.#submit(first, piece.tasks, piece.slots, after);
        ids.push(id);
        piece.tasks.forEach((task, index) => {
          live.push(added(task, id, index, piece.slots));
          onAdded(task);
        });
      }
    }
  }

  /**
   * As the interface says. All processes of a task that runs get SIGTERM, and after `KillWait` (30 s) SIGKILL.
   *
   * Not with `scancel --signal`, which could leave out the latter: Slurm 22 delivers that to a task of an array, says
   * that it could not, and does so again every five seconds.
   */
  async cancel(labels: readonly string[]): Promise<CancelledTasks> {
    const wanted = new Set(labels);
    const waited = new Map<string, string>();
    const asked = new Map<string, string>();
    for (let look = 0; look < CANCEL_LOOKS; look += 1) {
      const mine = (await this.#tasks()).filter(({ label }) => wanted.has(label));
      const live = mine.filter(task => isLive(task) && !asked.has(task.id));
      if (live.length === 0) {
        const present = new Map(mine.map(task => [task.id, task]));
        // Slurm keeps no record of a part of an array that never started. One that was started at the same moment has
        // been asked to end.
        const isGone = (id: string): boolean => wasRemoved(present.get(id));
        const late = [...waited].filter(([id]) => !isGone(id) && !asked.has(id));
        return {
          removed: [...waited].filter(([id]) => isGone(id)).map(([, label]) => label),
          asked: [...asked, ...late].map(([, label]) => label),
        };
      }
      for (const { id, label } of live.filter(isWaiting)) waited.set(id, label);
      const started = live.filter(isStarted);
      if ((await this.#order(live.map(({ id }) => id))) || look > 0) {
        for (const { id, label } of started) asked.set(id, label);
      }
    }
    throw new QrunError('QUEUE_FAILED', `${labels[0]} cannot be cancelled: Slurm does not take the order`, {
      hint: 'squeue --me shows its state; scancel JOB_INDEX ends it',
    });
  }

  // Gives an order, and returns whether Slurm took it: a task may have ended, or be just starting.
  async #order(words: readonly string[]): Promise<boolean> {
    try {
      await this.#call('scancel', ['--quiet', ...words]);
      return true;
    } catch (error) {
      if (error instanceof QrunError && error.code === 'QUEUE_FAILED') return false;
      throw error;
    }
  }

  async #submit(
    { directory, label, group, delay, priority = 0, resources = {} }: NewTask,
    tasks: readonly NewTask[],
    slots: number | undefined,
    after: readonly string[],
  ): Promise<string> {
    refuseOddDirectory(directory);
    const list = await writeTaskList(directory, {
      group,
      slots: slots ?? null,
      tasks: tasks.map(task => ({ label: task.label, argv: task.argv, directory: task.directory })),
    });
    const command = [
      ...ownCommand(),
      'task',
      `--list=${list.path}`,
      `--list-digest=${list.digest}`,
      '--index',
    ];
    const stdout = await this.#call(
      'sbatch',
      [
        '--parsable',
        `--array=0-${tasks.length - 1}${slots === undefined ? '' : `%${slots}`}`,
        `--job-name=${label.split(':', 2).join(':')}`,
        `--comment=${NOTE}${list.digest}`,
        `--chdir=${directory}`,
        // Of the clean environment with which it is called.
        '--export=ALL',
        // Relative to the directory, so that nothing in its name is taken for a pattern.
        `--output=.qrun/queue/%A_%a.txt`,
        // A task that runs again must not erase what it said before.
        '--open-mode=append',
        '--requeue',
        ...(after.length === 0 ? [] : [`--dependency=afterany:${after.join(':')}`]),
        ...(delay === undefined ? [] : [`--begin=${/^\d+$/.test(delay) ? `now+${delay}` : delay}`]),
        // Only an operator may raise a priority.
        ...(priority < 0 ? [`--nice=${-priority}`] : []),
        ...resourceOptions(resources),
      ],
      `#!/bin/sh\n${shellCommand(command)}\n`,
    );
    const id = /^(\d{1,18})(?:;|$)/m.exec(stdout.trim())?.[1];
    if (id !== undefined) return id;
    throw new QrunError('QUEUE_UNSUPPORTED', `sbatch answered ${JSON.stringify(stdout.slice(0, 200))}`, {
      hint: 'look at what was submitted: squeue --me',
    });
  }

  // Of those that wait or run; an addition without dependencies and slots need not know them.
  async #live(tasks: readonly NewTask[]): Promise<KnownTask[]> {
    const asks = tasks.some(({ after, slots }) => after !== undefined || slots !== undefined);
    return asks ? (await this.#tasks()).filter(isLive) : [];
  }

  async #arraySize(wanted: number): Promise<number> {
    if (wanted === 1) return 1;
    const config = await this.#call('scontrol', ['show', 'config']);
    const size = /^MaxArraySize\s*=\s*(\d{1,9})\s*$/m.exec(config)?.[1];
    return Math.max(1, size === undefined ? DEFAULT_ARRAY_SIZE : Number(size));
  }

  async #tasks(): Promise<KnownTask[]> {
    const stdout = await this.#call('squeue', ['--me', '-h', '-r', '-t', 'all', '-o', STATE_FORMAT]);
    const arrays = parseTasks(stdout).filter(
      ({ name, comment }) => /^qrun(?:-job)?:/.test(name) && comment.startsWith(NOTE),
    );
    const failed = arrays.some(({ end }) => end?.kind === 'failed');
    const exits = failed
      ? parseExits(await this.#call('squeue', ['--me', '-h', '-r', '-t', 'F', '-O', EXIT_FORMAT]))
      : new Map();
    return arrays
      .flatMap(one => this.#known(one, exits.get(`${one.job}_${one.index}`)))
      .sort((a, b) => Number(a.array) - Number(b.array) || indexOf(a) - indexOf(b));
  }

  // A task whose list is gone, or cannot be read on this machine, cannot be named.
  #known(
    { job, index, comment, directory, phase, waits, end, host }: ArrayTask,
    exit: QueueTask['end'],
  ): KnownTask[] {
    const digest = comment.slice(NOTE.length);
    const list = this.#list(directory, digest);
    const task = list?.tasks[index];
    if (list === undefined || task === undefined) return [];
    return [
      {
        id: `${job}_${index}`,
        array: job,
        slots: list.slots ?? undefined,
        group: list.group,
        label: task.label,
        command: this.kind.commandText(task.argv),
        directory: task.directory,
        phase,
        ...(waits === undefined ? {} : { waits }),
        ...(end === undefined ? {} : { end: end.kind === 'failed' ? (exit ?? end) : end }),
        ...(host === undefined ? {} : { host }),
      },
    ];
  }

  // A list never changes, so that it is read once.
  #list(directory: string, digest: string): TaskList | undefined {
    if (!this.#lists.has(digest)) this.#lists.set(digest, tryToRead(directory, digest));
    return this.#lists.get(digest);
  }
}

function wasRemoved(task: QueueTask | undefined): boolean {
  if (task === undefined) return true;
  const { end } = task;
  return end?.kind === 'not started' && end.says === CANCELLED;
}

function tryToRead(directory: string, digest: string): TaskList | undefined {
  try {
    return readTaskList(taskListPath(directory, digest), digest);
  } catch (error) {
    if (error instanceof QrunError) return undefined;
    throw error;
  }
}

function indexOf({ id }: QueueTask): number {
  return Number(id.slice(id.indexOf('_') + 1));
}

function added(task: NewTask, array: string, index: number, slots: number | undefined): KnownTask {
  const { label, group, directory, delay } = task;
  const phase = delay === undefined ? 'queued' : 'delayed';
  return { id: `${array}_${index}`, array, slots, group, label, directory, command: '', phase };
}

// Tasks that can be one array: everything but label and command is the same. In the order of the first of each.
function batches(tasks: readonly NewTask[]): NewTask[][] {
  const found = new Map<string, NewTask[]>();
  for (const task of tasks) {
    const { label, argv: _, ...shared } = task;
    const key = JSON.stringify([label.split(':', 2), Object.entries(shared).sort()]);
    const others = found.get(key);
    if (others === undefined) found.set(key, [task]);
    else others.push(task);
  }
  return [...found.values()];
}

function arraysOf(tasks: readonly KnownTask[]): string[] {
  return [...new Set(tasks.map(({ array }) => array))];
}

// The slots of its group that no other array has; if there are none, the new one waits for all of those arrays.
function freeSlots(
  { group, slots }: NewTask,
  live: readonly KnownTask[],
): { readonly slots: number; readonly after: readonly string[] } | undefined {
  if (slots === undefined) return undefined;
  const others = live.filter(
    task => task.group === group && task.slots !== undefined && task.phase !== 'delayed',
  );
  const arrays = arraysOf(others);
  const used = arrays.reduce((sum, array) => {
    const own = others.filter(task => task.array === array);
    return sum + Math.min(own[0]?.slots ?? 0, own.length);
  }, 0);
  return used < slots ? { slots: slots - used, after: [] } : { slots, after: arrays };
}

function resourceOptions({ memoryBytes, timeMs, cpus, ...names }: TaskResources): string[] {
  const given = {
    mem: memoryBytes === undefined ? undefined : `${Math.ceil(memoryBytes / 1024 ** 2)}M`,
    // In minutes, its smallest unit.
    time: timeMs === undefined ? undefined : `${Math.max(1, Math.ceil(timeMs / 60_000))}`,
    'cpus-per-task': cpus,
    ...names,
  };
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
}

// Slurm's own records are lines.
function refuseOddDirectory(directory: string): void {
  if (!/\p{Cc}/u.test(directory)) return;
  throw new QrunError('QUEUE_FAILED', `the name of ${JSON.stringify(directory)} holds control characters`, {
    hint: 'rename the directory: Slurm cannot keep this name',
  });
}
