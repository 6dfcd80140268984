import type { AuditedLog } from './audited-log.js';
import type { FinalStates } from './final-states.js';

/**
 * The scanner of logs. README.md in this folder has its contract and its budget. Code outside imports nothing else from
 * this folder.
 */
export { AuditedLog, type Standing } from './audited-log.js';
export { Continuation, type Finding } from './continuation.js';
export { EndedAttempts } from './ended-attempts.js';
export { FinalStates } from './final-states.js';
export { FirstUnit } from './first-unit.js';
export { type GroupRange, LastGroups } from './last-groups.js';
export { LogScanner, type LogTail, type OtherLines } from './log-scan.js';
export { CopiedGroups, type Fate, type Fates, NewGroups, type PresentQueries } from './new-groups.js';
export { RecordedAttempts } from './recorded-attempts.js';

/** What a scan fills. Everything that it returns belongs to the caller. */
export type LogCollector = FinalStates | AuditedLog;
