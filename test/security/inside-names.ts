const words = (text: string): readonly string[] => text.split(/\s+/).filter(Boolean);

// Beside what src/core/engines/embedded/access.ts has: the rest of what engine 26.7 lists. A name that is in neither is new.

/** Engines of tables and databases that keep to the data. */
export const INSIDE_ENGINES: readonly string[] = words(`
  MergeTree SummingMergeTree ReplacingMergeTree AggregatingMergeTree CollapsingMergeTree CoalescingMergeTree
  VersionedCollapsingMergeTree GraphiteMergeTree Memory Log TinyLog StripeLog Set Join Null Buffer Merge View
  MaterializedView WindowView Dictionary GenerateRandom FuzzJSON FuzzQuery Alias Loop TimeSeries Atomic Ordinary
`);

/** Table functions that keep to the data; `executable` finds no program. */
export const INSIDE_FUNCTIONS: readonly string[] = words(`
  timeSeriesSelector timeSeriesMetrics timeSeriesTags timeSeriesSamples timeSeriesData prometheusQuery
  prometheusQueryRange mergeTreeProjection mergeTreeTextIndex mergeTreeAnalyzeIndexes mergeTreeAnalyzeIndexesUUID
  mergeTreeIndex format loop view viewIfPermitted viewExplain numbers numbers_mt generateRandom generateSeries
  generate_series dictionary fuzzQuery fuzzJSON SQLStandardValues merge zeros zeros_mt eval values input null primes
  executable arrowstream
`);
