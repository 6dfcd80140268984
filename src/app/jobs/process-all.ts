import { QrunError } from '../../core/errors.js';
import type { Job, ResolvedJobs } from '../../core/jobs/jobs-file.js';
import type { check } from '../../core/jobs/process-all.schema.js';
import { type JobEntry, type JobVerdict, judgeJob } from '../../core/jobs/state.js';
import type { Output } from '../../core/schema.js';
import { type Selection, selectNames } from '../../core/unit/selection.js';

/** A selected job and the verdict on its recorded runs. */
export interface JudgedJob {
  readonly job: Job;
  readonly verdict: JobVerdict;
}

/**
 * Returns the selected jobs in the order of the matrix, each with the verdict on its recorded runs.
 *
 * Errors: QrunError `CONFIG` when the selection is empty; `LOG_UNUSABLE`.
 */
export function judgeJobs(
  readState: (job: Job) => readonly JobEntry[],
  { jobs, sweep }: ResolvedJobs,
  globs: Pick<Selection, 'include' | 'exclude'>,
): JudgedJob[] {
  const names = jobs.map(job => job.name);
  const selected = new Set(selectNames(names, { ...globs, shard: undefined, shuffle: undefined }));
  if (selected.size === 0) {
    throw new QrunError('CONFIG', `none of the ${jobs.length} jobs of ${sweep} is selected`, {
      hint: `--include and --exclude are globs of names such as ${names[0] ?? sweep}`,
    });
  }
  return jobs
    .filter(job => selected.has(job.name))
    .map(job => ({ job, verdict: judgeJob(readState(job), job.fingerprint) }));
}

/** The verdict on a sweep of jobs: names by phase; complete only when all are done. */
export interface CheckReport extends Output<typeof check> {}

/** Sums up what {@link judgeJobs} returned; `running` holds the names of jobs whose lease is held. */
export function checkReport(
  sweep: string,
  judged: readonly JudgedJob[],
  running: ReadonlySet<string>,
): CheckReport {
  const named = (...phases: JobVerdict['phase'][]): string[] =>
    judged.filter(({ verdict }) => phases.includes(verdict.phase)).map(({ job }) => job.name);
  const done = named('done');
  return {
    sweep,
    complete: done.length === judged.length,
    jobs: judged.length,
    done,
    failed: judged
      .filter(({ verdict }) => verdict.phase === 'failed')
      .map(({ job, verdict: { end, attempts } }) => ({
        job: job.name,
        ended: end?.killed_at_cap === true ? 'memory cap' : (end?.signal ?? `exit ${end?.exit_code}`),
        attempt: attempts,
      })),
    missing: named('new', 'changed'),
    interrupted: named('interrupted').filter(name => !running.has(name)),
    running: named('interrupted').filter(name => running.has(name)),
  };
}
