import type { Settings } from '../model.js';
import { wordSet } from '../text/words.js';

/**
 * Settings that qrun sends with each statement to both engines, if the engine knows them, so that a row looks the same
 * whichever version wrote it. The user's settings override them.
 */
export const ENGINE_SETTINGS: Settings = {
  // 18.16 quotes UInt64 by default, 26.7 does not: a sum must be the number 3, not the string "3".
  output_format_json_quote_64bit_integers: '0',
  // The two related settings, so that no server profile turns numbers into strings.
  output_format_json_quote_64bit_floats: '0',
  output_format_json_quote_decimals: '0',
  // nan and inf become null. Quoted, they would be strings in a column of numbers; unquoted, they are not JSON.
  output_format_json_quote_denormals: '0',
  // The default is 1 everywhere and writes `\/`. That is valid, but no other tool writes it and grep does not find it.
  output_format_json_escape_forward_slashes: '0',
  // The default changed from 0 to 1 in the 23.x series.
  output_format_json_named_tuples_as_objects: '1',
  // A profile that sets it would wrap the rows into one array instead of one row per line.
  output_format_json_array_of_rows: '0',
};

/** Settings that qrun sends only over HTTP, if the server knows them. */
export const HTTP_SETTINGS: Settings = {
  // The default is 1 in some versions of 23.x and 24.x, which makes an exception look like a row.
  http_write_exception_in_output_format: '0',
  // An INSERT counts as done only once it is written; the default of async_insert is 1 since 26.x.
  wait_for_async_insert: '1',
};

/** Parameters of the HTTP interface, not settings; every version since 18.16 knows them. */
export const HTTP_PARAMETERS: Readonly<Record<string, string>> = {
  default_format: 'JSONEachRow',
  // The server answers only when the query has ended, so that an error has an error status. Costs at most 20 % on 68
  // MB.
  wait_end_of_query: '1',
  // Up to this size the server keeps the result in memory until then. Without it, or with 1 MiB or less, each answer
  // goes through a temporary file of its own: 18.16 then does 10,800 small queries a second instead of 18,000.
  buffer_size: String(2 * 1024 * 1024),
};

// Parameters of the HTTP interface, which qrun sets itself.
const OF_HTTP = wordSet(
  `default_format format output_format wait_end_of_query buffer_size compress decompress query query_id
    session_id session_check session_timeout close_session stacktrace quota_key`,
);
const FIXED: Readonly<Record<string, string>> = {
  http_write_exception_in_output_format: 'with it an exception would look like a row',
  output_format_json_array_of_rows: 'with it a result would not be lines of rows',
  http_wait_end_of_query: 'qrun always waits for the end of a query',
  http_response_buffer_size: 'qrun always waits for the end of a query',
  enable_http_compression: 'qrun reads results uncompressed',
  user: 'the user is an option of its own',
  password: 'the password is an option of its own',
  role: 'roles belong to the user',
  database: 'the database is an option of its own',
};

/** Returns why the user may not set this name; `undefined` if they may. */
export function fixedSetting(name: string): string | undefined {
  if (name.startsWith('param_')) return 'parameters of queries are given with --param';
  if (OF_HTTP.has(name)) return 'it is a parameter of the HTTP interface, which qrun sets itself';
  return Object.hasOwn(FIXED, name) ? FIXED[name] : undefined;
}

// These only decide how much a query may use, how fast it goes, or what is logged about it. The block size is not one
// of them: runningDifference(), neighbor(), rowNumberInBlock() and the like start again with each block.
const EXECUTION_ONLY: ReadonlySet<string> = new Set([
  'max_threads',
  'max_insert_threads',
  'max_final_threads',
  'max_parsing_threads',
  'max_download_threads',
  'max_streams_to_max_threads_ratio',
  'max_memory_usage',
  'max_memory_usage_for_user',
  'max_memory_usage_for_all_queries',
  'memory_overcommit_ratio_denominator',
  'memory_overcommit_ratio_denominator_for_user',
  'memory_usage_overcommit_max_wait_microseconds',
  'max_bytes_before_external_group_by',
  'max_bytes_before_external_sort',
  'max_bytes_ratio_before_external_group_by',
  'max_bytes_ratio_before_external_sort',
  'max_execution_time',
  'max_estimated_execution_time',
  'timeout_before_checking_execution_speed',
  'min_execution_speed',
  'min_execution_speed_bytes',
  'max_execution_speed',
  'max_execution_speed_bytes',
  'max_network_bandwidth',
  'max_network_bytes',
  'max_query_size',
  'max_ast_depth',
  'max_ast_elements',
  'max_expanded_ast_elements',
  'max_parser_depth',
  'max_parser_backtracks',
  'max_concurrent_queries_for_user',
  'max_concurrent_queries_for_all_users',
  'queue_max_wait_ms',
  'priority',
  'os_thread_priority',
  'workload',
  'use_uncompressed_cache',
  'min_bytes_to_use_direct_io',
  'min_bytes_to_use_mmap_io',
  'max_read_buffer_size',
  'connect_timeout',
  'connect_timeout_with_failover_ms',
  'receive_timeout',
  'send_timeout',
  'http_connection_timeout',
  'http_receive_timeout',
  'http_send_timeout',
  'http_headers_progress_interval_ms',
  'send_progress_in_http_headers',
  'network_compression_method',
  'network_zstd_compression_level',
  'compile_expressions',
  'compile_aggregate_expressions',
  'compile_sort_description',
  'wait_for_async_insert',
  'wait_for_async_insert_timeout',
]);

