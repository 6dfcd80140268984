import { type Failure, isFromElsewhere, REFUSED_CODES } from './failure.js';
import { isServerFull } from './retry.js';

/**
 * Why a server, or what stands in front of it, takes no query of ours: it has too many (`full`), it does not accept
 * who we are (`credentials`), or what we may use is used up (`quota`). None of them says anything of a query.
 */
export type Refusal = 'full' | 'credentials' | 'quota';

const QUOTA_EXCEEDED = 201;
// What a proxy with a login of its own answers; 403 is also a firewall that dislikes one text.
const LOGIN_PAGES: ReadonlySet<string> = new Set(['HTTP_401', 'HTTP_403', 'HTTP_407']);

/**
 * The refusal that a failure is, or `undefined` where it is none. What a query was told by another server
 * (`remote(...)`, a shard) is its own trouble and no refusal.
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
const END = /\bInterval will end at (\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)/;
const QUARTER_MS = 15 * 60_000;
// Time zones go from UTC-12 to UTC+14.
const EARLIEST_ZONE = -12 * 4;
const LATEST_ZONE = 14 * 4;
// Clocks of two machines, and the second in which the server cuts its time off.
const SKEW_MS = 60_000;

/**
 * Milliseconds until the interval of a used-up quota ends, as the server's text has it; `undefined` where it names
 * none. The text is in the server's own time zone, which it does not name: the zones (steps of 15 minutes) for which
 * the end lies within the length of the interval are looked at, that in which intervals begin at a multiple of their
 * length (the server's habit) is preferred, and else the earliest end is given.
 */
export function quotaEndsInMs(message: string, nowMs: number): number | undefined {
  const end = END.exec(message);
  if (end === null) return undefined;
  const [year, month, day, hour, minute, second] = end.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const asUtcMs = Date.UTC(year, month - 1, day, hour, minute, second);
  const lengthMs = Number(INTERVAL.exec(message)?.[1] ?? Number.NaN) * 1000;
  let earliest: number | undefined;
  let past: number | undefined;
  // From east to west: the further west the zone, the later the same reading of a clock.
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
