import type { z } from 'zod';
import { defaultEngine, ENGINE_NAMES } from '../engines/facts.js';
import { formatSize } from '../text/bytes.js';
import { formatDuration } from '../text/duration.js';
import { shownUrl } from '../text/shown-urls.js';
import { DEFAULT_HALT, formatHalt } from '../unit/halt.js';
import { RERUNS } from '../unit/plan.js';
import { type Entry, key } from './entry.js';

const ENGINE = {
  engine: key({
    schema: v => v.oneOf(ENGINE_NAMES),
    default: defaultEngine(false),
    absent: `${defaultEngine(false)}; ${defaultEngine(true)} with a url`,
    flag: '--engine <name>',
    choices: ENGINE_NAMES,
    about: 'clickhouse (a server) or embedded (chDB)',
    help: 'clickhouse (a server) or embedded (chDB, the default without --url)',
  }),
  url: key({
    schema: v => v.urls(),
    env: 'CLICKHOUSE_URL',
    flag: '--url <url>',
    repeatable: true,
    about: 'ClickHouse server, such as http://localhost:8123; or a list of servers that hold the same data',
    help: 'ClickHouse server; several that hold the same data share the run (also {env}, repeatable)',
    show: value => value.map(shownUrl).join(', '),
    tree: 'trusted',
  }),
  user: key({
    schema: v => v.text(),
    env: 'CLICKHOUSE_USER',
    flag: '--user <name>',
    help: 'user; the password comes from CLICKHOUSE_PASSWORD, .env or a file',
    tree: 'trusted',
  }),
  passwordFile: key({
    schema: v => v.text(),
    env: 'CLICKHOUSE_PASSWORD_FILE',
    flag: '--password-file <file>',
    help: 'file that holds the password',
    path: true,
    tree: 'trusted',
  }),
  caFile: key({
    schema: v => v.text(),
    env: 'CLICKHOUSE_CA_FILE',
    flag: '--ca-file <file>',
    help: 'certificate authority of an https server',
    path: true,
    tree: 'trusted',
  }),
  dataDir: key({
    schema: v => v.text(),
    absent: '<sweep root>/.qrun/data',
    flag: '--data-dir <dir>',
    help: 'data of the embedded engine (default: {default})',
    path: true,
    tree: 'trusted',
  }),
  allowFiles: key({
    schema: v => v.flag(),
    default: false,
    flag: '--allow-files',
    help: 'embedded: SQL may read and write files, as file() does',
    tree: 'guarded',
  }),
  allowNetwork: key({
    schema: v => v.flag(),
    default: false,
    flag: '--allow-network',
    help: 'embedded: SQL may use the network, as url() and s3() do',
    tree: 'guarded',
  }),
  setup: key({
    schema: v => v.flag(),
    default: false,
    perRun: true,
    flag: '--setup',
    help: 'run _setup.sql on the server first (embedded: always, once)',
  }),
  maxReplicaDelay: key({
    schema: v => v.duration(),
    absent: 'not asked',
    flag: '--max-replica-delay <duration>',
    help: 'several servers: use none whose replicas lag more, such as 5s (default: {default})',
    show: value => formatDuration(value),
  }),
  allowChanges: key({
    schema: v => v.flag(),
    default: false,
    flag: '--allow-changes',
    help: 'several servers: run queries that change data, each on any one of them',
  }),
};

