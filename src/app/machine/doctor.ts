import { type ExitCode, QrunError } from '../../core/errors.js';
import { LITTLE_SPACE_BYTES, NO_SPACE_BYTES } from '../../core/machine/free-space.js';
import { sweepInLabel } from '../../core/queue/labels.js';
import {
  isLive,
  LARGE_STATE_BYTES,
  type QueueKind,
  type QueueState,
  type TaskQueue,
} from '../../core/queue/queue.js';
import { formatSize } from '../../core/text/bytes.js';
import { pasteableCommand, pasteablePath } from '../../core/text/shell.js';

/** `note`: worth knowing, prevents nothing. `problem`: a sweep cannot run before it is fixed. */
export type FindingState = (typeof FINDING_STATES)[number];

/** All states, best first. */
export const FINDING_STATES = ['ok', 'note', 'problem'] as const;

/** What a sweep needs; the class of a problem decides the exit code. */
export type FindingClass = (typeof FINDING_CLASSES)[number];

/** All classes. */
export const FINDING_CLASSES = ['queue', 'engine', 'log directory', 'configuration'] as const;

/** The result of one check. */
export interface Finding {
  readonly what: string;
  readonly state: FindingState;
  /** One line. */
  readonly says: string;
  /** The command or the change that fixes it, if there is something to fix. */
  readonly mend?: string;
  readonly class: FindingClass;
}

/** What is known about the directory of the logs. */
export interface LogPlace {
  readonly path: string;
  /** Why nothing can be written there. */
  readonly unwritable: string | undefined;
  readonly freeBytes: number | undefined;
  readonly network: boolean;
}

/** What is known about the engine that the configuration names. */
export interface EngineFacts {
  /** Version and place, for people. */
  readonly says: string;
  /** Limits of the server, by name, as strings. */
  readonly limits: Readonly<Record<string, string>>;
  /** What is worth knowing about the connection to it. */
  readonly notices?: readonly string[];
}

/** The checks, each independent of the others; any may fail. `undefined` means that there is no such thing. */
export interface DoctorDeps {
  readonly nodeVersion: string;
  readonly configuration: () => {
    readonly root: string;
    readonly file: string | undefined;
    /** What is worth knowing about where it comes from. */
    readonly notices?: readonly string[];
  };
  /** Files that hold secrets and that other users of the machine can read. */
  readonly openSecrets?: () => readonly string[];
  readonly queueKind: QueueKind;
  readonly queue: () => Promise<Pick<TaskQueue, 'version' | 'state'>>;
  readonly engine: () => Promise<EngineFacts>;
  /** Whether a server is configured, so that the embedded engine is not needed. */
  readonly usesServer: () => boolean;
  readonly chdb: () => Promise<void>;
  /** How locks are taken; `undefined` when there is no way. */
  readonly locks: () => Promise<'koffi' | 'child' | undefined>;
  readonly memoryCaps: () => Promise<string | undefined>;
  readonly mise: () => Promise<string | undefined>;
  readonly logPlace: () => Promise<LogPlace>;
}

/** All findings, in the order in which they are shown, and the resulting exit code. */
export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly exitCode: ExitCode;
}

// Worst first: without a queue nothing of a sweep starts at all.
const CODES: readonly (readonly [FindingClass, ExitCode])[] = [
  ['queue', 26],
  ['engine', 24],
  ['log directory', 23],
  ['configuration', 2],
];

/**
 * Checks everything that a sweep needs; one missing thing does not stop the other checks, and never causes a
 * rejection. The exit code is 0 when nothing prevents a sweep, otherwise that of the worst class: 26 queue, 24
 * engine, 23 log directory, 2 configuration.
 */
export async function diagnose(deps: DoctorDeps): Promise<Diagnosis> {
  const findings: Finding[] = [];
  for (const look of [node, configuration, queue, memoryCaps, engine, chdb, locks, logs, mise]) {
    findings.push(...(await look(deps)));
  }
  const bad = new Set(findings.filter(({ state }) => state === 'problem').map(finding => finding.class));
  return { findings, exitCode: CODES.find(([name]) => bad.has(name))?.[1] ?? 0 };
}