/**
 * Returns whether another value of this setting can change the result of the same query on the same data. Such settings
 * are part of the fingerprint. Unknown names count as `true`; at worst, a query runs again. Limits that make a query
 * fail, but never change its result, count as `false`. So does the number of threads, although it may change the last
 * digits of a sum of floats. For limits that do not make a query fail, see {@link splitSettings}.
 */
export function changesResult(name: string): boolean {
  return !EXECUTION_ONLY.has(name) && !isInert(name);
}

function isInert(name: string): boolean {
  return name.startsWith('log_') || name.startsWith('query_profiler_');
}

/**
 * Parts of the names of settings which say that a limit, or a server that does not answer in time, shortens a result
 * instead of causing an error: `timeout_overflow_mode`, `result_overflow_mode`, ..., `skip_unavailable_shards`,
 * `partial_result_on_first_cancel`.
 */
export const CUTTING_NAMES: readonly string[] = [
  'overflow_mode',
  'skip_unavailable_shards',
  'partial_result',
];

// The values of these settings that cut nothing.
const CUTS_NOTHING: ReadonlySet<string> = new Set(['throw', '0', 'false', '']);

function cuts([name, value]: [string, string]): boolean {
  const isOne = CUTTING_NAMES.some(part => name.includes(part));
  return isOne && !CUTS_NOTHING.has(value.trim().toLowerCase());
}

/** Settings, split by how they affect a fingerprint. */
export interface SplitSettings {
  /** Part of every fingerprint. */
  readonly result: Settings;
  /**
   * Limits, threads and the like. They change no result unless the text of a query lets a limit cut it; they are part
   * of the fingerprints of such queries only.
   */
  readonly limits: Settings;
}

/**
 * Splits a user's settings into those that can change every result and those that cannot. If one of them says that a
 * limit cuts a result instead of failing, the limits count too, and so does what decides how far a query gets within
 * one (the threads, the block size): a result cut at one second is not a result cut at thirty.
 */
export function splitSettings(settings: Settings): SplitSettings {
  const entries = Object.entries(settings).filter(([name]) => !isInert(name));
  if (entries.some(cuts)) return { result: Object.fromEntries(entries), limits: {} };
  return {
    result: Object.fromEntries(entries.filter(([name]) => changesResult(name))),
    limits: Object.fromEntries(entries.filter(([name]) => !changesResult(name))),
  };
}

/** Returns the known name that a mistyped one is closest to; `undefined` if none is close. */
export function suggest(name: string, known: Iterable<string>): string | undefined {
  // With a third of the letters wrong it is still a typo; with more it is another word.
  let best = Math.max(1, Math.floor(name.length / 3)) + 1;
  let found: string | undefined;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= best) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance >= best) continue;
    best = distance;
    found = candidate;
  }
  return found;
}

// Insertions, deletions and replacements that turn one string into the other (two rows of the usual table).
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const shorter = Math.min(previous[column] ?? 0, current[column - 1] ?? 0) + 1;
      current.push(Math.min(replaced, shorter));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}

// Types whose text form holds quoted strings with their own escapes; the server reads them as they are.
const READ_AS_IT_STANDS =
  /^(?:Nullable\(\s*)?(?:Identifier|Array|Tuple|Map|Nested|Point|Ring|LineString|MultiLineString|Polygon|MultiPolygon)\b/i;
// A backslash takes the character after it along: `\` and a tab are a tab.
const ESCAPED_OR_BARE = /\\(.)|[\t\n\r\0\b\f]/gs;
/** The control characters that ClickHouse writes with a backslash, and how. */
export const CONTROL_ESCAPES: Readonly<Record<string, string>> = {
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\0': '\\0',
  '\b': '\\b',
  '\f': '\\f',
};

/**
 * Returns a parameter's value in the form in which ClickHouse takes it as clickhouse-client's `--param_x` would.
 *
 * ClickHouse reads the value of `{name:Type}` as a field of TSV: `\N` is NULL; `\t`, `\n` and `\\` stand for one
 * character each. Both engines and clickhouse-client decode that in the same way. A raw tab or line end would end the
 * field, so they are written as their escapes. Arrays, tuples, maps and identifiers are read as they are (`['a','b']`);
 * their strings have their own escapes.
 */
export function encodeParameter(value: string, type: string): string {
  if (READ_AS_IT_STANDS.test(type.trim())) return value;
  return value.replace(
    ESCAPED_OR_BARE,
    (found, escaped: string | undefined) => CONTROL_ESCAPES[escaped ?? found] ?? found,
  );
}
