import { QrunError } from '../../core/errors.js';
import { type JobEntry, parseJobEntry } from '../../core/jobs/state.js';
import { entriesOf } from '../../core/text/json.js';
import { isMissing, orWriteError, readError } from '../files/failures.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readState } from '../files/read-file.js';
import { appendLine, RUNS_BEGINNING } from '../files/write-file.js';

/**
 * Appends one entry to a job's state, durably. Only the holder of the job's lease may call it.
 *
 * Errors: QrunError `WRITE_FAILED` (a full disk, a directory that cannot be written).
 */
export async function appendJobEntry(path: string, entry: JobEntry): Promise<void> {
  const hint = 'free space, or make the directory writable; a job whose end is not recorded runs again';
  await orWriteError(path, hint, () => appendLine(path, JSON.stringify(entry), RUNS_BEGINNING));
}

/**
 * Returns the runs of a job in order, without lines that cannot be read (the torn end of a killed run); empty if there
 * were none. Takes no lock: a job that ends at this moment may still count as running.
 *
 * Errors: QrunError `READ_FAILED` when the file cannot be read, `LOG_UNUSABLE` when it holds something else.
 */
export function readJobState(path: string): JobEntry[] {
  let text: string;
  try {
    text = readState(path, 'state', OWN_TO_READ);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw readError(path, cause, 'make it readable; it says which jobs are done');
  }
  const entries = entriesOf(text, parseJobEntry);
  if (entries !== undefined) return entries;
  throw new QrunError('LOG_UNUSABLE', `${path} is not the state of a job`, {
    hint: 'move it away: then the job counts as one that never ran',
  });
}
