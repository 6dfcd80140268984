import { ftruncateSync } from 'node:fs';
import { writeWhole } from '../log/disk.js';
import { refuseForeign } from './append-line.js';

// The first key of every owner.
const BEGINNING = '{"pid":';

/**
 * Writes into a locked file who has the lock, for people, in place of who had it before.
 *
 * Errors: FileRefused where something else stands in the file, which is left as it is; those of the system calls.
 */
export function writeOwner<T extends { readonly pid: number }>(fd: number, owner: T): void {
  refuseForeign(fd, BEGINNING);
  ftruncateSync(fd, 0);
  const { pid, ...rest } = owner;
  writeWhole(fd, `${JSON.stringify({ pid, ...rest })}\n`);
}
