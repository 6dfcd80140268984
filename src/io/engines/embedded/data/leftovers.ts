import { randomBytes } from 'node:crypto';
import { readdirSync, statSync, unlinkSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DataNote, dataIdentity } from '../../../../core/engines/data-note.js';
import { diskUsage, removeTreeAtOnce } from '../../../files/file-tree.js';
import { FileLock, lockHolder } from '../../../files/flock.js';
import { OWN_TO_READ } from '../../../files/own-file.js';
import { readState } from '../../../files/read-file.js';
import type { Leftover } from '../../../log/leftovers.js';
import { setAsideBeside } from './origin.js';
import { COPIES_SUFFIX, type DataOwner, isRemains, LOCK_SUFFIX, readNote } from './store.js';

const NO_SETUP = dataIdentity({ chain: [], parameters: {}, settings: {}, engine: '' });
const IDENTITY = /^[0-9a-f]{16}(?=$|\.)/;
// What the engine makes in a data directory, and the note of earlier versions of qrun.
const ENGINE_ENTRIES: ReadonlySet<string> = new Set(
  [
    'access data dictionaries_lib flags format_schemas metadata metadata_dropped named_collections',
    'preprocessed_configs qrun-setup.json status store tmp user_defined user_files user_scripts uuid workload',
  ].flatMap(names => names.split(' ')),
);

/**
 * Returns the data of a {@link DataStore}: one leftover for each identity, with all its copies and what dead processes
 * left of it. `isCurrent` says whether a unit that exists now would use the data. It is called with the note, or
 * `undefined` for data that no setup made, and with the logs of the copies.
 */
export async function findData(
  directory: string,
  isCurrent: (note: DataNote | undefined, logs: readonly string[]) => boolean,
): Promise<Leftover[]> {
  const identities = new Set(namesIn(directory).flatMap(name => IDENTITY.exec(name)?.[0] ?? []));
  const found: Leftover[] = [];
  for (const identity of [...identities].sort()) {
    found.push(await dataOf(directory, identity, isCurrent));
  }
  return found;
}

async function dataOf(
  directory: string,
  identity: string,
  isCurrent: (note: DataNote | undefined, logs: readonly string[]) => boolean,
): Promise<Leftover> {
  const path = join(directory, identity);
  const copies = `${path}${COPIES_SUFFIX}`;
  const owners = namesIn(copies)
    .filter(name => name.endsWith(LOCK_SUFFIX))
    .flatMap(name => readOwner(join(copies, name)) ?? []);
  const note = readNote(path);
  let sizeBytes = 0;
  const seen = new Set<string>();
  for (const name of partsOf(directory, identity)) sizeBytes += await diskUsage(join(directory, name), seen);
  const holder = await whileLocked(directory, identity, async () => {});
  const units = [...new Set(owners.map(({ unit }) => unit))].sort();
  const made = note?.chain.map(({ file }) => file).join(', ');
  // A setup that was begun but did not end has left no note.
  const files = made ?? (identity === NO_SETUP ? 'no setup' : 'a setup that has not ended');
  const known = note !== undefined || identity === NO_SETUP;
  const logs = owners.map(({ log }) => log);
  return {
    kind: 'data',
    path,
    about: [files, ...(units.length === 0 ? [] : [`for ${units.join(', ')}`])].join(' '),
    sizeBytes,
    state: holder !== undefined ? 'in use' : known && isCurrent(note, logs) ? 'current' : 'old',
    ...(holder === undefined ? {} : { holder }),
    remove: () => whileLocked(directory, identity, () => removeData(directory, identity)),
  };
}

function partsOf(directory: string, identity: string): string[] {
  return namesIn(directory).filter(name => IDENTITY.exec(name)?.[0] === identity);
}

