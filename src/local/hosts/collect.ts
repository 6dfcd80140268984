import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { QrunError } from '../../core/errors.js';
import type { Host } from '../../core/hosts/host.js';
import { type HereReport, lastReport } from '../../core/hosts/look.js';
import { checkHint, type HostProblem, sshProblem } from '../../core/hosts/ssh-failure.js';
import {
  TRANSFER_LIMIT_MS,
  TRANSFER_OPTIONS,
  type Transfer,
  transferOf,
  transferProblem,
} from '../../core/hosts/transfer.js';
import { type CollectReport, type FetchedHost, hostProblemOf } from '../../core/sweep/collect.js';
import { pasteableCommand } from '../../core/text/shell.js';
import { orWriteError } from '../../io/files/failures.js';
import { namesIn, statOf } from '../../io/files/paths.js';
import { makeDirectories } from '../../io/files/write-file.js';
import type { HostConnections } from '../../io/hosts/ssh.js';
import { type CollectWatch, importKept } from '../sweep/collect.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { FROM_HOSTS } from '../sweep/host-logs.js';
import type { SweepHosts } from './sweep-hosts.js';

// A host that has been reached, and hangs: a dead network disk, a queue that does not answer.
const LOOK_LIMIT_MS = 30_000;

/**
 * What is copied: logs and the runs of them, and nothing else (no locks, no leases, no reports of an audit). Links are
 * followed: a log may be one. A log that has changed is written anew beside its earlier copy, checked by its checksum,
 * and renamed. So a copy is always the log as it was at one moment there, also where it was repaired and has become
 * shorter: appending to the earlier copy could glue two histories, and a process that dies would leave that.
 */
const FETCH_OPTIONS = [
  ...['-rtL', '--modify-window=-1', '--include=*.ndjson', '--include=*.runs', '--exclude=*'],
  ...TRANSFER_OPTIONS,
];

/**
 * Copies what the hosts have recorded into `results/.from/HOST`, from all of them at once, and imports it, as
 * {@link importKept} does. Of a host that cannot be asked, earlier copies are imported. If `hosts` are all hosts of the
 * sweep, so is what else is in `results/.from`; otherwise their logs alone.
 *
 * `known`: directories of logs that hosts have named already, or why they cannot be asked; they are not asked again.
 *
 * It may be called by any number of processes at once, at any time: nothing at a host is changed, copies are replaced
 * by one rename, and importing again appends nothing.
 *
 * Errors: those of {@link importKept}; QrunError `SSH_MISSING`, also for rsync; the reason of the signal. What is wrong
 * with a host is in the report.
 */
export async function collectFromHosts(
  sweep: ResolvedSweep,
  { hosts, connections }: Pick<SweepHosts, 'hosts' | 'connections'>,
  watch: CollectWatch,
  known: ReadonlyMap<Host, LogsThere> = new Map(),
): Promise<CollectReport> {
  const fetched = await Promise.all(hosts.map(host => fetchLogs(sweep, host, connections, known.get(host))));
  const isAll = hosts.length === sweep.config.hosts.length;
  return await importKept(sweep, { names: hosts.map(({ name }) => name), isAll, fetched }, watch);
}

/** Where the logs of a host are (`isEmpty`: there are none yet), or why it is not known. */
export type LogsThere =
  | { readonly directory: string; readonly isEmpty?: boolean }
  | (HostProblem & { readonly reached: boolean });

/** Copies the logs of one host; see {@link collectFromHosts}. */
async function fetchLogs(
  { logDirectory }: ResolvedSweep,
  host: Host,
  connections: HostConnections,
  known: LogsThere | undefined,
): Promise<FetchedHost> {
  const { name } = host;
  const to = join(logDirectory, FROM_HOSTS, name);
  try {
    await orWriteError(`the copies of the logs of ${name}`, 'choose a writable place with --log-dir', () =>
      makeDirectories(to),
    );
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    const { code, message, hint = '' } = error;
    return failed(name, false, { code, says: message, mend: hint });
  }
  removeRemains(to);
  const found = known ?? (await logsOf(host, connections));
  if ('says' in found) return failed(name, found.reached, found);
  if (found.isEmpty === true) return { name, reached: true, fetched: { files: 0, bytes: 0 }, problem: null };
  const end = await connections.fetch(
    host,
    { options: FETCH_OPTIONS, from: found.directory, to },
    TRANSFER_LIMIT_MS,
  );
  const { files, bytes }: Transfer = transferOf(end.stdout);
  // No unit has run there yet.
  const isMissing = /\[sender\] change_dir .* failed: No such file or directory/.test(end.stderr);
  const problem = isMissing ? undefined : transferProblem(host, end, { to: 'here', into: to });
  return {
    name,
    reached: problem?.code !== 'HOST_UNREACHABLE',
    fetched: { files, bytes },
    problem: problem === undefined ? null : hostProblemOf(problem),
  };
}

// What an rsync that was killed has left: it makes a copy under such a name, and renames it.
const REMAINS = /^\..+\.\w{6}$/;

// Those of a copy that is being made are younger. What counts is not the time of the file, which is that of the log.
function removeRemains(directory: string): void {
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    const changedMs = REMAINS.test(name) ? statOf(path)?.ctimeMs : undefined;
    if (changedMs !== undefined && Date.now() - changedMs > TRANSFER_LIMIT_MS) rmSync(path, { force: true });
  }
}

function failed(name: string, reached: boolean, problem: HostProblem): FetchedHost {
  return { name, reached, fetched: null, problem: hostProblemOf(problem) };
}

// By the command that every version has, because results of another version count too.
async function logsOf(host: Host, connections: HostConnections): Promise<LogsThere> {
  const words = [...host.qrun, 'hosts', 'here', host.root, '--json', '--trust'];
  const end = await connections.run(host, words, LOOK_LIMIT_MS);
  const unreached = sshProblem(host, end);
  if (unreached !== undefined) return { ...unreached, reached: false };
  const report = lastReport(end.stdout);
  if (report === undefined) {
    const [first = ''] = end.stderr.trim().split('\n');
    const missing = end.exitCode === 127 || end.exitCode === 126;
    const command = host.qrun.join(' ');
    const says = missing
      ? `there is no ${command} there`
      : `${command} there cannot say where its logs are${first === '' ? '' : `: ${first.slice(0, 300)}`}`;
    const mend = checkHint(host);
    return { code: 'HOST_FAILED', says, mend, reached: true };
  }
  return directoryIn(host, report);
}

const ABSOLUTE = /^\/[^\p{Cc}]*$/u;

function directoryIn(host: Host, { sweep, problem }: HereReport): LogsThere {
  // Another version, or a host that is up to something, may say anything.
  const directory: unknown = sweep?.log_directory;
  if (typeof directory === 'string' && ABSOLUTE.test(directory)) return { directory };
  const look = pasteableCommand(['ssh', host.ssh, ...host.qrun, 'config', host.root]);
  return {
    code: 'HOST_FAILED',
    says: problem ?? `there is no sweep at ${host.root} there`,
    mend: problem === null ? `qrun hosts push --host ${host.name}` : `look there: ${look}`,
    reached: true,
  };
}
