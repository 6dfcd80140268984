import { closeSync, type Dirent, lstatSync, readdirSync, readSync, realpathSync, type Stats } from 'node:fs';
import { basename, dirname, join, parse, relative, resolve, sep } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { pasteablePath, pasteableWord } from '../../core/text/shell.js';
import { isMissing } from '../files/failures.js';
import { foreignName, mayBeForeign, sqlFilesIn } from '../files/foreign-names.js';
import { FileRefused, type OpenFile, strangeness } from '../files/open-file.js';
import { statOf } from '../files/paths.js';
import { readOpened } from '../files/read-file.js';
import { LocalDisks } from '../machine/local-disks.js';
import { KeptFiles } from './kept-files.js';
import { TreeLinks } from './tree-links.js';

/** The directory of a unit as its id names it: relative to the root, with `/`; its base name if it is the root. */
export function unitName(unitDirectory: string, root: string): string {
  const name = relative(root, resolve(unitDirectory));
  return name === '' ? basename(resolve(unitDirectory)) : name.split(sep).join('/');
}

// The path stays as given. Special characters of the glob are escaped, because they are part of the file's name.
function fileCommand(path: string): string {
  const glob = basename(path).replace(/[\\*?[\]{}()!+@|^$]/g, '\\$&');
  return `qrun unit ${pasteablePath(dirname(path), true)} ${pasteableWord(`--include=${glob}`, true)}`;
}

function listed(unitDirectory: string, links: TreeLinks): string[] {
  const stat = statOf(unitDirectory);
  if (stat === undefined) {
    refuseForeign(unitDirectory);
    throw new QrunError('UNIT_NOT_FOUND', `there is no directory ${unitDirectory}`, {
      hint: 'name the directory that holds the SQL files',
    });
  }
  if (!stat.isDirectory()) {
    throw new QrunError(
      'UNIT_NOT_FOUND',
      `${unitDirectory} is ${strangeness(stat) ?? 'a file'}, not a directory`,
      {
        hint: `name its directory, and choose the file with --include: ${fileCommand(unitDirectory)}`,
      },
    );
  }
  const names: string[] = [];
  collect(unitDirectory, '', names, new Set(), links);
  if (names.length === 0) {
    throw new QrunError('UNIT_EMPTY', `${unitDirectory} holds no *.sql file`, {
      hint: 'files and directories that begin with "_" or "." do not count',
    });
  }
  const sorted = names.sort((a, b) => (a < b ? -1 : 1));
  // Two names that are not UTF-8 may look alike.
  return compact(names.some(mayBeForeign) ? [...new Set(sorted)] : sorted);
}

// A name that was put together from parts keeps all parts in memory, 150 bytes instead of 50. A name that was cut out
// of one long string does not. No name contains a NUL.
function compact(names: readonly string[]): string[] {
  return Buffer.from(names.join('\0')).toString('utf8').split('\0');
}

function collect(
  directory: string,
  prefix: string,
  names: string[],
  seen: Set<string>,
  links: TreeLinks,
): void {
  const real = realPathOf(directory);
  if (seen.has(real)) return;
  seen.add(real);
  for (const entry of readDirectory(directory)) {
    const kind = kindOf(directory, entry);
    if (kind === 'query') names.push(`${prefix}${entry.name.slice(0, -'.sql'.length)}`);
    else if (kind === 'foreign') {
      // Listed as they look, so that they can be left out by name; otherwise they are reported when they are read.
      const files = sqlFilesIn(directory, entry.name);
      names.push(...files.map(file => `${prefix}${entry.name}/${file.slice(0, -'.sql'.length)}`));
    } else if (kind === 'directory') {
      const path = join(directory, entry.name);
      const before = names.length;
      collect(path, `${prefix}${entry.name}/`, names, seen, links);
      if (entry.isSymbolicLink() && names.length > before) refuseLink(path, links);
    }
  }
}

/**
 * Returns what an entry of a directory is for whoever looks for queries, `undefined` if it does not count. Links are
 * followed. `foreign` is a directory whose decoded name leads to nothing, because the name on disk is not UTF-8.
 */
