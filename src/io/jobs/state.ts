import { QrunError } from '../../core/errors.js';
import { type JobEntry, parseJobEntry } from '../../core/jobs/state.js';
import { entriesOf } from '../../core/log/json-lines.js';
import { appendLine, RUNS_BEGINNING } from '../files/append-line.js';
import { hintOf } from '../files/open-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readState } from '../files/read-file.js';
import { reasonOf } from '../log/disk.js';

/**
 * Appends one entry to a job's state, durably. Only the holder of the job's lease may call it.
 *
 * Errors: QrunError `LOG_WRITE` (a full disk, a directory that cannot be written).
 */
export async function appendJobEntry(path: string, entry: JobEntry): Promise<void> {
  try {
    await appendLine(path, JSON.stringify(entry), RUNS_BEGINNING);
  } catch (cause) {
    throw new QrunError('LOG_WRITE', `cannot write ${path}: ${reasonOf(cause)}`, {
      hint: hintOf(
        cause,
        'free space, or make the directory writable; a job whose end is not recorded runs again',
      ),
      cause,
    });
  }
}

/**
 * The runs of a job in order, without lines that cannot be read (the torn end of a killed run); empty when there
 * were none. Takes no lock: a job that ends at this moment may still count as running.
 *
 * Errors: QrunError `LOG_UNUSABLE` when the file cannot be read, or holds other things.
 */
export function readJobState(path: string): JobEntry[] {
  let text: string;
  try {
    text = readState(path, 'state', OWN_TO_READ);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new QrunError('LOG_UNUSABLE', `cannot read ${path}: ${reasonOf(cause)}`, {
      hint: hintOf(cause, 'make it readable; it says which jobs are done'),
      cause,
    });
  }
  const entries = entriesOf(text, parseJobEntry);
  if (entries !== undefined) return entries;
  throw new QrunError('LOG_UNUSABLE', `${path} is no state of a job`, {
    hint: 'move it away: then the job counts as one that never ran',
  });
}
