// Writes the 100 query files of the sample sweep: sql/<pattern>/<SYMBOL>_<threshold>/<pattern>__<filter>.sql
//
//   node scripts/make-sample.mjs           writes what differs, and removes query files that no longer belong
//   node scripts/make-sample.mjs --check   writes nothing; names what differs, and exits 1 if anything does
//
// The files depend on nothing but this script. sql/_setup.sql and sql/README.md are written by hand.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const SQL_DIR = fileURLToPath(new URL('../sql/', import.meta.url));

/** Four of the twelve series that sql/_setup.sql makes; thresholds in 0.001 % of the price. */
const SERIES = [
  { symbol: 'BTCUSDT', thresholdDbps: 500 },
  { symbol: 'BTCUSDT', thresholdDbps: 750 },
  { symbol: 'ETHUSDT', thresholdDbps: 500 },
  { symbol: 'SOLUSDT', thresholdDbps: 1000 },
];

/** The arrays that patterns are made of, and the columns of a bar that each needs. */
const ARRAYS = {
  falls: { letter: 'f', columns: ['open', 'close'], expression: 'close < open' },
  rises: { letter: 'r', columns: ['open', 'close'], expression: 'close > open' },
  volumes: { letter: 'v', columns: ['volume'], expression: 'volume' },
};

/**
 * `lags` says how many bars a pattern looks back in an array: with `{ falls: 2 }` the condition sees f, f1 and
 * f2, which are falls at the bar itself, one bar before and two bars before.
 */
const PATTERNS = [
  { id: '2down', title: 'two falling bars in a row', lags: { falls: 1 }, condition: 'f AND f1' },
  { id: '2up', title: 'two rising bars in a row', lags: { rises: 1 }, condition: 'r AND r1' },
  { id: '3down', title: 'three falling bars in a row', lags: { falls: 2 }, condition: 'f AND f1 AND f2' },
  {
    id: 'exhaustion',
    title: 'three falling bars in a row on shrinking volume',
    lags: { falls: 2, volumes: 2 },
    condition: 'f AND f1 AND f2 AND v < v1 AND v1 < v2',
  },
  {
    id: 'capitulation',
    title: 'five falling bars in a row, the last three on rising volume',
    lags: { falls: 4, volumes: 2 },
    condition: 'f AND f1 AND f2 AND f3 AND f4 AND v > v1 AND v1 > v2',
  },
];

/** A signal is a bar that completes the pattern and lies on one side of the series' median. */
const FILTERS = [
  { id: 'ofi_gt_p50', title: 'an order-flow imbalance above', column: 'ofi', operator: '>' },
  { id: 'ofi_lt_p50', title: 'an order-flow imbalance below', column: 'ofi', operator: '<' },
  { id: 'volume_gt_p50', title: 'a volume above', column: 'volume', operator: '>' },
  { id: 'duration_lt_p50', title: 'a duration below', column: 'duration_ms', operator: '<' },
  { id: 'intensity_gt_p50', title: 'a trade intensity above', column: 'intensity', operator: '>' },
];

/** Returns the arrays at every lag that a pattern needs: `falls` as f, `falls_1` as f1, ... */
function laggedArrays(pattern) {
  return Object.entries(pattern.lags).flatMap(([array, lags]) =>
    Array.from({ length: lags + 1 }, (_, lag) => ({
      name: lag === 0 ? array : `${array}_${lag}`,
      parameter: lag === 0 ? ARRAYS[array].letter : `${ARRAYS[array].letter}${lag}`,
      shiftOf: lag === 0 ? undefined : lag === 1 ? array : `${array}_${lag - 1}`,
    })),
  );
}

