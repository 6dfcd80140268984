/**
 * qrun as a library: run a unit, audit it, read its log, or use the parts alone. Everything that is not exported
 * here is internal and may change with any version.
 */
export { type AuditRequest, auditUnit } from './app/unit/audit.js';
export { DueQueries, type PlannedQuery } from './app/unit/due-queries.js';
export { type PlanOptions, planUnit, type UnitPlan } from './app/unit/plan.js';
export { runUnit } from './app/unit/pool.js';
export { previewUnit } from './app/unit/preview.js';
export type { RunDeps, RunOptions } from './app/unit/run-options.js';
export type { Clock } from './core/clock.js';
export type { Failure } from './core/engines/failure.js';
export { type ErrorCode, EXIT_TABLE, type ExitCode, QrunError } from './core/errors.js';
export {
  Audit,
  type AuditReport,
  type ExpectedQuery,
  formula,
  type NormalTerm,
  type Verdict,
} from './core/log/audit.js';
export { type GroupHead, RECORD_SCHEMA_VERSION } from './core/log/record.js';
export { AuditedLog, FinalStates, type LogCollector, type LogTail } from './core/log/scan/index.js';
export type {
  FailureKind,
  Outcome,
  Parameters,
  QueryError,
  QueryStats,
  Settings,
} from './core/model.js';
export { decodeSql, parseQuery } from './core/sql/parse.js';
export type { ParsedQuery, QueryOverrides, QueryParameter, Statement } from './core/sql/statement.js';
export type { EventSink, RunEvent, RunSummary } from './core/unit/events.js';
export { type FingerprintInputs, fingerprinter } from './core/unit/fingerprint.js';
export {
  type AllowedPlaceholders,
  type CannotRun,
  Judge,
  type Judgement,
  type JudgeRules,
  type Refusal,
} from './core/unit/judge.js';
export { type FinalState, isSettled, type PlanReason, type Rerun } from './core/unit/plan.js';
export type { Selection, Shard } from './core/unit/selection.js';
export { type ClickHouseOptions, openClickHouse } from './io/engines/clickhouse/engine.js';
export { type EmbeddedOptions, openEmbedded } from './io/engines/embedded/engine.js';
export type { Engine, EngineInfo, EngineRequest, EngineResult } from './io/engines/engine.js';
export { type ResultBody, ResultWriter, type SpoolOptions } from './io/engines/result-body.js';
export { FileLock } from './io/files/flock.js';
export { type Checkpoint, type CheckpointOptions, openCheckpoint } from './io/jobs/checkpoint.js';
export { type LogDisk, type LogFile, localDisk } from './io/log/disk.js';
export { readLog } from './io/log/follow.js';
export { type Lease, type LeaseOwner, takeLease } from './io/log/lease.js';
export { type GroupContent, type LogOptions, ResultLog } from './io/log/result-log.js';
export { directorySource, listQueries, type UnitSource } from './io/unit/unit-files.js';