export function kindOf(directory: string, entry: Dirent): 'query' | 'directory' | 'foreign' | undefined {
  const { name } = entry;
  if (name.startsWith('_') || name.startsWith('.')) return undefined;
  // No path is built for ordinary files: there are up to some hundred thousand, and none is needed here.
  const isDirectory = entry.isSymbolicLink()
    ? statOf(join(directory, name))?.isDirectory()
    : entry.isDirectory();
  if (!isDirectory) return name.endsWith('.sql') ? 'query' : undefined;
  return mayBeForeign(name) && statOf(join(directory, name)) === undefined ? 'foreign' : 'directory';
}

/**
 * Refuses a directory that is a link which is not followed. Call it only if something in the directory would be run;
 * otherwise such a link is allowed.
 *
 * Errors: QrunError `UNIT_UNREADABLE`.
 */
export function refuseLink(path: string, links: TreeLinks): void {
  const problem = reading(path, () => links.refusal(path));
  if (problem === undefined) return;
  throw new QrunError(
    'UNIT_UNREADABLE',
    `${path} is not read: ${problem.replace('copy the file', 'copy it')}`,
    {
      hint: 'give --follow-links only where you know who made the link: what it leads to is sent to the engine',
    },
  );
}

function refuseForeign(path: string): void {
  const { root } = parse(path);
  const shown = mayBeForeign(path) ? foreignName(root, relative(root, path)) : undefined;
  if (shown === undefined) return;
  throw new QrunError('UNIT_NOT_FOUND', `the name of the directory ${root}${shown} is not UTF-8`, {
    hint: 'rename it, or leave it out with --exclude',
  });
}

/** The entries of a directory. Errors: QrunError `UNIT_UNREADABLE`. */
export function readDirectory(directory: string) {
  return reading(directory, () => readdirSync(directory, { withFileTypes: true }));
}

/** The path of a directory, with links resolved. Errors: QrunError `UNIT_UNREADABLE`. */
export function realPathOf(directory: string): string {
  return reading(directory, () => realpathSync(directory));
}

function reading<T>(directory: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new QrunError(
      'UNIT_UNREADABLE',
      `cannot read the directory ${directory}: ${(cause as Error).message}`,
      {
        hint: 'make it readable for the user that runs qrun',
        cause,
      },
    );
  }
}

/**
 * Whether a path names something that is not a directory, including a pipe, a device, and a link that leads nowhere.
 * Whoever reads it reports what is wrong with it; skipping it would mean running without what it was meant to say.
 */
export function isNamed(path: string): boolean {
  const own = statOf(path, lstatSync);
  return own !== undefined && !(own.isSymbolicLink() ? statOf(path) : own)?.isDirectory();
}

/**
 * Returns the `_setup.sql` files that prepare data for a unit, outermost first: those in the sweep root, in the unit,
 * and in the directories between them.
 */
export function findSetupFiles(unitDirectory: string, root: string): string[] {
  const found: string[] = [];
  for (let at = resolve(unitDirectory); ; at = dirname(at)) {
    const path = join(at, '_setup.sql');
    if (isNamed(path)) found.unshift(path);
    if (at === resolve(root) || dirname(at) === at) return found;
  }
}

/**
 * Returns the bytes of a setup file that {@link findSetupFiles} found.
 *
 * Errors: QrunError `UNIT_UNREADABLE` when it cannot be read, is not a regular file of at most 64 MiB, or is a link
 * that `links` does not follow.
 */
export function readSetupBytes(path: string, links: TreeLinks): Buffer {
  try {
    links.enter(dirname(path));
    return readWhole(links.open(path));
  } catch (cause) {
    throw new QrunError(
      'UNIT_UNREADABLE',
      `cannot read the setup file ${path}: ${(cause as Error).message}`,
      {
        hint: 'make it a file that qrun can read, or remove it: without it nothing is prepared',
        cause,
      },
    );
  }
}

/** The query files of a unit. */
export interface UnitSource {
  readonly directory: string;
  /**
   * The names of all queries in the directory and below it, sorted: paths of `*.sql` files relative to it, without
   * `.sql`, with `/`. Files and directories whose names begin with `_` or `.` are left out. Links are followed, and each
   * directory is read once.
   *
   * Errors: QrunError `UNIT_NOT_FOUND`, `UNIT_UNREADABLE` (also if a directory with queries is a link that leads
   * elsewhere), `UNIT_EMPTY`.
   */
  list(): string[];
  /** The bytes of a query's file; do not write to them. Errors: those of `openToRead` in open-file.ts; of read(2). */
  read(name: string): Buffer;
  /**
   * The bytes that the first `read` of this name since `list` returned, if they were kept and the file has not changed
   * since. It saves the caller a second read. Do not write to them.
   */
  unchanged?(name: string): Buffer | undefined;
  /**
   * Like `read`, but on a thread, if any file read so far is on a file system that may never answer; `undefined` if
   * `read` is as good. It is for callers that must not be kept from hearing a signal.
   */
  readLater?(name: string): Promise<Buffer> | undefined;
}