/** Returns the text of one query file. */
function queryText(pattern, { symbol, thresholdDbps }, filter) {
  const lagged = laggedArrays(pattern);
  const shifts = lagged
    .filter(array => array.shiftOf !== undefined)
    .map(array => `arrayPopBack(arrayPushFront(${array.shiftOf}, 0)) AS ${array.name},`);
  const parameters = lagged.map(array => array.parameter).join(', ');
  const lambda = `(${parameters}) -> ${pattern.condition},`;
  const names = lagged.map(array => array.name).join(', ');
  const gap = lambda.length + names.length < 80 ? ' ' : `\n${' '.repeat(12)}`;
  const arrays = Object.keys(pattern.lags);
  const groups = arrays.map(array => `groupArray(${ARRAYS[array].expression}) AS ${array},`);
  const columns = [
    ...new Set(['close_ms', 'high', 'low', 'close', ...arrays.flatMap(array => ARRAYS[array].columns)]),
  ];
  if (!columns.includes(filter.column)) columns.push(filter.column);
  const bars = `qrun_sample.bars WHERE symbol = '${symbol}' AND threshold_dbps = ${thresholdDbps}`;

  return `-- Pattern: ${pattern.title}.
-- Filter: the last of them has ${filter.title} the median of all bars.
-- Buy ${symbol} at its close (range bars of ${thresholdDbps / 1000} %): what comes first, take profit, stop loss or time limit?
-- One row for each of three barrier profiles, or none at all when there is no signal.
SELECT
    '${pattern.id}__${filter.id}' AS config_id,
    '${pattern.id}' AS base_pattern,
    barrier_profile,
    max(bar_count) AS total_bars,
    max(pattern_count) AS base_pattern_signals,
    count() AS filtered_signals,
    floor(10000 * filtered_signals / base_pattern_signals + 0.5) / 10000 AS signal_coverage,
    countIf(outcome = 'tp') AS tp_count, countIf(outcome = 'sl') AS sl_count,
    countIf(outcome = 'time') AS time_count, countIf(outcome = 'incomplete') AS incomplete_count,
    floor(10000 * countIf(gain_ppm > 0) / (tp_count + sl_count + time_count) + 0.5) / 10000 AS win_rate,
    floor(10000 * sumIf(gain_ppm, gain_ppm > 0) / -sumIf(gain_ppm, gain_ppm < 0) + 0.5) / 10000 AS profit_factor,
    floor(avgIf(gain_ppm, gain_ppm > 0) + 0.5) / 10000 AS avg_win_pct,
    floor(-avgIf(gain_ppm, gain_ppm < 0) + 0.5) / 10000 AS avg_loss_pct,
    floor(avgIf(gain_ppm, outcome != 'incomplete') + 0.5) / 10000 AS expected_value_pct,
    floor(10000 * (win_rate - (1 - win_rate) * avg_loss_pct / avg_win_pct) + 0.5) / 10000 AS kelly_fraction,
    floor(100 * avgIf(exit_bar, outcome != 'incomplete') + 0.5) / 100 AS avg_bars_held,
    quantileExactIf(0.5)(exit_bar, outcome != 'incomplete') AS median_exit_bar,
    min(signal_ms) AS signal_min_ts_ms, max(signal_ms) AS signal_max_ts_ms,
    sum(gain_ppm) / 10000 AS total_return
FROM (
  -- Trades with their ends. A bar that touches both barriers counts as a loss.
  SELECT bar_count, pattern_count, signal_ms, barrier_profile,
    multiIf(sl_bar <= least(tp_bar, last_bar), 'sl', tp_bar <= last_bar, 'tp',
      last_bar = max_bars, 'time', 'incomplete') AS outcome,
    least(least(tp_bar, sl_bar), last_bar) AS exit_bar,
    multiIf(outcome = 'tp', take_profit, outcome = 'sl', stop_loss,
      outcome = 'time', last_close, entry) - entry AS gain,
    intDiv(gain * 1000000, entry) AS gain_ppm
  FROM (
    -- Signals x profiles: (name, take profit and stop loss in tenths of the threshold, most bars).
    -- Each barrier is also put behind the last bar, so that it is found there if no bar touches it.
    SELECT bar_count, pattern_count, signal_ms, entry, profile.1 AS barrier_profile, profile.4 AS max_bars,
      entry + intDiv(entry * ${thresholdDbps} * profile.2, 1000000) AS take_profit,
      entry - intDiv(entry * ${thresholdDbps} * profile.3, 1000000) AS stop_loss,
      least(max_bars, length(next_closes)) AS last_bar, next_closes[last_bar] AS last_close,
      arrayFirstIndex(x -> x >= take_profit, arrayPushBack(next_highs, take_profit)) AS tp_bar,
      arrayFirstIndex(x -> x <= stop_loss, arrayPushBack(next_lows, stop_loss)) AS sl_bar
    FROM (
      -- Signals, each with the 30 bars that follow it.
      SELECT bar_count, pattern_count, times[i] AS signal_ms, closes[i] AS entry,
        arraySlice(highs, i + 1, 30) AS next_highs, arraySlice(lows, i + 1, 30) AS next_lows,
        arraySlice(closes, i + 1, 30) AS next_closes
      FROM (
        -- One row: the bars as arrays, and the numbers of those that are signals.
        SELECT bar_count, times, highs, lows, closes,
          ${shifts.join(`\n${' '.repeat(10)}`)}
          arrayMap(${lambda}${gap}${names}) AS matches,
          arraySum(matches) AS pattern_count,
          arrayFilter((i, m, p) -> m AND p, arrayEnumerate(matches), matches, passes) AS signals
        FROM (
          SELECT count() AS bar_count, groupArray(close_ms) AS times,
            groupArray(high) AS highs, groupArray(low) AS lows, groupArray(close) AS closes,
            ${groups.join(' ')}
            groupArray(${filter.column} ${filter.operator} (SELECT quantileExact(0.5)(${filter.column})
              FROM ${bars})) AS passes
          FROM (SELECT ${columns.join(', ')}
            FROM ${bars} ORDER BY bar_index)
        )
      ) ARRAY JOIN signals AS i
    ) ARRAY JOIN [('inverted', 10, 25, 10), ('momentum', 40, 15, 30), ('symmetric', 25, 25, 20)] AS profile
  )
)
GROUP BY barrier_profile ORDER BY barrier_profile
FORMAT TabSeparatedWithNames;
`;
}