const RUN = {
  concurrency: key({
    schema: v => v.concurrency(),
    // As in the scripts that qrun replaces.
    default: 16,
    flag: '-P, --concurrency <n>',
    help: 'queries at a time, or auto (default: {default})',
  }),
  memoryMax: key({
    // Node and the server's client alone take about 60 MB.
    schema: v => v.size('64M'),
    flag: '--memory-max <size>',
    absent: 'no cap',
    help: 'memory cap of the run, such as 8G, by systemd-run (without it: {default})',
    show: value => formatSize(value),
  }),
  timeout: key({
    schema: v => v.duration(),
    // No query may hang forever, and no known query runs this long.
    default: '1h',
    flag: '--timeout <duration>',
    help: 'deadline of each attempt: 500ms, 30s, 5m (default: {default})',
    show: value => formatDuration(value),
  }),
  retries: key({
    schema: v => v.wholeNumber(0, 100),
    // With backoff of up to a minute.
    default: 3,
    flag: '--retries <n>',
    help: 'further attempts after a temporary failure (default: {default})',
  }),
  maxOutage: key({
    schema: v => v.duration(),
    // Enough for a server restart with a large recovery.
    default: '10m',
    flag: '--max-outage <duration>',
    help: 'how long to wait for a lost server (default: {default})',
    show: value => formatDuration(value),
  }),
  maxResult: key({
    // No answer is smaller.
    schema: v => v.size('1K'),
    absent: 'half of the free space, at most 16G',
    flag: '--max-result <size>',
    help: 'largest result of a query, such as 4G (default: {default})',
    show: value => formatSize(value),
  }),
  halt: key({
    schema: v => v.halt(),
    default: formatHalt(DEFAULT_HALT),
    flag: '--halt <policy>',
    help: 'stop at errors=N, errors=N%, or same=N|off equal first failures',
    show: value => formatHalt(value),
  }),
  redact: key({
    schema: v => v.flag(),
    default: true,
    // This one first: commander treats true as the given value when it knows only the negated flag.
    flag: '--redact',
    about: 'hide what looks like a credential in messages of the engine',
    help: 'hide it (the default)',
    hidden: true,
    also: {
      flag: '--no-redact',
      help: 'show messages of the engine whole, with what looks like a credential in them',
    },
  }),
};

const UNIT_AND_LOG = {
  log: key({
    schema: v => v.text(),
    perRun: true,
    audited: true,
    flag: '--log <file>',
    help: 'the log of this unit',
  }),
  logDir: key({
    schema: v => v.text(),
    absent: '<sweep root>/results',
    flag: '--log-dir <dir>',
    help: 'directory of all logs (default: {default})',
    path: true,
    tree: 'trusted',
    audited: true,
  }),
  umask: key({
    schema: v => v.umask(),
    flag: '--umask <octal>',
    help: 'permissions removed from what is written, such as 0077 (also {env})',
    show: value => value.toString(8).padStart(4, '0'),
  }),
  followLinks: key({
    schema: v => v.flag(),
    default: false,
    flag: '--follow-links',
    help: 'read SQL through links that lead out of the sweep root (also {env})',
    tree: 'guarded',
  }),
  parameters: key({
    schema: v => v.pairs(),
    default: {},
    flag: '--param <name=value>',
    about: 'a table: values of {name:Type} in the SQL',
    repeatable: true,
    help: 'value of {name:Type} in the SQL (repeatable)',
    merged: true,
    audited: true,
  }),
  settings: key({
    schema: v => v.pairs(),
    default: {},
    flag: '--set <name=value>',
    about: 'a table: ClickHouse settings for every query',
    repeatable: true,
    help: 'ClickHouse setting for every query (repeatable)',
    merged: true,
    audited: true,
  }),
  database: key({
    schema: v => v.text(),
    env: 'CLICKHOUSE_DATABASE',
    flag: '--database <name>',
    help: 'default database',
    audited: true,
  }),
  rowsPerQuery: key({
    schema: v => v.wholeNumber(1, 1_000_000_000),
    flag: '--rows-per-query <n>',
    help: 'rows that each normal result has',
    audited: true,
  }),
};

