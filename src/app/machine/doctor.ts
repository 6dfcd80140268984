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
import { type HostsFacts, hostFindings, missingProgram } from './doctor-hosts.js';
import { type LackingTable, type ServerFacts, serverFinding, unevenFindings } from './doctor-servers.js';
import { about, type Finding, type FindingClass, wordsOf } from './finding.js';

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
  /** Each server, if there are several. */
  readonly servers?: readonly ServerFacts[];
  /** Tables that some of the servers have and others lack. */
  readonly uneven?: readonly LackingTable[];
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
  /** `undefined`: the sweep runs on this machine. */
  readonly hosts?: () => Promise<HostsFacts | undefined>;
}

/** All findings, in the order in which they are shown, and the resulting exit code. */
export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly exitCode: ExitCode;
}

// Worst first: without a queue nothing of a sweep starts at all.
const CODES: readonly (readonly [FindingClass, ExitCode])[] = [
  ['queue', 26],
  ['host', 26],
  ['engine', 24],
  ['log directory', 23],
  ['configuration', 2],
];

/**
 * Checks everything that a sweep needs; one missing thing does not stop the other checks, and never causes a
 * rejection. The exit code is 0 when nothing prevents a sweep, otherwise that of the worst class: 26 queue or host, 24
 * engine, 23 log directory, 2 configuration.
 */
export async function diagnose(deps: DoctorDeps): Promise<Diagnosis> {
  const findings: Finding[] = [];
  const onHosts = await hosts(deps);
  for (const look of [node, configuration, queue, memoryCaps, engine, chdb, locks, logs, mise]) {
    const found = await look(deps);
    findings.push(...(look === queue && onHosts.length > 0 ? found.map(notNeededHere) : found));
  }
  findings.push(...onHosts);
  const bad = new Set(findings.filter(({ state }) => state === 'problem').map(finding => finding.class));
  return { findings, exitCode: CODES.find(([name]) => bad.has(name))?.[1] ?? 0 };
}

function node({ nodeVersion }: DoctorDeps): Finding[] {
  // The executable refuses older versions before it loads anything.
  return [about('node', 'configuration').ok(nodeVersion)];
}

function configuration(deps: DoctorDeps): Finding[] {
  const { ok, note, failed } = about('configuration', 'configuration');
  const secrets = about('secrets', 'configuration');
  try {
    const { root, file, notices = [] } = deps.configuration();
    return [
      ok(file ?? `no qrun.toml; the sweep root is ${root}`),
      ...notices.map(notice => note(notice)),
      ...(deps.openSecrets?.() ?? []).map(path =>
        secrets.note(`every user of this machine can read ${path}`, `chmod o-r ${pasteablePath(path, true)}`),
      ),
    ];
  } catch (error) {
    return [failed(error)];
  }
}

async function queue(deps: DoctorDeps): Promise<Finding[]> {
  const client = about(deps.queueKind.name, 'queue');
  const server = about(deps.queueKind.server, 'queue');
  let opened: Awaited<ReturnType<DoctorDeps['queue']>>;
  try {
    opened = await deps.queue();
  } catch (error) {
    return [client.failed(error)];
  }
  try {
    const state = await opened.state();
    const live = state.tasks.filter(isLive).length;
    return [
      client.ok(opened.version),
      server.ok(`answers; ${live} tasks to run or running, ${state.tasks.length - live} finished`),
      ...pausedGroups(state, deps.queueKind),
      ...stateSize(state, deps.queueKind),
    ];
  } catch (error) {
    return [client.ok(opened.version), server.failed(error)];
  }
}

// A sweep on hosts is given to their queues.
function notNeededHere(finding: Finding): Finding {
  if (finding.state !== 'problem') return finding;
  return { ...finding, state: 'note', says: `${finding.says}; needed here only with --here` };
}

function pausedGroups({ groups, tasks }: QueueState, { commands: { startGroup } }: QueueKind): Finding[] {
  const { problem } = about('group', 'queue');
  const ours = new Set(tasks.flatMap(task => (sweepInLabel(task.label) === undefined ? [] : [task.group])));
  return [...groups.values()]
    .filter(({ name, paused }) => paused && (ours.has(name) || name.startsWith('qrun-')))
    .map(({ name }) =>
      problem(
        `${name} is paused: nothing in it starts`,
        startGroup && pasteableCommand(startGroup(name), true),
      ),
    );
}

function stateSize({ stateBytes, tasks }: QueueState, { name, commands: { clean } }: QueueKind): Finding[] {
  if (stateBytes === undefined) return [];
  const size = `${(stateBytes / 1e6).toFixed(2)} MB in ${tasks.length} tasks`;
  const { ok, note } = about(`${name} state`, 'queue');
  if (stateBytes < LARGE_STATE_BYTES) return [ok(size)];
  const finished = new Set(tasks.filter(task => !isLive(task)).map(task => task.group));
  const ours = [...finished].find(group => group.startsWith('qrun-'));
  const mend =
    clean && `${pasteableCommand(clean(ours), true)}${ours === undefined ? ' (removes finished tasks)' : ''}`;
  return [note(`${size}: written whole with each change, so that ${name} becomes slow`, mend)];
}