function node({ nodeVersion }: DoctorDeps): Finding[] {
  // The executable refuses older versions before it loads anything.
  return [{ what: 'node', state: 'ok', says: nodeVersion, class: 'configuration' }];
}

function configuration(deps: DoctorDeps): Finding[] {
  const about = { what: 'configuration', class: 'configuration' } as const;
  try {
    const { root, file, notices = [] } = deps.configuration();
    const says = file ?? `no qrun.toml; the sweep root is ${root}`;
    return [
      { ...about, state: 'ok', says },
      ...notices.map(notice => ({ ...about, state: 'note' as const, says: notice })),
      ...(deps.openSecrets?.() ?? []).map(path => ({
        ...about,
        what: 'secrets',
        state: 'note' as const,
        says: `every user of this machine can read ${path}`,
        mend: `chmod o-r ${pasteablePath(path, true)}`,
      })),
    ];
  } catch (error) {
    return [{ ...about, state: 'problem', ...wordsOf(error) }];
  }
}

async function queue(deps: DoctorDeps): Promise<Finding[]> {
  const { name, server } = deps.queueKind;
  const about = { class: 'queue' } as const;
  let opened: Awaited<ReturnType<DoctorDeps['queue']>>;
  try {
    opened = await deps.queue();
  } catch (error) {
    return [{ ...about, what: name, state: 'problem', ...wordsOf(error) }];
  }
  const found: Finding[] = [{ ...about, what: name, state: 'ok', says: opened.version }];
  try {
    const state = await opened.state();
    const live = state.tasks.filter(isLive).length;
    const says = `answers; ${live} tasks to run or running, ${state.tasks.length - live} finished`;
    found.push(
      { ...about, what: server, state: 'ok', says },
      ...pausedGroups(state, deps.queueKind),
      ...stateSize(state, deps.queueKind),
    );
  } catch (error) {
    found.push({ ...about, what: server, state: 'problem', ...wordsOf(error) });
  }
  return found;
}

function pausedGroups({ groups, tasks }: QueueState, { commands: { startGroup } }: QueueKind): Finding[] {
  const ours = new Set(tasks.flatMap(task => (sweepInLabel(task.label) === undefined ? [] : [task.group])));
  return [...groups.values()]
    .filter(({ name, paused }) => paused && (ours.has(name) || name.startsWith('qrun-')))
    .map(({ name }) => ({
      what: 'group',
      state: 'problem',
      says: `${name} is paused: nothing in it starts`,
      ...(startGroup === undefined ? {} : { mend: pasteableCommand(startGroup(name), true) }),
      class: 'queue',
    }));
}

function stateSize({ stateBytes, tasks }: QueueState, { name, commands: { clean } }: QueueKind): Finding[] {
  if (stateBytes === undefined) return [];
  const size = `${(stateBytes / 1e6).toFixed(2)} MB in ${tasks.length} tasks`;
  const about = { what: `${name} state`, class: 'queue' } as const;
  if (stateBytes < LARGE_STATE_BYTES) return [{ ...about, state: 'ok', says: size }];
  const says = `${size}: written whole with each change, so that ${name} becomes slow`;
  const finished = new Set(tasks.filter(task => !isLive(task)).map(task => task.group));
  const ours = [...finished].find(group => group.startsWith('qrun-'));
  const mend =
    clean && `${pasteableCommand(clean(ours), true)}${ours === undefined ? ' (removes finished tasks)' : ''}`;
  return [{ ...about, state: 'note', says, ...(mend === undefined ? {} : { mend }) }];
}

async function memoryCaps(deps: DoctorDeps): Promise<Finding[]> {
  const reason = await deps.memoryCaps();
  const about = { what: 'memory caps', class: 'configuration' } as const;
  if (reason === undefined) return [{ ...about, state: 'ok', says: 'systemd-run --user --scope works' }];
  return [
    {
      ...about,
      state: 'note',
      says: `--memory-max has no effect here: ${reason}`,
      mend: 'log in as a user of systemd (loginctl enable-linger), on Linux',
    },
  ];
}

