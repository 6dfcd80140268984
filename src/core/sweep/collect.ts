import { type ExitCode, exitCodeOf, type QrunError } from '../errors.js';
import type { HostProblem } from '../hosts/ssh-failure.js';
import type { Output } from '../schema.js';
import type { collectedLog, fetchedHost, schema } from './collect.schema.js';

/** What became of one log of another host. */
export interface CollectedLog extends Output<typeof collectedLog> {}

/** What an import of the logs of other hosts did. */
export interface CollectReport extends Output<typeof schema> {}

/** A host that logs were to be fetched from. */
export interface FetchedHost extends Output<typeof fetchedHost> {}

/** A problem as a report shows it. */
export function problemOf({ code, message, details, hint, exitCode }: QrunError): CollectedLog['problem'] {
  return { code, message: [message, ...details].join('; '), hint: hint ?? null, exit_code: exitCode };
}

/** A problem of a host as a report shows it. */
export function hostProblemOf({ code, says, mend }: HostProblem): NonNullable<FetchedHost['problem']> {
  return { code, message: says, hint: mend, exit_code: exitCodeOf(code) };
}

// The worst first: a log that cannot be trusted needs a person; a unit that runs is only a matter of time.
const WORST: readonly ExitCode[] = [23, 24, 26, 2, 22];

/** Returns the worst of some exit codes; 0 without one. */
export function worstExit(exitCodes: Iterable<number>): number {
  const codes = new Set(exitCodes);
  return WORST.find(code => codes.has(code)) ?? [...codes].find(code => code !== 0) ?? 0;
}

/**
 * Returns the exit code of an import: 0 if every log of a unit was imported, and every host that was asked for has
 * given its logs; otherwise that of the worst problem; 2 if there were logs, and none of them of a unit that was asked
 * for.
 */
export function collectExit(
  logs: readonly Pick<CollectedLog, 'problem'>[],
  leftOut: readonly string[],
  hosts: readonly Pick<FetchedHost, 'problem'>[] = [],
): number {
  const codes = [...hosts, ...logs].flatMap(({ problem }) => (problem === null ? [] : [problem.exit_code]));
  return worstExit(logs.length === 0 && leftOut.length > 0 ? [...codes, 2] : codes);
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

/** Returns what could not be brought in by an import that another command has asked for, a line each. */
export function collectNotices({ hosts, logs }: Pick<CollectReport, 'hosts' | 'logs'>): string[] {
  const told = (what: string, { message, hint }: NonNullable<CollectedLog['problem']>): string =>
    `${what}: ${message}${hint === null || hint === '' ? '' : ` (${hint})`}`;
  return [
    ...hosts.flatMap(({ name, problem }) =>
      problem === null ? [] : [told(`what ${name} has recorded was not collected`, problem)],
    ),
    ...logs.flatMap(({ from, problem }) =>
      problem === null ? [] : [told(`${from} was not imported`, problem)],
    ),
  ];
}
