import { join } from 'node:path';
import { type CheckReport, checkReport, type JudgedJob, judgeJobs } from '../../app/jobs/process-all.js';
import { type SubmitOptions, submitTasks } from '../../app/sweep/submit.js';
import { isQueueError } from '../../core/errors.js';
import { encodeResolved, type Job, type ResolvedJobs, resolvedName } from '../../core/jobs/jobs-file.js';
import type { plan, submission } from '../../core/jobs/process-all.schema.js';
import { isJobDue } from '../../core/jobs/state.js';
import { defaultGroup, tasksByName } from '../../core/queue/labels.js';
import { isLive, type TaskPhase } from '../../core/queue/queue.js';
import type { Output } from '../../core/schema.js';
import type { CancelledTask, CancelReport } from '../../core/sweep/cancel.js';
import { nameMatcher } from '../../core/unit/selection.js';
import { orWriteError } from '../../io/files/failures.js';
import { makeDirectories, writeFileAtomic } from '../../io/files/write-file.js';
import { readJobState } from '../../io/jobs/state.js';
import { leaseHolder } from '../../io/log/lease.js';
import { ownCommand } from '../../io/machine/this-process.js';
import { QUEUE } from '../../io/queue/queues.js';
import type { Surroundings } from '../config/sweep-context.js';
import { isAccepted } from '../config/trust.js';
import { type CancelOptions, type CancelWatch, cancelHere } from '../queue/cancel.js';
import { submitDeps } from '../queue/submit-deps.js';
import { type Awaited, untilEnded } from '../queue/until-ended.js';
import { filesOf, RESOLVED_DIRECTORY, RESULTS_HINT } from './context.js';

/** Which jobs: globs over their names. */
export interface JobSelection {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

type Optional<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** The options of a submission of jobs. */
export interface JobsSubmitOptions extends JobSelection, Optional<SubmitOptions> {
  /** Also submits what is done; a job that was done again after this call began is not run once more. */
  readonly rerun?: 'all' | undefined;
}

/** What happened to each job; the object that `qrun process-all --json` prints. */
export interface JobsReport extends Output<typeof submission> {}

/** What a submission would do; the object that `qrun process-all --dry-run --json` prints. */
export interface JobsPlan extends Output<typeof plan> {}

/** A sweep of process jobs as defined by jobs.toml or by a file that a submission stored. */
export class JobsOf {
  readonly #jobs: ResolvedJobs;
  readonly #env: Surroundings['env'];
  readonly #isTrusted: boolean;

  constructor(jobs: ResolvedJobs, { env }: Pick<Surroundings, 'env'>, given: boolean) {
    this.#jobs = jobs;
    this.#env = env;
    this.#isTrusted = isAccepted(jobs.directory, { given, env });
  }

  get sweep(): string {
    return this.#jobs.sweep;
  }

  /** The directory of logs, states and checkpoints, absolute. */
  get results(): string {
    return this.#jobs.results;
  }

