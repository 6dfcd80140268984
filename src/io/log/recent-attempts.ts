import type { FileHandle } from 'node:fs/promises';
import { isOfQueryAlone } from '../../core/engines/failure.js';
import { errorOfRecord } from '../../core/log/record.js';
import { EndedAttempts, type GroupRange, LogScanner } from '../../core/log/scan/index.js';
import { isMissing, readError } from '../files/failures.js';
import { openToReadAsync } from '../files/open-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { scanFile } from './follow.js';

/** What a part of a log tells of attempts. */
export interface RecentAttempts {
  /** That ended, well or not. */
  readonly ended: number;
  /** That failed for another reason than the text of their query: those that were tried again, and errors. */
  readonly failed: number;
  /** Failed queries by the names of their errors. */
  readonly errors: Readonly<Record<string, number>>;
  /** Where the next look continues. */
  readonly end: number;
}

// Some hundred records: enough to know which share fails, and read in a millisecond.
const TAIL_BYTES = 256 * 1024;
// A storm of errors is known by a part of them.
const MOST_ERRORS = 1_000;
// Before the message of an error come names and parameters alone.
const ERROR_BYTES = 64 * 1024;

/**
 * Returns what was recorded in a log from an offset on; with `undefined`, in its last 256 KiB if it was written to in
 * the last `recentMs`, and nothing of an older one. Without such a log, nothing was recorded. Takes no lock and changes
 * nothing; a group that is being written belongs to the next look.
 *
 * Errors: QrunError `READ_FAILED`.
 */
export async function recentAttempts(
  path: string,
  unit: string,
  from: number | undefined,
  recentMs: number,
): Promise<RecentAttempts> {
  try {
    const { file, stat } = await openToReadAsync(path, 'log', OWN_TO_READ);
    try {
      const nothing = { ended: 0, failed: 0, errors: {}, end: stat.size };
      // It was cut back, or is another file: what was recorded since is not known.
      if (from !== undefined && from >= stat.size) return nothing;
      if (from === undefined && Date.now() - stat.mtimeMs > recentMs) return nothing;
      const start = from ?? (await nextLine(file, Math.max(0, stat.size - TAIL_BYTES)));
      const found = new EndedAttempts();
      const { goodEnd } = await scanFile(file, new LogScanner(unit, found, start), stat.size);
      return { ...(await countAttempts(file, found)), end: goodEnd };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return { ended: 0, failed: 0, errors: {}, end: 0 };
    throw readError(`the log ${path}`, error, 'look at it: qrun audit-all');
  }
}

// The start of the first line after an offset. A row may be longer than what is read: then there is nothing to count.
async function nextLine(file: FileHandle, at: number): Promise<number> {
  if (at === 0) return 0;
  const buffer = Buffer.allocUnsafe(TAIL_BYTES);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, at - 1);
  const newline = buffer.subarray(0, bytesRead).indexOf(10);
  return newline === -1 ? at - 1 + bytesRead : at + newline;
}

async function countAttempts(
  file: FileHandle,
  { groups, retried, errors: places }: EndedAttempts,
): Promise<Omit<RecentAttempts, 'end'>> {
  const errors = new Map<string, number>();
  const looked = places.slice(0, MOST_ERRORS);
  let counted = 0;
  for (const place of looked) {
    const error = errorOfRecord(await textAt(file, place));
    if (error !== undefined && isOfQueryAlone(error)) continue;
    const name = error?.name ?? 'UNKNOWN';
    errors.set(name, (errors.get(name) ?? 0) + 1);
    counted += 1;
  }
  const share = looked.length === 0 ? 0 : counted / looked.length;
  return {
    ended: groups + retried,
    failed: retried + Math.round(places.length * share),
    errors: Object.fromEntries(errors),
  };
}

async function textAt(file: FileHandle, [start, end]: GroupRange): Promise<string> {
  const buffer = Buffer.allocUnsafe(Math.min(end - start, ERROR_BYTES));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  return buffer.toString('utf8', 0, bytesRead);
}
