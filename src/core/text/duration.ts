/**
 * The longest duration that qrun accepts, about 24.8 days: Node's timers hold a signed 32-bit number of milliseconds.
 */
export const MAX_DURATION_MS = 2_147_483_647;

/** Examples of durations, for hints and help texts. */
export const DURATION_EXAMPLES = '500ms, 30s, 5m, 2h';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Returns the milliseconds that a string such as `500ms`, `30s`, `1.5m` or `2h` stands for, rounded to whole ones;
 * `undefined` if it is not a number with one of these units, or is longer than {@link MAX_DURATION_MS}. Zero is a
 * duration; callers that need a positive one refuse it themselves.
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const unitMs = UNIT_MS[match?.[2] ?? ''];
  if (unitMs === undefined) return undefined;
  const durationMs = Math.round(Number(match?.[1]) * unitMs);
  return durationMs <= MAX_DURATION_MS ? durationMs : undefined;
}

/**
 * Returns a duration for people, in at most two units: `850 ms`, `12.4 s`, `3m 20s`, `2h 05m`, `4d 06h`. It is rounded
 * before the unit is chosen, so that `60.0 s` and `1h 60m` never appear. Negative values and NaN count as zero.
 */
export function formatDuration(ms: number): string {
  const wholeMs = Math.round(ms);
  if (!(wholeMs > 0)) return '0 ms';
  if (wholeMs < 1000) return `${wholeMs} ms`;
  const tenths = Math.round(ms / 100);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(seconds, 60, 'm', 's');
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1440) return pair(minutes, 60, 'h', 'm');
  return pair(Math.round(ms / 3_600_000), 24, 'd', 'h');
}

function pair(count: number, base: number, major: string, minor: string): string {
  return `${Math.floor(count / base)}${major} ${String(count % base).padStart(2, '0')}${minor}`;
}
