-- Pattern: three falling bars in a row.
-- Filter: the last of them has a trade intensity above the median of all bars.
-- Buy BTCUSDT at its close (range bars of 0.75 %): what comes first, take profit, stop loss or time limit?
-- One row for each of three barrier profiles, or none at all when there is no signal.
SELECT
    '3down__intensity_gt_p50' AS config_id,
    '3down' AS base_pattern,
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
      entry + intDiv(entry * 750 * profile.2, 1000000) AS take_profit,
      entry - intDiv(entry * 750 * profile.3, 1000000) AS stop_loss,
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
          arrayPopBack(arrayPushFront(falls, 0)) AS falls_1,
          arrayPopBack(arrayPushFront(falls_1, 0)) AS falls_2,
          arrayMap((f, f1, f2) -> f AND f1 AND f2, falls, falls_1, falls_2) AS matches,
          arraySum(matches) AS pattern_count,
          arrayFilter((i, m, p) -> m AND p, arrayEnumerate(matches), matches, passes) AS signals
        FROM (
          SELECT count() AS bar_count, groupArray(close_ms) AS times,
            groupArray(high) AS highs, groupArray(low) AS lows, groupArray(close) AS closes,
            groupArray(close < open) AS falls,
            groupArray(intensity > (SELECT quantileExact(0.5)(intensity)
              FROM qrun_sample.bars WHERE symbol = 'BTCUSDT' AND threshold_dbps = 750)) AS passes
          FROM (SELECT close_ms, high, low, close, open, intensity
            FROM qrun_sample.bars WHERE symbol = 'BTCUSDT' AND threshold_dbps = 750 ORDER BY bar_index)
        )
      ) ARRAY JOIN signals AS i
    ) ARRAY JOIN [('inverted', 10, 25, 10), ('momentum', 40, 15, 30), ('symmetric', 25, 25, 20)] AS profile
  )
)
GROUP BY barrier_profile ORDER BY barrier_profile
FORMAT TabSeparatedWithNames;