async function engine(deps: DoctorDeps): Promise<Finding[]> {
  const about = { what: 'engine', class: 'engine' } as const;
  try {
    const { says, limits, notices = [] } = await deps.engine();
    const shown = Object.entries(limits).map(([name, value]) => `${name}=${value}`);
    const found: Finding[] = [{ ...about, state: 'ok', says }];
    if (shown.length > 0) {
      found.push({ what: 'limits', state: 'ok', says: shown.join(', '), class: 'engine' });
    }
    found.push(...notices.map(notice => ({ ...about, state: 'note' as const, says: notice })));
    return found;
  } catch (error) {
    const isConfiguration = error instanceof QrunError && error.exitCode === 2;
    // What makes the whole configuration unusable already has its own line.
    if (isConfiguration && isUnusable(deps)) return [];
    const kind = isConfiguration ? 'configuration' : about.class;
    return [{ ...about, class: kind, state: 'problem', ...wordsOf(error) }];
  }
}

function isUnusable({ configuration: read }: DoctorDeps): boolean {
  try {
    read();
    return false;
  } catch {
    return true;
  }
}

async function chdb(deps: DoctorDeps): Promise<Finding[]> {
  const about = { what: 'chdb', class: 'engine' } as const;
  try {
    await deps.chdb();
    return [{ ...about, state: 'ok', says: 'the embedded engine loads' }];
  } catch (error) {
    const { says } = wordsOf(error);
    return [
      {
        ...about,
        // The engine's own line reports the problem, if it is one.
        state: 'note',
        says: deps.usesServer() ? `${says}; not needed with a server` : says,
        ...(deps.usesServer() ? {} : { mend: 'npm install chdb, or name a server with --url' }),
      },
    ];
  }
}

async function locks(deps: DoctorDeps): Promise<Finding[]> {
  const about = { what: 'locks', class: 'log directory' } as const;
  const mechanism = await deps.locks();
  if (mechanism === 'koffi') return [{ ...about, state: 'ok', says: 'flock(2) through koffi' }];
  if (mechanism === 'child') {
    const says = 'koffi does not load; each lock starts the flock program, which is slow but safe';
    return [{ ...about, state: 'note', says, mend: 'npm install koffi' }];
  }
  const says = 'neither koffi nor the flock program is available: no log can be locked';
  return [{ ...about, state: 'problem', says, mend: 'npm install koffi, or install util-linux' }];
}

async function logs(deps: DoctorDeps): Promise<Finding[]> {
  const about = { what: 'logs', class: 'log directory' } as const;
  let place: LogPlace;
  try {
    place = await deps.logPlace();
  } catch (error) {
    if (error instanceof QrunError && error.exitCode === 2) return [];
    return [{ ...about, state: 'problem', ...wordsOf(error) }];
  }
  const { path, unwritable, freeBytes, network } = place;
  if (unwritable !== undefined) {
    const says = `nothing can be written in ${path}: ${unwritable}`;
    return [{ ...about, state: 'problem', says, mend: 'make it writable, or choose another with --log-dir' }];
  }
  const found: Finding[] = [{ ...about, state: 'ok', says: path }];
  if (freeBytes !== undefined) {
    const free = `${formatSize(freeBytes)} free`;
    const state = freeBytes < NO_SPACE_BYTES ? 'problem' : freeBytes < LITTLE_SPACE_BYTES ? 'note' : 'ok';
    const mend = state === 'ok' ? {} : { mend: 'free space, or choose another place with --log-dir' };
    found.push({ ...about, what: 'disk', state, says: free, ...mend });
  }
  if (network) {
    const says = 'a network file system: each append opens, syncs and closes the log, which is safe and slow';
    found.push({ ...about, what: 'disk', state: 'note', says, mend: 'a local directory with --log-dir' });
  }
  return found;
}

async function mise(deps: DoctorDeps): Promise<Finding[]> {
  const version = await deps.mise();
  const about = { what: 'mise', class: 'configuration' } as const;
  if (version !== undefined) return [{ ...about, state: 'ok', says: version }];
  const says = 'not installed; needed only for the tasks of mise.toml';
  return [{ ...about, state: 'note', says, mend: 'https://mise.jdx.dev, or call qrun itself' }];
}

function wordsOf(error: unknown): { says: string; mend?: string } {
  // Anything else is a bug, and is shown as one.
  if (!(error instanceof QrunError)) throw error;
  const says = [error.message, ...error.details].join('; ');
  return error.hint === undefined ? { says } : { says, mend: error.hint };
}
