import { QrunError } from '../../core/errors.js';
import { encodeResolved, type Job, type ResolvedJobs } from '../../core/jobs/jobs-file.js';
import { isJobDue, type JobEntry, type JobVerdict, judgeJob } from '../../core/jobs/state.js';
import { type Selection, selectNames } from '../../core/unit/selection.js';
import type { SubmitOptions, SubmitReport, SubmitRequest } from '../sweep/submit.js';

/** What a submission uses. */
export interface ProcessAllDeps {
  /** The recorded runs of a job. */
  readonly readState: (job: Job) => readonly JobEntry[];
  /** Stores the resolved jobs where nothing changes them any more, and returns the path. */
  readonly store: (content: string) => Promise<string>;
  /** The command line of a job's task; `config` is what {@link store} returned. */
  readonly jobArgv: (job: Job, config: string) => readonly string[];
  /** The command line of the task that checks the jobs after they have ended. */
  readonly checkArgv: (config: string) => readonly string[];
  /** `submitTasks` with its dependencies. */
  readonly submit: (request: SubmitRequest) => Promise<SubmitReport>;
}

/** Which jobs to submit, and how. */
export interface ProcessAllRequest extends SubmitOptions {
  readonly jobs: ResolvedJobs;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Also submits what was done before this time (ISO 8601, UTC); with `undefined`, only what is not done. */
  readonly rerunBefore: string | undefined;
}

/** A selected job and the verdict on its recorded runs. */
export interface JudgedJob {
  readonly job: Job;
  readonly verdict: JobVerdict;
}

/** What happened to each selected job, by name. */
export interface ProcessAllReport extends SubmitReport {
  readonly done: readonly string[];
}

/**
 * Returns the selected jobs in the order of the matrix, each with the verdict on its recorded runs.
 *
 * Errors: QrunError `CONFIG` when the selection is empty; `LOG_UNUSABLE`.
 */
export function judgeJobs(
  readState: ProcessAllDeps['readState'],
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

/**
 * Adds one task to the queue for each selected job that is not done and not in the queue already, and then the check.
 * The resolved jobs are stored beforehand under a name derived from their content, so no later change of jobs.toml
 * reaches a task. A job that ends between the look at its state and its submission is skipped by its task.
 *
 * Errors: QrunError `CONFIG`, `LOG_UNUSABLE`, `WRITE_FAILED`, and those of `submitTasks`.
 */
export async function processAll(
  deps: ProcessAllDeps,
  request: ProcessAllRequest,
): Promise<ProcessAllReport> {
  const { jobs, include, exclude, rerunBefore, ...options } = request;
  const judged = judgeJobs(deps.readState, jobs, { include, exclude });
  const due = judged.filter(({ verdict }) => isJobDue(verdict, rerunBefore));
  const config = await deps.store(encodeResolved(jobs));
  const report = await deps.submit({
    ...options,
    kind: 'job',
    sweep: jobs.sweep,
    root: jobs.directory,
    tasks: due.map(({ job }) => ({ name: job.name, argv: deps.jobArgv(job, config) })),
    follower: { argv: deps.checkArgv(config), isDue: false },
  });
  const isDue = new Set(due.map(({ job }) => job.name));
  return { ...report, done: judged.map(({ job }) => job.name).filter(name => !isDue.has(name)) };
}

/** The verdict on a sweep of jobs: names by phase; complete only when all are done. */
export interface CheckReport {
  readonly sweep: string;
  readonly complete: boolean;
  readonly jobs: number;
  readonly done: readonly string[];
  readonly failed: readonly FailedJob[];
  /** Never ran, or ran only with other inputs. */
  readonly missing: readonly string[];
  /** Stopped or killed before its end. */
  readonly interrupted: readonly string[];
  readonly running: readonly string[];
}

/** A job whose last run failed; `ended` is its exit code or its signal. */
export interface FailedJob {
  readonly job: string;
  readonly ended: string;
  readonly attempt: number;
}

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
