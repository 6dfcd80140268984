import { randomBytes } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import { copyFile, link, lstat, mkdir, open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isMissing } from './failures.js';
import { namesIn } from './paths.js';
import { syncDirectory } from './write-file.js';

// Each call occupies a libuv thread; a process with the embedded engine has 16 or more.
const AT_ONCE = 8;

/**
 * Makes everything below a directory durable: each file, and the entries of each directory.
 *
 * Cost: 3 to 15 ms for 26 files. Rejects with the error of the system call that failed; the directory must then not be
 * relied on.
 */
export async function syncTree(directory: string): Promise<void> {
  const files: string[] = [];
  const directories: string[] = [];
  const visit = async (path: string): Promise<void> => {
    directories.push(path);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await visit(join(path, entry.name));
      else if (entry.isFile()) files.push(join(path, entry.name));
    }
  };
  await visit(directory);
  const works = [
    ...files.map(path => () => syncFile(path)),
    ...directories.map(path => () => syncDirectory(path)),
  ];
  const lane = async (): Promise<void> => {
    for (let work = works.pop(); work !== undefined; work = works.pop()) await work();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

// Files of a MergeTree part that hold its columns, marks and index. ClickHouse never writes to them again, and itself
// links them when it copies parts (FREEZE, mutations). It does replace the small text files beside them.
const PART_DATA = /\.(?:bin|c?mrk\d?|c?idx)$/;
const PART_MARK = 'checksums.txt';

/**
 * Copies a data directory, which no engine may have open, to a path that does not exist. Large files that are never
 * written to again are linked, so that a copy takes hardly any space; they are copied if the file system has no links,
 * or allows no more of them. The copy is not durable before {@link syncTree}.
 *
 * Cost: 2 ms for 26 files. Rejects with the error of the system call that failed; part of the copy may then exist.
 */
export async function copyDataTree(from: string, to: string): Promise<void> {
  await mkdir(to);
  const entries = await readdir(from, { withFileTypes: true });
  const isPart = entries.some(({ name }) => name === PART_MARK);
  // One after the other: the calls are short, and a setup may create 100,000 files.
  for (const entry of entries) await copyEntry(entry, join(from, entry.name), join(to, entry.name), isPart);
}

async function copyEntry(entry: Dirent, from: string, to: string, isPart: boolean): Promise<void> {
  if (entry.isDirectory()) return await copyDataTree(from, to);
  if (entry.isSymbolicLink()) return await symlink(await readlink(from), to);
  // Sockets and pipes are not data.
  if (!entry.isFile()) return;
  if (isPart && PART_DATA.test(entry.name)) {
    try {
      return await link(from, to);
    } catch {
      // The file system has no links, or the file already has as many as it can have.
    }
  }
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
}

// What follows the name of something that is being made or removed, before something random.
const NEW_SUFFIX = '.new-';
const OLD_SUFFIX = '.old-';

/** Returns a unique name for something that is being made and then renamed to `path`. */
export function newNameOf(path: string): string {
  return `${path}${NEW_SUFFIX}${randomBytes(6).toString('hex')}`;
}

/** Whether this is the name of something that is being made or removed. */
export function isRemains(name: string): boolean {
  return name.includes(NEW_SUFFIX) || name.includes(OLD_SUFFIX);
}

/**
 * Removes a directory in such a way that nobody ever finds half of it under its name: it is renamed first. Does nothing
 * if it does not exist.
 */
export async function removeTreeAtOnce(path: string): Promise<void> {
  const old = `${path}${OLD_SUFFIX}${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, old);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

/** Removes what was being made or removed under the name of `path` when a process died. */
export async function removeRemainsOf(path: string): Promise<void> {
  const beginnings = [NEW_SUFFIX, OLD_SUFFIX].map(suffix => `${basename(path)}${suffix}`);
  for (const name of namesIn(dirname(path))) {
    if (!beginnings.some(beginning => name.startsWith(beginning))) continue;
    await rm(join(dirname(path), name), { recursive: true, force: true });
  }
}

/** Returns the bytes on the disk at and below a path; a file with several links counts once for each `seen` set. */
export async function diskUsage(path: string, seen: Set<string>): Promise<number> {
  let stat: Awaited<ReturnType<typeof lstat>>;
  try {
    stat = await lstat(path);
  } catch {
    return 0;
  }
  const key = `${stat.dev}:${stat.ino}`;
  if (!stat.isDirectory() && seen.has(key)) return 0;
  seen.add(key);
  let bytes = stat.blocks * 512;
  if (stat.isDirectory()) {
    for (const name of await readdir(path).catch(() => [])) bytes += await diskUsage(join(path, name), seen);
  }
  return bytes;
}