const SELECTION = {
  include: key({
    schema: v => v.globs(),
    default: [],
    flag: '--include <glob>',
    repeatable: true,
    about: 'only queries whose name matches: a glob, or a list of them',
    help: 'only queries whose name matches (repeatable)',
    audited: true,
  }),
  exclude: key({
    schema: v => v.globs(),
    default: [],
    flag: '--exclude <glob>',
    repeatable: true,
    about: 'leave out queries whose name matches: a glob, or a list of them',
    help: 'leave out queries whose name matches (repeatable)',
    audited: true,
  }),
  shard: key({
    schema: v => v.shard(),
    perRun: true,
    flag: '--shard <i/n>',
    help: 'part i of n, chosen by a hash of the name',
    audited: true,
  }),
  limit: key({
    schema: v => v.wholeNumber(1, 1_000_000_000),
    perRun: true,
    flag: '--limit <n>',
    help: 'run at most n queries',
  }),
  shuffle: key({
    schema: v => v.text(),
    perRun: true,
    flag: '--shuffle <seed>',
    help: 'random order, the same for the same seed',
  }),
  rerun: key({
    schema: v => v.oneOf(RERUNS),
    default: 'errors',
    perRun: true,
    flag: '--rerun <which>',
    choices: RERUNS,
    help: 'run again what is recorded: errors (default), all or none',
  }),
};

const BAD_FILES = {
  skipBad: key({
    schema: v => v.flag(),
    default: false,
    flag: '--skip-bad',
    about: 'leave out files that cannot run, and run the others; exit code 20',
    help: 'leave out files that cannot run, and run the others; exit code 20 (also skip_bad)',
  }),
  allowPlaceholders: key({
    schema: v => v.placeholders(),
    default: false,
    flag: '--allow-placeholder <word>',
    about: 'placeholders that files may contain: a list of words such as __X__, or true for all',
    repeatable: true,
    help: 'run files that hold this word, such as __X__ (repeatable)',
    also: { flag: '--allow-placeholders', help: 'run files that hold any unreplaced placeholder' },
    audited: true,
  }),
};

const OPTIONS = {
  events: key({
    schema: v => v.text(),
    perRun: true,
    flag: '--events <file>',
    help: 'append events to a file, one JSON line each',
  }),
};

// Without a section: only a qrun.toml can hold them.
const TABLES = {
  hosts: key({
    schema: v => v.hosts(),
    default: [],
    about: 'a list of tables: machines that a sweep runs on besides this one; see docs/scale.md',
    help: 'machines that a sweep runs on besides this one',
    tree: 'trusted',
  }),
};

/** The keys by the section of a command's help that lists their options. */
export const SECTIONS = {
  Engine: ENGINE,
  Run: RUN,
  'Unit and log': UNIT_AND_LOG,
  Selection: SELECTION,
  'Bad files': BAD_FILES,
  Options: OPTIONS,
};

/**
 * The table of configuration: every key, and all that is known about it. It generates the type of a configuration, the
 * options of the commands, the output of `qrun config`, the table of the README, completion, and the JSON Schema of
 * qrun.toml. TypeScript uses the names here; qrun.toml and JSON use snake_case ({@link tomlName}).
 */
export const CONFIG_TABLE = {
  ...ENGINE,
  ...RUN,
  ...UNIT_AND_LOG,
  ...SELECTION,
  ...BAD_FILES,
  ...OPTIONS,
  ...TABLES,
};

type Table = typeof CONFIG_TABLE;

/** The names of all configuration keys. */
export type ConfigKey = keyof Table;

type SchemaOf<K extends ConfigKey> = ReturnType<Table[K]['schema']>;
type DefaultOf<K extends ConfigKey> = Table[K] extends Entry<z.ZodType, infer D> ? D : never;

/**
 * The configuration of a command, checked and complete. Durations are milliseconds, sizes are bytes, paths are as
 * written. A value that was not given and has no default is `undefined`.
 */
export type Config = {
  readonly [K in ConfigKey]: DefaultOf<K> extends undefined
    ? z.output<SchemaOf<K>> | undefined
    : z.output<SchemaOf<K>>;
};

/**
 * Values of a configuration as a user of qrun gives them: as in a qrun.toml, under the keys of {@link Config}. Hosts are
 * described only in a qrun.toml.
 */
export type ConfigValues = {
  readonly [K in Exclude<ConfigKey, 'hosts'>]?: z.input<SchemaOf<K>> | undefined;
};
