import { QrunError } from '../../core/errors.js';

/** `note`: worth knowing, prevents nothing. `problem`: a sweep cannot run before it is fixed. */
export type FindingState = (typeof FINDING_STATES)[number];

/** All states, best first. */
export const FINDING_STATES = ['ok', 'note', 'problem'] as const;

/** What a sweep needs; the class of a problem decides the exit code. */
export type FindingClass = (typeof FINDING_CLASSES)[number];

/** All classes. */
export const FINDING_CLASSES = ['queue', 'host', 'engine', 'log directory', 'configuration'] as const;

/** The result of one check. */
export interface Finding {
  readonly what: string;
  readonly state: FindingState;
  /** One line. */
  readonly says: string;
  /** The command or the change that fixes it, if there is something to fix. */
  readonly mend?: string;
  readonly class: FindingClass;
}

/** Returns what makes the findings of one check, by state. */
export function about(what: string, kind: FindingClass) {
  const finding =
    (state: FindingState) =>
    (says: string, mend?: string): Finding => ({
      what,
      state,
      says,
      ...(mend === undefined ? {} : { mend }),
      class: kind,
    });
  return {
    ok: finding('ok'),
    note: finding('note'),
    problem: finding('problem'),
    failed: (error: unknown): Finding => finding('problem')(...wordsOf(error)),
  };
}

/**
 * Returns what an error says, and what to do about it. Throws anything but a QrunError: that is a bug, and shown as one.
 */
export function wordsOf(error: unknown): [says: string, mend: string | undefined] {
  if (!(error instanceof QrunError)) throw error;
  return [[error.message, ...error.details].join('; '), error.hint];
}
