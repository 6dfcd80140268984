/**
 * qrun as a library; docs/library.md shows how it is used. Everything that is not exported here is internal and may
 * change with any version. The promise for each name:
 *
 * - **stable**: what it takes and returns keeps its meaning until the next major version.
 * - **growing**: stable, and a minor version may add optional keys, kinds or codes to it: ignore those that you do
 * not know.
 */

export type {
  /** Growing. Whether all jobs are done; the object that `qrun process-all --check --json` prints. */
  CheckReport,
} from './app/jobs/process-all.js';
export {
  /** Growing: codes may be added. The stable names of what {@link QrunError} reports. */
  type ErrorCode,
  /** Stable. The exit codes of the command, which errors and summaries carry too; none ever gets a second meaning. */
  EXIT_TABLE,
  /** Growing: codes may be added. One of {@link EXIT_TABLE}. */
  type ExitCode,
  /** Stable. The only error that is thrown on purpose: `code`, `message`, `hint`, `details`, `exitCode`. */
  QrunError,
} from './core/errors.js';
export type {
  /** Growing. What an audit found; the object that `qrun audit --json` prints. */
  AuditReport,
  /** Stable. The verdict of an audit, in one word. */
  Verdict,
} from './core/log/audit.js';
export type {
  /** Stable. How a query ended: with rows, without rows, or with an error. */
  Outcome,
} from './core/model.js';
export type {
  /** Growing. What an audit of all units found; the object that `qrun audit-all --json` prints. */
  SweepAudit,
} from './core/sweep/audit.js';
export type {
  /** Growing. What became of the tasks of a sweep; the object that `qrun cancel --json` prints. */
  CancelReport,
} from './core/sweep/cancel.js';
export type {
  /** Growing. What an import of the logs of other hosts did; the object that `qrun collect --json` prints. */
  CollectReport,
} from './core/sweep/collect.js';
export type {
  /** Growing. A sweep at one moment; the object that `qrun status --json` prints. */
  SweepStatus,
} from './core/sweep/status.js';
export type {
  /** Growing: kinds and keys may be added. What happens in a run; a line of `--events` without its time. */
  RunEvent,
  /** Growing. What a run did; the object that `qrun unit --json` prints. */
  RunSummary,
} from './core/unit/events.js';
export type {
  /** Growing: reasons may be added. Why a query is due, or is not. */
  PlanReason,
} from './core/unit/plan.js';
export {
  /** Stable. How far a job has come, in a file that survives kill -9 and power loss. */
  type Checkpoint,
  /** Growing. The options with which a checkpoint is opened. */
  type CheckpointOptions,
  /** Stable. Opens a checkpoint. */
  openCheckpoint,
} from './io/jobs/checkpoint.js';
export type {
  /** Growing. What a submission of jobs would do; the object that `qrun process-all --dry-run --json` prints. */
  JobsPlan,
  /** Growing. What happened to each job; the object that `qrun process-all --json` prints. */
  JobsReport,
} from './local/jobs/jobs.js';
export {
  /** Growing. An open jobs.toml: plan, submit, cancel, check. */
  type Jobs,
  /** Growing. How a jobs.toml is opened. */
  type JobsOptions,
  /** Stable. Opens a jobs.toml. */
  openJobs,
} from './local/jobs/open-jobs.js';
export {
  /** Growing. A line of a log. */
  type LogRecord,
  /** Stable. Reads the results that count from a log of this version or an earlier one. */
  readLog,
} from './local/log/read-log.js';
export {
  /** Stable. Opens a sweep. */
  openSweep,
  /** Growing. How a submission is made, watched and stopped. */
  type SubmitControls,
  /** Growing. An open sweep: submit, status, cancel, audit, collect, slots. */
  type Sweep,
  /** Growing: a new configuration key may be added. How a sweep is opened. */
  type SweepOptions,
} from './local/sweep/open-sweep.js';
export type {
  /** Growing. What happened to each unit; the object that `qrun submit-all --json` prints. */
  SubmissionReport,
} from './local/sweep/submit.js';
export {
  /** Stable. Opens a unit. */
  openUnit,
  /** Growing. How a run is watched and stopped. */
  type RunControls,
  /** Growing. An open unit: plan, run, audit. */
  type Unit,
  /** Growing: a new configuration key may be added. How a unit is opened. */
  type UnitOptions,
} from './local/unit/open-unit.js';
export type {
  /** Growing. What a run would do; the object that `qrun plan --json` prints. */
  PlanReport,
} from './local/unit/plan.js';
