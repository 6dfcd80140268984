import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { formatSize } from '../../core/text/bytes.js';

const MIB = 1024 ** 2;

/**
 * How large a file may be, bytes, by what it is. The limits are far above what anybody needs and below what takes the
 * memory of the machine: a file without an end, or a result instead of a query, is refused.
 */
export const SIZE_LIMITS = {
  query: 64 * MIB,
  // qrun.toml, .env, jobs.toml.
  configuration: MIB,
  password: 4 * 1024,
  certificates: 16 * MIB,
  checkpoint: 64 * MIB,
  lease: 64 * 1024,
  // 4,096 suspects and 1,024 slots of 512 bytes each take 2.6 MB.
  journal: 4 * MIB,
  // What qrun writes itself and reads as one text: below V8's longest string (512 MiB).
  state: 256 * MIB,
  // Read and written piece by piece.
  log: Number.POSITIVE_INFINITY,
} as const;

/** What a file is to qrun; see {@link SIZE_LIMITS}. */
export type FileKind = keyof typeof SIZE_LIMITS;

/** What is wrong with a file, and what to do about it where that is known. */
export type Problem = string | { readonly message: string; readonly hint: string };

/** What may be asked of a file beyond being a regular one of a fit size. */
export interface FileChecks {
  /** Whether the path may end in a symbolic link; `true` when it is left out. */
  readonly follow?: boolean;
  /** Whether a pipe is as good: for what a shell hands over as `<(command)`. `false` when it is left out. */
  readonly pipe?: boolean;
  /** The mode with which it is made where it is missing, less the umask; 0664 when it is left out. */
  readonly mode?: number;
  /** A further condition: what is wrong with the file, for a message, or `undefined`. */
  readonly refuse?: (stat: Stats, path: string) => Problem | undefined;
}

/** An open file, with its state when it was opened. */
export interface OpenFile {
  readonly fd: number;
  readonly stat: Stats;
}

/** A file is not what it has to be. The message says what it is, and can follow "cannot read x: ". */
export class FileRefused extends Error {
  override readonly name = 'FileRefused';
  /** What was found in its place, where the system told. */
  readonly found: Stats | undefined;
  /** What to do about it; `undefined` where whoever opened it knows better. */
  readonly hint: string | undefined;

  constructor(
    message: string,
    options: { readonly cause?: unknown; readonly found?: Stats; readonly hint?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.found = options.found;
    this.hint = options.hint;
  }
}

// Without O_NONBLOCK the open of a FIFO waits for its other side, and that of some devices for the device; without
// O_NOCTTY a terminal may become the process's own. Node adds O_CLOEXEC.
const SAFE = constants.O_NONBLOCK | constants.O_NOCTTY;

/** The modes of what others may read, and of a directory of such files, less the umask: never to be written by all. */
export const SHARED_MODE = 0o664;
export const SHARED_DIRECTORY_MODE = 0o775;

const NO_CHECKS: FileChecks = {};

/**
 * Opens a file to read it: a regular one within the limit of its kind and nothing else, so that neither this nor a
 * read waits for anything but the disk. Close it.
 *
 * Errors: {@link FileRefused}; those of open(2).
 */
export function openToRead(path: string, kind: FileKind, checks = NO_CHECKS): OpenFile {
  return openChecked(path, constants.O_RDONLY, kind, checks);
}

/**
 * Opens a regular file to append to it and to read it; it is made when it is missing. Close it.
 *
 * Errors: {@link FileRefused}; those of open(2).
 */
export function openToAppend(path: string, kind: FileKind, checks = NO_CHECKS): OpenFile {
  return openChecked(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, kind, checks);
}

/** As {@link openToRead}, on a thread, so that a disk that does not answer stops only whoever waits for it. */
export async function openToReadAsync(
  path: string,
  kind: FileKind,
  checks = NO_CHECKS,
): Promise<{ readonly file: FileHandle; readonly stat: Stats }> {
  let file: FileHandle;
  try {
    file = await open(path, flagsOf(constants.O_RDONLY, checks));
  } catch (error) {
    throw explained(error, path, kind, checks);
  }
  try {
    const stat = await file.stat();
    check(stat, path, kind, checks);
    return { file, stat };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What stands at a path, in words, where that is not a regular file; `undefined` for a regular one. */
export function strangeness(stat: Stats): string | undefined {
  if (stat.isFile()) return undefined;
  if (stat.isDirectory()) return 'a directory';
  if (stat.isFIFO()) return 'a named pipe (FIFO)';
  if (stat.isSocket()) return 'a socket';
  return 'a device';
}

/** What is said of a file that is larger than its kind may be. */
export function tooLarge(kind: FileKind): FileRefused {
  return new FileRefused(`it is larger than ${formatSize(SIZE_LIMITS[kind])}iB`);
}

function openChecked(path: string, access: number, kind: FileKind, checks: FileChecks): OpenFile {
  let fd: number;
  try {
    fd = openSync(path, flagsOf(access, checks), checks.mode ?? SHARED_MODE);
  } catch (error) {
    throw explained(error, path, kind, checks);
  }
  try {
    const stat = fstatSync(fd);
    check(stat, path, kind, checks);
    return { fd, stat };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function flagsOf(access: number, checks: FileChecks): number {
  return access | SAFE | (checks.follow === false ? constants.O_NOFOLLOW : 0);
}

function check(stat: Stats, path: string, kind: FileKind, checks: FileChecks): void {
  const isFit = stat.isFile() || (checks.pipe === true && stat.isFIFO());
  if (!isFit) throw new FileRefused(`it is ${strangeness(stat)}, not a regular file`);
  if (stat.size > SIZE_LIMITS[kind]) throw tooLarge(kind);
  const problem = checks.refuse?.(stat, path);
  if (typeof problem === 'string') throw new FileRefused(problem);
  if (problem !== undefined) throw new FileRefused(problem.message, { hint: problem.hint });
}

// What people make. A link of theirs that leads to nothing was meant to lead to something; one to a log that is still
// to be made was not.
const MADE_BY_PEOPLE: ReadonlySet<FileKind> = new Set(['query', 'configuration', 'password', 'certificates']);

/**
 * Why the system did not open a file, where its own words would mislead: a socket is "no such device or address" to it,
 * a link that must not be followed one of "too many levels", a link to nothing "no such file". Else the error itself.
 */
export function explained(error: unknown, path: string, kind: FileKind, checks = NO_CHECKS): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const refused = (
    text: string,
    more: { readonly found?: Stats; readonly hint?: string } = {},
  ): FileRefused => new FileRefused(text, { cause: error, ...more });
  try {
    if (code === 'ELOOP' && checks.follow === false && lstatSync(path).isSymbolicLink()) {
      return refused('it is a symbolic link, which is not followed here', {
        hint: 'remove the link, or name another place; what it leads to was not touched',
      });
    }
    if (code === 'ELOOP') return refused('its symbolic links lead in a circle');
    if (code === 'ENOENT' && MADE_BY_PEOPLE.has(kind) && lstatSync(path).isSymbolicLink()) {
      return refused('it is a symbolic link to something that is not there');
    }
    if (code === 'ENXIO' || code === 'ENODEV' || code === 'EISDIR') {
      const found = statSync(path);
      const strange = strangeness(found);
      if (strange !== undefined) return refused(`it is ${strange}, not a regular file`, { found });
    }
  } catch {
    // It has changed meanwhile, or was never there: the error of the open stands.
  }
  return error;
}
