import { shortageCode, shortageHint } from './engines/shortage.js';

/**
 * The exit codes of `qrun`. They are a contract with scripts: a code never gets a second meaning.
 * A test compares `--help`, the README and this table with each other.
 */
export const EXIT_TABLE = [
  { code: 0, meaning: 'every query of the unit is settled / the audit is complete' },
  { code: 1, meaning: 'a bug in qrun: the stack and where to report it are on stderr' },
  { code: 2, meaning: 'usage or configuration: nothing was started, all problems are listed' },
  {
    code: 20,
    meaning:
      'ran to the end (or audit: nothing is missing), some queries ended as errors or were left out (--skip-bad)',
  },
  { code: 21, meaning: 'audit: incomplete or inconsistent' },
  { code: 22, meaning: 'the unit is running elsewhere (who, where, since when)' },
  { code: 23, meaning: 'the log cannot be trusted or written (damage, disk full, failed fsync)' },
  { code: 24, meaning: 'engine unreachable, refused us, or lost for longer than the limit' },
  { code: 25, meaning: 'halted by policy (--halt), or set back by it (hosts slots)' },
  {
    code: 26,
    meaning: 'pueue, Slurm, systemd-run, mise, ssh, rsync or a host is missing, too old or failed',
  },
  { code: 129, meaning: 'drained after SIGHUP' },
  { code: 130, meaning: 'drained after SIGINT (Ctrl-C)' },
  { code: 137, meaning: 'killed at the memory cap (--memory-max), or by kill -9' },
  { code: 143, meaning: 'drained after SIGTERM' },
] as const;

/** One of the exit codes of {@link EXIT_TABLE}. */
export type ExitCode = (typeof EXIT_TABLE)[number]['code'];

/**
 * What an error is about: how qrun was called or configured, the files of a unit, other processes at work, what qrun
 * keeps on disk (logs and states), an engine, the queue, another host, or a job.
 */
export type ErrorFamily = 'call' | 'files' | 'others' | 'disk' | 'engine' | 'queue' | 'host' | 'job';

const ERRORS = {
  USAGE: { exit: 2, family: 'call' },
  CONFIG: { exit: 2, family: 'call' },
  SETUP_FAILED: { exit: 2, family: 'call' },
  UNIT_NOT_FOUND: { exit: 2, family: 'files' },
  UNIT_EMPTY: { exit: 2, family: 'files' },
  UNIT_UNREADABLE: { exit: 2, family: 'files' },
  SQL_INVALID: { exit: 2, family: 'files' },
  PARAMETERS: { exit: 2, family: 'files' },
  UNIT_RUNNING: { exit: 22, family: 'others' },
  /** The log holds records of another unit. */
  LOG_FOREIGN: { exit: 23, family: 'disk' },
  /** It was written by a later version of qrun. */
  LOG_SCHEMA: { exit: 23, family: 'disk' },
  LOG_DAMAGED: { exit: 23, family: 'disk' },
  /** The file is not what it should be, or is gone. */
  LOG_UNUSABLE: { exit: 23, family: 'disk' },
  /** The disk did not confirm an append: nothing of it counts as recorded. */
  LOG_SYNC: { exit: 23, family: 'disk' },
  /** Something that qrun keeps could not be written: a full disk, a directory without write permission. */
  WRITE_FAILED: { exit: 23, family: 'disk' },
  /** Something that qrun keeps could not be read. */
  READ_FAILED: { exit: 23, family: 'disk' },
  /** Another process held a lock for longer than qrun waits. */
  LOCK_BUSY: { exit: 23, family: 'disk' },
  /** A lock file cannot be opened, or the file system has no locks. */
  LOCK_FAILED: { exit: 23, family: 'disk' },
  ENGINE_UNREACHABLE: { exit: 24, family: 'engine' },
  ENGINE_REFUSED: { exit: 24, family: 'engine' },
  ENGINE_MISSING: { exit: 24, family: 'engine' },
  ENGINE_LOST: { exit: 24, family: 'engine' },
  LOCAL_SHORTAGE: { exit: 24, family: 'engine' },
  DATA_LOCKED: { exit: 24, family: 'engine' },
  QUEUE_MISSING: { exit: 26, family: 'queue' },
  QUEUE_UNSUPPORTED: { exit: 26, family: 'queue' },
  QUEUE_DOWN: { exit: 26, family: 'queue' },
  QUEUE_FAILED: { exit: 26, family: 'queue' },
  /** A program that reaches other hosts is not installed here. */
  SSH_MISSING: { exit: 26, family: 'host' },
  /** A host does not answer, or its name leads nowhere. */
  HOST_UNREACHABLE: { exit: 26, family: 'host' },
  /** A host is not the one that is known under its name, or does not let us in. */
  HOST_REFUSED: { exit: 26, family: 'host' },
  /** A host lacks something, or what was asked of it failed there. */
  HOST_FAILED: { exit: 26, family: 'host' },
  SUBMIT_LOCK: { exit: 26, family: 'others' },
  FINALIZER_FAILED: { exit: 26, family: 'job' },
  JOB_FAILED: { exit: 20, family: 'job' },
} as const satisfies Record<string, { readonly exit: ExitCode; readonly family: ErrorFamily }>;

/** The stable name of a run's failure, for programs; each name has one exit code and one family. */
export type ErrorCode = keyof typeof ERRORS;

/** Returns whether an error says that a task queue could not do what it was asked for. */
export function isQueueError(error: unknown): error is QrunError {
  return error instanceof QrunError && error.family === 'queue';
}

/**
 * The only error that qrun throws on purpose.
 *
 * `message` says what failed, with which value and where; `hint` says what to do about it. Neither ever holds a
 * password. Anything else that is thrown is a bug (exit 1, with its stack). A failed query is not an error of this
 * kind: it is an outcome, and is recorded.
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
    // Whatever failed because of a shortage: no other advice would help.
    const short = shortageCode(options.cause);
    this.hint = short === undefined ? options.hint : shortageHint(short);
    this.details = options.details ?? [];
  }

  /** The exit code of a process that ends with this error. */
  get exitCode(): ExitCode {
    return exitCodeOf(this.code);
  }

  /** What the error is about. */
  get family(): ErrorFamily {
    return familyOf(this.code);
  }
}

/** Returns the exit code of a process that ends with an error of this code. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  return ERRORS[code].exit;
}

/** Returns what errors of this code are about. */
export function familyOf(code: ErrorCode): ErrorFamily {
  return ERRORS[code].family;
}

// A chain of causes has only a few links; a cycle of them must not hang the end of a process.
const MAX_CAUSES = 16;

/**
 * Returns whether an error only says that `signal` interrupted something: it is the signal's reason or an `AbortError`,
 * or was caused by one of them. Anything else that fails after a signal is a failure of its own.
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