/** Returns the texts of all query files by their paths beneath sql/, with `/`. */
function sampleFiles() {
  const files = new Map();
  for (const pattern of PATTERNS)
    for (const series of SERIES)
      for (const filter of FILTERS)
        files.set(
          `${pattern.id}/${series.symbol}_${series.thresholdDbps}/${pattern.id}__${filter.id}.sql`,
          queryText(pattern, series, filter),
        );
  return files;
}

/** Returns the existing query files as paths beneath sql/; names that begin with `_` are not queries. */
function presentFiles() {
  return readdirSync(SQL_DIR, { recursive: true })
    .map(path => path.split(sep).join('/'))
    .filter(path => path.endsWith('.sql') && !/(^|\/)_/.test(path));
}

const checkOnly = process.argv.includes('--check');
const files = sampleFiles();
const changes = [];

for (const path of presentFiles()) {
  if (files.has(path)) continue;
  changes.push(`surplus  ${path}`);
  if (!checkOnly) rmSync(join(SQL_DIR, path));
}
for (const [path, text] of files) {
  const target = join(SQL_DIR, path);
  if (existsSync(target) && readFileSync(target, 'utf8') === text) continue;
  changes.push(`${existsSync(target) ? 'differs' : 'missing'}  ${path}`);
  if (checkOnly) continue;
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}

for (const change of changes) console.log(change);
console.log(
  `${files.size} query files, ${changes.length} ${checkOnly ? 'not as generated' : 'written or removed'}`,
);
if (checkOnly && changes.length > 0) process.exitCode = 1;
