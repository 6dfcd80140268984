import { resolve } from 'node:path';
import type { CheckReport } from '../../app/jobs/process-all.js';
import { checkArgument, checkOptions } from '../../core/options.js';
import type { CancelReport } from '../../core/sweep/cancel.js';
import type { Surroundings } from '../config/sweep-context.js';
import type { CancelOptions } from '../queue/cancel.js';
import { readJobs } from './context.js';
import { type JobSelection, JobsOf, type JobsPlan, type JobsReport, type JobsSubmitOptions } from './jobs.js';

/** How a jobs.toml is opened. */
export interface JobsOptions {
  /** Whether to believe files of other users, as `--trust` does; see docs/trust.md. */
  readonly trust?: boolean | undefined;
  /** Memory cap of each job, such as `4G`; the default is that of jobs.toml. */
  readonly memoryMax?: string | undefined;
  /** The base of relative paths; the default is the current directory of the process. */
  readonly cwd?: string | undefined;
  /** The environment to use instead of that of the process; it says where the queue is. */
  readonly env?: Surroundings['env'] | undefined;
}

/** The process jobs of a jobs.toml. Each method reads the recorded runs and the queue again. */
export interface Jobs {
  readonly sweep: string;
  /** The directory of logs, states and checkpoints, absolute. */
  readonly results: string;
  /**
   * Resolves with what a submission would do; asks the queue, and adds nothing.
   *
   * Errors: QrunError `READ_FAILED`; `CONFIG` when the selection is empty.
   */
  plan(options?: JobsSubmitOptions): Promise<JobsPlan>;
  /**
   * Adds a task for each selected job that is not done and not in the queue, and then their check, as `qrun
   * process-all` does. What was added before an error or a signal stays.
   *
   * Errors: QrunError `READ_FAILED`, `WRITE_FAILED`, `CONFIG`, and of the queue (26); the reason of the signal.
   */
  submit(options?: JobsSubmitOptions & { readonly signal?: AbortSignal | undefined }): Promise<JobsReport>;
  /**
   * Asks the tasks of the selected jobs to end, and that of their check after them, as `qrun cancel jobs.toml` does.
   * Jobs that wait never start; those that run get SIGTERM, and run again with the next submission. With `dryRun`
   * nothing is cancelled; with `wait` it resolves when those that ran have ended.
   *
   * Errors: QrunError of the queue (26); the reason of the signal.
   */
  cancel(
    options?: JobSelection & CancelOptions & { readonly signal?: AbortSignal | undefined },
  ): Promise<CancelReport>;
  /** Resolves with the verdict on the selected jobs by their recorded runs. Errors: as {@link Jobs.plan}. */
  check(selection?: JobSelection): Promise<CheckReport>;
}

/**
 * Opens a jobs.toml: a command for each combination of parameters. Nothing is written or locked before a method needs
 * it.
 *
 * Errors: QrunError `CONFIG`, with all problems of the file at once.
 */
export function openJobs(file: string, options: JobsOptions = {}): Jobs {
  checkArgument('openJobs', 'the file', file, 'string');
  checkOptions('openJobs', options, OPENING);
  const { cwd: base = '', env = process.env, trust = false, memoryMax } = options;
  const jobs = new JobsOf(
    readJobs(file, { cwd: resolve(process.cwd(), base), env }, { trust, memoryMax }),
    { env },
    trust,
  );
  const { sweep, results } = jobs;
  return {
    ...{ sweep, results },
    async plan(given = {}) {
      checkOptions('plan', given, SUBMISSION);
      return await jobs.plan(given);
    },
    async submit(given = {}) {
      checkOptions('submit', given, { ...SUBMISSION, signal: 'signal' }, NOT_ACCEPTED);
      const { signal = new AbortController().signal, ...chosen } = given;
      return await jobs.submit(chosen, { signal });
    },
    async cancel(given = {}) {
      checkOptions('cancel', given, { ...SELECTION, dryRun: 'boolean', wait: 'boolean', signal: 'signal' });
      const { signal = new AbortController().signal, ...chosen } = given;
      return await jobs.cancel(chosen, { signal });
    },
    async check(selection = {}) {
      checkOptions('check', selection, SELECTION);
      return await jobs.check(selection);
    },
  };
}

const OPENING = { trust: 'boolean', memoryMax: 'string', cwd: 'string', env: 'environment' } as const;
const SELECTION = { include: 'strings', exclude: 'strings' } as const;
const SUBMISSION = {
  ...SELECTION,
  rerun: 'all',
  group: 'string',
  slots: 'count',
  priority: 'integer',
  delay: 'string',
  resumeGroup: 'boolean',
} as const;
const NOT_ACCEPTED = { not: { dryRun: 'plan() says what a submission would do, and adds nothing' } };
