/**
 * qrun as a library; docs/library.md shows how it is used. Everything that is not exported here is internal, and may
 * change with any version. What is promised of each name:
 *
 * - **stable**: what it takes and returns keeps its meaning until the next major version.
 * - **growing**: stable, and a minor version may add optional keys, kinds or codes to it: pass over what you do not know.
 */

/** Growing: codes may be added. The stable names of what {@link QrunError} reports. */
/** Growing: codes may be added. One of {@link EXIT_TABLE}. */
export type { ErrorCode, ExitCode } from './core/errors.js';
/** Stable. The exit codes of the command, which errors and summaries have too; a code never gets a second meaning. */
/** Stable. The only error that is thrown on purpose: `code`, `message`, `hint`, `details`, `exitCode`. */
export { EXIT_TABLE, QrunError } from './core/errors.js';
/** Growing. What an audit found; the object that `qrun audit --json` prints. */
/** Stable. What an audit says in one word. */
export type { AuditReport, Verdict } from './core/log/audit.js';
/** Stable. How a query ended: with rows, without, or with an error. */
export type { Outcome } from './core/model.js';
/** Growing: kinds and keys may be added. What happens in a run; a line of `--events` without its time. */
/** Growing. What a run did; the object that `qrun unit --json` prints. */
export type { RunEvent, RunSummary } from './core/unit/events.js';
/** Growing: reasons may be added. Why a query is due, or is not. */
export type { PlanReason } from './core/unit/plan.js';
/** Stable. How far a job has come, in a file that survives kill -9 and power loss. */
/** Growing. What a checkpoint may be told when it is opened. */
export type { Checkpoint, CheckpointOptions } from './io/jobs/checkpoint.js';
/** Stable. Opens a checkpoint. */
export { openCheckpoint } from './io/jobs/checkpoint.js';
/** Growing. A line of a log. */
export type { LogRecord } from './local/log/read-log.js';
/** Stable. Reads the results that count from a log of this version or an earlier one. */
export { readLog } from './local/log/read-log.js';
/** Growing. How a run is watched and stopped. */
/** Growing. A unit that was opened: plan, run, audit. */
/** Growing: every new key of the configuration. How a unit is opened. */
export type { RunControls, Unit, UnitOptions } from './local/unit/open-unit.js';
/** Stable. Opens a unit. */
export { openUnit } from './local/unit/open-unit.js';
/** Growing. What a run would do; the object that `qrun plan --json` prints. */
export type { PlanReport } from './local/unit/plan.js';
