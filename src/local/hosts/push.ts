import { mkdtempSync, rmSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import type { HostFinding } from '../../core/hosts/check.js';
import type { Host } from '../../core/hosts/host.js';
import type { HereReport, HostLook } from '../../core/hosts/look.js';
import {
  ancestorsOf,
  type BusyUnit,
  busyDirectories,
  busyUnits,
  CHANGE_FORMAT,
  changesIn,
  goneDirectories,
  isOtherSweep,
  type PushedHost,
  type PushReport,
  pushExit,
  pushRules,
} from '../../core/hosts/push.js';
import { checkHint, type HostProblem, sshProblem } from '../../core/hosts/ssh-failure.js';
import {
  TRANSFER_LIMIT_MS,
  TRANSFER_OPTIONS,
  type Transfer,
  transferOf,
  transferProblem,
} from '../../core/hosts/transfer.js';
import { hostProblemOf } from '../../core/sweep/collect.js';
import { pasteableCommand } from '../../core/text/shell.js';
import { isBeneath, statOf } from '../../io/files/paths.js';
import { makeDirectories } from '../../io/files/write-file.js';
import type { HostConnections } from '../../io/hosts/ssh.js';
import { type SentFiles, sentFiles } from '../../io/unit/sent-files.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { type HostLooked, lookAtHost } from './check.js';
import type { SweepHosts } from './sweep-hosts.js';

/** How a sweep is sent. */
export interface PushOptions {
  /** Nothing is changed; what would be is in the report. */
  readonly dryRun?: boolean | undefined;
  /** Files are compared by what is in them, and not by size and time alone. */
  readonly checksum?: boolean | undefined;
}

// A network disk there may be dead.
const MAKE_LIMIT_MS = 30_000;

/** What is sent, the same to all hosts. */
interface Parcel {
  readonly sweep: ResolvedSweep;
  /** Directories of units, with the units in each. */
  readonly directories: ReadonlyMap<string, readonly string[]>;
  readonly start: string;
  readonly kept: readonly string[];
  readonly files: SentFiles;
}

/**
 * Sends the SQL of a sweep and its qrun.toml to hosts, to all of them at once: what is in the directories of its units
 * here is there afterwards, and nothing else there is touched. Each host is looked at right before: a unit that is
 * queued or running there is left out, because its files must not change under it. A host that cannot be used stops
 * nobody but itself.
 *
 * Each file is replaced by one rename. Broken off at any moment, a push leaves old and new files side by side, of which
 * the import tells the results apart by their fingerprints; the next push does the rest. A root that is the one here,
 * on this machine or on a shared disk, has everything already.
 *
 * Errors: QrunError `UNIT_UNREADABLE`, `SSH_MISSING` (also for rsync); the reason of the signal. What is wrong with a
 * host is in the report.
 */
export async function pushSweep(
  sweep: ResolvedSweep,
  { hosts, connections }: Pick<SweepHosts, 'hosts' | 'connections'>,
  options: PushOptions = {},
): Promise<PushReport> {
  const mark = markIn(sweep.root);
  // The hosts look through their trees while this one looks through its own. Each is sent to as soon as it has answered.
  const looks = hosts.map(host => ({ host, look: lookAtHost(host, connections, mark?.name) }));
  const looked = Promise.allSettled(looks.map(({ look }) => look)).then(() => mark?.remove());
  try {
    const parcel = pack(sweep);
    const pushed = await Promise.all(
      looks.map(async ({ host, look }) => await pushTo(host, await look, connections, parcel, options)),
    );
    return {
      sweep: sweep.name,
      root: sweep.root,
      dry_run: options.dryRun === true,
      units: sweep.units.length,
      refused_links: [...parcel.files.refused],
      hosts: pushed,
      exit_code: pushExit(pushed),
    };
  } finally {
    await looked;
  }
}

// A root that is the one here must not be sent to itself: links would be replaced by what they lead to. Nothing but
// something that was just made here tells that, because a disk may be shared, and machines may be copies of another.
function markIn(root: string): { readonly name: string; readonly remove: () => void } | undefined {
  try {
    makeDirectories(join(root, '.qrun'));
    const path = mkdtempSync(join(root, '.qrun', 'push-'));
    return { name: relative(root, path), remove: () => rmSync(path, { recursive: true, force: true }) };
  } catch {
    // Nobody can write here, so that nothing can be sent to here either.
    return undefined;
  }
}

function pack(sweep: ResolvedSweep): Parcel {
  const { root, start, units, logDirectory, dataDirectory, secretFiles } = sweep;
  const pathOf = (path: string): string => relative(root, path).split(sep).join('/');
  const directories = new Map<string, string[]>();
  for (const { unit, directory } of units) {
    const path = pathOf(directory);
    directories.set(path, [...(directories.get(path) ?? []), unit]);
  }
  const all = [...directories.keys()];
  const places = [logDirectory, dataDirectory, join(root, '.qrun'), join(root, '.env'), ...secretFiles];
  const kept = places.filter(
    path => path !== root && isBeneath(path, root) && !all.some(unit => isBeneath(join(root, unit), path)),
  );
  const above = [...new Set(all.flatMap(ancestorsOf))];
  return {
    sweep,
    directories,
    start: pathOf(start),
    kept: kept.map(pathOf),
    files: sentFiles({ root, units: all, above, tree: sweep.linksWithin, kept }),
  };
}

async function pushTo(
  host: Host,
  looked: HostLooked,
  connections: HostConnections,
  parcel: Parcel,
  options: PushOptions,
): Promise<PushedHost> {
  const problem = refusal(host, looked, parcel);
  if (problem !== undefined) return nothingSent(host, problem, 'check' in looked);
  const { look } = looked as { look: Pick<HostLook, 'root' | 'isSame'> & { qrun: { here: HereReport } } };
  const { here } = look.qrun;
  const units = new Set(parcel.directories.keys());
  if (look.isSame)
    return { ...nothingSent(host, undefined, true), units: unitsIn([...units], parcel).length };
  const gone = goneDirectories(here, units, parcel.start);
  const busy = busyDirectories([...units, ...gone], busyUnits(here, parcel.sweep.name));
  if (look.root === 'none' && options.dryRun !== true) {
    const made = await connections.run(host, ['mkdir', '-p', host.root], MAKE_LIMIT_MS);
    const unreached = sshProblem(host, made);
    if (unreached !== undefined) return nothingSent(host, unreached, false);
    if (!made.ok) {
      const says = `${host.root} cannot be made there: ${made.stderr.trim().slice(0, 300)}`;
      return nothingSent(host, { code: 'WRITE_FAILED', says, mend: elsewhere() }, true);
    }
  }
  const free = [...units].filter(path => !busy.has(path));
  const rules = pushRules({
    units: free,
    gone: gone.filter(path => !busy.has(path)),
    kept: parcel.kept,
    hidden: parcel.files.hidden,
  });
  // Broken off in between, there are no texts that would be recorded by setup files of another time.
  const first =
    options.checksum === true
      ? NOTHING
      : await send(
          host,
          connections,
          parcel,
          { ...options, checksum: true },
          ['--files-from=-'],
          decidingFiles(free, parcel),
        );
  const rest =
    first.problem === undefined
      ? await send(host, connections, parcel, options, ['--delete', '--filter=merge -'], rules)
      : NOTHING;
  const failure = first.problem ?? rest.problem;
  // Where nothing is changed, both would send what decides.
  const changes = options.dryRun === true ? [...new Set([...first.changes, ...rest.changes])] : [];
  const files =
    options.dryRun === true
      ? changes.filter(change => change.startsWith('send ')).length
      : first.files + rest.files;
  return {
    ...nothingSent(host, failure, failure?.code !== 'HOST_UNREACHABLE'),
    units: failure === undefined ? unitsIn(free, parcel).length : 0,
    sent: { files, bytes: first.bytes + rest.bytes },
    removed: rest.deleted,
    changes,
    left_out: leftOut(busy, parcel),
  };
}

// A text of SQL that slips through is told apart by its fingerprint. What a setup file has made is in no fingerprint, and
// qrun.toml decides what is one: both are compared by what is in them. They are few.
function decidingFiles(units: readonly string[], { sweep: { root }, files }: Parcel): string {
  const hidden = new Set(files.hidden);
  const setups = new Set([...units, ...units.flatMap(ancestorsOf)].map(path => join(path, '_setup.sql')));
  const found = [...setups].filter(path => !hidden.has(path) && statOf(join(root, path)) !== undefined);
  return ['qrun.toml', ...found].map(path => `${path}\0`).join('');
}

interface Sending extends Transfer {
  readonly problem: HostProblem | undefined;
  readonly changes: readonly string[];
}

const NOTHING: Sending = { files: 0, bytes: 0, deleted: 0, problem: undefined, changes: [] };

async function send(
  host: Host,
  connections: HostConnections,
  { sweep: { root: cwd }, files }: Parcel,
  options: PushOptions,
  which: readonly string[],
  input: string,
): Promise<Sending> {
  const end = await connections.send(
    host,
    { cwd, options: [...sendOptions(files, options), ...which], paths: ['./'], to: host.root, input },
    TRANSFER_LIMIT_MS,
  );
  const problem = transferProblem(host, end, { to: 'there', into: host.root });
  return { ...transferOf(end.stdout), problem, changes: changesIn(end.stdout) };
}

/**
 * Only `*.sql` files and qrun.toml pass the rules. Times are sent and compared to the nanosecond, so that a file that is
 * changed twice within a second counts as changed. A new file has the rights that it has here, less the umask there. A
 * link there that stands for a directory stays.
 */
function sendOptions({ followsLinks }: SentFiles, { dryRun, checksum }: PushOptions): string[] {
  return [
    ...['-rtO', '--from0', '--keep-dirlinks', '--modify-window=-1'],
    ...(followsLinks ? ['--copy-links'] : []),
    ...(checksum === true ? ['--checksum'] : []),
    ...(dryRun === true ? ['--dry-run', CHANGE_FORMAT] : []),
    ...TRANSFER_OPTIONS,
  ];
}

// What a push needs of a host; the rest of what a check finds prevents only that units run.
const NEEDED = ['ssh', 'qrun', 'rsync', 'root', 'disk'];

function refusal(host: Host, looked: HostLooked, { sweep, directories }: Parcel): HostProblem | undefined {
  if ('unreached' in looked) return looked.unreached;
  const { check, look } = looked;
  const found = check.findings.find(({ what, state }) => state === 'problem' && NEEDED.includes(what));
  if (found !== undefined) return problemOf(host, found, check.qrun);
  if (look === undefined || !('here' in look.qrun)) {
    const mend = checkHint(host);
    return { code: 'HOST_FAILED', says: 'it does not say what it has', mend };
  }
  const { here } = look.qrun;
  // Without its client there is nothing in the queue.
  if (here.queue.problem !== null && look.root === 'sweep' && look.queue !== '') {
    const says = `what is queued there is not known: ${here.queue.problem}`;
    const mend = here.queue.mend ?? pasteableCommand(['ssh', host.ssh, here.queue.name, 'status']);
    return { code: 'QUEUE_FAILED', says, mend: `there: ${mend}` };
  }
  if (isOtherSweep(here, sweep.name, new Set(directories.keys()))) {
    const says = `${host.root} there is the root of another sweep, ${here.sweep?.name}, which has no unit of this one`;
    return { code: 'WRITE_FAILED', says, mend: elsewhere() };
  }
  return undefined;
}

function problemOf(
  host: Host,
  { what, says, mend, exit_code }: HostFinding,
  its: string | null,
): HostProblem {
  const code = exit_code === 23 ? 'WRITE_FAILED' : 'HOST_FAILED';
  return {
    code,
    says,
    mend: what === 'qrun' && its !== null ? `qrun hosts deploy --host ${host.name}` : mend,
  };
}

function elsewhere(): string {
  return 'name another root = "..." of this host in qrun.toml';
}

function unitsIn(paths: readonly string[], { directories }: Parcel): string[] {
  return paths.flatMap(path => directories.get(path) ?? []);
}

function leftOut(busy: ReadonlyMap<string, BusyUnit>, parcel: Parcel): PushedHost['left_out'] {
  return [...busy].flatMap(([path, { state, holder, unit }]) => {
    const units = parcel.directories.get(path);
    return (units ?? [unit]).map(one => ({ unit: one, state, holder }));
  });
}

function nothingSent(host: Host, problem: HostProblem | undefined, reached: boolean): PushedHost {
  const { name, ssh, root } = host;
  return {
    ...{ name, ssh, root, reached },
    units: 0,
    sent: { files: 0, bytes: 0 },
    removed: 0,
    changes: [],
    left_out: [],
    problem: problem === undefined ? null : hostProblemOf(problem),
  };
}
