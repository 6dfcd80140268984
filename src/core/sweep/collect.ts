import type { ExitCode, QrunError } from '../errors.js';
import type { Output } from '../schema.js';
import type { collectedLog, schema } from './collect.schema.js';

/** What became of one log of another host. */
export interface CollectedLog extends Output<typeof collectedLog> {}

/** What an import of the logs of other hosts did. */
export interface CollectReport extends Output<typeof schema> {}

/** A problem as a report shows it. */
export function problemOf({ code, message, details, hint, exitCode }: QrunError): CollectedLog['problem'] {
  return { code, message: [message, ...details].join('; '), hint: hint ?? null, exit_code: exitCode };
}

// The worst first: a log that cannot be trusted needs a person; a unit that runs is only a matter of time.
const WORST: readonly ExitCode[] = [23, 24, 26, 2, 22];

/**
 * Returns the exit code of an import: 0 if every log of a unit was imported, otherwise that of the worst problem; 2 if
 * there were logs, and none of them of a unit that was asked for.
 */
export function collectExit(
  logs: readonly Pick<CollectedLog, 'problem'>[],
  leftOut: readonly string[],
): number {
  if (logs.length === 0 && leftOut.length > 0) return 2;
  const codes = new Set(logs.flatMap(({ problem }) => (problem === null ? [] : [problem.exit_code])));
  return WORST.find(code => codes.has(code)) ?? [...codes][0] ?? 0;
}

/** What all logs of a report add up to. */
export interface CollectTotals {
  readonly groups: number;
  readonly lines: number;
  readonly there: number;
  readonly ranTwice: number;
  readonly stale: number;
  readonly unknown: number;
  readonly unfinished: number;
}

/** Adds up the logs of a report. */
export function collectTotals(logs: readonly CollectedLog[]): CollectTotals {
  const sum = (of: (log: CollectedLog) => number): number => logs.reduce((total, log) => total + of(log), 0);
  return {
    groups: sum(log => log.appended.groups),
    lines: sum(log => log.appended.lines),
    there: sum(log => log.there),
    ranTwice: sum(log => log.ran_twice),
    stale: sum(log => log.stale),
    unknown: sum(log => log.unknown),
    unfinished: sum(log => log.unfinished),
  };
}
