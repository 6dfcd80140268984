import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { NumberUse } from '../../core/config/toml-numbers.js';
import { QrunError } from '../../core/errors.js';
import {
  decodeResolved,
  type Job,
  type JobFiles,
  jobFiles,
  parseJobsFile,
  type ResolvedJobs,
  resolvedName,
  resolveJobs,
} from '../../core/jobs/jobs-file.js';
import { readToml } from '../../io/config/config-files.js';
import { hintOf } from '../../io/files/failures.js';
import { believeBelow } from '../../io/files/owner.js';
import { readState } from '../../io/files/read-file.js';
import { checkJobResults } from '../config/places.js';
import type { Surroundings } from '../config/sweep-context.js';
import { isAccepted, jobsChecks } from '../config/trust.js';

/** The directory beneath the results that holds what process-all resolved. */
export const RESOLVED_DIRECTORY = '.jobs';

/** What to do when nothing can be written beneath the results of jobs. */
export const RESULTS_HINT = 'free space, or choose another place: results = "..." in jobs.toml';

/** The flags of a command line that matter here. */
interface JobFlags {
  readonly trust?: unknown;
  readonly memoryMax?: unknown;
}

/**
 * Returns the jobs of a jobs.toml. Its directory is given by its real path, as in a queue.
 *
 * Errors: QrunError `CONFIG`, with all problems of the file at once; for a file of another user without `--trust`.
 */
export function readJobs(
  file: string,
  { cwd, env }: Surroundings,
  { trust, memoryMax }: JobFlags = {},
): ResolvedJobs {
  const path = resolve(cwd, file);
  const inputs = { given: trust === true, env };
  believeBelow(dirname(path), () => isAccepted(dirname(path), inputs));
  const checks = jobsChecks(dirname(path), inputs);
  const checked = parseJobsFile(readToml(path, numberUse, checks).values, path);
  const directory = realpathSync(dirname(path));
  const results = resolve(directory, checked.results ?? 'results');
  checkJobResults(results);
  return resolveJobs(checked, { directory, results, memoryMax: memoryMax as string | undefined });
}

// What becomes part of names and of the environment is text; everything else is a number.
function numberUse([table]: readonly string[]): NumberUse {
  return table === 'matrix' || table === 'env' ? 'parameter' : 'number';
}

/**
 * Returns the jobs that a task of a queue was given: those of a file that process-all stored, or of a jobs.toml.
 *
 * Errors: QrunError `CONFIG`, also when a stored file has changed.
 */
export function readStoredJobs(file: string, surroundings: Surroundings, flags: JobFlags = {}): ResolvedJobs {
  const { cwd, env } = surroundings;
  const path = resolve(cwd, file);
  if (path.endsWith('.toml')) return readJobs(path, surroundings, { trust: flags.trust });
  const inputs = { given: flags.trust === true, env };
  believeBelow(dirname(path), () => isAccepted(dirname(path), inputs));
  let content: string;
  try {
    content = readState(path, 'state', jobsChecks(dirname(path), inputs));
  } catch (cause) {
    throw unusable(path, `cannot be read: ${(cause as Error).message}`, cause);
  }
  const jobs = decodeResolved(content);
  if (jobs === undefined || resolvedName(content) !== basename(path)) {
    throw unusable(path, 'is not what qrun process-all stored');
  }
  checkJobResults(jobs.results);
  return jobs;
}

function unusable(path: string, what: string, cause?: unknown): QrunError {
  return new QrunError('CONFIG', `${path} ${what}`, {
    hint: hintOf(cause, 'submit the jobs again: qrun process-all jobs.toml'),
    cause,
  });
}

/** Returns the files of a job, absolute. */
export function filesOf(jobs: ResolvedJobs, job: Job): JobFiles {
  const { log, checkpoint, state } = jobFiles(job.name);
  return {
    log: join(jobs.results, log),
    checkpoint: join(jobs.results, checkpoint),
    state: join(jobs.results, state),
  };
}
