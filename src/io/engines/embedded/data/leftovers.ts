import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DataNote, dataIdentity } from '../../../../core/engines/data-note.js';
import { diskUsage, isRemains, removeTreeAtOnce } from '../../../files/file-tree.js';
import { whileLocked } from '../../../files/flock.js';
import { namesIn, statOf } from '../../../files/paths.js';
import { readFields } from '../../../files/read-file.js';
import type { Leftover } from '../../../log/leftovers.js';
import { setAsideBeside } from './origin.js';
import { COPIES_SUFFIX, type DataOwner, LOCK_SUFFIX, readNote } from './store.js';

const NO_SETUP = dataIdentity({ chain: [], parameters: {}, settings: {}, engine: '' });
const IDENTITY = /^[0-9a-f]{16}(?=$|\.)/;
// What the engine makes in a data directory, and the note of earlier versions of qrun.
const ENGINE_ENTRIES: ReadonlySet<string> = new Set(
  [
    'access data dictionaries_lib flags format_schemas metadata metadata_dropped named_collections',
    'preprocessed_configs qrun-setup.json status store tmp user_defined user_files user_scripts uuid workload',
  ].flatMap(names => names.split(' ')),
);

type IsCurrent = (note: DataNote | undefined, logs: readonly string[]) => boolean;

/**
 * Returns the data of a {@link DataStore}: one leftover for each identity, with all its copies and what dead processes
 * left of it. `isCurrent` says whether a unit that exists now would use the data. It is called with the note, or
 * `undefined` for data that no setup made, and with the logs of the copies.
 */
export async function findData(directory: string, isCurrent: IsCurrent): Promise<Leftover[]> {
  const identities = new Set(namesIn(directory).flatMap(name => IDENTITY.exec(name)?.[0] ?? []));
  const found: Leftover[] = [];
  for (const identity of [...identities].sort()) {
    found.push(await dataOf(directory, identity, isCurrent));
  }
  return found;
}

async function dataOf(directory: string, identity: string, isCurrent: IsCurrent): Promise<Leftover> {
  const path = join(directory, identity);
  const copies = `${path}${COPIES_SUFFIX}`;
  const owners = lockNamesIn(copies).flatMap(name => readOwner(join(copies, name)) ?? []);
  const note = readNote(path);
  const holder = await whileLocked(locksOf(directory, identity));
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
    sizeBytes: await usageOf(partsOf(directory, identity).map(name => join(directory, name))),
    state: holder !== undefined ? 'in use' : known && isCurrent(note, logs) ? 'current' : 'old',
    ...(holder === undefined ? {} : { holder }),
    remove: () => whileLocked(locksOf(directory, identity), () => removeData(directory, identity)),
  };
}

function partsOf(directory: string, identity: string): string[] {
  return namesIn(directory).filter(name => IDENTITY.exec(name)?.[0] === identity);
}

// The locks of an identity: while all of them are held, nobody builds, copies or works on it.
function locksOf(directory: string, identity: string): string[] {
  const path = join(directory, identity);
  const ofCopies = lockNamesIn(`${path}${COPIES_SUFFIX}`).map(name => join(`${path}${COPIES_SUFFIX}`, name));
  return [`${path}${LOCK_SUFFIX}`, ...ofCopies].filter(isFile);
}

function lockNamesIn(copies: string): string[] {
  return namesIn(copies).filter(name => name.endsWith(LOCK_SUFFIX));
}

// Removes the data first: if this dies midway, the rest is still found, and none of it counts as data.
async function removeData(directory: string, identity: string): Promise<void> {
  const path = join(directory, identity);
  const copies = `${path}${COPIES_SUFFIX}`;
  await removeTreeAtOnce(path);
  for (const name of namesIn(copies).filter(each => !each.endsWith(LOCK_SUFFIX))) {
    if (isRemains(name)) await rm(join(copies, name), { recursive: true, force: true });
    else await removeTreeAtOnce(join(copies, name));
  }
  for (const name of partsOf(directory, identity).filter(isRemains)) {
    await rm(join(directory, name), { recursive: true, force: true });
  }
  // While the locks are held: whoever waits for one sees that its file is gone, and takes a new one.
  for (const name of namesIn(copies)) await rm(join(copies, name), { force: true }).catch(() => {});
  await rmdir(copies).catch(() => {});
  await rm(`${path}${LOCK_SUFFIX}`, { force: true }).catch(() => {});
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
  // The engine locks this file while it has the directory open.
  const locks = () => [join(path, 'status')].filter(isFile);
  const holder = await whileLocked(locks());
  return {
    ...{ kind: 'old data', path, about, sizeBytes: await usageOf(paths) },
    state: holder === undefined ? 'old' : 'in use',
    ...(holder === undefined ? {} : { holder }),
    remove: () =>
      whileLocked(locks(), async () => {
        for (const each of paths) await rm(each, { recursive: true, force: true });
      }),
  };
}

async function usageOf(paths: readonly string[]): Promise<number> {
  const seen = new Set<string>();
  let bytes = 0;
  for (const path of paths) bytes += await diskUsage(path, seen);
  return bytes;
}

function readOwner(path: string): Pick<DataOwner, 'unit' | 'log'> | undefined {
  const { unit, log } = readFields(path, 'state');
  return typeof unit === 'string' && typeof log === 'string' ? { unit, log } : undefined;
}

function isFile(path: string): boolean {
  return statOf(path)?.isFile() === true;
}
