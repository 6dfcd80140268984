import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { formatSize } from '../../core/text/bytes.js';

const MIB = 1024 ** 2;

/**
 * The size limit of each kind of file, in bytes. The limits are far above what anybody needs and below what would
 * exhaust the memory of the machine. They refuse an endless file, or a result instead of a query.
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
  // What qrun writes itself and reads as one string: below V8's longest string (512 MiB).
  state: 256 * MIB,
  // Read and written piece by piece.
  log: Number.POSITIVE_INFINITY,
} as const;

/** What qrun uses a file for; see {@link SIZE_LIMITS}. */
export type FileKind = keyof typeof SIZE_LIMITS;

/** What is wrong with a file, and what to do about it if that is known. */
export type Problem = string | { readonly message: string; readonly hint: string };

/** Checks of a file, in addition to its type and its size. */
export interface FileChecks {
  /** Whether the path may end in a symbolic link; the default is `true`. */
  readonly follow?: boolean;
  /** Whether a pipe is accepted too, for what a shell passes as `<(command)`; the default is `false`. */
  readonly pipe?: boolean;
  /** The mode with which a missing file is created, less the umask; the default is 0664. */
  readonly mode?: number;
  /** A further condition: returns what is wrong with the file, for a message, or `undefined`. */
  readonly refuse?: (stat: Stats, path: string) => Problem | undefined;
}

/** An open file, with its state when it was opened. */
export interface OpenFile {
  readonly fd: number;
  readonly stat: Stats;
}

/** A file is not what it must be. The message says what it is, and can follow "cannot read x: ". */
export class FileRefused extends Error {
  override readonly name = 'FileRefused';
  /** What was found instead, if the system told. */
  readonly found: Stats | undefined;
  /** What to do about it; `undefined` if the caller knows better. */
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

// Without O_NONBLOCK, opening a FIFO waits for its other side, and opening some devices waits for the device. Without
// O_NOCTTY, a terminal may become the controlling terminal of the process. Node adds O_CLOEXEC.
const SAFE = constants.O_NONBLOCK | constants.O_NOCTTY;

/** The modes of files that others may read, and of their directories, less the umask; never writable by everybody. */
export const SHARED_MODE = 0o664;
export const SHARED_DIRECTORY_MODE = 0o775;

const NO_CHECKS: FileChecks = {};

/**
 * Opens a file for reading. It must be a regular file within the limit of its kind, so that neither the open nor a read
 * waits for anything but the disk. (A pipe is accepted if `checks` say so.) The caller closes it.
 *
 * Errors: {@link FileRefused}; those of open(2).
 */
export function openToRead(path: string, kind: FileKind, checks = NO_CHECKS): OpenFile {
  return openChecked(path, constants.O_RDONLY, kind, checks);
}

/**
 * Opens a regular file for appending and reading, and creates it if it is missing. The caller closes it.
 *
 * Errors: {@link FileRefused}; those of open(2).
 */
export function openToAppend(path: string, kind: FileKind, checks = NO_CHECKS): OpenFile {
  return openChecked(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, kind, checks);
}

/** Like {@link openToRead}, but on a thread, so that a disk that does not answer blocks only whoever waits for it. */
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

/** Describes what is at a path if it is not a regular file; `undefined` for a regular file. */
export function strangeness(stat: Stats): string | undefined {
  if (stat.isFile()) return undefined;
  if (stat.isDirectory()) return 'a directory';
  if (stat.isFIFO()) return 'a named pipe (FIFO)';
  if (stat.isSocket()) return 'a socket';
  return 'a device';
}

/** Returns the error for a file that is larger than the limit of its kind. */
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

// Files that people make. A link of theirs that leads to nothing was meant to lead to something. A link to a log may
// well lead to a file that is yet to be created.
const MADE_BY_PEOPLE: ReadonlySet<FileKind> = new Set(['query', 'configuration', 'password', 'certificates']);

/**
 * Returns a better error for a file that was not opened, if the message of the system would mislead: it calls a socket
 * "no such device or address", a link that must not be followed "too many levels", a link to nothing "no such file".
 * Otherwise returns the error itself.
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
    // The path has changed meanwhile, or never existed: the error of the open stands.
  }
  return error;
}
