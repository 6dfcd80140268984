import { join } from 'node:path';
import { QrunError } from '../core/errors.js';
import { shortHash } from '../core/fingerprint.js';
import { writeFileAtomic } from './atomic-file.js';
import { makeDirectories, reasonOf } from './log-file.js';
import { hintOf } from './open-file.js';
import { OWN_AS_NAMED } from './own-file.js';
import { readState } from './read-file.js';

/** The configuration that the jobs of one submission share: what stood in qrun.toml, environment and flags then. */
export interface JobConfig {
  readonly file: string;
  readonly root: string;
  /** As a qrun.toml could hold it; paths are absolute, and no secret is in it. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Ids of the units that the submission was about: what its audit judges, whatever is there then. */
  readonly units: readonly string[];
  /** In which the embedded engine works; undefined where none was noted. */
  readonly timeZone?: string;
}

const VERSION = 1;

/**
 * Writes the configuration of a submission into `<root>/.qrun/jobs`, under a name made of its content: what is
 * changed or submitted later never changes a job that is queued. Gives the path.
 *
 * Errors: QrunError `LOG_WRITE`.
 */
export async function writeJobConfig(
  root: string,
  values: Readonly<Record<string, unknown>>,
  units: readonly string[],
  timeZone?: string,
): Promise<string> {
  const zone = timeZone === undefined ? {} : { time_zone: timeZone };
  const content = `${JSON.stringify({ version: VERSION, root, values, units, ...zone }, null, 2)}\n`;
  const directory = join(root, '.qrun', 'jobs');
  const path = join(directory, `${shortHash(content)}.json`);
  try {
    makeDirectories(directory);
    await writeFileAtomic(path, content, 0o600);
  } catch (cause) {
    throw new QrunError('LOG_WRITE', `cannot write ${path}: ${reasonOf(cause)}`, {
      hint: 'free space, or make the sweep root writable',
      cause,
    });
  }
  return path;
}

/** Reads what {@link writeJobConfig} wrote. Errors: QrunError `CONFIG`. */
export function readJobConfig(file: string): JobConfig {
  let content: Partial<Record<'version' | 'root' | 'values' | 'units' | 'time_zone', unknown>> | null;
  try {
    content = JSON.parse(readState(file, 'state', OWN_AS_NAMED)) as typeof content;
  } catch (cause) {
    throw new QrunError('CONFIG', `cannot read ${file}: ${(cause as Error).message}`, {
      hint: hintOf(cause, '--config takes a file that qrun submit-all wrote; submit again'),
      cause,
    });
  }
  const { version, root, values, units, time_zone: zone } = content ?? {};
  const known = typeof values === 'object' && values !== null && Array.isArray(units);
  if (version === VERSION && typeof root === 'string' && known) {
    const timeZone = typeof zone === 'string' ? { timeZone: zone } : {};
    return { file, root, values: values as Record<string, unknown>, units: units as string[], ...timeZone };
  }
  throw new QrunError('CONFIG', `${file} is not the configuration of a job that this qrun knows`, {
    hint: '--config takes a file that qrun submit-all wrote; submit again',
  });
}
