import { randomBytes } from 'node:crypto';
import { closeSync, constants, fdatasync, fstatSync, openSync, readSync } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { syncDirectory, writeWhole } from './log-file.js';

const fdatasyncAsync = promisify(fdatasync);

/**
 * Replaces a file so that a reader or a crash sees the old or the new content, never a mixture: a temporary file
 * beside it, fsync, rename, fsync of the directory. Resolves when the new content is durable. Any number of writers
 * may be at work at once: each has a temporary file of its own, and the last rename stands. A failure leaves the
 * old content and no temporary file; a kill may leave `<path>.<random>.tmp`, which nothing reads.
 *
 * Errors: those of the system calls.
 */
export async function writeFileAtomic(path: string, content: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx', 0o666);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // Takes space that may be short already.
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Appends one line durably, without its newline in `line`; the file is made when it is missing. One writer at a
 * time. A line that a killed writer left torn is closed first, so that it costs no other line.
 *
 * Errors: those of the system calls; a part of the line may then stand at the end.
 */
export async function appendLine(path: string, line: string): Promise<void> {
  const fd = openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o666);
  let size: number;
  try {
    size = fstatSync(fd).size;
    const last = Buffer.alloc(1);
    const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10;
    writeWhole(fd, `${torn ? '\n' : ''}${line}\n`);
    await fdatasyncAsync(fd);
  } finally {
    closeSync(fd);
  }
  if (size === 0) await syncDirectory(dirname(path));
}
