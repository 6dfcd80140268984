import { QrunError } from '../../core/errors.js';
import { type Job, type JobFiles, jobVariables, type ResolvedJobs } from '../../core/jobs/jobs-file.js';
import { isJobDue, type JobEnd, type JobEntry, judgeJob, startsAfresh } from '../../core/jobs/state.js';
import type { Checkpoint } from '../../io/jobs/checkpoint.js';
import type { CommandEnd, Follower, RunCommand } from '../../io/jobs/command.js';
import type { FileLease } from '../../io/log/lease.js';

/** The signals that ask a job to stop. */
export type JobSignal = 'SIGHUP' | 'SIGINT' | 'SIGTERM';

/** What a run of a job uses. Paths of `files` are absolute. */
export interface RunJobDeps {
  readonly takeLease: () => Promise<FileLease>;
  readonly readState: () => JobEntry[];
  readonly appendState: (entry: JobEntry) => Promise<void>;
  readonly checkpoint: Pick<Checkpoint, 'setAside'>;
  readonly run: RunCommand;
  /** Appends one line to the job's log and returns the position after it, in bytes. */
  readonly appendLog: (line: string) => Promise<number>;
  /** Passes on what the command prints. */
  readonly follow: (from: number) => Follower;
  readonly now: () => Date;
  /** Called with one line for people each time. */
  readonly note: (text: string) => void;
  /** The first signal received, and where to register for each later one. */
  readonly stops: {
    readonly received: () => JobSignal | undefined;
    readonly onSignal: (listener: (signal: JobSignal) => void) => void;
  };
}

/** Which job to run, and who runs it. */
export interface RunJobRequest {
  readonly jobs: ResolvedJobs;
  readonly job: Job;
  readonly files: JobFiles;
  /** Repeats what was done in a run that began before this time (ISO 8601, UTC). */
  readonly rerunBefore: string | undefined;
  /** The environment on which the command's own is based. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly run: string;
  readonly owner: { readonly user: string; readonly host: string; readonly pid: number };
  readonly version: string;
}

/** The result: `stopped` by a signal to qrun, or `ended` by itself. */
export type JobOutcome =
  | { readonly kind: 'done before' }
  | { readonly kind: 'stopped'; readonly signal: JobSignal }
  | { readonly kind: 'ended'; readonly end: CommandEnd; readonly durationMs: number };

/**
 * Runs a job unless it is done, and records its start and its end durably. A job is done when its last run ended with
 * 0 and the present fingerprint. The job's lease is held meanwhile, and the command inherits it. A checkpoint of an
 * earlier run with other inputs (or of one that is to be repeated) is renamed first; a run that continues finds what
 * the last one saved. Signals are passed on to the command, and its end is awaited.
 *
 * Errors: QrunError `UNIT_RUNNING` when it runs elsewhere, `WRITE_FAILED` when start or end cannot be recorded (the
 * job then counts as not done), `LOG_UNUSABLE`.
 */
export async function runJob(deps: RunJobDeps, request: RunJobRequest): Promise<JobOutcome> {
  const lease = await deps.takeLease();
  try {
    const verdict = judgeJob(deps.readState(), request.job.fingerprint);
    if (!isJobDue(verdict, request.rerunBefore)) return { kind: 'done before' };
    const early = deps.stops.received();
    if (early !== undefined) return { kind: 'stopped', signal: early };
    if (startsAfresh(verdict, request.rerunBefore)) {
      const aside = await deps.checkpoint.setAside(`before-${request.run}`);
      if (aside !== undefined) deps.note(`it starts afresh; its old checkpoint is ${aside}`);
    }
    return await runLocked(deps, request, lease, verdict.attempts + 1);
  } finally {
    lease.release();
  }
}

async function runLocked(
  deps: RunJobDeps,
  request: RunJobRequest,
  lease: FileLease,
  attempt: number,
): Promise<JobOutcome> {
  const { job, jobs, run, owner } = request;
  const started = deps.now();
  const at = started.toISOString();
  const logFrom = await deps.appendLog(`--- run ${run}, attempt ${attempt}, ${at}, on ${owner.host} ---`);
  await deps.appendState({
    event: 'start',
    schema: 1,
    job: job.name,
    run,
    at,
    attempt,
    fingerprint: job.fingerprint,
    command: job.command,
    parameters: job.parameters,
    memory_max: jobs.memory_max,
    ...owner,
    qrun: request.version,
    log_from: logFrom,
  });
  const follower = deps.follow(logFrom);
  const end = await runStoppable(deps, request, lease);
  const logTo = follower.stop();
  const ended = deps.now();
  const durationMs = Math.max(0, ended.getTime() - started.getTime());
  const stoppedBy = deps.stops.received();
  // Before the end is recorded: on a full disk the command may have lost output without noticing, and the few bytes
  // of a record still fit where a line of the log does not.
  await deps.appendLog(`--- run ${run} ended: ${end.signal ?? `exit ${end.exitCode}`} ---`);
  const entry: JobEnd = {
    event: 'end',
    run,
    at: ended.toISOString(),
    duration_ms: durationMs,
    exit_code: end.exitCode,
    signal: end.signal,
    killed_at_cap: end.killedAtCap,
    stopped_by: stoppedBy ?? null,
    log_to: logTo,
  };
  await deps.appendState(entry);
  // A command that was asked to stop may well end with 0: it saved its state, but it is not done.
  return stoppedBy === undefined
    ? { kind: 'ended', end, durationMs }
    : { kind: 'stopped', signal: stoppedBy };
}

async function runStoppable(
  deps: RunJobDeps,
  { job, jobs, files, env }: RunJobRequest,
  lease: FileLease,
): Promise<CommandEnd> {
  const [command = '', ...args] = job.command;
  return await deps.run({
    command,
    args,
    env: { ...env, ...jobs.env, ...jobVariables(job, files.checkpoint) },
    cwd: jobs.directory,
    outputPath: files.log,
    held: lease.fd,
    memoryMax: jobs.memory_max,
    onStarted: send => {
      // A signal that arrived during the start.
      const early = deps.stops.received();
      if (early !== undefined) send(early);
      deps.stops.onSignal(send);
    },
    onUncapped: reason => deps.note(`it runs without its memory cap of ${jobs.memory_max}: ${reason}`),
  });
}

/** Returns the job with this name. Errors: QrunError `CONFIG`, naming some of the existing jobs. */
export function jobNamed({ jobs, sweep }: ResolvedJobs, name: string): Job {
  const job = jobs.find(one => one.name === name);
  if (job !== undefined) return job;
  const some = jobs.slice(0, 3).map(one => one.name);
  throw new QrunError('CONFIG', `${sweep} has no job ${JSON.stringify(name)}`, {
    hint: `its ${jobs.length} jobs have names such as ${some.join(', ')}; qrun process-all jobs.toml --dry-run lists them`,
  });
}
