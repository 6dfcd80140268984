import { randomBytes } from 'node:crypto';
import { link, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { withoutMark } from '../../core/text/text-bytes.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { hintOf } from '../files/open-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readBytesAsync } from '../files/read-file.js';
import { makeDirectories, reasonOf } from '../log/disk.js';

export interface CheckpointOptions {
  /** Told when a checkpoint that cannot be read as JSON was set aside: where it is now, and what is wrong with it. */
  readonly onSetAside?: (path: string, reason: string) => void;
}

/**
 * How far a job has come, as one JSON value in one file, which survives kill -9 and power loss at any moment: it
 * holds the last value that was written whole, or none.
 *
 * Errors of all methods: QrunError `LOG_UNUSABLE` when the file cannot be read or removed, `LOG_WRITE` when it cannot
 * be written (a full disk); the value before then still stands.
 */
export interface Checkpoint {
  readonly path: string;
  /** The value, or `undefined` when there is none. What is no JSON is set aside and counts as none. */
  read(): Promise<unknown>;
  /** The value as the JSON text that was written, numbers with all their digits; else as {@link read}. */
  readText(): Promise<string | undefined>;
  /**
   * Replaces the value; it is durable when this resolves. Of several writers at once the last one stands.
   *
   * Errors: also TypeError for what is no JSON value (undefined, a function, a ring).
   */
  write(value: unknown): Promise<void>;
  /** As {@link write}, with the JSON text itself. Errors: also QrunError `USAGE` when it is no JSON. */
  writeText(json: string): Promise<void>;
  /** Removes the value; there may be none. */
  clear(): Promise<void>;
  /** Renames the file to `<path>.<suffix>`, for good; gives that path, or `undefined` when there is no file. */
  setAside(suffix: string): Promise<string | undefined>;
}

/** A checkpoint in the file `path`. Nothing is opened and nothing is made before it is needed. */
export function openCheckpoint(path: string, options: CheckpointOptions = {}): Checkpoint {
  const readText = async (): Promise<string | undefined> => {
    const text = await contentOf(path);
    if (text === undefined || problemOf(text) === undefined) return text?.trim();
    return await setUnreadableAside(path, options);
  };
  return {
    path,
    readText,
    async read() {
      const text = await readText();
      return text === undefined ? undefined : (JSON.parse(text) as unknown);
    },
    async write(value) {
      const text = JSON.stringify(value) as string | undefined;
      if (text === undefined) throw new TypeError(`a checkpoint must be a JSON value, not ${typeof value}`);
      await store(path, text);
    },
    async writeText(json) {
      const problem = problemOf(json);
      if (problem !== undefined) {
        throw new QrunError('USAGE', `a checkpoint must be JSON: ${problem}`, {
          hint: `quote it for the shell: '{"done": 42}', or '"text"' for a text alone`,
        });
      }
      await store(path, json.trim());
    },
    async clear() {
      try {
        await rm(path, { force: true });
      } catch (cause) {
        throw unusable('remove', path, cause);
      }
    },
    setAside: suffix => moveAside(path, `${path}.${suffix}`),
  };
}

async function store(path: string, text: string): Promise<void> {
  try {
    makeDirectories(dirname(path));
    await writeFileAtomic(path, `${text}\n`);
  } catch (cause) {
    throw new QrunError('LOG_WRITE', `cannot write the checkpoint ${path}: ${reasonOf(cause)}`, {
      hint: 'free space, or make its directory writable; the checkpoint before this one still stands',
      cause,
    });
  }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return withoutMark(await readBytesAsync(path, 'checkpoint', OWN_TO_READ)).toString('utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable('read', path, cause);
  }
}

/** What is wrong with a text that should be JSON, without the text itself. */
function problemOf(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    return text.trim() === '' ? 'it is empty' : 'it cannot be parsed';
  }
}

// What is moved may be a good one that another process has written meanwhile: then it is put back.
async function setUnreadableAside(path: string, options: CheckpointOptions): Promise<string | undefined> {
  const aside = await moveAside(path, `${path}.unreadable-${randomBytes(4).toString('hex')}`);
  if (aside === undefined) return undefined;
  const text = (await contentOf(aside)) ?? '';
  const problem = problemOf(text);
  if (problem === undefined) {
    // Fails where a still newer one is there.
    await link(aside, path).catch(() => {});
    await rm(aside, { force: true });
    return text.trim();
  }
  options.onSetAside?.(aside, problem);
  return undefined;
}

async function moveAside(path: string, aside: string): Promise<string | undefined> {
  try {
    await rename(path, aside);
    return aside;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable('rename', path, cause);
  }
}

function unusable(what: string, path: string, cause: unknown): QrunError {
  return new QrunError('LOG_UNUSABLE', `cannot ${what} the checkpoint ${path}: ${reasonOf(cause)}`, {
    hint: hintOf(cause, 'it must be a file in a directory that this user may read and write'),
    cause,
  });
}
