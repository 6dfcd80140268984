import { stripVTControlCharacters } from 'node:util';
import { QrunError } from '../../core/errors.js';
import { type PueueState, parseGroups, parseState } from '../../core/queue/pueue-state.js';
import { type ProgramEnd, runProgram } from '../machine/program.js';

/** Where a client finds its daemon, and what may stand in the environment of a task. */
export interface PueueOptions {
  /** The environment from which the variables of {@link TASK_ENVIRONMENT} are taken; nothing else is passed on. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The client; for tests of a missing or odd one. */
  readonly program?: string;
  readonly signal?: AbortSignal;
}

/** A task to add. */
export interface NewTask {
  /** One command line for `sh -c`, quoted already. */
  readonly command: string;
  /** Absolute; where the task starts. */
  readonly directory: string;
  readonly group: string;
  readonly label: string;
  /** Higher ones start first; 0 is pueue's default. */
  readonly priority?: number;
  /** As `pueue add --delay` takes it: `3600` (seconds), `2026-01-31T12:00`, `tomorrow`. */
  readonly delay?: string;
}

/**
 * All that tasks get of the submitter's environment, and all that clients are started with: pueue stores the
 * whole environment of `pueue add` in clear, for each task, in a file that others may read. The systemd ones are
 * needed by `systemd-run --user`. Secrets are read at run time, from .env or a password file.
 */
export const TASK_ENVIRONMENT = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'NO_COLOR',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'PUEUE_CONFIG_PATH',
] as const;

// The first version with this shape of `status --json`; a later major version may change it again.
const MAJOR = 4;
// A client that hangs (a daemon stopped by SIGSTOP, a dead network file system) must not hang qrun for ever. The
// daemon answers 5,000 tasks with whole environments in a second.
const LIMIT_MS = 60_000;
// A command line is one argument of execve(2): 128 KiB on Linux, less its NUL.
const MAX_COMMAND_BYTES = 131_071;

/**
 * The pueue daemon of this user, through the `pueue` client: its flags and its JSON are the stable surface.
 * Every call is a process of its own (about 4 ms); every call fails with one of
 *
 * - `PUEUE_MISSING`: there is no client;
 * - `PUEUE_UNSUPPORTED`: it is not version 4, or its JSON has another shape;
 * - `PUEUE_DOWN`: no daemon answers;
 * - `PUEUE_FAILED`: it refused, with its own words.
 *
 * Nothing here remembers anything: tasks are found by group and label in what {@link status} reads.
 */
export class Pueue {
  readonly version: string;
  readonly #program: string;
  readonly #env: Record<string, string>;
  readonly #signal: AbortSignal | undefined;

  private constructor(version: string, program: string, env: Record<string, string>, signal?: AbortSignal) {
    this.version = version;
    this.#program = program;
    this.#env = env;
    this.#signal = signal;
  }

  /** Finds the client and checks its version; the daemon is not asked. */
  static async open({ env, program = 'pueue', signal }: PueueOptions): Promise<Pueue> {
    const taskEnv = taskEnvironment(env);
    const stdout = await call(program, ['--version'], taskEnv, signal);
    const version = /(?<!\d)(\d{1,9})\.\d{1,9}\.\d{1,9}\S*/.exec(stdout);
    if (version === null || Number(version[1]) !== MAJOR) {
      throw new QrunError(
        'PUEUE_UNSUPPORTED',
        `${program} is version ${version?.[0] ?? JSON.stringify(stdout)}; qrun needs version ${MAJOR}`,
        { hint: 'cargo install --locked pueue, then restart pueued' },
      );
    }
    return new Pueue(version[0], program, taskEnv, signal);
  }

