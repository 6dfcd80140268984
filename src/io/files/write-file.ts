import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fdatasync,
  ftruncateSync,
  mkdirSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { promisify } from 'node:util';
import { FileRefused, openToAppend, SHARED_DIRECTORY_MODE, SHARED_MODE } from './open-file.js';
import { OWN_TO_WRITE } from './own-file.js';

const fdatasyncAsync = promisify(fdatasync);

/** How the run files of units and of jobs begin: the first key of each entry. */
export const RUNS_BEGINNING = '{"event":"';

// How the owner in a lock or lease file begins.
const OWNER_BEGINNING = '{"pid":';

// How much of a file is read to see how it begins.
const BEGINNING_BYTES = 64;

/**
 * Makes a directory and those above it, one at a time, because Node's recursive mkdir never returns if a directory
 * cannot exist at all (/proc/x, on Node 20). `mode` is that of new ones, less the umask. By default they are shared, but
 * a directory called `.qrun` is open to its owner only: it holds data and the configuration of submissions.
 */
export function makeDirectories(path: string, mode?: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (dirname(path) !== path) makeDirectories(dirname(path), mode);
  try {
    mkdirSync(path, mode ?? (basename(path) === '.qrun' ? 0o700 : SHARED_DIRECTORY_MODE));
  } catch (error) {
    // Another process was faster.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Makes the entries of a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Writes all of a short string, in as many write(2) calls as it takes; throws the error of one that fails. */
export function writeWhole(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/**
 * Replaces a file in such a way that readers and crashes see the old or the new content, never a mixture. It writes a
 * temporary file with a unique name beside it, then does fsync, rename, and fsync of the directory. If two write at
 * once, the later one wins.
 *
 * `mode` is that of the new file, less the umask.
 *
 * Errors: those of the system calls; if the file was not replaced, nothing is left behind.
 */
export async function writeFileAtomic(path: string, content: string, mode = SHARED_MODE): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Appends one line durably. `line` has no newline. The file is created if it is missing. One writer at a time. A torn
 * line of a killed writer is terminated first, so that it spoils no other line.
 *
 * `beginning`: how a file of this kind begins; nothing is appended to a file that begins differently.
 *
 * Errors: FileRefused for a link, or a file that is not a regular one, is somebody else's, or begins differently; those
 * of the system calls; part of the line may then be at the end of the file.
 */
export async function appendLine(path: string, line: string, beginning?: string): Promise<void> {
  const {
    fd,
    stat: { size },
  } = openToAppend(path, 'log', OWN_TO_WRITE);
  try {
    if (beginning !== undefined) refuseForeign(fd, beginning);
    const last = Buffer.alloc(1);
    const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10;
    writeWhole(fd, `${torn ? '\n' : ''}${line}\n`);
    await fdatasyncAsync(fd);
  } finally {
    closeSync(fd);
  }
  if (size === 0) await syncDirectory(dirname(path));
}

/**
 * Writes the holder of the lock into the locked file, for people, in place of the previous one.
 *
 * Errors: FileRefused when the file holds something else, which is left as it is; those of the system calls.
 */
export function writeOwner<T extends { readonly pid: number }>(fd: number, owner: T): void {
  refuseForeign(fd, OWNER_BEGINNING);
  ftruncateSync(fd, 0);
  const { pid, ...rest } = owner;
  writeWhole(fd, `${JSON.stringify({ pid, ...rest })}\n`);
}

// Called before anything in the file is changed.
function refuseForeign(fd: number, beginning: string): void {
  const bytes = Buffer.alloc(BEGINNING_BYTES);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  if (beginsWith(bytes.subarray(0, length), beginning)) return;
  throw new FileRefused('it is not a file that qrun created', {
    hint: 'move it away, or choose another place with --log-dir: what is in it is not touched',
  });
}

// Accepts damaged files too: the file may be empty, torn after its first bytes by a killed writer, begin with the byte
// order mark of an editor, or be zeros after a power loss.
function beginsWith(bytes: Buffer, beginning: string): boolean {
  const text = bytes.toString('latin1').replace(/^\xef\xbb\xbf/, '');
  if (text === '' || text.startsWith('\0')) return true;
  const line = text.split('\n', 1)[0] as string;
  return line === '' ? text.trim() === '' : beginning.startsWith(line) || line.startsWith(beginning);
}
