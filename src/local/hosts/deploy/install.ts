import {
  lstatSync,
  mkdtempSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { QrunError } from '../../../core/errors.js';
import {
  type InstallOrder,
  type InstallReply,
  type InstallStep,
  type InstallSteps,
  parseInstallOrder,
} from '../../../core/hosts/deploy/install.js';
import {
  type DeployedVersion,
  isVersionName,
  nameInLink,
  PARTIAL,
  removable,
} from '../../../core/hosts/deploy/version-name.js';
import { refusalOf } from '../../../core/hosts/refusal.js';
import { isLive } from '../../../core/queue/queue.js';
import { localEngines } from '../../../io/engines/registry.js';
import { orWriteError } from '../../../io/files/failures.js';
import { syncTree } from '../../../io/files/file-tree.js';
import { lockMechanism } from '../../../io/files/flock.js';
import { namesIn, statOf } from '../../../io/files/paths.js';
import { makeDirectories, syncDirectory, writeFileAtomic } from '../../../io/files/write-file.js';
import { runProgram } from '../../../io/machine/program.js';
import { ownCommand, packageRoot, version } from '../../../io/machine/this-process.js';
import { QUEUE } from '../../../io/queue/queues.js';
import type { Surroundings } from '../../config/sweep-context.js';

type Act<S extends InstallStep> = (
  ask: InstallSteps[S]['asks'],
  surroundings: Surroundings,
) => Promise<InstallSteps[S]['returns']>;

const ACTS: { readonly [S in InstallStep]: Act<S> } = { test, switch: makeCurrent, prune };

/**
 * Does a step of a deployment with this very copy of qrun, on the host that it was brought to, and returns what to print.
 * Errors of qrun are in the reply. Errors: QrunError `USAGE` for a line that is no order.
 */
export async function install(line: string, surroundings: Surroundings): Promise<InstallReply> {
  const order = parseInstallOrder(line);
  if (order === undefined) {
    throw new QrunError('USAGE', 'stdin is no order of qrun hosts deploy', {
      hint: 'qrun hosts deploy gives it on a host; people need not',
    });
  }
  return await act(order, surroundings);
}

async function act<S extends InstallStep>(
  { install: step, ask }: InstallOrder<S>,
  surroundings: Surroundings,
): Promise<InstallReply<S>> {
  try {
    return { install: step, returns: await (ACTS[step] as Act<S>)(ask, surroundings) };
  } catch (error) {
    if (error instanceof QrunError) return { install: step, refusal: refusalOf(error) };
    throw error;
  }
}

// Loading an engine of 540 MB from a disk that has just got it takes some seconds.
const TRIAL_LIMIT_MS = 120_000;

async function test(
  { locks, engine }: InstallSteps['test']['asks'],
  { env }: Surroundings,
): Promise<InstallSteps['test']['returns']> {
  const mechanism = (await lockMechanism()) ?? null;
  if (mechanism !== locks && mechanism !== 'koffi') {
    const says = mechanism === null ? 'no log can be locked there' : 'koffi does not load there';
    throw unfit(`${says}: its native part does not fit that machine`);
  }
  const directory = await orWriteError(tmpdir(), 'free space there', () =>
    mkdtempSync(join(tmpdir(), 'qrun-trial-')),
  );
  try {
    await trial(directory, engine);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const { place } = whereabouts();
  const commands = await liveCommands(env).catch(() => []);
  const link = join(place, 'current', 'bin');
  return { tried: engine ? 'run' : 'plan', byLink: commands.filter(one => one.includes(link)).length };
}

// As a user would: in a directory of its own, through the command line.
async function trial(directory: string, engine: boolean): Promise<void> {
  const unit = join(directory, 'trial');
  await orWriteError(directory, 'free space there', async () => {
    makeDirectories(unit);
    await writeFileAtomic(join(directory, 'qrun.toml'), '');
    await writeFileAtomic(join(unit, 'one.sql'), 'SELECT 1 AS v');
  });
  const [first] = localEngines();
  const trials = engine
    ? [
        ['unit', unit, '--quiet', `--engine=${first?.name}`],
        ['audit', unit, `--engine=${first?.name}`],
      ]
    : [['plan', unit]];
  for (const words of trials) {
    const [program = '', ...own] = ownCommand();
    const end = await runProgram(program, [...own, ...words], { cwd: directory, timeoutMs: TRIAL_LIMIT_MS });
    if (end.ok) continue;
    const [says = ''] = end.stderr.trim().split('\n');
    const how = end.timedOut ? 'did not end' : `ended with ${end.exitCode ?? end.killedBy}`;
    throw unfit(`qrun ${words[0]} ${how} in a trial${says === '' ? '' : `: ${says.slice(0, 300)}`}`);
  }
}

function unfit(says: string): QrunError {
  return new QrunError('HOST_FAILED', says, {
    hint: `let npm bring what fits that machine: npm install --global qrun@${version()} there`,
  });
}

// This copy, the directory of all versions, and the one that holds the link.
function whereabouts(): { readonly own: string; readonly versions: string; readonly place: string } {
  const own = realpathSync(packageRoot());
  const versions = dirname(own);
  if (basename(versions) !== 'versions') {
    throw new QrunError('USAGE', `${own} was not brought by qrun hosts deploy`, {
      hint: 'qrun hosts deploy calls this on a host; people need not',
    });
  }
  return { own, versions, place: dirname(versions) };
}

async function makeCurrent({
  name,
  link,
}: InstallSteps['switch']['asks']): Promise<InstallSteps['switch']['returns']> {
  const { own, versions, place } = whereabouts();
  if (!isVersionName(name)) throw new QrunError('USAGE', `${JSON.stringify(name)} is no name of a version`);
  const path = join(versions, name);
  const current = join(place, 'current');
  const before = linkedIn(current);
  const hint = 'look there at what is in the way; nothing was switched';
  if (link !== null) checkLink(link);
  await orWriteError(path, hint, async () => {
    // A version that is not whole on the disk must not be current after the machine has lost its power.
    await syncTree(own);
    if (own !== path) settle(own, path);
    const now = new Date();
    utimesSync(path, now, now);
    await syncDirectory(versions);
  });
  await orWriteError(current, hint, async () => {
    replaceLink(current, join('versions', name));
    await syncDirectory(place);
  });
  if (link !== null) {
    await orWriteError(join(link, 'qrun'), `make it there: ln -s ${current}/bin/qrun.cjs`, () =>
      replaceLink(join(link, 'qrun'), join(current, 'bin', 'qrun.cjs')),
    );
  }
  removeOldPartials(versions);
  return { before: before ?? null, path };
}

// Another deployment may have brought the same: the names say that their content is the same.
function settle(own: string, path: string): void {
  try {
    renameSync(own, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    rmSync(own, { recursive: true, force: true });
  }
}

// One rename: at every moment the link leads to one version or to the other.
function replaceLink(path: string, target: string): void {
  const beside = `${path}.new-${basename(packageRoot())}`;
  rmSync(beside, { force: true });
  symlinkSync(target, beside);
  renameSync(beside, path);
}

function linkedIn(path: string): string | undefined {
  const stat = statOf(path, lstatSync);
  if (stat === undefined) return undefined;
  const name = stat.isSymbolicLink() ? nameInLink(readlinkSync(path)) : undefined;
  if (name !== undefined) return name;
  throw new QrunError('WRITE_FAILED', `${path} is no link to a version of qrun`, {
    hint: 'look at it there, and move it away',
  });
}

// What a user has put there is not replaced.
function checkLink(directory: string): void {
  const path = join(directory, 'qrun');
  if (statOf(directory)?.isDirectory() !== true) {
    throw new QrunError('WRITE_FAILED', `there is no directory ${directory}`, {
      hint: 'make it there first',
    });
  }
  const stat = statOf(path, lstatSync);
  if (stat === undefined) return;
  if (stat.isSymbolicLink() && readlinkSync(path).endsWith(join('current', 'bin', 'qrun.cjs'))) return;
  throw new QrunError('WRITE_FAILED', `${path} is there already, and is not of qrun hosts deploy`, {
    hint: 'move it away there, or name another directory: --link',
  });
}

const DAY_MS = 24 * 60 * 60 * 1000;

// Of deployments that were given up. One that goes on changes its directory more often.
function removeOldPartials(versions: string): void {
  for (const name of namesIn(versions)) {
    const path = join(versions, name);
    const stat = name.startsWith(PARTIAL) ? statOf(path, lstatSync) : undefined;
    if (stat !== undefined && Date.now() - stat.mtimeMs > DAY_MS)
      rmSync(path, { recursive: true, force: true });
  }
}

async function prune(
  _ask: InstallSteps['prune']['asks'],
  { env }: Surroundings,
): Promise<InstallSteps['prune']['returns']> {
  const { versions, place } = whereabouts();
  const current = linkedIn(join(place, 'current'));
  const lines = [...(await liveCommands(env)), ...(await processes())];
  // A run that was started through the link before it was switched may be of any version.
  const byLink = lines.some(line => line.includes(`${join(place, 'current')}/`));
  const found = namesIn(versions)
    .filter(isVersionName)
    .map((name): DeployedVersion => {
      const path = join(versions, name);
      const users = lines.filter(line => line.includes(`${path}/`)).length;
      return { name, usedMs: statOf(path)?.mtimeMs ?? 0, users: byLink ? users + 1 : users };
    });
  const removed = removable(found, current);
  await orWriteError(versions, 'remove them there', () => {
    for (const name of removed) {
      // First its name, so that nobody finds half of it.
      const away = join(versions, `${PARTIAL}old-${name}`);
      renameSync(join(versions, name), away);
      rmSync(away, { recursive: true, force: true });
    }
  });
  return { removed, kept: found.map(({ name }) => name).filter(name => !removed.includes(name)) };
}

// The commands of the tasks that have not ended. A queue that is not installed has none.
async function liveCommands(env: Surroundings['env']): Promise<string[]> {
  try {
    const { tasks } = await (await QUEUE.open({ env })).state();
    return tasks.filter(isLive).map(({ command }) => command);
  } catch (error) {
    if (error instanceof QrunError && error.code === 'QUEUE_MISSING') return [];
    throw error;
  }
}

const PS_LIMIT_MS = 10_000;

// Of all users; this process names the new version, which stays.
async function processes(): Promise<string[]> {
  const { ok, stdout } = await runProgram('ps', ['-A', '-ww', '-o', 'args='], { timeoutMs: PS_LIMIT_MS });
  if (ok) return stdout.split('\n');
  throw new QrunError('HOST_FAILED', 'ps does not say which versions are in use, so that none was removed', {
    hint: 'install it there: apt-get install procps',
  });
}
