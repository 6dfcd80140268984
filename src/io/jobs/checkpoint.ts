import { randomBytes } from 'node:crypto';
import { link, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { checkArgument, checkOptions } from '../../core/options.js';
import { hintOf, isMissing, orWriteError, reasonOf } from '../files/failures.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readStateAsync } from '../files/read-file.js';
import { makeDirectories, writeFileAtomic } from '../files/write-file.js';

export interface CheckpointOptions {
  /** Called when a checkpoint that is not JSON was set aside: with its new path, and with what is wrong with it. */
  readonly onSetAside?: ((path: string, reason: string) => void) | undefined;
}

/**
 * The progress of a job, as one JSON value in one file. The file survives kill -9 and power loss at any moment: it
 * holds the last value that was written whole, or none.
 *
 * Errors of all methods: QrunError `READ_FAILED` when the file cannot be read, `WRITE_FAILED` when it cannot be written
 * (a full disk), renamed or removed; the previous value then remains.
 */
export interface Checkpoint {
  readonly path: string;
  /** The value, or `undefined` if there is none. A file that is not JSON is set aside and counts as none. */
  read(): Promise<unknown>;
  /** Like {@link read}, but returns the JSON text as it was written, numbers with all their digits. */
  readText(): Promise<string | undefined>;
  /**
   * Replaces the value; it is durable when this resolves. If several write at once, the last one wins.
   *
   * Errors: also TypeError for something that is not a JSON value (undefined, a function, a cycle).
   */
  write(value: unknown): Promise<void>;
  /** Like {@link write}, but takes the JSON text. Errors: also QrunError `USAGE` when it is not JSON. */
  writeText(json: string): Promise<void>;
  /** Removes the value; there may be none. */
  clear(): Promise<void>;
  /** Renames the file to `<path>.<suffix>` permanently; returns that path, or `undefined` if there is no file. */
  setAside(suffix: string): Promise<string | undefined>;
}

/**
 * Returns a checkpoint in the file `path`. Nothing is opened or created before it is needed.
 *
 * Errors: QrunError `CONFIG` for an option that does not exist, or something of the wrong type.
 */
export function openCheckpoint(path: string, options: CheckpointOptions = {}): Checkpoint {
  checkArgument('openCheckpoint', 'the path', path, 'string');
  checkOptions('openCheckpoint', options, { onSetAside: 'function' });
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
          hint: `quote it for the shell: '{"done": 42}', or '"text"' for a string alone`,
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
  const hint = 'free space, or make its directory writable; the checkpoint before this one still stands';
  await orWriteError(`the checkpoint ${path}`, hint, async () => {
    makeDirectories(dirname(path));
    await writeFileAtomic(path, `${text}\n`);
  });
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readStateAsync(path, 'checkpoint', OWN_TO_READ);
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw unusable('read', path, cause);
  }
}

/** What is wrong with a string that should be JSON; the string itself is not quoted. */
function problemOf(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    return text.trim() === '' ? 'it is empty' : 'it cannot be parsed';
  }
}

// The file that is moved may be a good one that another process has just written: then it is put back.
async function setUnreadableAside(path: string, options: CheckpointOptions): Promise<string | undefined> {
  const aside = await moveAside(path, `${path}.unreadable-${randomBytes(4).toString('hex')}`);
  if (aside === undefined) return undefined;
  const text = (await contentOf(aside)) ?? '';
  const problem = problemOf(text);
  if (problem === undefined) {
    // Fails if an even newer one exists.
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
    if (isMissing(cause)) return undefined;
    throw unusable('rename', path, cause);
  }
}

function unusable(what: 'read' | 'rename' | 'remove', path: string, cause: unknown): QrunError {
  const code = what === 'read' ? 'READ_FAILED' : 'WRITE_FAILED';
  return new QrunError(code, `cannot ${what} the checkpoint ${path}: ${reasonOf(cause)}`, {
    hint: hintOf(cause, 'it must be a file in a directory that this user may read and write'),
    cause,
  });
}
