/**
 * qrun as a library: run a unit, audit it, read its log, or use the parts alone. Everything that is not exported
 * here is internal and may change with any version.
 */
export { type AuditRequest, auditUnit } from './app/audit-unit.js';
export { DueQueries, type PlannedQuery } from './app/due-queries.js';
export { type PlanOptions, planRun, planUnit, type RunPlan, type UnitPlan } from './app/plan-unit.js';
export { previewUnit } from './app/preview-unit.js';
export { type Clock, type RunDeps, type RunOptions, runUnit } from './app/run-unit.js';
export {
  Audit,
  type AuditReport,
  type ExpectedQuery,
  formula,
  type NormalTerm,
  type Verdict,
} from './core/audit.js';
export { type ErrorCode, EXIT_TABLE, type ExitCode, QrunError } from './core/errors.js';
export type { EventSink, RunEvent, RunSummary } from './core/events.js';
export type { Failure } from './core/failure.js';
export { type FingerprintInputs, fingerprinter } from './core/fingerprint.js';
export {
  type AllowedPlaceholders,
  type CannotRun,
  Judge,
  type Judgement,
  type JudgeRules,
  type Refusal,
} from './core/judge.js';
export { LogScanner, type LogTail, type LogVisitor } from './core/log-scan.js';
export type {
  FailureKind,
  Outcome,
  Parameters,
  QueryError,
  QueryStats,
  Settings,
} from './core/model.js';
export { type FinalState, isSettled, type PlanReason, type Rerun } from './core/plan.js';
export { type GroupHead, RECORD_SCHEMA_VERSION, type RecordHead } from './core/record.js';
export type { Selection, Shard } from './core/selection.js';
export { decodeSql, parseQuery } from './core/sql/parse.js';
export type { ParsedQuery, QueryOverrides, QueryParameter, Statement } from './core/sql/statement.js';
export { type Checkpoint, type CheckpointOptions, openCheckpoint } from './io/checkpoint.js';
export { type ClickHouseOptions, openClickHouse } from './io/clickhouse.js';
export { type EmbeddedOptions, openEmbedded } from './io/embedded.js';
export type { Engine, EngineInfo, EngineRequest, EngineResult } from './io/engine.js';
export { FileLock } from './io/flock.js';
export { type Lease, type LeaseOwner, takeLease } from './io/lease.js';
export { type GroupContent, type LogOptions, ResultLog } from './io/log.js';
export { type LogDisk, type LogFile, localDisk } from './io/log-file.js';
export { readLog } from './io/log-read.js';
export { type ResultBody, ResultWriter, type SpoolOptions } from './io/result-body.js';
export { directorySource, listQueries, type UnitSource } from './io/unit-files.js';
