import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { orWriteError } from '../files/failures.js';
import { OWN_AS_NAMED } from '../files/own-file.js';
import { readState } from '../files/read-file.js';
import { makeDirectories, writeFileAtomic } from '../files/write-file.js';

/** A task in the list of an array. */
export interface ListedTask {
  readonly label: string;
  readonly argv: readonly string[];
  readonly directory: string;
}

/** What the tasks of an array are: the scheduler knows only a number of each. */
export interface TaskList {
  readonly group: string;
  /** How many of them run at a time; `null` for all. */
  readonly slots: number | null;
  readonly tasks: readonly ListedTask[];
}

/** A list that was written, and the proof that it is this very one. */
export interface WrittenList {
  readonly path: string;
  /** SHA-256 of the content, in hex. */
  readonly digest: string;
}

const VERSION = 1;

// Where lists lie beneath the directory in which the tasks start: each machine that runs them sees it.
const PLACE = ['.qrun', 'queue'] as const;

/** Returns the path of a list, by the digest of its content. */
export function taskListPath(directory: string, digest: string): string {
  return join(directory, ...PLACE, `${digest.slice(0, 16)}.json`);
}

/**
 * Writes the list of an array into `<directory>/.qrun/queue`, durably, under a name that follows from its content: a
 * list never changes. Holds no secrets, because command lines hold none.
 *
 * Errors: QrunError `WRITE_FAILED`.
 */
export async function writeTaskList(directory: string, list: TaskList): Promise<WrittenList> {
  const content = `${JSON.stringify({ version: VERSION, ...list })}\n`;
  const digest = digestOf(content);
  const path = taskListPath(directory, digest);
  await orWriteError(path, 'free space, or make the sweep root writable', async () => {
    makeDirectories(join(directory, ...PLACE));
    await writeFileAtomic(path, content, 0o600);
  });
  return { path, digest };
}

/**
 * Reads what {@link writeTaskList} wrote. Errors: QrunError `CONFIG`, also for a file of another user and for one that
 * does not match `digest`: what it says would be executed.
 */
export function readTaskList(path: string, digest: string): TaskList {
  let text: string;
  let content: Readonly<Record<string, unknown>> | null;
  try {
    text = readState(path, 'state', OWN_AS_NAMED);
    content = JSON.parse(text) as typeof content;
  } catch (cause) {
    throw unusable(`cannot read the list of tasks ${path}: ${(cause as Error).message}`, cause);
  }
  if (digestOf(text) !== digest) throw unusable(`${path} is not what was submitted: it has changed since`);
  const { version, group, slots, tasks } = content ?? {};
  if (version !== VERSION || typeof group !== 'string' || !Array.isArray(tasks)) {
    throw unusable(`${path} is not a list of tasks that this qrun knows`);
  }
  return { group, slots: typeof slots === 'number' ? slots : null, tasks: tasks as ListedTask[] };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function unusable(message: string, cause?: unknown): QrunError {
  return new QrunError('CONFIG', message, {
    hint: 'every node must see the directory of the sweep under the same path; submit again',
    cause,
  });
}
