import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Giver } from '../../core/config/trust.js';
import { QrunError } from '../../core/errors.js';
import { shortHash } from '../../core/unit/fingerprint.js';
import { hintOf, orWriteError } from '../files/failures.js';
import { OWN_AS_NAMED } from '../files/own-file.js';
import { realOf } from '../files/paths.js';
import { readState } from '../files/read-file.js';
import { makeDirectories, writeFileAtomic } from '../files/write-file.js';

/** What was decided about the connection when a submission was made, so that its tasks need not decide it again. */
export interface Decision {
  /** Who gave those of `url`, `password_file` and `ca_file` that have a value. */
  readonly givers: Readonly<Record<string, Giver>>;
  /** Whether the tree was trusted then. */
  readonly trusted: boolean;
}

/** The configuration that the tasks of one submission share: what qrun.toml, environment and flags said then. */
export interface SubmissionConfig {
  readonly file: string;
  readonly root: string;
  /** In the form of a qrun.toml, with absolute paths and without secrets. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Ids of the units that were submitted. The audit judges these, whatever exists by then. */
  readonly units: readonly string[];
  /** The time zone of the embedded engine; `undefined` if none was noted. */
  readonly timeZone?: string;
  /** Set only if the command line proves that a submission wrote this very file: a tree could contain a fake one. */
  readonly made?: Decision;
}

/** A file of a submission, and the proof that it is this very file. */
export interface WrittenConfig {
  readonly path: string;
  /** SHA-256 of the content, in hex. It goes into the command lines of the tasks, which are not in the tree. */
  readonly digest: string;
}

const VERSION = 1;

/**
 * Writes the configuration of a submission into `<root>/.qrun/jobs`, under a name derived from its content: later
 * changes and submissions never affect a queued task.
 *
 * Errors: QrunError `WRITE_FAILED`.
 */
export async function writeSubmission(
  root: string,
  values: Readonly<Record<string, unknown>>,
  units: readonly string[],
  { timeZone, made }: { readonly timeZone?: string | undefined; readonly made?: Decision } = {},
): Promise<WrittenConfig> {
  const zone = timeZone === undefined ? {} : { time_zone: timeZone };
  const content = `${JSON.stringify({ version: VERSION, root, values, units, ...zone, ...made }, null, 2)}\n`;
  const directory = directoryOf(root);
  const path = join(directory, `${shortHash(content)}.json`);
  await orWriteError(path, 'free space, or make the sweep root writable', async () => {
    makeDirectories(directory);
    await writeFileAtomic(path, content, 0o600);
  });
  return { path, digest: digestOf(content) };
}

/**
 * Reads what {@link writeSubmission} wrote. `digest` is the one that it returned. Without it, nothing in the file
 * counts as decided by the user: the file is treated as part of the tree that it is in.
 *
 * Errors: QrunError `CONFIG`, also for a file of another user, for one that does not match `digest`, and, without
 * `digest`, for one that is not in the tree it names, because it would decide about the `.env` of another tree.
 */
export function readSubmission(file: string, digest?: string): SubmissionConfig {
  let text: string;
  let content: Readonly<Record<string, unknown>> | null;
  try {
    text = readState(file, 'state', OWN_AS_NAMED);
    content = JSON.parse(text) as typeof content;
  } catch (cause) {
    throw unusable(`cannot read ${file}: ${(cause as Error).message}`, cause);
  }
  if (digest !== undefined && digest !== digestOf(text)) {
    throw unusable(`${file} is not what was submitted: it has changed since`);
  }
  const { version, root, values, units, time_zone: zone, givers, trusted } = content ?? {};
  const known = typeof values === 'object' && values !== null && Array.isArray(units);
  if (version !== VERSION || typeof root !== 'string' || !known) {
    throw unusable(`${file} is not the configuration of a submission that this qrun knows`);
  }
  if (digest === undefined && dirname(realOf(file)) !== realOf(directoryOf(root))) {
    throw unusable(`${file} is the configuration of a submission of ${root}, but does not lie there`);
  }
  return {
    file,
    root,
    values: values as Record<string, unknown>,
    units: units as string[],
    ...(typeof zone === 'string' ? { timeZone: zone } : {}),
    ...(digest === undefined
      ? {}
      : { made: { givers: (givers ?? {}) as Decision['givers'], trusted: trusted === true } }),
  };
}

function directoryOf(root: string): string {
  return join(root, '.qrun', 'jobs');
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function unusable(message: string, cause?: unknown): QrunError {
  return new QrunError('CONFIG', message, {
    hint: hintOf(cause, '--config takes a file that qrun submit-all wrote; submit again'),
    cause,
  });
}