// Runs `work` under all locks of an identity, so that nobody builds, copies or works on it. If somebody does, returns
// who that is instead.
async function whileLocked(
  directory: string,
  identity: string,
  work: () => Promise<void>,
): Promise<string | undefined> {
  const path = join(directory, identity);
  const copies = `${path}${COPIES_SUFFIX}`;
  const paths = [
    `${path}${LOCK_SUFFIX}`,
    ...namesIn(copies)
      .filter(name => name.endsWith(LOCK_SUFFIX))
      .map(name => join(copies, name)),
  ].filter(isFile);
  const locks: FileLock[] = [];
  try {
    for (const lockPath of paths) {
      const lock = await FileLock.open(lockPath);
      locks.push(lock);
      if (!(await lock.tryAcquire())) return lockHolder(lockPath) ?? 'another process';
    }
    await work();
    return undefined;
  } finally {
    for (const lock of locks) lock.close();
  }
}

// Removes the data first: if this dies midway, the rest is still found, and none of it counts as data.
async function removeData(directory: string, identity: string): Promise<void> {
  const path = join(directory, identity);
  const copies = `${path}${COPIES_SUFFIX}`;
  await removeTreeAtOnce(path, random());
  for (const name of namesIn(copies).filter(each => !each.endsWith(LOCK_SUFFIX))) {
    if (isRemains(name)) await rm(join(copies, name), { recursive: true, force: true });
    else await removeTreeAtOnce(join(copies, name), random());
  }
  for (const name of partsOf(directory, identity).filter(isRemains)) {
    await rm(join(directory, name), { recursive: true, force: true });
  }
  // While the locks are held: whoever waits for one sees that its file is gone, and takes a new one.
  for (const name of namesIn(copies)) remove(join(copies, name));
  await rmdir(copies).catch(() => {});
  remove(`${path}${LOCK_SUFFIX}`);
}

/**
 * Returns the data directories from before qrun named data by its content: `.qrun/data` itself, with its files beside
 * the new ones, and one for each unit of a sweep in `.qrun/data-of`. Nothing uses them any more.
 */
export async function findOldData(directory: string, ofUnits: string): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const own = namesIn(directory).filter(name => ENGINE_ENTRIES.has(name));
  if (own.includes('store') || own.includes('metadata')) {
    found.push(
      await oldData(
        directory,
        'of all units, before qrun named data by its setup',
        own.map(name => join(directory, name)),
      ),
    );
  }
  for (const path of setAsideBeside(directory).sort()) {
    found.push(await oldData(path, 'that was not made here, and was set aside', [path]));
  }
  for (const name of namesIn(ofUnits).sort()) {
    const path = join(ofUnits, name);
    found.push(await oldData(path, 'of a unit, before qrun named data by its setup', [path]));
  }
  return found;
}

async function oldData(path: string, about: string, paths: readonly string[]): Promise<Leftover> {
  const seen = new Set<string>();
  let sizeBytes = 0;
  for (const each of paths) sizeBytes += await diskUsage(each, seen);
  const holder = await whileClosed(path, async () => {});
  return {
    ...{ kind: 'old data', path, about, sizeBytes },
    state: holder === undefined ? 'old' : 'in use',
    ...(holder === undefined ? {} : { holder }),
    remove: () =>
      whileClosed(path, async () => {
        for (const each of paths) await rm(each, { recursive: true, force: true });
      }),
  };
}

// The engine locks this file while it has the directory open.
async function whileClosed(path: string, work: () => Promise<void>): Promise<string | undefined> {
  const status = join(path, 'status');
  if (!isFile(status)) {
    await work();
    return undefined;
  }
  const lock = await FileLock.open(status);
  try {
    if (!(await lock.tryAcquire())) return lockHolder(status) ?? 'another process';
    await work();
    return undefined;
  } finally {
    lock.close();
  }
}

function readOwner(path: string): DataOwner | undefined {
  try {
    const owner = JSON.parse(readState(path, 'state', OWN_TO_READ)) as Partial<DataOwner> | null;
    return typeof owner?.unit === 'string' && typeof owner.log === 'string'
      ? (owner as DataOwner)
      : undefined;
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Already gone.
  }
}

function random(): string {
  return randomBytes(6).toString('hex');
}
