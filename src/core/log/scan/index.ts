import type { AuditedLog } from './audited-log.js';
import type { FinalStates } from './final-states.js';

/**
 * The scanner of logs. See README.md beside this file for its contract and its budget; nothing else of this folder is
 * imported from outside of it.
 */
export { AuditedLog, type Standing } from './audited-log.js';
export { Continuation, type Finding } from './continuation.js';
export { FinalStates } from './final-states.js';
export { LogScanner, type LogTail, type OtherLines } from './log-scan.js';

/** What a scan fills. All that can be asked of it is the caller's own. */
export type LogCollector = FinalStates | AuditedLog;
