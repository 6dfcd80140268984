-- Makes the data of the sample sweep: 28,800 synthetic range bars in the table qrun_sample.bars,
-- 2,400 for each of three symbols and four thresholds.
--
-- Runs unchanged on ClickHouse 18.16 and later, and again at any time: the table is made anew.
-- Every value is an integer that follows from intHash64 of a running number, so that each server,
-- whatever its version, time zone or number of threads, holds exactly the same rows.

CREATE DATABASE IF NOT EXISTS qrun_sample;

DROP TABLE IF EXISTS qrun_sample.bars;

CREATE TABLE qrun_sample.bars
(
    symbol         String,
    threshold_dbps Int64,  -- how far the price moves from open to close, in 0.001 %
    bar_index      Int64,  -- 1, 2, 3, ... within symbol and threshold
    close_ms       Int64,  -- time of the close, milliseconds since 1970-01-01 UTC
    open           Int64,  -- prices in 0.0001 USDT, the open is the close of the bar before
    high           Int64,
    low            Int64,
    close          Int64,
    volume         Int64,  -- in 0.001 of the coin
    trades         Int64,
    duration_ms    Int64,
    ofi            Int64,  -- order-flow imbalance, -1000 (all sold) to 1000 (all bought)
    intensity      Int64   -- trades in 1,000 seconds
)
ENGINE = MergeTree
ORDER BY (symbol, threshold_dbps, bar_index);

INSERT INTO qrun_sample.bars
SELECT
    symbol,
    threshold_dbps,
    n AS bar_index,
    1704067200000 + elapsed_ms AS close_ms,
    first_price + (level - direction) * step AS open_price,
    -- A range bar closes at its high or its low, and on the other side stays short of the threshold.
    greatest(open_price, close_price) + if(direction < 0, wick, 0) AS high_price,
    least(open_price, close_price) - if(direction > 0, wick, 0) AS low_price,
    first_price + level * step AS close_price,
    trades_of_bar * (20 + toInt64(intHash64(key + 3) % 60)) AS volume_of_bar,
    20 + toInt64(intHash64(key + 4) % 400) AS trades_of_bar,
    duration AS duration_of_bar,
    direction * 300 + toInt64(intHash64(key + 5) % 801) - 400 AS ofi_of_bar,
    intDiv(trades_of_bar * 1000000, duration) AS intensity_of_bar
FROM
(
    SELECT
        symbol,
        threshold_dbps,
        first_price,
        n,
        direction,
        level,
        duration,
        elapsed_ms,
        intDiv(first_price * threshold_dbps, 100000) AS step,
        toUInt64(series * 1000000 + n) * 16 AS key,
        intDiv(step * toInt64(intHash64(key + 2) % 100), 100) AS wick
    FROM
    (
        SELECT
            symbol,
            threshold_dbps,
            first_price,
            series,
            arrayMap(i -> toInt64(i + 1), range(2400)) AS numbers_of_bars,
            -- Noise less a part of the noise one bar earlier: a rise is a little likelier after a fall.
            arrayMap(
                n -> if(
                    4 * toInt64(intHash64(toUInt64(series * 1000000 + n) * 16) % 2001)
                    >= 3000 + toInt64(intHash64(toUInt64(series * 1000000 + n - 1) * 16) % 2001),
                    toInt64(1), toInt64(-1)),
                numbers_of_bars) AS directions,
            arrayMap(
                n -> threshold_dbps * 32
                    * (1 + toInt64(intHash64(toUInt64(series * 1000000 + n) * 16 + 1) % 97)),
                numbers_of_bars) AS durations
        FROM
        (
            SELECT
                instrument.1 AS symbol,
                toInt64(instrument.2) AS first_price,
                toInt64(threshold) AS threshold_dbps,
                toInt64(instrument.3 * 10 + intDiv(threshold, 250)) AS series
            FROM
            (
                SELECT
                    -- symbol, first price, seed of its noise
                    arrayJoin([
                        ('BTCUSDT', 420000000, 57),
                        ('ETHUSDT', 23000000, 50),
                        ('SOLUSDT', 1010000, 36)]) AS instrument,
                    arrayJoin([250, 500, 750, 1000]) AS threshold
            )
        )
    )
    ARRAY JOIN
        numbers_of_bars AS n,
        directions AS direction,
        arrayCumSum(directions) AS level,
        durations AS duration,
        arrayCumSum(durations) AS elapsed_ms
);
