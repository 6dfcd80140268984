import type { RunSummary } from '../../core/unit/events.js';
import { drawBar } from '../terminal/bar.js';
import { formatCount, formatLatency } from '../terminal/format.js';
import type { Style } from '../terminal/style.js';
import { padStart } from '../terminal/text.js';

/** How many values lie above the previous bound and at or below this one. */
type HistogramBucket = NonNullable<RunSummary['histogram']>[number];

// More rows than this show nothing that fewer would not.
const MAX_ROWS = 12;
const MAX_BAR = 40;

/**
 * Returns a plot of durations, one line for each bucket: its upper bound, its count, a bar. Buckets are in ascending
 * order; empty ones at both ends are left out, and neighbours are merged until there are at most twelve. Empty when
 * there is nothing to plot (fewer than two used buckets say no more than the percentiles).
 */
export function renderHistogram(buckets: readonly HistogramBucket[], style: Style, width: number): string[] {
  const rows = mergeBuckets(trimBuckets(buckets));
  const largest = Math.max(0, ...rows.map(({ count }) => count));
  if (rows.length < 2) return [];
  const bounds = rows.map(({ up_to_ms }) => formatLatency(up_to_ms).replace(/\.0+ /, ' '));
  const counts = rows.map(({ count }) => formatCount(count));
  const boundWidth = Math.max(...bounds.map(text => text.length));
  const countWidth = Math.max(...counts.map(text => text.length));
  const cells = Math.min(MAX_BAR, width - 'to '.length - boundWidth - countWidth - 4);
  return rows.map(({ count }, index) => {
    const numbers =
      `${style.paint.faint('to')} ${padStart(bounds[index] ?? '', boundWidth)}` +
      `  ${padStart(counts[index] ?? '', countWidth)}`;
    if (cells < 4 || count === 0) return numbers;
    return `${numbers}  ${drawBar(visibleShare(count / largest, cells, style), cells, style, false)}`;
  });
}

/** Keeps every count visible: one above zero fills at least the smallest part of a cell. */
function visibleShare(share: number, cells: number, style: Style): number {
  return Math.max(share, 1 / (cells * (style.marks.parts.length + 1)));
}

function trimBuckets(buckets: readonly HistogramBucket[]): readonly HistogramBucket[] {
  const first = buckets.findIndex(({ count }) => count > 0);
  return first < 0 ? [] : buckets.slice(first, buckets.findLastIndex(({ count }) => count > 0) + 1);
}

/** Returns at most {@link MAX_ROWS} buckets: the neighbours with the smallest sum are merged, repeatedly. */
function mergeBuckets(buckets: readonly HistogramBucket[]): readonly HistogramBucket[] {
  const rows = [...buckets];
  const together = (index: number): number => (rows[index]?.count ?? 0) + (rows[index + 1]?.count ?? 0);
  while (rows.length > MAX_ROWS) {
    let least = 0;
    for (let index = 1; index < rows.length - 1; index++)
      if (together(index) < together(least)) least = index;
    rows.splice(least, 2, { up_to_ms: rows[least + 1]?.up_to_ms ?? 0, count: together(least) });
  }
  return rows;
}