/** How much of a unit's SQL `qrun unit` keeps in memory between plan and run: that of 80,000 small queries. */
export const KEPT_BYTES = 16 * 1024 * 1024;

// A unit with more queries needs the memory for their names and states, and would gain little from the part kept.
const KEPT_QUERIES = 100_000;

/**
 * Returns the query files of a directory. Reading is synchronous, because reading a small file takes less time than
 * handing it to a thread (10 against 60 microseconds). `keptBytes`: how much memory `unchanged` may take. `tree`: where
 * links may lead besides the directory itself, `null` for anywhere.
 */
export function directorySource(
  directory: string,
  keptBytes = 0,
  tree: string | null = directory,
): UnitSource {
  const links = new TreeLinks(directory, tree);
  const prefix = join(directory, sep);
  const pathOf = (name: string): string => `${prefix}${name}.sql`;
  const readNamed = (name: string, keep?: Keep): Buffer => {
    try {
      const path = pathOf(name);
      if (name.includes('/')) links.enter(dirname(path));
      return readSmallFile(path, links, keep);
    } catch (error) {
      throw namedError(error, directory, name);
    }
  };
  const readNamedLater = async (name: string): Promise<Buffer> => {
    const path = pathOf(name);
    if (name.includes('/')) links.enter(dirname(path));
    return await links.read(path);
  };
  if (keptBytes === 0) {
    return { directory, list: () => listed(directory, links), read: name => readNamed(name) };
  }
  let kept = new KeptFiles(keptBytes);
  const disks = new LocalDisks();
  return {
    directory,
    list() {
      const names = listed(directory, links);
      kept = new KeptFiles(names.length > KEPT_QUERIES ? 0 : keptBytes);
      return names;
    },
    read(name) {
      return readNamed(name, (bytes, stat) => {
        disks.note(pathOf(name), stat.dev);
        return kept.keep(name, bytes, stat, Date.now());
      });
    },
    readLater: name => (disks.allLocal ? undefined : readNamedLater(name)),
    unchanged(name) {
      if (!kept.has(name)) return undefined;
      const stat = statOf(pathOf(name));
      return stat === undefined ? undefined : kept.get(name, stat);
    },
  };
}

type Keep = (bytes: Buffer, stat: Stats) => Buffer | undefined;

function namedError(error: unknown, directory: string, name: string): unknown {
  if (!mayBeForeign(name) || !isMissing(error)) return error;
  const shown = foreignName(directory, `${name}.sql`.split('/').join(sep));
  return shown === undefined
    ? error
    : new FileRefused(`its name is not UTF-8 (${shown}): rename it`, { cause: error });
}

const smallFile = Buffer.allocUnsafeSlow(64 * 1024);

// Uses one buffer for all files, and does not check whether the file continues after its stated size. This takes two
// thirds of the time of readFileSync.
function readSmallFile(path: string, links: TreeLinks, keep?: Keep): Buffer {
  const { fd, stat } = links.open(path);
  try {
    if (stat.size >= smallFile.length) {
      const bytes = readOpened(fd, stat.size, 'query');
      return keep?.(bytes, stat) ?? bytes;
    }
    let length = 0;
    for (let got = -1; got !== 0 && length < smallFile.length; length += got) {
      got = readSync(fd, smallFile, length, smallFile.length - length, null);
      if (got > 0 && length + got === stat.size) {
        length += got;
        break;
      }
    }
    // The file has grown meanwhile.
    if (length === smallFile.length) return readWhole(links.open(path));
    const bytes = smallFile.subarray(0, length);
    return keep?.(bytes, stat) ?? Buffer.from(bytes);
  } finally {
    closeSync(fd);
  }
}

function readWhole({ fd, stat }: OpenFile): Buffer {
  try {
    return readOpened(fd, stat.size, 'query');
  } finally {
    closeSync(fd);
  }
}
