import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { QrunError } from '../core/errors.js';
import { pasteablePath, pasteableWord } from '../core/shell.js';
import { KeptFiles } from './kept-files.js';

/** The sweep that a unit belongs to. */
export interface SweepRoot {
  readonly directory: string;
  /** The `qrun.toml` that makes it the root, if there is one. */
  readonly configFile: string | undefined;
}

/**
 * The root of a unit's sweep: the directory of the nearest `qrun.toml` at or above the unit, else `cwd` when
 * the unit lies beneath it, else the unit's parent. So a unit has one id, however it is started.
 */
export function findSweepRoot(unitDirectory: string, cwd: string): SweepRoot {
  for (let at = resolve(unitDirectory); ; at = dirname(at)) {
    const configFile = join(at, 'qrun.toml');
    if (statOf(configFile)?.isFile()) return { directory: at, configFile };
    if (dirname(at) === at) break;
  }
  const unit = resolve(unitDirectory);
  const beneath = unit.startsWith(cwd.endsWith(sep) ? cwd : `${cwd}${sep}`);
  return { directory: beneath ? cwd : dirname(unit), configFile: undefined };
}

/** A unit's directory as its id names it: relative to the root, with `/`; its base name when it is the root. */
export function unitName(unitDirectory: string, root: string): string {
  const name = relative(root, resolve(unitDirectory));
  return name === '' ? basename(resolve(unitDirectory)) : name.split(sep).join('/');
}

// Relative to nothing: the path is as it was given, or absolute. Of a glob every special character is one of the name.
function fileCommand(path: string): string {
  const glob = basename(path).replace(/[\\*?[\]{}()!+@|^$]/g, '\\$&');
  return `qrun unit ${pasteablePath(dirname(path), true)} ${pasteableWord(`--include=${glob}`, true)}`;
}

/**
 * The names of all queries in a directory and below it, sorted: paths of `*.sql` files relative to it, without
 * `.sql`, with `/`. Files and directories whose names begin with `_` or `.` are left out; links are followed,
 * each directory once.
 *
 * Errors: QrunError `UNIT_NOT_FOUND`, `UNIT_UNREADABLE`, `UNIT_EMPTY`.
 */
export function listQueries(unitDirectory: string): string[] {
  const stat = statOf(unitDirectory);
  if (stat === undefined) {
    throw new QrunError('UNIT_NOT_FOUND', `there is no directory ${unitDirectory}`, {
      hint: 'name the directory that holds the SQL files',
    });
  }
  if (!stat.isDirectory()) {
    throw new QrunError('UNIT_NOT_FOUND', `${unitDirectory} is a file, not a directory`, {
      hint: `name its directory, and choose the file with --include: ${fileCommand(unitDirectory)}`,
    });
  }
  const names: string[] = [];
  collect(unitDirectory, '', names, new Set());
  if (names.length === 0) {
    throw new QrunError('UNIT_EMPTY', `${unitDirectory} holds no *.sql file`, {
      hint: 'files and directories that begin with "_" or "." do not count',
    });
  }
  return compact(names.sort((a, b) => (a < b ? -1 : 1)));
}

// A name that was put together from parts keeps them all in memory, 150 bytes of them in place of 50: cut out of one
// long text, it does not. No name holds a NUL.
function compact(names: readonly string[]): string[] {
  return Buffer.from(names.join('\0')).toString('utf8').split('\0');
}

function collect(directory: string, prefix: string, names: string[], seen: Set<string>): void {
  const real = realPathOf(directory);
  if (seen.has(real)) return;
  seen.add(real);
  for (const entry of readDirectory(directory)) {
    if (entry.name.startsWith('_') || entry.name.startsWith('.')) continue;
    // A unit has up to some hundred thousand files, and the path of none of them is needed here.
    const isDirectory = entry.isSymbolicLink()
      ? statOf(join(directory, entry.name))?.isDirectory()
      : entry.isDirectory();
    if (isDirectory) collect(join(directory, entry.name), `${prefix}${entry.name}/`, names, seen);
    else if (entry.name.endsWith('.sql')) names.push(`${prefix}${entry.name.slice(0, -'.sql'.length)}`);
  }
}