async function memoryCaps(deps: DoctorDeps): Promise<Finding[]> {
  const reason = await deps.memoryCaps();
  const { ok, note } = about('memory caps', 'configuration');
  if (reason === undefined) return [ok('systemd-run --user --scope works')];
  const mend = 'log in as a user of systemd (loginctl enable-linger), on Linux';
  return [note(`--memory-max has no effect here: ${reason}`, mend)];
}

async function engine(deps: DoctorDeps): Promise<Finding[]> {
  const { ok, note, failed } = about('engine', 'engine');
  try {
    const { says, limits, notices = [], servers = [], uneven = [] } = await deps.engine();
    const shown = Object.entries(limits).map(([name, value]) => `${name}=${value}`);
    return [
      ok(says),
      ...servers.map(serverFinding),
      ...unevenFindings(uneven),
      ...(shown.length === 0 ? [] : [about('limits', 'engine').ok(shown.join(', '))]),
      ...notices.map(notice => note(notice)),
    ];
  } catch (error) {
    if (!isConfiguration(error)) return [failed(error)];
    // What makes the whole configuration unusable already has its own line.
    return isUnusable(deps) ? [] : [about('engine', 'configuration').failed(error)];
  }
}

async function hosts(deps: DoctorDeps): Promise<Finding[]> {
  try {
    const found = await deps.hosts?.();
    if (found === undefined) return [];
    const missing = Object.entries(found.programs).flatMap(([name, version]) =>
      version === undefined ? [missingProgram(name)] : [],
    );
    if (missing.length > 0) return missing;
    const { hosts: checks } = await found.check();
    return checks.flatMap(hostFindings);
  } catch (error) {
    // What makes the whole configuration unusable already has its own line.
    return isUnusable(deps) ? [] : [about('hosts', 'configuration').failed(error)];
  }
}

function isConfiguration(error: unknown): boolean {
  return error instanceof QrunError && error.exitCode === 2;
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
  const { ok, note } = about('chdb', 'engine');
  try {
    await deps.chdb();
    return [ok('the embedded engine loads')];
  } catch (error) {
    const [says] = wordsOf(error);
    // The engine's own line reports the problem, if it is one.
    if (deps.usesServer()) return [note(`${says}; not needed with a server`)];
    return [note(says, 'npm install chdb, or name a server with --url')];
  }
}

async function locks(deps: DoctorDeps): Promise<Finding[]> {
  const { ok, note, problem } = about('locks', 'log directory');
  const mechanism = await deps.locks();
  if (mechanism === 'koffi') return [ok('flock(2) through koffi')];
  if (mechanism === 'child') {
    const says = 'koffi does not load; each lock starts the flock program, which is slow but safe';
    return [note(says, 'npm install koffi')];
  }
  const says = 'neither koffi nor the flock program is available: no log can be locked';
  return [problem(says, 'npm install koffi, or install util-linux')];
}

async function logs(deps: DoctorDeps): Promise<Finding[]> {
  const { ok, problem, failed } = about('logs', 'log directory');
  const disk = about('disk', 'log directory');
  let place: LogPlace;
  try {
    place = await deps.logPlace();
  } catch (error) {
    return isConfiguration(error) ? [] : [failed(error)];
  }
  const { path, unwritable, freeBytes, network } = place;
  if (unwritable !== undefined) {
    const says = `nothing can be written in ${path}: ${unwritable}`;
    return [problem(says, 'make it writable, or choose another with --log-dir')];
  }
  const found = [ok(path)];
  if (freeBytes !== undefined) {
    const free = `${formatSize(freeBytes)} free`;
    const mend = 'free space, or choose another place with --log-dir';
    if (freeBytes < NO_SPACE_BYTES) found.push(disk.problem(free, mend));
    else found.push(freeBytes < LITTLE_SPACE_BYTES ? disk.note(free, mend) : disk.ok(free));
  }
  if (network) {
    const says = 'a network file system: each append opens, syncs and closes the log, which is safe and slow';
    found.push(disk.note(says, 'a local directory with --log-dir'));
  }
  return found;
}

async function mise(deps: DoctorDeps): Promise<Finding[]> {
  const version = await deps.mise();
  const { ok, note } = about('mise', 'configuration');
  if (version !== undefined) return [ok(version)];
  const says = 'not installed; needed only for the tasks of mise.toml';
  return [note(says, 'https://mise.jdx.dev, or call qrun itself')];
}
