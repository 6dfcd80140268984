import type { Failure } from './failure.js';
import { refusalOf } from './refusal.js';

// Where the next attempt runs, of several servers that hold the same data. Pure.

/** What is known of a server when an attempt is to run. */
export interface Candidate {
  /** Attempts that run there now. */
  readonly running: number;
  /** The most that may. */
  readonly permits: number;
  /** Whether it takes queries at all. */
  readonly isIn: boolean;
  /** After refusals or a lack of memory it gets no queries before this time (monotonic). */
  readonly restsUntilMs: number;
}

/**
 * Returns the index of the server for the next attempt: of those that take queries and have a permit left, the one with
 * the smallest share of its permits in use; of equals the first one after `last` in turn. `undefined` if there is none.
 */
export function nextEndpoint(
  candidates: readonly Candidate[],
  last: number,
  nowMs: number,
  isExcluded: (index: number) => boolean = () => false,
): number | undefined {
  let best: number | undefined;
  let least = 1;
  for (let step = 1; step <= candidates.length; step += 1) {
    const index = (last + step) % candidates.length;
    const { running, permits, isIn, restsUntilMs } = candidates[index] as Candidate;
    const share = running / permits;
    if (!isIn || share >= least || restsUntilMs > nowMs || isExcluded(index)) continue;
    best = index;
    least = share;
  }
  return best;
}

/** Divides the queries that run at once among servers: an equal part each, rounded up. */
export function permitsOfEach(concurrency: number, servers: number): number {
  return Math.max(1, Math.ceil(concurrency / servers));
}

/**
 * Returns whether an attempt that failed on one server may go to another at once, without counting as an attempt: it
 * never started, and the reason is that server and not the query or this process.
 */
export function isOfEndpoint(failure: Failure): boolean {
  if (!failure.neverStarted || failure.shortage !== undefined || failure.name === 'ABORTED') return false;
  return failure.serverGone || failure.kind === 'transient';
}

// MEMORY_LIMIT_EXCEEDED. With kind `transient` it is the server's or the user's total, not the query's own limit.
const MEMORY_LIMIT = 241;

/** Returns whether a server should get no more queries for a moment: it is full, or its memory is. */
export function needsRest(failure: Failure): boolean {
  return refusalOf(failure) === 'full' || (failure.code === MEMORY_LIMIT && failure.kind === 'transient');
}

// QUERY_WAS_CANCELLED: somebody killed the query, or the server is shutting down and kills all queries.
const KILLED = 394;

/** Returns whether a failure is a reason to ask a server whether it is there. */
export function isSuspicious(failure: Failure): boolean {
  return failure.serverGone || failure.code === KILLED;
}

/**
 * Returns the failure of an attempt whose server turned out to be away. What such a server said does not count as a
 * result of the query, nor does a timeout then.
 */
export function lostWithServer(failure: Failure): Failure {
  const kind = failure.kind === 'permanent' && !failure.neverStarted ? 'unknown' : failure.kind;
  return { ...failure, kind, serverGone: true };
}

/**
 * Returns which of several reasons decides how long to wait for any of the servers: one that may pass at any time rather
 * than a quota, and a quota rather than a refused user.
 */
export function mildest(failures: readonly Failure[]): Failure | undefined {
  const rank = (failure: Failure): number => {
    const refusal = refusalOf(failure);
    return refusal === 'credentials' ? 2 : refusal === 'quota' ? 1 : 0;
  };
  return failures.toSorted((a, b) => rank(a) - rank(b))[0];
}

/** Returns the lower of two versions such as `18.16.1` and `25.11.1.1`. */
export function lowerVersion(one: string, other: string): string {
  const [a, b] = [numbersOf(one), numbersOf(other)];
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference < 0 ? one : other;
  }
  return one;
}

function numbersOf(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