  /** Every task and group, from one read. */
  async status(): Promise<PueueState> {
    return parseState(await this.#call('status', '--json'));
  }

  /** The groups alone: cheap, whatever the number of tasks. */
  async groups(): Promise<PueueState['groups']> {
    return parseGroups(await this.#call('group', '--json'));
  }

  /** Makes a group; one that exists stays as it is. */
  async addGroup(name: string, slots: number): Promise<void> {
    try {
      await this.#call('group', 'add', `--parallel=${checkedSlots(slots)}`, '--', name);
    } catch (error) {
      // Somebody else was quicker.
      if ((await this.groups()).has(name)) return;
      throw error;
    }
  }

  /**
   * How many tasks of a group run at a time, at least 1 (pueue takes 0 as no limit). Running ones are never
   * stopped. The daemon saves it with its next change of a task: set it again after its restart.
   */
  async setSlots(group: string, slots: number): Promise<void> {
    await this.#call('parallel', `--group=${group}`, '--', String(checkedSlots(slots)));
  }

  /** Adds a task and gives its id, which is durable in no way: later tasks may get the same one. */
  async add(task: NewTask): Promise<number> {
    const commandBytes = Buffer.byteLength(task.command);
    if (commandBytes > MAX_COMMAND_BYTES) {
      throw new QrunError(
        'PUEUE_FAILED',
        `the command of ${task.label} has ${commandBytes} bytes; ${MAX_COMMAND_BYTES} are the limit`,
        { hint: 'shorten its parameters' },
      );
    }
    const id = await this.#call(
      'add',
      '--print-task-id',
      `--working-directory=${task.directory}`,
      `--group=${task.group}`,
      `--label=${task.label}`,
      ...(task.priority === undefined ? [] : [`--priority=${task.priority}`]),
      ...(task.delay === undefined ? [] : [`--delay=${task.delay}`]),
      '--',
      task.command,
    );
    if (!/^\d+$/.test(id.trim())) throw unexpected(`pueue add answered ${JSON.stringify(id.slice(0, 200))}`);
    return Number(id);
  }

  /** Removes the finished tasks of a group, and their outputs. */
  async clean(group: string): Promise<void> {
    await this.#call('clean', `--group=${group}`);
  }

  /** Starts a paused group and its paused tasks. */
  async start(group: string): Promise<void> {
    await this.#call('start', `--group=${group}`);
  }

  async #call(...args: string[]): Promise<string> {
    return await call(this.#program, args, this.#env, this.#signal);
  }
}

/** The variables of an environment that tasks get. */
export function taskEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const result: Record<string, string> = {};
  for (const name of TASK_ENVIRONMENT) {
    const value = env[name];
    if (value !== undefined) result[name] = value;
  }
  return result;
}

function checkedSlots(slots: number): number {
  if (Number.isInteger(slots) && slots >= 1) return slots;
  throw new Error(`${slots} is no number of slots`);
}

async function call(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const end = await runProgram(program, args, {
    env,
    timeoutMs: LIMIT_MS,
    ...(signal === undefined ? {} : { signal }),
  });
  if (end.ok) return end.stdout;
  throw failure(program, args, end);
}

function failure(program: string, args: readonly string[], end: ProgramEnd): QrunError {
  if (end.startError === 'ENOENT' || end.startError === 'EACCES') {
    return new QrunError('PUEUE_MISSING', `there is no program ${program} in PATH (${end.startError})`, {
      hint: 'cargo install --locked pueue, then start pueued -d; without it: qrun unit DIR, one unit at a time',
    });
  }
  // Its errors are coloured whatever it is told.
  const said = stripVTControlCharacters(end.stderr).trim();
  const words = withoutStack(said) || end.message || 'it said nothing';
  // Every way in which a daemon can be away: never started, its secret missing, its socket refused.
  if (
    /Did you start|Couldn't find a configuration file|[Cc]onnection refused|Failed to (?:connect|initialize)/.test(
      said,
    )
  ) {
    return new QrunError('PUEUE_DOWN', `no pueue daemon answers: ${words}`, {
      hint: 'start it: pueued -d; after that: pueue status (groups may be paused: qrun status names them)',
    });
  }
  if (end.timedOut) {
    return new QrunError('PUEUE_DOWN', `pueue ${args[0]} gave no answer in ${LIMIT_MS / 1000} s`, {
      hint: 'look whether pueued is alive: pueue status',
    });
  }
  return new QrunError('PUEUE_FAILED', `pueue ${args[0]} failed (exit ${end.exitCode}): ${words}`, {
    hint: 'pueue status, and the log of pueued, tell more',
  });
}

// The client reports the place in its own source behind the message, and a backtrace where it is told to.
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
  return new QrunError('PUEUE_UNSUPPORTED', what, { hint: 'qrun knows pueue 4.0; update one of the two' });
}
