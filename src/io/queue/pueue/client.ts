import { stripVTControlCharacters } from 'node:util';
import { QrunError } from '../../../core/errors.js';
import {
  type CancelledTasks,
  isLive,
  isStarted,
  isWaiting,
  type NewTask,
  type QueueGroup,
  type QueueKind,
  type QueueOptions,
  type QueueState,
  type QueueTask,
  type TaskQueue,
} from '../../../core/queue/queue.js';
import { shellCommand } from '../../../core/text/shell.js';
import { plainEnvironment } from '../../machine/plain-environment.js';
import { type ProgramEnd, runProgram } from '../../machine/program.js';
import { parseGroups, parseState } from './status.js';

// The variables that tasks and clients get besides those that any program needs. They get no others, because pueue
// stores the whole environment of `pueue add` in clear, for each task, in a file that others may read. Secrets are read
// at run time, from .env or a password file.
const MORE_VARIABLES = ['SHELL', 'NO_COLOR', 'PUEUE_CONFIG_PATH'];

// The first version with this shape of `status --json`; a later major version may change it again.
const MAJOR = 4;
// A client that hangs (a daemon stopped by SIGSTOP, a dead network file system) must not hang qrun forever. The daemon
// answers with 5,000 tasks and their whole environments in a second.
const LIMIT_MS = 60_000;
// A command line is one argument of execve(2): 128 KiB on Linux, less its NUL.
const MAX_COMMAND_BYTES = 131_071;

// Each look finds only what has started or was paused since the one before, so that more than three happen only to
// tasks that cannot be removed.
const CANCEL_LOOKS = 10;

// Calls the client, and resolves with what it printed.
type Call = (...args: readonly string[]) => Promise<string>;

/**
 * The pueue daemon of this user, called through the `pueue` client, whose flags and JSON are the stable interface.
 * Every call is a process of its own (about 4 ms). Errors: those of {@link TaskQueue}.
 */
export class Pueue implements TaskQueue {
  readonly kind: QueueKind;
  readonly version: string;
  readonly #call: Call;

  private constructor(kind: QueueKind, version: string, call: Call) {
    this.kind = kind;
    this.version = version;
    this.#call = call;
  }

  /** Finds the client and checks its version; does not ask the daemon. `program`: for tests of a missing or odd one. */
  static async open(kind: QueueKind, { env, signal }: QueueOptions, program = 'pueue'): Promise<Pueue> {
    const taskEnv = plainEnvironment(env, MORE_VARIABLES);
    const call: Call = async (...args) => {
      const own = { env: taskEnv, timeoutMs: LIMIT_MS, ...(signal === undefined ? {} : { signal }) };
      const end = await runProgram(program, args, own);
      if (end.ok) return end.stdout;
      throw failure(program, args, end);
    };
    const stdout = await call('--version');
    const version = /(?<!\d)(\d{1,9})\.\d{1,9}\.\d{1,9}\S*/.exec(stdout);
    if (version === null || Number(version[1]) !== MAJOR) {
      throw new QrunError(
        'QUEUE_UNSUPPORTED',
        `${program} is version ${version?.[0] ?? JSON.stringify(stdout)}; qrun needs version ${MAJOR}`,
        { hint: 'cargo install --locked pueue, then restart pueued' },
      );
    }
    return new Pueue(kind, version[0], call);
  }

