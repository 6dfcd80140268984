import { wordSet } from '../../text/words.js';

/** What SQL may reach on the embedded engine beyond its own data. */
export interface EmbeddedAccess {
  /** Files: everything that the user may read and write. */
  readonly files: boolean;
  /** Servers of any kind. */
  readonly network: boolean;
}

/** Nothing but the data: the default unless somebody allows more. */
export const NO_ACCESS: EmbeddedAccess = { files: false, network: false };

/** What using something outside requires: one of the two, both, or nothing that can be granted. */
export type AccessNeeded = 'files' | 'network' | 'both' | 'never';

/** Returns whether `access` covers what is needed. */
export function isAllowed(needed: AccessNeeded, { files, network }: EmbeddedAccess): boolean {
  if (needed === 'files') return files;
  if (needed === 'network') return network;
  return needed === 'both' && files && network;
}

// The names below are those of engine 26.7 (system.table_engines, system.database_engines, system.table_functions,
// system.dictionary_sources, system.dictionary_layouts); a test compares them with what the engine lists.

/** Engines that reach outside, and what each requires. */
export const OUTSIDE_ENGINES: ReadonlyMap<string, AccessNeeded> = table({
  files: 'File FileLog SQLite EmbeddedRocksDB DeltaLakeLocal IcebergLocal PaimonLocal Filesystem',
  network: `GCS OSS AzureBlobStorage KeeperMap S3 MaterializedPostgreSQL PostgreSQL COSN Redis YTsaurus MongoDB
    DeltaLakeAzure DeltaLakeS3 S3Queue Hudi MySQL PaimonAzure IcebergHDFS Distributed ReplicatedSummingMergeTree
    Kafka NATS RabbitMQ Remote IcebergS3 Iceberg URL ReplicatedCoalescingMergeTree
    ReplicatedVersionedCollapsingMergeTree HDFS ReplicatedCollapsingMergeTree PaimonS3
    ReplicatedGraphiteMergeTree IcebergAzure DeltaLake ReplicatedMergeTree ReplicatedReplacingMergeTree Paimon
    PaimonHDFS RemoteSecure AzureQueue ReplicatedAggregatingMergeTree ArrowFlight Hive Replicated DataLakeCatalog`,
  // They start programs, or run SQL that nobody has checked.
  never: 'Executable ExecutablePool ODBC JDBC ArrowStream QueryRunner Backup',
});

/** Table functions that reach outside, and what each requires. */
export const OUTSIDE_FUNCTIONS: ReadonlyMap<string, AccessNeeded> = table({
  files: 'file filesystem sqlite deltaLakeLocal icebergLocal paimonLocal fileCluster icebergLocalCluster',
  network: `ytsaurus hudiCluster deltaLakeCluster paimonHDFSCluster paimonAzureCluster paimonS3Cluster
    icebergAzureCluster icebergS3Cluster deltaLakeAzure paimonHDFS paimon icebergCluster icebergAzure
    deltaLakeAzureCluster icebergS3 iceberg hdfsCluster azureBlobStorageCluster icebergHDFSCluster s3Cluster hdfs
    oss gcs hudi cosn s3 azureBlobStorage paimonAzure postgresql clusterAllReplicas paimonS3 icebergHDFS url
    deltaLakeS3 urlCluster deltaLakeS3Cluster redis mysql mongodb deltaLake cluster paimonCluster remoteSecure
    remote arrowFlight hive`,
  never: 'odbc jdbc',
});

/** Sources of dictionaries, and what each requires. Two more stay within the data: `clickhouse` here, and `null`. */
export const OUTSIDE_SOURCES: ReadonlyMap<string, AccessNeeded> = table({
  files: 'file yamlregexptree',
  network: 'http mysql postgresql mongodb cassandra redis ytsaurus clickhouse',
  never: 'executable executable_pool library odbc jdbc',
});

/** Dictionary layouts that keep their data in a file with any name. */
export const FILE_LAYOUTS = wordSet('ssd_cache complex_key_ssd_cache');

function table(names: Readonly<Partial<Record<AccessNeeded, string>>>): ReadonlyMap<string, AccessNeeded> {
  return new Map(
    Object.entries(names).flatMap(([needed, list]) =>
      Array.from(wordSet(list), name => [name.toLowerCase(), needed as AccessNeeded] as const),
    ),
  );
}

// By group, so that a version that splits one into finer grants can still be opened. Without the grant option: SQL
// cannot give itself more. Left out: sources, named collections, users and roles, BACKUP, and most of SYSTEM.
const GRANTS = [
  'SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, dictGet',
  'SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM VIEWS, SYSTEM FLUSH, SYSTEM DROP CACHE, SYSTEM RELOAD DICTIONARY',
];
// Whoever may write every file of the user can end the process anyway.
const FILE_GRANTS = 'FILE, SQLITE, SYSTEM SHUTDOWN';
const NETWORK_GRANTS =
  'CLUSTER, URL, REMOTE, S3, HDFS, AZURE, MYSQL, POSTGRES, MONGO, REDIS, KAFKA, NATS, RABBITMQ, YTSAURUS';

/**
 * Settings that lead outside, and what each requires. In a query, in SET and in the user's settings the engine itself
 * refuses a value. In subqueries, views and dictionaries it does not check, so qrun checks their text.
 */
export const GUARDED_SETTINGS: ReadonlyMap<string, AccessNeeded> = new Map([
  // Read as files, by any path.
  ['format_schema', 'files'],
  ['format_template_row', 'files'],
  ['format_template_resultset', 'files'],
  // Written.
  ['output_format_schema', 'files'],
  ['input_format_record_errors_file_path', 'files'],
  ['format_avro_schema_registry_url', 'network'],
  ['allow_experimental_ai_functions', 'network'],
  // They make statements out of a string, and those are not the ones that were checked.
  ['allow_experimental_polyglot_dialect', 'both'],
  ['allow_experimental_eval_table_function', 'both'],
]);

/**
 * Returns the engine's configuration: what its one user may do. `self` is the path by which the engine opens the file
 * with this text, which is also the file of its users.
 */
export function embeddedConfig(self: string, access: EmbeddedAccess): string {
  const grants = [
    ...GRANTS,
    ...(access.files ? [FILE_GRANTS] : []),
    ...(access.network ? [NETWORK_GRANTS] : []),
  ].map(privileges => `GRANT ${privileges} ON *.*`);
  const settings = [...GUARDED_SETTINGS]
    .filter(([, needed]) => !isAllowed(needed, access))
    .map(([name]) => `<${name}><readonly/></${name}>`);
  return [
    '<clickhouse>',
    // /dev/null is not a directory and holds no programs, so SQL can start none, whatever is in the data directory.
    '<user_scripts_path>/dev/null/</user_scripts_path>',
    // Otherwise it is a directory below /var/lib, whoever made that.
    '<dynamic_user_defined_executable_functions_path>/dev/null/</dynamic_user_defined_executable_functions_path>',
    // Otherwise the engine writes schemas into the current directory.
    access.files ? '' : '<format_schema_path>/dev/null/</format_schema_path>',
    `<users_config>${escapeXml(self)}</users_config>`,
    `<profiles><default><constraints>${settings.join('')}</constraints></default></profiles>`,
    '<quotas><default/></quotas>',
    '<users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>',
    `<grants>${grants.map(grant => `<query>${grant}</query>`).join('')}</grants></default></users>`,
    '</clickhouse>\n',
  ].join('\n');
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
