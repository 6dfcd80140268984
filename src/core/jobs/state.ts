import type { Output } from '../schema.js';
import { jsonObject } from '../text/json.js';
import type { jobEnd, jobStart } from './job-runs.schema.js';

/** Written when a run of a job begins, before its command starts. Times are ISO 8601, UTC. */
export interface JobStart extends Output<typeof jobStart> {}

/** Written when a command has ended. A start without an end is a run that was killed or is still running. */
export interface JobEnd extends Output<typeof jobEnd> {}

/** One line of a job's state. */
export type JobEntry = JobStart | JobEnd;

/**
 * `done`: its last run has the current fingerprint and ended with 0. `failed`: it ended otherwise. `interrupted`: it
 * was stopped or killed, or is still running. `changed`: it was a run of another command, parameters or environment.
 * `new`: there was none.
 */
export type JobPhase = (typeof JOB_PHASES)[number];

/** All phases. */
export const JOB_PHASES = ['done', 'failed', 'interrupted', 'changed', 'new'] as const;

/** The result of all recorded runs of a job. */
export interface JobVerdict {
  readonly phase: JobPhase;
  /** The last run; `end` only if it ended. */
  readonly start: JobStart | undefined;
  readonly end: JobEnd | undefined;
  /** Runs so far with the current fingerprint. */
  readonly attempts: number;
}

/**
 * Judges a job by its final state. The last run decides, however an earlier one ended. Only what was recorded of that
 * run itself counts; nothing is read from its output.
 */
export function judgeJob(entries: readonly JobEntry[], fingerprint: string): JobVerdict {
  const starts = entries.filter((entry): entry is JobStart => entry.event === 'start');
  const start = starts.at(-1);
  const attempts = starts.filter(one => one.fingerprint === fingerprint).length;
  if (start === undefined) return { phase: 'new', start, end: undefined, attempts };
  const end = entries.findLast((entry): entry is JobEnd => entry.event === 'end' && entry.run === start.run);
  return { phase: phaseOf(start, end, fingerprint), start, end, attempts };
}

function phaseOf(start: JobStart, end: JobEnd | undefined, fingerprint: string): JobPhase {
  if (start.fingerprint !== fingerprint) return 'changed';
  if (end === undefined || end.stopped_by !== null) return 'interrupted';
  return end.exit_code === 0 ? 'done' : 'failed';
}

/**
 * Returns whether a job must run: everything but `done`; with `rerunBefore` (ISO 8601, UTC) also what was done in a run
 * that began before that time. An interrupted repetition therefore continues instead of beginning again.
 */
export function isJobDue({ phase, start }: JobVerdict, rerunBefore: string | undefined): boolean {
  return phase !== 'done' || (rerunBefore !== undefined && (start?.at ?? '') < rerunBefore);
}

/**
 * Returns whether a run must ignore what the last one saved, because that belongs to other inputs or a finished run.
 */
export function startsAfresh({ phase, start }: JobVerdict, rerunBefore: string | undefined): boolean {
  if (phase === 'new') return false;
  return phase === 'changed' || (rerunBefore !== undefined && (start?.at ?? '') < rerunBefore);
}

/** Reads one line of a state; `undefined` for anything else, such as the torn end of a killed run. */
export function parseJobEntry(line: string): JobEntry | undefined {
  const entry = jsonObject<JobStart | JobEnd>(line);
  if (typeof entry?.run !== 'string' || typeof entry.at !== 'string') return undefined;
  if (entry.event === 'start') {
    const { schema, fingerprint } = entry as Partial<JobStart>;
    return schema === 1 && typeof fingerprint === 'string' ? (entry as JobStart) : undefined;
  }
  const { exit_code: code } = entry as Partial<JobEnd>;
  const known = entry.event === 'end' && (code === null || typeof code === 'number');
  return known ? (entry as JobEnd) : undefined;
}
