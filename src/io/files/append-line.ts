import { closeSync, fdatasync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { syncDirectory, writeWhole } from '../log/disk.js';
import { FileRefused, openToAppend } from './open-file.js';
import { beginsWith, OWN_TO_WRITE } from './own-file.js';

const fdatasyncAsync = promisify(fdatasync);

/** How the files of runs begin, of units and of jobs: the first key of each entry. */
export const RUNS_BEGINNING = '{"event":"';

/**
 * Appends one line durably, without its newline in `line`; the file is made when it is missing. One writer at a
 * time. A line that a killed writer left torn is closed first, so that it costs no other line.
 *
 * `beginning`: how a file of this kind begins; nothing is appended to one that begins otherwise.
 *
 * Errors: FileRefused for what is no regular file, a link, somebody else's, or begins otherwise; those of the system
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

/** Refuses a file that qrun has not begun, before anything of it is changed. Errors: FileRefused. */
export function refuseForeign(fd: number, beginning: string): void {
  const bytes = Buffer.alloc(64);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  if (beginsWith(bytes.subarray(0, length), beginning)) return;
  throw new FileRefused('it is not a file that qrun has begun', {
    hint: 'move it away, or choose another place with --log-dir: what is in it is not touched',
  });
}
