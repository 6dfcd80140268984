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

/** How the files of runs begin, of units and of jobs: the first key of each entry. */
export const RUNS_BEGINNING = '{"event":"';

// How the owner of a lock or a lease begins.
const OWNER_BEGINNING = '{"pid":';

// As far as a file has to be read to see how it begins.
const BEGINNING_BYTES = 64;

/**
 * Makes a directory and those above it. Step by step, because Node's recursive mkdir never returns where a
 * directory cannot exist at all (/proc/x, on Node 20). A directory called `.qrun` is made for its owner alone: it holds
 * data, and the configuration of submissions.
 */
export function makeDirectories(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (dirname(path) !== path) makeDirectories(dirname(path));
  try {
    mkdirSync(path, basename(path) === '.qrun' ? 0o700 : SHARED_DIRECTORY_MODE);
  } catch (error) {
    // Another process was quicker.
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

/** Writes a short text whole, in as many write(2) calls as the system takes; throws the error of one that fails. */
export function writeWhole(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/**
 * Replaces a file so that a reader or a crash sees the old or the new content, never a mixture: a temporary file
 * of its own name beside it, fsync, rename, fsync of the directory. Of two writers at once the later one wins.
 *
 * `mode` is that of the new file, less the umask.
 *
 * Errors: those of the system; nothing is left behind then.
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
 * Appends one line durably, without its newline in `line`; the file is made when it is missing. One writer at a
 * time. A line that a killed writer left torn is closed first, so that it costs no other line.
 *
 * `beginning`: how a file of this kind begins; nothing is appended to one that begins otherwise.
 *
 * Errors: FileRefused for what is not a regular file, a link, somebody else's, or begins otherwise; those of the system
 * calls; a part of the line may then stand at the end.
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
 * Writes into a locked file who has the lock, for people, instead of who had it before.
 *
 * Errors: FileRefused where something else stands in the file, which is left as it is; those of the system calls.
 */
export function writeOwner<T extends { readonly pid: number }>(fd: number, owner: T): void {
  refuseForeign(fd, OWNER_BEGINNING);
  ftruncateSync(fd, 0);
  const { pid, ...rest } = owner;
  writeWhole(fd, `${JSON.stringify({ pid, ...rest })}\n`);
}

// Before anything of the file is changed.
function refuseForeign(fd: number, beginning: string): void {
  const bytes = Buffer.alloc(BEGINNING_BYTES);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  if (beginsWith(bytes.subarray(0, length), beginning)) return;
  throw new FileRefused('it is not a file that qrun has begun', {
    hint: 'move it away, or choose another place with --log-dir: what is in it is not touched',
  });
}

// Whatever became of the file: it may be empty, torn behind its first bytes by a writer that was killed, begin with the
// mark of an editor, or be zeros after the power was lost.
function beginsWith(bytes: Buffer, beginning: string): boolean {
  const text = bytes.toString('latin1').replace(/^\xef\xbb\xbf/, '');
  if (text === '' || text.startsWith('\0')) return true;
  const line = text.split('\n', 1)[0] as string;
  return line === '' ? text.trim() === '' : beginning.startsWith(line) || line.startsWith(beginning);
}
