import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type EmbeddedAccess,
  FILE_LAYOUTS,
  NO_ACCESS,
  OUTSIDE_ENGINES,
  OUTSIDE_FUNCTIONS,
  OUTSIDE_SOURCES,
} from '../../src/core/engines/embedded/access.js';
import { parseQuery } from '../../src/core/sql/parse.js';
import { loadChdb } from '../../src/io/engines/embedded/chdb.js';
import { openEmbedded } from '../../src/io/engines/embedded/engine.js';
import { openConnections } from '../../src/io/engines/embedded/open.js';
import type { Engine } from '../../src/io/engines/engine.js';
import { INSIDE_ENGINES, INSIDE_FUNCTIONS } from './inside-names.js';

const FILES: EmbeddedAccess = { files: true, network: false };
const NETWORK: EmbeddedAccess = { files: false, network: true };

const directory = mkdtempSync(join(tmpdir(), 'qrun-outside-'));
const canary = join(directory, 'canary.txt');
const SECRET = 'seen-by-sql';
// Everything that connects is counted and turned away.
let server: Server;
let port = 0;
let connections = 0;

beforeAll(async () => {
  writeFileSync(canary, `${SECRET}\n`);
  server = createServer(socket => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function withEngine<T>(
  access: EmbeddedAccess,
  use: (run: (sql: string) => Promise<string>) => Promise<T>,
  dataDirectory = mkdtempSync(join(directory, 'data-')),
): Promise<T> {
  const spool = { directory, thresholdBytes: 1024 * 1024 };
  const signal = new AbortController().signal;
  const engine = await openEmbedded({ dataDirectory, concurrency: 2, spool, settings: {}, access }, signal);
  try {
    return await use(sql => answerOf(engine, sql));
  } finally {
    await engine.close();
  }
}

// The rows, or how it failed.
async function answerOf(engine: Engine, sql: string): Promise<string> {
  const result = await engine.run({
    query: parseQuery(sql),
    queryId: 'test',
    parameters: {},
    settings: {},
    timeoutMs: 20_000,
    signal: new AbortController().signal,
  });
  if (!result.ok) {
    const { code, kind, message } = result.failure;
    return `${code} ${kind} ${message}`;
  }
  const text = result.body.bytes()?.toString() ?? '';
  await result.body.dispose();
  return text;
}

const column = async (run: (sql: string) => Promise<string>, sql: string): Promise<string[]> =>
  (await run(sql))
    .split('\n')
    .filter(line => line !== '')
    .map(line => (JSON.parse(line) as { v: string }).v);

const quoted = (): string => `'${canary}'`;
const url = (): string => `'http://127.0.0.1:${port}/bucket/key'`;
const host = (): string => `'127.0.0.1:${port}'`;
const DENIED = /^497 permanent .+ is not allowed here: SQL may use /;

describe('everything that the engine lists is known to stay within the data, or refused', () => {
  test('table functions, engines, sources and layouts of dictionaries', async () => {
    await withEngine(NO_ACCESS, async run => {
      const lower = (names: Iterable<string>): Set<string> =>
        new Set([...names].map(name => name.toLowerCase()));
      const unknown = async (table: string, known: Set<string>): Promise<string[]> =>
        (await column(run, `SELECT name AS v FROM system.${table}`)).filter(
          name => !known.has(name.toLowerCase()),
        );
      expect(
        await unknown('table_functions', lower([...INSIDE_FUNCTIONS, ...OUTSIDE_FUNCTIONS.keys()])),
      ).toEqual([]);
      const engines = lower([...INSIDE_ENGINES, ...OUTSIDE_ENGINES.keys()]);
      expect(await unknown('table_engines', engines)).toEqual([]);
      expect(await unknown('database_engines', engines)).toEqual([]);
      expect(await unknown('dictionary_sources', lower(['null', ...OUTSIDE_SOURCES.keys()]))).toEqual([]);
      const layouts = await column(run, 'SELECT name AS v FROM system.dictionary_layouts');
      expect(layouts.filter(name => name.includes('ssd')).sort()).toEqual([...FILE_LAYOUTS].sort());
    });
  });

  test('every table function that reaches outside is refused, and nothing connects', async () => {
    const before = connections;
    await withEngine(NO_ACCESS, async run => {
      const listed = await column(run, 'SELECT name AS v FROM system.table_functions');
      for (const name of listed.filter(name => OUTSIDE_FUNCTIONS.has(name.toLowerCase()))) {
        const args = ARGUMENTS[name] ?? ARGUMENTS[OUTSIDE_FUNCTIONS.get(name.toLowerCase()) ?? ''];
        const reading = await run(`SELECT * FROM ${name}(${args?.() ?? ''})`);
        // A cluster that nobody has configured is not there to be refused.
        if (!/Cluster|^cluster/.test(name)) expect(reading, name).toMatch(DENIED);
        expect(reading, name).toMatch(/^\d+ permanent /);
        expect(reading).not.toContain(SECRET);
      }
    });
    expect(connections).toBe(before);
  });

  test('every engine that reaches outside is refused in every definition', async () => {
    const before = connections;
    await withEngine(NO_ACCESS, async run => {
      for (const name of OUTSIDE_ENGINES.keys()) {
        for (const sql of [
          `CREATE TABLE t (a String) ENGINE = ${name}`,
          `CREATE TABLE t (a String) engine ${name}('x')`,
          `ATTACH TABLE t (a String) ENGINE = ${name}`,
          `CREATE TABLE m (a Int8) ENGINE = Memory PARALLEL WITH CREATE TABLE t (a String) ENGINE = \`${name}\``,
          `CREATE DATABASE d ENGINE = "${name}"('x')`,
          `CREATE MATERIALIZED VIEW v ENGINE = ${name} AS SELECT 1 AS a`,
        ]) {
          expect(await run(sql), sql).toMatch(DENIED);
        }
      }
    });
    expect(connections).toBe(before);
  });

  test('no other function reads a file or connects, whatever it is given', async () => {
    const before = connections;
    // On one connection: a query that fails costs a new one otherwise, and nearly all do.
    const raw = await openConnections(await loadChdb(FILES), mkdtempSync(join(directory, 'data-')), FILES);
    const ask = async (sql: string): Promise<string> => {
      const answer = await raw.control(sql);
      return answer.ok ? Buffer.from(answer.result.bytes()).toString() : answer.failure.message;
    };
    try {
      const names = await column(
        ask,
        "SELECT name AS v FROM system.functions WHERE NOT is_aggregate AND origin = 'System' AND name NOT LIKE 'sleep%'",
      );
      expect(names.length).toBeGreaterThan(1000);
      const readers = new Set<string>();
      for (const name of names) {
        for (const args of [quoted(), url(), `${quoted()}, ${url()}`]) {
          if ((await ask(`SELECT \`${name}\`(${args}) AS v`)).includes(SECRET)) readers.add(name);
        }
      }
      expect([...readers]).toEqual(['file']);
    } finally {
      await raw.close();
    }
    expect(connections).toBe(before);
  }, 120_000);

  test('every setting that holds a text, or speaks of files or the network, is one that was looked at', async () => {
    await withEngine(NO_ACCESS, async run => {
      const names = await column(
        run,
        "SELECT name AS v FROM system.settings WHERE (match(name, '(?i)url|schema|endpoint|registry|credential|from_env|_path$|allow_experimental_(ai|eval|.*dialect)') OR type IN ('String', 'URI', 'Map')) AND tier != 'Obsolete' AND alias_for = ''",
      );
      expect(names.sort()).toEqual(LOOKED_AT);
    });
  });
});

// Those that lead outside are in GUARDED_SETTINGS of src/core/engines/embedded/access.ts; the others change how what was
// allowed is done, or are of engines and dialects that are refused.
const LOOKED_AT: readonly string[] = `
  additional_result_filter additional_table_filters ai_function_embedding_default_credentials
  ai_function_text_default_credentials allow_experimental_ai_functions allow_experimental_eval_table_function
  allow_experimental_kusto_dialect allow_experimental_polyglot_dialect allow_experimental_prql_dialect
  allow_experimental_url_wildcard_from_index_pages bool_false_representation bool_true_representation
  chdb_client_name cluster_for_parallel_replicas column_names_for_schema_inference
  compatibility compatibility_s3_presigned_url_query_in_path count_distinct_implementation
  default_view_definer delta_lake_reload_schema_for_consistency distributed_cache_credentials_refresh_period_seconds
  distributed_cache_file_cache_name distributed_cache_registry_show_certificate_and_signature distributed_plan_force_exchange_kind
  dynamic_disk_allow_from_env enable_url_encoding engine_url_skip_empty_files
  errors_output_format exclude_materialize_skip_indexes_on_insert filesystem_cache_name
  force_data_skipping_indices force_optimize_projection_name format_avro_schema_registry_connection_timeout
  format_avro_schema_registry_max_retries format_avro_schema_registry_receive_timeout format_avro_schema_registry_retry_initial_backoff_ms
  format_avro_schema_registry_send_timeout format_avro_schema_registry_url format_capn_proto_use_autogenerated_schema
  format_csv_null_representation format_custom_field_delimiter format_custom_result_after_delimiter
  format_custom_result_before_delimiter format_custom_row_after_delimiter format_custom_row_before_delimiter
  format_custom_row_between_delimiter format_json_object_each_row_column_for_object_name format_protobuf_use_autogenerated_schema
  format_regexp format_schema format_schema_message_name
  format_schema_source format_template_resultset format_template_resultset_format
  format_template_row format_template_row_format format_template_rows_between_delimiter
  format_tsv_null_representation function_implementation http_response_headers
  http_skip_not_found_url_for_globs iceberg_metadata_compression_method ignore_data_skipping_indices
  implicit_table_at_top_level input_format_arrow_skip_columns_with_unsupported_types_in_schema_inference input_format_bson_skip_fields_with_unsupported_types_in_schema_inference
  input_format_capn_proto_skip_fields_with_unsupported_types_in_schema_inference input_format_csv_use_best_effort_in_schema_inference input_format_max_bytes_to_read_for_schema_inference
  input_format_max_rows_to_read_for_schema_inference input_format_mysql_dump_table_name input_format_orc_reader_time_zone_name
  input_format_orc_skip_columns_with_unsupported_types_in_schema_inference input_format_parquet_skip_columns_with_unsupported_types_in_schema_inference input_format_protobuf_skip_fields_with_unsupported_types_in_schema_inference
  input_format_record_errors_file_path input_format_tsv_use_best_effort_in_schema_inference insert_deduplication_token
  local_filesystem_read_method log_comment merge_table_max_tables_to_look_for_schema_inference
  metrics_perf_events_list network_compression_method output_format_avro_codec
  output_format_avro_confluent_subject output_format_avro_string_column_pattern output_format_image_terminal_mode
  output_format_orc_writer_time_zone_name output_format_pretty_grid_charset output_format_schema
  output_format_sql_insert_table_name parallel_replicas_custom_key polyglot_dialect
  preferred_optimize_projection_name promql_database promql_table
  query_cache_tag remote_filesystem_read_method rename_files_after_processing
  s3_allow_server_credentials_in_user_queries s3queue_default_zookeeper_path schema_inference_cache_require_modification_time_for_url
  schema_inference_hints schema_inference_make_columns_nullable schema_inference_make_json_columns_nullable
  schema_inference_mode schema_inference_use_cache_for_azure schema_inference_use_cache_for_file
  schema_inference_use_cache_for_hdfs schema_inference_use_cache_for_s3 schema_inference_use_cache_for_url
  send_logs_source_regexp stream_like_engine_insert_queue temporary_files_codec
  trace_profile_events_list url_base url_wildcard_max_directories_to_read
  workload
`
  .split(/\s+/)
  .filter(Boolean);

// By name, or by what they reach.
const ARGUMENTS: Readonly<Record<string, () => string>> = {
  files: quoted,
  network: url,
  never: () => "'DSN=x', 'd', 't'",
  file: () => `${quoted()}, 'LineAsString', 'a String'`,
  sqlite: () => `${quoted()}, 't'`,
  fileCluster: () => `'default', ${quoted()}, 'LineAsString', 'a String'`,
  url: () => `${url()}, 'TSV', 'a String'`,
  s3: () => `${url()}, 'TSV', 'a String'`,
  gcs: () => `${url()}, 'TSV', 'a String'`,
  hdfs: () => `'hdfs://127.0.0.1:${port}/a', 'TSV', 'a String'`,
  remote: () => `${host()}, 'system', 'one'`,
  remoteSecure: () => `${host()}, 'system', 'one'`,
  mysql: () => `${host()}, 'd', 't', 'u', 'p'`,
  postgresql: () => `${host()}, 'd', 't', 'u', 'p'`,
  mongodb: () => `${host()}, 'd', 't', 'u', 'p', 'a String'`,
  redis: () => `${host()}, 'k', 'k String, v String'`,
  ytsaurus: () => `${url()}, '//t', 'token', 'a String'`,
  azureBlobStorage: () => `${url()}, 'c', 'b', 'account', 'a2V5', 'TSV', 'auto', 'a String'`,
};

// Where the engine asks no constraint of a setting.
const TEMPLATE = "SELECT formatRow('Template', 1) AS x SETTINGS";
const escapedOnce = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
const SETTINGS_INSIDE: readonly (readonly [string, (setting: string) => string])[] = [
  ['a setting of a subquery', setting => `SELECT * FROM (${TEMPLATE} ${setting})`],
  ['a setting of a scalar', setting => `WITH (${TEMPLATE} ${setting}) AS y SELECT y`],
  ['a setting of a view', setting => `CREATE VIEW vs AS SELECT * FROM (${TEMPLATE} ${setting})`],
  [
    'a setting among values',
    setting => `INSERT INTO FUNCTION null('a String') VALUES ((${TEMPLATE} ${setting}))`,
  ],
  [
    'a setting among values of a format that is spelled otherwise',
    setting => `INSERT INTO FUNCTION null('a String') FORMAT "V\\x61lues" ((${TEMPLATE} ${setting}))`,
  ],
  [
    'a setting in values that are a text',
    setting => `SELECT * FROM format(Values, 'a String', '((${escapedOnce(`${TEMPLATE} ${setting}`)}))')`,
  ],
  [
    'a setting in a filter',
    setting =>
      `SELECT 1 AS v SETTINGS additional_result_filter = 'v IN (${escapedOnce(`${TEMPLATE} ${setting}`)})'`,
  ],
  [
    'a setting of a dictionary',
    setting =>
      `CREATE DICTIONARY ds (a UInt64) PRIMARY KEY a SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(0) SETTINGS(${setting})`,
  ],
  [
    'a setting in the query of a dictionary',
    setting =>
      `CREATE DICTIONARY dq (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'SELECT 1 FROM (${escapedOnce(`${TEMPLATE} ${setting}`)})')) LAYOUT(FLAT()) LIFETIME(0)`,
  ],
];

const REFUSED: readonly (readonly [string, () => string])[] = [
  ['the function file()', () => `SELECT file(${quoted()}) AS v`],
  ['file() with a default', () => `SELECT file(${quoted()}, NULL) AS v`],
  ['file() as an argument', () => `SELECT arrayMap(file, [${quoted()}]) AS v`],
  ['file() without the analyzer', () => `SELECT file(${quoted()}) AS v SETTINGS enable_analyzer = 0`],
  [
    'file() among values',
    () => `CREATE TABLE t0 (a String) ENGINE = Memory; INSERT INTO t0 VALUES (file(${quoted()}))`,
  ],
  [
    'a change of rows',
    () => `CREATE TABLE t0 (a String) ENGINE = Memory; ALTER TABLE t0 UPDATE a = file(${quoted()}) WHERE 1`,
  ],
  ['a table as the function file()', () => `CREATE TABLE t0 AS file(${quoted()})`],
  ['file() by another spelling of its name', () => `SELECT "f\\x69le"(${quoted()}) AS v`],
  ['file() that is applied', () => `SELECT * APPLY (file) FROM (SELECT ${quoted()} AS a)`],
  ['file() by APPLY without brackets', () => `SELECT * APPLY file FROM (SELECT ${quoted()} AS a)`],
  [
    'file() in the structure of a table function',
    () =>
      `SELECT * FROM format(JSONEachRow, 'a String, b String DEFAULT file(\\'${canary}\\')', '{"a":"1"}')`,
  ],
  [
    'file() in a structure that is put together',
    () =>
      `SELECT * FROM format(JSONEachRow, concat('a String, b String DEFAULT fi', 'le(\\'${canary}\\')'), '{"a":"1"}')`,
  ],
  [
    'file() in a text that is evaluated',
    () =>
      `SELECT * FROM eval('SELECT file(\\'${canary}\\') AS a') SETTINGS allow_experimental_eval_table_function = 1`,
  ],
  [
    'file() that a function of the file uses',
    () => `CREATE FUNCTION f AS x -> file(x); SELECT f(${quoted()}) AS v`,
  ],
  [
    'file() for a default',
    () =>
      `CREATE TABLE t1 (a Int8, b String DEFAULT file(${quoted()})) ENGINE = Memory; INSERT INTO t1 (a) VALUES (1); SELECT b FROM t1`,
  ],
  [
    'file() in a filter that is a setting',
    () => `SELECT 1 AS v SETTINGS additional_result_filter = 'v = length(file(\\'${canary}\\'))'`,
  ],
  ['taking away what stands for file()', () => 'DROP FUNCTION file'],
  ['the same with IF EXISTS and quotes', () => 'DROP FUNCTION IF EXISTS "f\\x69le"'],
  [
    'FROM INFILE',
    () => `CREATE TABLE t2 (a String) ENGINE = Memory; INSERT INTO t2 FROM INFILE ${quoted()} FORMAT TSV`,
  ],
  [
    'FROM INFILE behind WITH',
    () =>
      `CREATE TEMPORARY TABLE t3 (a String); WITH 1 AS x INSERT INTO t3 FROM INFILE ${quoted()} FORMAT TSV`,
  ],
  [
    'writing by INSERT',
    () => `INSERT INTO FUNCTION file('${directory}/written', 'LineAsString', 'a String') VALUES ('x')`,
  ],
  [
    'ATTACH from a path',
    () => `ATTACH TABLE t4 FROM '${directory}/attached/' (a Int8) ENGINE = MergeTree ORDER BY a`,
  ],
  ['a table as a function', () => `CREATE TABLE t5 AS url(${url()}, 'TSV', 'a String')`],
  ['a view', () => `CREATE VIEW v1 AS SELECT * FROM file(${quoted()}, 'LineAsString')`],
  ['a view that asks nobody', () => `CREATE VIEW v2 SQL SECURITY NONE AS SELECT 1`],
  ['DESCRIBE', () => `DESCRIBE TABLE file(${quoted()}, 'CSV')`],
  [
    'a local disk',
    () =>
      `CREATE TABLE t6 (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '${directory}/disk/')`,
  ],
  [
    'a web disk',
    () =>
      `CREATE TABLE t7 (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = "d\\x69sk"(type = web, endpoint = ${url()})`,
  ],
  [
    'a disk of a database',
    () =>
      `CREATE DATABASE d1 ENGINE = Atomic SETTINGS disk = disk(type = local, path = '${directory}/disk/')`,
  ],
  ['an engine by another spelling', () => "CREATE TABLE t8 (a Int8) ENGINE = \"\\x45xecutable\"('x', 'TSV')"],
  ...SETTINGS_INSIDE.map(([name, sql]) => [name, () => sql(`format_template_row = ${quoted()}`)] as const),
  ...[
    () => `format_template_resultset = ${quoted()}`,
    () => `format_schema = '${canary}:M'`,
    () => `format_avro_schema_registry_url = ${url()}`,
    () => `"output\\x5fformat_schema" = '${directory}/written'`,
    () => `input_format_record_errors_file_path = '${directory}/written', input_format_allow_errors_num = 9`,
    () => 'max_threads = 1, allow_experimental_eval_table_function',
  ].flatMap((setting, index) => [
    [
      `guarded setting ${index}`,
      () => `SELECT * FROM format(CSV, 'a Int8', 'x') SETTINGS ${setting()}`,
    ] as const,
    [
      `guarded setting ${index} in a subquery`,
      () => `SELECT * FROM (SELECT * FROM format(CSV, 'a Int8', 'x') SETTINGS ${setting()})`,
    ] as const,
  ]),
  ...[
    "format(concat('Val', 'ues'), 'a String', '(1)')",
    "format(CSV, 'a String', '(1)') AS b, (SELECT 'Values' AS CSV) AS c",
    "format(Values, 'a String', concat('(', '1)'))",
    "(SELECT * FROM \"f\\x6frmat\"((SELECT 'Values'), 'a String', '(1)'))",
  ].map(from => [`values that nobody can look at: ${from}`, () => `SELECT * FROM ${from}`] as const),
  ['a schema in a file', () => `SELECT * FROM format(Protobuf, 'x') SETTINGS format_schema = '${canary}:M'`],
  [
    'a registry of schemas',
    () =>
      `SELECT * FROM format(AvroConfluent, 'a String', '\\0\\0\\0\\0\\1abc') SETTINGS format_avro_schema_registry_url = ${url()}`,
  ],
  ...[
    `FILE(path '${canary}' format 'TSV')`,
    "EXECUTABLE(command 'id' format 'TSV')",
    "EXECUTABLE_POOL(command 'id' format 'TSV')",
    "LIBRARY(path '/tmp/x.so')",
    "HTTP(url 'http://127.0.0.1:1/' format 'TSV')",
    "MYSQL(HOST '127.0.0.1' DB 'd' TABLE 't')",
    "CLICKHOUSE(HOST '127.0.0.1' TABLE 't')",
    "CLICKHOUSE(TABLE 't' `port` 1)",
    'CLICKHOUSE(NAME somewhere)',
    "\"\\x46ILE\"(path '/etc/passwd' format 'TSV')",
    'SOMETHING_NEW()',
  ].map(
    source =>
      [
        `the source ${source}`,
        () =>
          `CREATE DICTIONARY d (a UInt64, b String) PRIMARY KEY a SOURCE(${source}) LAYOUT(FLAT()) LIFETIME(0)`,
      ] as const,
  ),
  [
    'a dictionary in a file',
    () =>
      `CREATE DICTIONARY d2 (a UInt64) PRIMARY KEY a SOURCE(NULL()) LAYOUT(SSD_CACHE(PATH '${directory}/ssd')) LIFETIME(0)`,
  ],
];

// The engine's own words: for these nothing can be allowed.
const NOT_GRANTED: readonly string[] = [
  "BACKUP TABLE system.one TO Disk('default', 'b')",
  'CREATE NAMED COLLECTION c AS a = 1',
  'CREATE USER u',
  'CREATE ROLE r',
  'GRANT FILE ON *.* TO default',
  'GRANT SELECT ON *.* TO default',
  "ALTER USER default IDENTIFIED BY 'x'",
  'SYSTEM SHUTDOWN',
  'EXECUTE AS default SELECT 1',
];

describe('without --allow-files and --allow-network', () => {
  test.each(REFUSED)('%s is refused with one message', async (_, sql) => {
    const before = connections;
    await withEngine(NO_ACCESS, async run => {
      const answer = await run(sql());
      expect(answer).not.toContain(SECRET);
      expect(answer).toMatch(/^\d+ permanent /);
      expect(answer).toMatch(DENIED);
    });
    expect(connections).toBe(before);
    for (const name of ['written', 'attached', 'disk', 'ssd', 'ssd.bin', '__cache__']) {
      expect(existsSync(join(directory, name))).toBe(false);
    }
  });

  test('SQL gives itself nothing, and does nothing to the engine', async () => {
    await withEngine(NO_ACCESS, async run => {
      for (const sql of NOT_GRANTED) expect(await run(sql), sql).toMatch(/^(497|62|344|181) permanent /);
      expect(await run(`SELECT file(${quoted()}) AS v`)).toMatch(DENIED);
    });
  });

  test('what stays within the data works', async () => {
    await withEngine(NO_ACCESS, async run => {
      for (const sql of INSIDE) expect(await run(sql), sql).not.toMatch(/permanent|transient|unknown/);
    });
  });
});

const INSIDE: readonly string[] = [
  'CREATE DATABASE e; CREATE DATABASE e2 ENGINE = Memory; SHOW DATABASES',
  "CREATE TABLE a (x UInt64, s String) ENGINE = MergeTree ORDER BY x; INSERT INTO a SELECT number, 's' FROM numbers(10); SELECT count() AS n FROM a",
  "ALTER TABLE a UPDATE s = 't' WHERE x = 1 SETTINGS mutations_sync = 2; ALTER TABLE a DELETE WHERE x = 2 SETTINGS mutations_sync = 2; OPTIMIZE TABLE a FINAL; SELECT count() AS n FROM a",
  "CREATE DICTIONARY d (x UInt64, s String) PRIMARY KEY x SOURCE(CLICKHOUSE(TABLE 'a')) LAYOUT(HASHED()) LIFETIME(0); SELECT dictGet('d', 's', 1) AS v",
  "CREATE DICTIONARY d3 (x UInt64, s String) PRIMARY KEY x SOURCE(CLICKHOUSE(QUERY 'SELECT x, s FROM default.a')) LAYOUT(FLAT()) LIFETIME(0); SELECT dictGet('d3', 's', 1) AS v",
  'CREATE VIEW v AS SELECT * FROM a; SELECT count() AS n FROM v; DROP VIEW v',
  'CREATE MATERIALIZED VIEW m ENGINE = SummingMergeTree ORDER BY x AS SELECT x FROM a; SELECT count() AS n FROM m',
  'CREATE OR REPLACE FUNCTION plus_one AS x -> x + 1; SELECT plus_one(1) AS v; DROP FUNCTION plus_one',
  'CREATE TEMPORARY TABLE t (x UInt64); INSERT INTO t VALUES (1); SELECT * FROM t',
  'SYSTEM STOP MERGES; SYSTEM START MERGES; SYSTEM FLUSH LOGS; SELECT 1 AS v',
  "CREATE TABLE f (engine String, url String, disk UInt8, file String, source String) ENGINE = Log; INSERT INTO f VALUES ('URL', 'u', 1, 'f', 's'); SELECT engine, file FROM f WHERE engine = 'URL'",
  'SELECT * FROM format(JSONEachRow, \'a String\', \'{"a":"1"}\')',
  "SELECT trim(BOTH 'a' FROM 'abca') AS v",
  "SELECT * FROM format('CSV', 'a String', concat('1', '')) SETTINGS max_threads = 1 FORMAT JSONEachRow",
  "SELECT * FROM format(Values, 'a Int8', '(1),(2)')",
  "WITH '{} {}' AS p SELECT format(p, 'a', 'b') AS v, format('{}', 'a') AS w SETTINGS max_threads = 1",
  'SELECT count() AS format_schema FROM numbers(3) HAVING format_schema = 3 SETTINGS max_threads = 1',
  "SELECT 'SETTINGS format_schema = 1' AS q WHERE q LIKE '%SETTINGS format_schema = %' SETTINGS max_threads = 1",
  "CREATE TABLE q (query String) ENGINE = Memory; INSERT INTO q VALUES ('SELECT 1 SETTINGS format_schema = \\'x\\''); INSERT INTO q FORMAT CSV\nSETTINGS format_schema = 1 FROM INFILE engine = File\n",
  'CREATE TABLE g (engine String, url String) ENGINE = Memory; INSERT INTO g SELECT engine, url FROM g WHERE engine = url SETTINGS max_threads = 1',
  'DROP TABLE m; DROP DICTIONARY d; DROP DICTIONARY d3; RENAME TABLE a TO b; EXISTS TABLE b',
  'CREATE TABLE file (url Int8) ENGINE = Memory; INSERT INTO file (url) VALUES (1); SELECT url AS file FROM file',
  'CREATE TABLE x1 (a String, INDEX url (a) TYPE minmax) ENGINE = MergeTree ORDER BY a; INSERT INTO x1 (a) VALUES (1)',
];

describe('what is allowed works', () => {
  test('files', async () => {
    await withEngine(FILES, async run => {
      expect(await run(`SELECT file(${quoted()}) AS v`)).toContain(SECRET);
      expect(await run(`SELECT * FROM file(${quoted()}, 'LineAsString')`)).toContain(SECRET);
      expect(
        await run(`CREATE TABLE t (a String) ENGINE = File('LineAsString', ${quoted()}); SELECT * FROM t`),
      ).toContain(SECRET);
      expect(await run(`SELECT * FROM url(${url()}, 'TSV', 'a String')`)).toMatch(/--allow-network$/);
      expect(await run("SELECT * FROM executable('sh -c id', 'LineAsString', 'line String')")).toMatch(
        /user scripts/,
      );
      for (const [name, sql] of REFUSED.filter(([name]) => name.startsWith('the source EXECUTABLE'))) {
        expect(await run(sql()), name).toMatch(DENIED);
      }
    });
  });

  test('the network', async () => {
    const before = connections;
    await withEngine(NETWORK, async run => {
      expect(
        await run(`SELECT * FROM url(${url()}, 'TSV', 'a String') SETTINGS http_max_tries = 1`),
      ).not.toMatch(DENIED);
      expect(await run(`SELECT file(${quoted()}) AS v`)).toMatch(/--allow-files$/);
    });
    expect(connections).toBeGreaterThan(before);
  });

  test('one after the other on the same data', async () => {
    const data = mkdtempSync(join(directory, 'data-'));
    for (const [access, seen] of [
      [NO_ACCESS, false],
      [FILES, true],
      [NO_ACCESS, false],
    ] as const) {
      await withEngine(
        access,
        async run => {
          expect((await run(`SELECT file(${quoted()}) AS v`)).includes(SECRET)).toBe(seen);
        },
        data,
      );
    }
  });
});

describe('a data directory that holds more than is allowed is not opened', () => {
  const STORED: readonly (readonly [string, () => string])[] = [
    ['a table in a file', () => `ENGINE = File('LineAsString', ${quoted()})`],
    ['a table of a program', () => "ENGINE = Executable('x.sh', 'TSV')"],
    [
      'a table on a disk',
      () => `ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/tmp/')`,
    ],
  ];

  test.each(STORED)('%s', async (_, engine) => {
    const data = await filled();
    const definition = `ATTACH TABLE _ UUID '10000000-0000-0000-0000-000000000001' (a String) ${engine()}`;
    mkdirSync(join(data, 'metadata', 'planted'), { recursive: true });
    writeFileSync(join(data, 'metadata', 'planted.sql'), 'ATTACH DATABASE planted ENGINE = Ordinary');
    writeFileSync(join(data, 'metadata', 'planted', 't.sql'), definition);
    await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(/planted.t\.sql: .+ is not allowed here/),
    });
  });

  test.each([
    [
      'a view that uses a table function',
      `ATTACH VIEW v (a String) AS SELECT * FROM url('http://127.0.0.1:1/', 'TSV')`,
    ],
    ['a view that asks nobody', 'ATTACH VIEW v (a Int8) SQL SECURITY NONE AS SELECT 1 AS a'],
    ['a default that reads a file', "ATTACH TABLE t (a String DEFAULT file('/etc/passwd')) ENGINE = Memory"],
    [
      'a dictionary of a program',
      "ATTACH DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'TSV')) LAYOUT(FLAT())",
    ],
    ['something that is no SQL', "ATTACH TABLE t (a String DEFAULT 'never closed"],
  ])('%s', async (_, definition) => {
    const data = mkdtempSync(join(directory, 'data-'));
    mkdirSync(join(data, 'store', '100', 'table'), { recursive: true });
    writeFileSync(join(data, 'store', '100', 'table', 'planted.sql'), definition);
    await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({ code: 'CONFIG' });
  });

  test('a change of rows that would read a file when it goes on', async () => {
    const data = await filled();
    mkdirSync(join(data, 'store', '100', 'table'), { recursive: true });
    writeFileSync(
      join(data, 'store', '100', 'table', 'mutation_3.txt'),
      "format version: 1\ncreate time: 2026-01-01 00:00:00\ncommands: UPDATE s = file(\\'/etc/passwd\\') WHERE 1\n",
    );
    await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({ code: 'CONFIG' });
  });

  test.each([
    'user_scripts/x.sh',
    'metadata/d/t.sql.tmp_drop',
    'metadata_dropped/t.sql',
    'named_collections/c.sql',
    'access/u.sql',
    'user_defined/function_f.sql',
  ])('%s', async name => {
    const data = mkdtempSync(join(directory, 'data-'));
    mkdirSync(join(data, name, '..'), { recursive: true });
    writeFileSync(join(data, name), "CREATE FUNCTION f AS x -> file('/etc/passwd')");
    await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({
      code: 'CONFIG',
      hint: expect.stringContaining('--data-dir'),
    });
  });

  test.each(['status', 'uuid', 'store/100/table/a.bin', 'metadata/d/t.sql', 'user_defined/function_g.sql'])(
    'a link that leads nowhere, as %s',
    async name => {
      const data = mkdtempSync(join(directory, 'data-'));
      mkdirSync(join(data, name, '..'), { recursive: true });
      symlinkSync(join(directory, 'made-by-a-link'), join(data, name));
      await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({ code: 'CONFIG' });
      expect(existsSync(join(directory, 'made-by-a-link'))).toBe(false);
    },
  );

  test.each([
    ['metadata/d/t.sql', 'elsewhere'],
    ['metadata/d', 'elsewhere'],
    ['data/d/t', 'elsewhere'],
    ['metadata/e', 'store/100/table/deeper'],
    ['store/100/table', 'elsewhere'],
  ])('%s as a link to what is not looked at: %s', async (name, target) => {
    const data = mkdtempSync(join(directory, 'data-'));
    const isFile = name.endsWith('.sql');
    mkdirSync(join(data, isFile ? '.' : target), { recursive: true });
    writeFileSync(
      join(data, target, isFile ? '' : 't.sql'),
      `ATTACH TABLE _ (a String) ENGINE = File('LineAsString', ${quoted()})`,
    );
    mkdirSync(join(data, name, '..'), { recursive: true });
    symlinkSync(join(data, target), join(data, name));
    await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining('is a link to'),
    });
  });

  test('a directory that was moved is opened, with the links that the engine has left in it', async () => {
    const data = await filled();
    const moved = `${data}-moved`;
    renameSync(data, moved);
    await withEngine(
      NO_ACCESS,
      async run => expect(await run('SELECT count() AS n FROM a')).toContain('10'),
      moved,
    );
  });

  test('what was made here is opened again, a change of rows and a view with it', async () => {
    const data = await filled();
    await withEngine(
      NO_ACCESS,
      async run => {
        expect(await run('SELECT count() AS n FROM v')).toContain('10');
        expect(await run('SELECT plus_one(1) AS v')).toContain('2');
      },
      data,
    );
  });

  test('what was made with files allowed is opened with files allowed alone', async () => {
    const data = mkdtempSync(join(directory, 'data-'));
    await withEngine(
      FILES,
      async run => {
        await run(`CREATE TABLE t (a String) ENGINE = File('LineAsString', ${quoted()})`);
      },
      data,
    );
    await withEngine(FILES, async run => expect(await run('SELECT * FROM t')).toContain(SECRET), data);
    await expect(withEngine(NO_ACCESS, async () => {}, data)).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining('--allow-files'),
    });
  });
});

async function filled(): Promise<string> {
  const data = mkdtempSync(join(directory, 'data-'));
  await withEngine(
    NO_ACCESS,
    async run => {
      await run('CREATE TABLE a (x UInt64, s String) ENGINE = MergeTree ORDER BY x');
      await run("INSERT INTO a SELECT number, 's' FROM numbers(10)");
      await run("ALTER TABLE a UPDATE s = 'it\\'s\\n' WHERE x = 1 SETTINGS mutations_sync = 2");
      await run("CREATE VIEW v AS SELECT trim(BOTH 'a' FROM s) AS url, x AS file FROM a");
      await run('CREATE FUNCTION plus_one AS x -> x + 1');
    },
    data,
  );
  return data;
}
