import { closeSync, fdatasync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { syncDirectory, writeWhole } from './log-file.js';
import { type FileChecks, openToAppend } from './open-file.js';

const fdatasyncAsync = promisify(fdatasync);

const NO_LINK: FileChecks = { follow: false };

/**
 * Appends one line durably, without its newline in `line`; the file is made when it is missing. One writer at a
 * time. A line that a killed writer left torn is closed first, so that it costs no other line.
 *
 * Errors: FileRefused for what is no regular file, and for a link unless `checks` allows one; those of the system calls; a part of the line may then stand at the end.
 */
export async function appendLine(path: string, line: string, checks: FileChecks = NO_LINK): Promise<void> {
  const {
    fd,
    stat: { size },
  } = openToAppend(path, 'log', checks);
  try {
    const last = Buffer.alloc(1);
    const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10;
    writeWhole(fd, `${torn ? '\n' : ''}${line}\n`);
    await fdatasyncAsync(fd);
  } finally {
    closeSync(fd);
  }
  if (size === 0) await syncDirectory(dirname(path));
}
