import { shortageCode, shortageHint } from './engines/shortage.js';

/**
 * The exit codes of `qrun`. They are a contract with scripts: a code is never given a second meaning.
 * `--help`, the README and this table are compared with each other by a test.
 */
export const EXIT_TABLE = [
  { code: 0, meaning: 'every query of the unit is settled / the audit is complete' },
  { code: 1, meaning: 'a bug in qrun: the stack and where to report it are on stderr' },
  { code: 2, meaning: 'usage or configuration: nothing was started, all problems are listed' },
  {
    code: 20,
    meaning:
      'ran to the end (or audit: nothing is missing), some queries stand as error or were left out (--skip-bad)',
  },
  { code: 21, meaning: 'audit: incomplete or inconsistent' },
  { code: 22, meaning: 'the unit is running elsewhere (who, where, since when)' },
  { code: 23, meaning: 'the log cannot be trusted or written (damage, disk full, failed fsync)' },
  { code: 24, meaning: 'engine unreachable, refused us, or lost for longer than the limit' },
  { code: 25, meaning: 'halted by policy (--halt)' },
  { code: 26, meaning: 'pueue, systemd-run, mise, ssh or rsync is missing, too old or failed' },
  { code: 129, meaning: 'drained after SIGHUP' },
  { code: 130, meaning: 'drained after SIGINT (Ctrl-C)' },
  { code: 137, meaning: 'killed at the memory cap (--memory-max), or by kill -9' },
  { code: 143, meaning: 'drained after SIGTERM' },
] as const;

/** One of the exit codes of {@link EXIT_TABLE}. */
export type ExitCode = (typeof EXIT_TABLE)[number]['code'];

const EXIT_OF = {
  USAGE: 2,
  CONFIG: 2,
  UNIT_NOT_FOUND: 2,
  UNIT_EMPTY: 2,
  UNIT_UNREADABLE: 2,
  SQL_INVALID: 2,
  PARAMETERS: 2,
  SETUP_FAILED: 2,
  UNIT_RUNNING: 22,
  LOG_FOREIGN: 23,
  LOG_SCHEMA: 23,
  LOG_DAMAGED: 23,
  LOG_UNUSABLE: 23,
  LOG_WRITE: 23,
  LOG_SYNC: 23,
  LOG_LOCK: 23,
  ENGINE_UNREACHABLE: 24,
  ENGINE_REFUSED: 24,
  ENGINE_MISSING: 24,
  ENGINE_LOST: 24,
  LOCAL_SHORTAGE: 24,
  DATA_LOCKED: 24,
  QUEUE_MISSING: 26,
  QUEUE_UNSUPPORTED: 26,
  QUEUE_DOWN: 26,
  QUEUE_FAILED: 26,
  SUBMIT_LOCK: 26,
  FINALIZER_FAILED: 26,
  JOB_FAILED: 20,
} as const satisfies Record<string, ExitCode>;

/** Stable name of a failure of a run, for programs; each name has one exit code. */
export type ErrorCode = keyof typeof EXIT_OF;

const QUEUE_CODES: ReadonlySet<ErrorCode> = new Set([
  'QUEUE_MISSING',
  'QUEUE_UNSUPPORTED',
  'QUEUE_DOWN',
  'QUEUE_FAILED',
]);

/** Returns whether an error says that a queue of tasks could not do what it was asked for. */
export function isQueueError(error: unknown): error is QrunError {
  return error instanceof QrunError && QUEUE_CODES.has(error.code);
}

/**
 * The one error that qrun throws on purpose.
 *
 * `message` says what failed, with which value and where; `hint` says what to do about it. Neither ever
 * holds a password. Anything that is thrown and is not a `QrunError` is a bug (exit 1, with its stack).
 * A failed query is not an error of this kind: it is an outcome, and is recorded.
 */
export class QrunError extends Error {
  override readonly name = 'QrunError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** Further problems of the same kind, one line each; shown below the message. */
  readonly details: readonly string[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; details?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    // Whatever failed for it: no other advice would help.
    const short = shortageCode(options.cause);
    this.hint = short === undefined ? options.hint : shortageHint(short);
    this.details = options.details ?? [];
  }

  /** The exit code that a process ending with this error has. */
  get exitCode(): ExitCode {
    return EXIT_OF[this.code];
  }
}

// A chain of causes is a few links long; a ring of them must not hang the end of a process.
const MAX_CAUSES = 16;

/**
 * Whether an error says no more than that `signal` interrupted something: it is the signal's reason, or an
 * `AbortError`, or was caused by one of them. Whatever else fails after a signal is a failure of its own.
 */
export function isInterruption(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  let one = error;
  for (let depth = 0; depth < MAX_CAUSES; depth += 1) {
    if (one === signal.reason) return true;
    if (!(one instanceof Error)) return false;
    if (one.name === 'AbortError') return true;
    one = one.cause;
  }
  return false;
}