  async state(): Promise<QueueState> {
    return parseState(await this.#call('status', '--json'));
  }

  async addGroup(name: string, slots: number): Promise<void> {
    try {
      await this.#call('group', 'add', `--parallel=${checkedSlots(slots)}`, '--', name);
    } catch (error) {
      // Somebody else was faster.
      if ((await this.#groups()).has(name)) return;
      throw error;
    }
  }

  // pueue would take 0 as "no limit". The daemon saves the number only with the next change of a task: a crash before
  // that loses it.
  async setSlots(group: string, slots: number): Promise<void> {
    await this.#call('parallel', `--group=${group}`, '--', String(checkedSlots(slots)));
  }

  async add(tasks: readonly NewTask[], onAdded: (task: NewTask) => void = () => {}): Promise<void> {
    for (const task of tasks) {
      await this.#add(task);
      onAdded(task);
    }
  }

  async #add({ label, argv, directory, group, priority, delay }: NewTask): Promise<void> {
    const command = shellCommand(argv);
    const commandBytes = Buffer.byteLength(command);
    if (commandBytes > MAX_COMMAND_BYTES) {
      throw new QrunError(
        'QUEUE_FAILED',
        `the command of ${label} has ${commandBytes} bytes; the limit is ${MAX_COMMAND_BYTES}`,
        { hint: 'shorten its parameters' },
      );
    }
    const id = await this.#call(
      'add',
      '--print-task-id',
      `--working-directory=${directory}`,
      `--group=${group}`,
      `--label=${label}`,
      ...(priority === undefined ? [] : [`--priority=${priority}`]),
      ...(delay === undefined ? [] : [`--delay=${delay}`]),
      '--',
      command,
    );
    if (!/^\d+$/.test(id.trim())) throw unexpected(`pueue add answered ${JSON.stringify(id.slice(0, 200))}`);
  }

  // pueue takes ids only, which it gives again to other tasks. They are therefore looked up right before each order, and
  // what became of them right after it; that also finds tasks that have started or were paused meanwhile. It ignores
  // the ids for which an order comes too late, and fails only when it has to ignore all.
  async cancel(labels: readonly string[]): Promise<CancelledTasks> {
    const wanted = new Set(labels);
    const waited = new Map<string, string>();
    const asked = new Map<string, string>();
    let refusal: QrunError | undefined;
    for (let look = 0; look < CANCEL_LOOKS; look += 1) {
      const { tasks } = await this.state();
      refuseOthers(tasks, asked);
      const live = tasks.filter(task => wanted.has(task.label) && isLive(task));
      const waiting = live.filter(isWaiting);
      const started = live.filter(task => isStarted(task) && !asked.has(task.id));
      const paused = live.filter(task => task.phase === 'paused');
      if (waiting.length + started.length + paused.length === 0) return cancelled(tasks, waited, asked);
      // First, because the end of a running task starts a waiting one. One that is never removed does not keep the
      // others from being asked.
      if (waiting.length > 0 && look < CANCEL_LOOKS / 2) {
        for (const { id, label } of waiting) waited.set(id, label);
        refusal = (await this.#order(waiting, 'remove')) ?? refusal;
        continue;
      }
      if (started.length > 0) {
        const refused = await this.#order(started, 'kill', '--signal=sigterm');
        if (refused === undefined) for (const { id, label } of started) asked.set(id, label);
        refusal ??= refused;
      }
      // A stopped process does not see the signal.
      if (paused.length > 0) await this.#order(paused, 'start');
    }
    const left = (await this.state()).tasks.find(task => wanted.has(task.label) && isWaiting(task));
    throw new QrunError(
      'QUEUE_FAILED',
      `${left?.label ?? labels[0]} cannot be cancelled: ${refusal?.message ?? 'it is started and paused again and again'}`,
      { hint: 'another task may depend on it: pueue status shows which (Deps); remove that one first' },
    );
  }

  // Gives an order about tasks, and returns why pueue refused it for all of them.
  async #order(tasks: readonly QueueTask[], ...words: readonly string[]): Promise<QrunError | undefined> {
    try {
      await this.#call(...words, '--', ...tasks.map(({ id }) => id));
      return undefined;
    } catch (error) {
      if (error instanceof QrunError && error.code === 'QUEUE_FAILED') return error;
      throw error;
    }
  }

  async clean(group: string): Promise<void> {
    await this.#call('clean', `--group=${group}`);
  }

  async start(group: string): Promise<void> {
    await this.#call('start', `--group=${group}`);
  }

  // Cheap, however many tasks there are.
  async #groups(): Promise<ReadonlyMap<string, QueueGroup>> {
    return parseGroups(await this.#call('group', '--json'));
  }
}

// Whoever got the id of a task that ended just before the order may have been sent the signal instead of it.
function refuseOthers(tasks: readonly QueueTask[], asked: ReadonlyMap<string, string>): void {
  const other = tasks.find(task => isLive(task) && asked.has(task.id) && asked.get(task.id) !== task.label);
  if (other === undefined) return;
  throw new QrunError(
    'QUEUE_FAILED',
    `task ${other.id} was ${asked.get(other.id)} and is now ${other.label || 'another'}: it may have been sent SIGTERM instead`,
    { hint: `look at it: pueue log ${other.id}; then cancel again` },
  );
}

function cancelled(
  tasks: readonly QueueTask[],
  waited: ReadonlyMap<string, string>,
  asked: ReadonlyMap<string, string>,
): CancelledTasks {
  const present = new Map(tasks.map(({ id, label }) => [id, label]));
  const removed = [...waited].filter(([id, label]) => present.get(id) !== label && !asked.has(id));
  return { removed: removed.map(([, label]) => label), asked: [...asked.values()] };
}

function checkedSlots(slots: number): number {
  if (Number.isInteger(slots) && slots >= 1) return slots;
  throw new Error(`${slots} is not a number of slots`);
}

function failure(program: string, args: readonly string[], end: ProgramEnd): QrunError {
  if (end.startError === 'ENOENT' || end.startError === 'EACCES') {
    return new QrunError('QUEUE_MISSING', `there is no program ${program} in PATH (${end.startError})`, {
      hint: 'cargo install --locked pueue, then start pueued -d; without it: qrun unit DIR, one unit at a time',
    });
  }
  // Its errors are coloured, whatever the options say.
  const said = stripVTControlCharacters(end.stderr).trim();
  const words = withoutStack(said) || end.message || 'it said nothing';
  // All the ways in which a daemon can be unreachable: never started, its secret missing, its socket refused.
  if (
    /Did you start|Couldn't find a configuration file|[Cc]onnection refused|Failed to (?:connect|initialize)/.test(
      said,
    )
  ) {
    return new QrunError('QUEUE_DOWN', `no pueue daemon answers: ${words}`, {
      hint: 'start it: pueued -d; after that: pueue status (groups may be paused: qrun status names them)',
    });
  }
  if (end.timedOut) {
    return new QrunError('QUEUE_DOWN', `pueue ${args[0]} did not answer within ${LIMIT_MS / 1000} s`, {
      hint: 'look whether pueued is alive: pueue status',
    });
  }
  return new QrunError('QUEUE_FAILED', `pueue ${args[0]} failed (exit ${end.exitCode}): ${words}`, {
    hint: 'pueue status, and the log of pueued, tell more',
  });
}

// Cuts off what the client prints after the message: the place in its own source, and a backtrace if that is enabled.
function withoutStack(text: string): string {
  const [message = ''] = text.split(/^[^\S\n\r\u2028\u2029]*(?:Location:|━+ )/m);
  return message
    .split('\n')
    .map(line => line.trim().replace(/^(?:Error:|\d+:)\s*/, ''))
    .filter(line => line !== '' && !/^\S+\.rs:\d+$|^Run with /.test(line))
    .join('; ')
    .slice(0, 1000);
}

function unexpected(what: string): QrunError {
  return new QrunError('QUEUE_UNSUPPORTED', what, { hint: 'qrun knows pueue 4.0; update one of the two' });
}
