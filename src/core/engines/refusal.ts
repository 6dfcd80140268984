import { type Failure, isFromElsewhere, REFUSED_CODES } from './failure.js';
import { isServerFull } from './retry.js';

/**
 * Why a server, or what is in front of it, accepts no query of ours: it has too many (`full`), it does not accept our
 * credentials (`credentials`), or our quota is used up (`quota`). None of these says anything about a query.
 */
export type Refusal = 'full' | 'credentials' | 'quota';

const QUOTA_EXCEEDED = 201;
// What a proxy with a login of its own answers; 403 is also a firewall that dislikes one text.
const LOGIN_PAGES: ReadonlySet<string> = new Set(['HTTP_401', 'HTTP_403', 'HTTP_407']);

/**
 * Returns the refusal that a failure stands for, or `undefined` if it is not one. What another server (`remote(...)`, a
 * shard) told a query is the query's own problem and not a refusal.
 */
export function refusalOf(failure: Failure): Refusal | undefined {
  if (isFromElsewhere(failure.message)) return undefined;
  if (isServerFull(failure)) return 'full';
  if (REFUSED_CODES.has(failure.code) || LOGIN_PAGES.has(failure.name)) return 'credentials';
  return failure.code === QUOTA_EXCEEDED ? 'quota' : undefined;
}

// `Quota for user 'u' for 3600 seconds has been exceeded. Queries: 13, max: 12. Interval will end at 2026-11-28
// 12:00:00.` (18.16), `Quota for user `u` for 3600s has been exceeded: queries = 13/12. Interval will end at ...`.
const INTERVAL = /\bfor (\d{1,10}) ?s(?:econds)?\b/;
const END = /\bInterval will end at (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/;
const QUARTER_MS = 15 * 60_000;
// Time zones range from UTC-12 to UTC+14.
const EARLIEST_ZONE = -12 * 4;
const LATEST_ZONE = 14 * 4;
// Allows for the clocks of two machines, and for the server cutting its time to whole seconds.
const SKEW_MS = 60_000;

/**
 * Returns the milliseconds until the interval of a used-up quota ends, according to the server's text; `undefined` if
 * it names no end. The text is in the server's own time zone, which it does not name. All zones (in steps of 15
 * minutes) are considered for which the end lies within the length of the interval. A zone in which intervals begin
 * at a multiple of their length is preferred, because that is what servers do; otherwise the earliest end is
 * returned.
 */
export function quotaEndsInMs(message: string, nowMs: number): number | undefined {
  const [, day, time] = END.exec(message) ?? [];
  const asUtcMs = Date.parse(`${day}T${time}Z`);
  if (Number.isNaN(asUtcMs)) return undefined;
  const lengthMs = Number(INTERVAL.exec(message)?.[1] ?? Number.NaN) * 1000;
  let earliest: number | undefined;
  let past: number | undefined;
  // From east to west: the further west the zone, the later the same clock reading.
  for (let zone = LATEST_ZONE; zone >= EARLIEST_ZONE; zone -= 1) {
    const atMs = asUtcMs - zone * QUARTER_MS;
    const leftMs = atMs - nowMs;
    if (leftMs > lengthMs + SKEW_MS) continue;
    if (leftMs <= 0) {
      if (leftMs > -SKEW_MS) past = 0;
      continue;
    }
    earliest ??= leftMs;
    if (atMs % lengthMs === 0) return leftMs;
  }
  return earliest ?? past;
}