  /** Resolves with what a submission would do; asks the queue, and adds nothing. Errors: QrunError `READ_FAILED`. */
  async plan({ rerun, ...selection }: JobsSubmitOptions = {}): Promise<JobsPlan> {
    const rerunBefore = rerunTime(rerun);
    const live = await this.#livePhases();
    const { sweep, results } = this;
    return {
      ...{ sweep, results },
      jobs: this.#judged(selection).map(({ job: { name, parameters, command }, verdict }) => {
        const phase = live?.get(name);
        return {
          ...{ job: name, parameters, command },
          last_run: verdict.phase,
          queue: live === undefined ? null : (phase ?? 'none'),
          submit: isJobDue(verdict, rerunBefore) && phase === undefined,
        };
      }),
    };
  }

  /**
   * Adds a task for each selected job that is not done and not in the queue, and then their check. What was added
   * before an error or a signal stays. `onBegin` is called when everything has been read.
   *
   * Errors: QrunError `READ_FAILED`, `WRITE_FAILED`, `SUBMIT_LOCK`, `QUEUE_*`.
   */
  async submit(
    options: JobsSubmitOptions,
    { signal, onBegin }: { readonly signal: AbortSignal; readonly onBegin?: () => void },
  ): Promise<JobsReport> {
    const { include = [], exclude = [], priority = 0, group = defaultGroup(this.sweep) } = options;
    const { sweep, results } = this;
    const { directory } = this.#jobs;
    const queue = await QUEUE.open({ env: this.#env, signal });
    const rerunBefore = rerunTime(options.rerun);
    const judged = this.#judged(options);
    const due = judged.filter(({ verdict }) => isJobDue(verdict, rerunBefore)).map(({ job }) => job);
    // Stored under a name derived from the content, so that no later change of jobs.toml reaches a task.
    const config = await store(join(results, RESOLVED_DIRECTORY), encodeResolved(this.#jobs));
    const own = ownCommand();
    // The tasks start in a clean environment, and what was accepted must stay accepted.
    const trust = this.#isTrusted ? ['--trust'] : [];
    const rerun = rerunBefore === undefined ? [] : [`--rerun-before=${rerunBefore}`];
    const globs = [...include.map(glob => `--include=${glob}`), ...exclude.map(glob => `--exclude=${glob}`)];
    const follower = ['--check', '--when-ended', `--priority=${priority - 1}`, ...trust, ...globs];
    onBegin?.();
    // A job that has ended since its state was read is skipped by its task.
    const { follower: check, ...report } = await submitTasks(
      submitDeps(queue, directory, this.#env, signal),
      {
        ...{ kind: 'job', sweep, root: directory, group, priority },
        slots: options.slots,
        delay: options.delay,
        resumeGroup: options.resumeGroup === true,
        tasks: due.map(({ name }) => ({
          name,
          argv: [...own, 'job', `--config=${config}`, `--name=${name}`, ...rerun, ...trust],
        })),
        follower: { argv: [...own, 'process-all', config, ...follower], isDue: false },
      },
    );
    const submitted = new Set(due);
    const done = judged.filter(({ job }) => !submitted.has(job)).map(({ job }) => job.name);
    return { sweep, results, check, ...report, done };
  }

  /**
   * Asks the tasks of the selected jobs to end, and that of their check if it would follow none of others. Jobs that
   * wait never start; those that run get SIGTERM, and run again with the next submission.
   *
   * Errors: QrunError `SUBMIT_LOCK`, `QUEUE_*`; the reason of the signal.
   */
  async cancel(
    { include = [], exclude = [], ...options }: JobSelection & CancelOptions,
    { signal, onBegin }: CancelWatch,
  ): Promise<CancelReport> {
    const [included, excluded] = [nameMatcher(include, true), nameMatcher(exclude, false)];
    const isChosen = (name: string): boolean => included(name) && !excluded(name);
    onBegin?.();
    const { report, startedBefore } = await cancelHere(
      {
        ...{ kind: 'job', sweep: this.sweep, root: this.#jobs.directory, isChosen },
        withAudit: include.length + exclude.length === 0,
      },
      { env: this.#env },
      options,
      signal,
    );
    const outside: CancelledTask[] = [];
    for (const job of this.#jobs.jobs) {
      if (!isChosen(job.name) || startedBefore.has(job.name)) continue;
      const note = await leaseHolder(filesOf(this.#jobs, job).log);
      if (note !== undefined) outside.push({ name: job.name, host: null, fate: 'outside', note });
    }
    return { ...report, tasks: [...report.tasks, ...outside] };
  }

  /** Resolves with the verdict on the selected jobs by their recorded runs. Errors: QrunError `READ_FAILED`. */
  async check(selection: JobSelection = {}): Promise<CheckReport> {
    const judged = this.#judged(selection);
    const open = judged.filter(({ verdict }) => verdict.phase === 'interrupted').map(({ job }) => job);
    return checkReport(this.sweep, judged, new Set(await this.#running(open)));
  }

  /** Waits until no job of the sweep runs, for the work that follows; as {@link untilEnded}. */
  async untilEnded(
    who: Pick<Awaited, 'arguments' | 'priority' | 'signal' | 'onWaiting'>,
    group = defaultGroup(this.sweep),
  ): Promise<boolean> {
    const { sweep, directory, jobs } = this.#jobs;
    const orphans = () => this.#running(jobs);
    return await untilEnded({ ...who, kind: 'job', sweep, group, directory, orphans }, { env: this.#env });
  }

  #judged({ include = [], exclude = [] }: JobSelection): JudgedJob[] {
    return judgeJobs(job => this.#state(job), this.#jobs, { include, exclude });
  }

  #state(job: Job) {
    return readJobState(filesOf(this.#jobs, job).state);
  }

  async #running(among: readonly Job[]): Promise<string[]> {
    const found: string[] = [];
    for (const job of among) {
      if ((await leaseHolder(filesOf(this.#jobs, job).log)) !== undefined) found.push(job.name);
    }
    return found;
  }

  // The phases of the jobs that wait or run in the queue; `undefined` when it cannot be asked.
  async #livePhases(): Promise<Map<string, TaskPhase> | undefined> {
    try {
      const { tasks } = await (await QUEUE.open({ env: this.#env })).state();
      const live = [...tasksByName('job', tasks, this.sweep)].filter(([, task]) => isLive(task));
      return new Map(live.map(([name, { phase }]) => [name, phase]));
    } catch (error) {
      if (isQueueError(error)) return undefined;
      throw error;
    }
  }
}

function rerunTime(rerun: 'all' | undefined): string | undefined {
  return rerun === 'all' ? new Date().toISOString() : undefined;
}

async function store(folder: string, content: string): Promise<string> {
  const path = join(folder, resolvedName(content));
  return await orWriteError(path, RESULTS_HINT, async () => {
    makeDirectories(folder);
    await writeFileAtomic(path, content);
    return path;
  });
}
