import { constants } from 'node:os';
import { QrunError } from '../../core/errors.js';
import { FileRefused } from './open-file.js';

/** Returns the message of a failed system call; libuv has no text for an exceeded quota. */
export function reasonOf(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return errno === -constants.errno.EDQUOT ? 'EDQUOT: disk quota exceeded' : message;
}

/** Returns what to do about a file that could not be opened: the hint of the error if it has one, otherwise `usual`. */
export function hintOf(error: unknown, usual: string): string {
  return (error instanceof FileRefused ? error.hint : undefined) ?? usual;
}

/** Whether an error means that there is no such file. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** Returns the error for something that could not be written: `cannot write <what>: <reason>`, `WRITE_FAILED`. */
export function writeError(what: string, cause: unknown, hint: string): QrunError {
  return new QrunError('WRITE_FAILED', `cannot write ${what}: ${reasonOf(cause)}`, {
    hint: hintOf(cause, hint),
    cause,
  });
}

/** Returns the error for something that could not be read: `cannot read <what>: <reason>`, `READ_FAILED`. */
export function readError(what: string, cause: unknown, hint: string): QrunError {
  return new QrunError('READ_FAILED', `cannot read ${what}: ${reasonOf(cause)}`, {
    hint: hintOf(cause, hint),
    cause,
  });
}

/**
 * Resolves with what `work` resolves with. `work` writes `what`, a path or a description with the path.
 *
 * Errors: {@link writeError} for whatever `work` throws.
 */
export async function orWriteError<T>(what: string, hint: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw writeError(what, cause, hint);
  }
}
