import { formatDuration } from '../../core/text/duration.js';

/** Returns a whole number with commas: `12,345`. Fractions are rounded. */
export function formatCount(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Returns a number with at most one decimal: `4`, `1.5`. */
export function formatDecimal(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

/** Returns how many there are of something: `1 query`, `12,345 queries`, `1.5 cores`. */
export function formatAmount(value: number, noun: string): string {
  const plural = noun.endsWith('y') ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  const number = Number.isInteger(value) ? formatCount(value) : formatDecimal(value);
  return `${number} ${value === 1 ? noun : plural}`;
}

/** Returns the first of some things as text, and where there are more, how many: `and 12 more`. */
export function firstOf<T>(
  things: readonly T[],
  most: number,
  show: (one: T) => string,
  rest = 'more',
): string[] {
  const hidden = things.length - most;
  const shown = things.slice(0, most).map(one => show(one));
  return hidden > 0 ? [...shown, `and ${formatCount(hidden)} ${rest}`] : shown;
}

/** Returns a number of queries a second, without its unit: `1,234`, `6.2`, `0.05`. */
export function formatRateNumber(perSecond: number): string {
  if (perSecond >= 99.5) return formatCount(perSecond);
  return perSecond >= 0.95 || perSecond === 0 ? perSecond.toFixed(1) : perSecond.toFixed(2);
}

/** Returns a value in a format, or a dash for one that is not known. */
export function orDash(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '-' : format(value);
}

/** Returns a number of queries a second: `1,234 q/s`; below one in ten seconds by the minute: `3.1 q/min`. */
export function formatRate(perSecond: number): string {
  if (perSecond > 0 && perSecond < 0.1) return `${(perSecond * 60).toFixed(1)} q/min`;
  return `${formatRateNumber(perSecond)} q/s`;
}

/** Returns the time a query took: as {@link formatDuration}, but with more digits below 10 ms: `0.85 ms`, `3.2 ms`. */
export function formatLatency(durationMs: number): string {
  if (durationMs >= 9.95) return formatDuration(durationMs);
  return `${durationMs.toFixed(durationMs >= 0.995 ? 1 : 2)} ms`;
}

// Steps to which an estimate is rounded up, so that it neither jitters nor pretends to be precise.
const ESTIMATE_STEPS: readonly { readonly belowMs: number; readonly stepMs: number }[] = [
  { belowMs: 20_000, stepMs: 1_000 },
  { belowMs: 120_000, stepMs: 5_000 },
  { belowMs: 600_000, stepMs: 10_000 },
  { belowMs: 3_600_000, stepMs: 60_000 },
  { belowMs: Number.POSITIVE_INFINITY, stepMs: 300_000 },
];

/** Returns a remaining time, rounded up to a step that fits its size: `8 s`, `2m 10s`, `1h 05m`. */
export function formatEstimate(remainingMs: number): string {
  const step = ESTIMATE_STEPS.find(({ belowMs }) => remainingMs < belowMs)?.stepMs ?? 300_000;
  const rounded = Math.max(1, Math.ceil(remainingMs / step)) * step;
  return rounded < 60_000 ? `${rounded / 1000} s` : formatDuration(rounded);
}

/** Returns an elapsed time in whole seconds, for a display that is redrawn each second: `8 s`, `3m 20s`. */
export function formatElapsed(elapsedMs: number): string {
  const seconds = Math.floor(Math.max(0, elapsedMs) / 1000);
  return seconds < 60 ? `${seconds} s` : formatDuration(seconds * 1000);
}