/** The entries of a directory. Errors: QrunError `UNIT_UNREADABLE`. */
export function readDirectory(directory: string) {
  return reading(directory, () => readdirSync(directory, { withFileTypes: true }));
}

/** The path of a directory without links. Errors: QrunError `UNIT_UNREADABLE`. */
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

/** What a path leads to, or `undefined` where it leads to nothing that can be looked at. */
export function statOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A path through something that is no directory, or through one that may not be entered.
    return undefined;
  }
}

/**
 * The `_setup.sql` files that prepare data for a unit, outermost first: those in the sweep root, in the unit,
 * and in the directories between them.
 */
export function findSetupFiles(unitDirectory: string, root: string): string[] {
  const found: string[] = [];
  for (let at = resolve(unitDirectory); ; at = dirname(at)) {
    const path = join(at, '_setup.sql');
    if (statOf(path)?.isFile()) found.unshift(path);
    if (at === resolve(root) || dirname(at) === at) return found;
  }
}

/** The query files of a unit. */
export interface UnitSource {
  readonly directory: string;
  /** As {@link listQueries}. */
  list(): string[];
  /** The bytes of a query's file, not to be written to; throws the error of the system call. */
  read(name: string): Buffer;
  /**
   * The bytes that the first `read` of this name since `list` gave, where they were kept and the file has not
   * changed since: for whoever would read it again. They must not be written to.
   */
  unchanged?(name: string): Buffer | undefined;
}

/** How much of a unit's SQL `qrun unit` keeps from the plan until it runs: the text of 80,000 small queries. */
export const KEPT_BYTES = 16 * 1024 * 1024;

// A unit of more queries needs the memory for their names and states, and gains little by the part that is kept.
const KEPT_QUERIES = 100_000;

/**
 * The query files of a directory. Reading is synchronous, because reading a small file takes less time than
 * handing it to a thread (10 against 60 microseconds). `keptBytes`: how much memory `unchanged` may take.
 */
export function directorySource(directory: string, keptBytes = 0): UnitSource {
  const prefix = join(directory, sep);
  const pathOf = (name: string): string => `${prefix}${name}.sql`;
  if (keptBytes === 0) {
    return { directory, list: () => listQueries(directory), read: name => readSmallFile(pathOf(name)) };
  }
  let kept = new KeptFiles(keptBytes);
  return {
    directory,
    list() {
      const names = listQueries(directory);
      kept = new KeptFiles(names.length > KEPT_QUERIES ? 0 : keptBytes);
      return names;
    },
    read: name => readSmallFile(pathOf(name), (bytes, stat) => kept.keep(name, bytes, stat, Date.now())),
    unchanged(name) {
      if (!kept.has(name)) return undefined;
      const stat = statOf(pathOf(name));
      return stat === undefined ? undefined : kept.get(name, stat);
    },
  };
}

const smallFile = Buffer.allocUnsafeSlow(64 * 1024);

// Without asking for the size first, and with one buffer for all: two thirds of the time of readFileSync. Where the
// file's state is wanted, from before it is read, the size saves asking whether more follows.
function readSmallFile(path: string, keep?: (bytes: Buffer, stat: Stats) => Buffer | undefined): Buffer {
  const fd = openSync(path, 'r');
  try {
    const stat = keep === undefined ? undefined : fstatSync(fd);
    let length = 0;
    for (let got = -1; got !== 0 && length < smallFile.length; length += got) {
      got = readSync(fd, smallFile, length, smallFile.length - length, null);
      // Of a regular file this is all.
      if (got > 0 && length + got === stat?.size && stat.isFile()) {
        length += got;
        break;
      }
    }
    if (length === smallFile.length) return readFileSync(path);
    const bytes = smallFile.subarray(0, length);
    return (stat === undefined ? undefined : keep?.(bytes, stat)) ?? Buffer.from(bytes);
  } finally {
    closeSync(fd);
  }
}
