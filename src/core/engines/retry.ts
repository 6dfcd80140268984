import { type Failure, FULL_CODES } from './failure.js';

/** Exponential backoff with full jitter: the wait is uniform in [0, min(cap, base x 2^(attempt - 1))]. */
export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

// An overloaded server needs seconds, not milliseconds; half a minute is as long as a person waits willingly.
/** Of pings while a server is away. A restart takes 1 to 30 s: ask often at first, then every few seconds. */
export const PING_BACKOFF: Backoff = { baseMs: 200, capMs: 5_000 };

const BACKOFF: Backoff = { baseMs: 500, capMs: 30_000 };

/** Returns the milliseconds to wait after the given attempt (from 1); `random` returns numbers in [0, 1). */
export function backoffMs(attempt: number, random: () => number, backoff: Backoff = BACKOFF): number {
  return random() * Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt - 1, 30));
}

/**
 * Returns whether a failed attempt may be followed by another: its failure may pass, and running the query twice does
 * no harm, because the query changes nothing or certainly never started.
 */
export function mayRetry(failure: Failure, readOnly: boolean): boolean {
  return failure.kind !== 'permanent' && (readOnly || failure.neverStarted);
}

// What proxies answer instead of FULL_CODES.
const FULL_PAGES: ReadonlySet<string> = new Set(['HTTP_429', 'HTTP_503']);

/**
 * Returns whether the server or a proxy turned a query away before it began, because it has too many. That says nothing
 * about the query, which may try again for as long as qrun would wait for a lost server.
 */
export function isServerFull(failure: Failure): boolean {
  return failure.neverStarted && (FULL_CODES.has(failure.code) || FULL_PAGES.has(failure.name));
}
