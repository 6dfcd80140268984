import { QrunError } from '../../core/errors.js';
import { RECORD_SCHEMA_VERSION } from '../../core/log/record.js';
import type { runEnd, runSetup, runStart } from '../../core/log/runs.schema.js';
import type { Output } from '../../core/schema.js';
import { entriesOf, jsonObject } from '../../core/text/json.js';
import { isMissing, orWriteError, readError } from '../files/failures.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readState } from '../files/read-file.js';
import { appendLine, RUNS_BEGINNING } from '../files/write-file.js';

/** The setup that a run found or made: the chain of the embedded data, or what was run on a server. */
export interface RunSetup extends Output<typeof runSetup> {}

/** Written when a run begins. */
export interface RunStart extends Output<typeof runStart> {}

/** Written when a run ends by itself. A start without an end is a run that was killed. */
export interface RunEnd extends Output<typeof runEnd> {}

/** One line of the sidecar. */
export type RunEntry = RunStart | RunEnd;

/** The path of a log's sidecar. */
export function sidecarPath(logPath: string): string {
  return `${logPath}.runs`;
}

/**
 * Appends one entry durably. Only the holder of the unit's lease may call it. A torn line of a killed run is
 * terminated first, so that it spoils no other line.
 *
 * Errors: QrunError `WRITE_FAILED`.
 */
export async function appendRun(logPath: string, entry: RunEntry): Promise<void> {
  const path = sidecarPath(logPath);
  await orWriteError(path, 'free space, or make the directory of the log writable', () =>
    appendLine(path, JSON.stringify(entry), RUNS_BEGINNING),
  );
}

/**
 * Returns the entries of a log's sidecar in order, without lines that cannot be read; empty if there is no sidecar.
 *
 * Errors: QrunError `LOG_SCHEMA` when a run of a later qrun wrote records that this one does not know,
 * `READ_FAILED` when it cannot be read, `LOG_UNUSABLE` when it holds something other than runs.
 */
export function readRuns(logPath: string): RunEntry[] {
  let text: string;
  try {
    text = readState(sidecarPath(logPath), 'state', OWN_TO_READ);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw readError(sidecarPath(logPath), cause, 'make it readable, or name another log with --log');
  }
  const entries = entriesOf(text, parseEntry);
  if (entries === undefined) {
    throw new QrunError('LOG_UNUSABLE', `${sidecarPath(logPath)} is not a list of runs`, {
      hint: 'move it away: it says who ran the log when, and is not needed to go on',
    });
  }
  for (const entry of entries) {
    if (entry.event === 'start' && entry.schema > RECORD_SCHEMA_VERSION) {
      throw new QrunError(
        'LOG_SCHEMA',
        `${logPath} was written by qrun ${entry.qrun} with records of schema ${entry.schema}; this qrun knows ${RECORD_SCHEMA_VERSION}`,
        { hint: 'update qrun, or name another log with --log' },
      );
    }
  }
  return entries;
}

function parseEntry(line: string): RunEntry | undefined {
  const entry = jsonObject<RunStart | RunEnd>(line);
  if (typeof entry?.run !== 'string') return undefined;
  if (entry.event === 'end') return entry as RunEnd;
  const { event, schema, settings } = entry as Partial<RunStart>;
  if (event !== 'start' || typeof schema !== 'number') return undefined;
  // A later version may leave out what this one needs; its schema number alone decides.
  const known = schema > RECORD_SCHEMA_VERSION || (typeof settings === 'object' && settings !== null);
  return known ? (entry as RunStart) : undefined;
}

/** The newest start entry, or `undefined` if there is none. */
export function lastStart(entries: readonly RunEntry[]): RunStart | undefined {
  return entries.findLast((entry): entry is RunStart => entry.event === 'start');
}
