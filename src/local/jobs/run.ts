import { statSync } from 'node:fs';
import { join } from 'node:path';
import { jobNamed, type RunJobDeps, runJob } from '../../app/jobs/run-job.js';
import type { ResolvedJobs } from '../../core/jobs/jobs-file.js';
import { readDotEnv } from '../../io/config/config-files.js';
import { orWriteError } from '../../io/files/failures.js';
import { appendLine, makeDirectories } from '../../io/files/write-file.js';
import { openCheckpoint } from '../../io/jobs/checkpoint.js';
import { followFile, runCommand } from '../../io/jobs/command.js';
import { appendJobEntry, readJobState } from '../../io/jobs/state.js';
import { takeLease } from '../../io/log/lease.js';
import { thisProcess } from '../../io/machine/this-process.js';
import type { Surroundings } from '../config/sweep-context.js';
import { jobsChecks } from '../config/trust.js';
import { newRunId } from '../unit/run-id.js';
import { filesOf, RESULTS_HINT } from './context.js';

/** How a job is run here. */
export interface JobRunOptions extends Pick<RunJobDeps, 'note' | 'stops'> {
  readonly name: string;
  /** Repeats what was done in a run that began before this time (ISO 8601, UTC). */
  readonly rerunBefore: string | undefined;
  /** Whether files of other users are believed. */
  readonly trust: boolean;
  /** Called before the command is started. */
  readonly onStart: () => void;
  /** Called with what the command prints. */
  readonly onOutput: (text: string) => void;
}

/**
 * Runs one job unless it is done; resolves with the result, and the log that holds its output. Its command gets this environment and the `.env` beside jobs.toml. That is read
 * now, because others can read what a queue stores.
 *
 * Errors: QrunError `CONFIG` for a job that does not exist, and those of {@link runJob}.
 */
export async function runJobOf(
  jobs: ResolvedJobs,
  { env }: Pick<Surroundings, 'env'>,
  { name, rerunBefore, trust, note, stops, onStart, onOutput }: JobRunOptions,
) {
  const job = jobNamed(jobs, name);
  const files = filesOf(jobs, job);
  const run = newRunId();
  const { user, host, pid, qrun: version } = thisProcess();
  await orWriteError(jobs.results, RESULTS_HINT, () => makeDirectories(jobs.results));
  const decoder = new TextDecoder();
  const outcome = await runJob(
    {
      takeLease: () =>
        takeLease(files.log, name, { pid, host, run, since: new Date().toISOString() }, undefined, 'job'),
      readState: () => readJobState(files.state),
      appendState: entry => appendJobEntry(files.state, entry),
      checkpoint: openCheckpoint(files.checkpoint),
      run: command => {
        onStart();
        return runCommand(command);
      },
      appendLog: line =>
        orWriteError(files.log, RESULTS_HINT, async () => {
          await appendLine(files.log, line);
          return statSync(files.log).size;
        }),
      follow: from => followFile(files.log, from, bytes => onOutput(decoder.decode(bytes, { stream: true }))),
      now: () => new Date(),
      note,
      stops,
    },
    {
      ...{ jobs, job, files, rerunBefore, run, version },
      owner: { user, host, pid },
      env: { ...dotEnvOf(jobs.directory, trust, env), ...env },
    },
  );
  return { outcome, log: files.log };
}

function dotEnvOf(directory: string, given: boolean, env: Surroundings['env']) {
  return readDotEnv(join(directory, '.env'), jobsChecks(directory, { given, env }));
}
