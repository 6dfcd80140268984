import { z } from 'zod';
import { QrunError } from '../errors.js';
import { sweepProblems } from '../sweep/units.js';
import { parseSize, SIZE_EXAMPLES } from '../text/bytes.js';
import { parseDuration } from '../text/duration.js';
import { globProblem } from '../text/glob.js';
import { parameterProblem } from '../text/secret-names.js';
import { DEFAULT_HALT, HALT_FORMS, type HaltPolicy, parseHalt } from '../unit/halt.js';
import type { AllowedPlaceholders } from '../unit/judge.js';
import type { Rerun } from '../unit/plan.js';
import type { Shard } from '../unit/selection.js';
import { keyProblems, WRONG_TYPE } from './table-keys.js';

/** Where a value came from; later ones win. `.env` is the file beside qrun.toml: of the tree, as that is. */
export type ConfigSource = 'default' | 'qrun.toml' | '.env' | 'environment' | 'flag';

// More connections than this are a mistake, not a plan: file descriptors and the server's limits end far below.
const MAX_CONCURRENCY = 1024;

const text = z.string('must be a text').min(1, 'must not be empty');
// So many names in one list are a mistake; what a glob may be is said by globProblem.
const MAX_GLOBS = 1000;
const globs = z.preprocess(
  value => (typeof value === 'string' ? [value] : value),
  z
    .array(text, 'must be a text or a list of texts')
    .max(MAX_GLOBS, `must not have more than ${MAX_GLOBS} globs`)
    .superRefine((list, context) => {
      list.forEach((glob, index) => {
        const message = globProblem(glob);
        if (message !== undefined) context.addIssue({ code: 'custom', message, path: [index] });
      });
    }),
);
const flag = z.preprocess(
  value => (value === '1' || value === 'true' ? true : value === '0' || value === 'false' ? false : value),
  z.boolean('must be true or false'),
);
const ALLOWED = 'must be true, false or placeholders as they stand in the SQL, such as __WORD__';
// In the forms that CodeScanner finds (src/core/sql/lexer/code-scanner.ts), one each.
const PLACEHOLDER = /^\s*(?:__\w+__|\$\{[^{}]+\}|\{\{[^{}]+\}\}|\{%[^{}]+%\})\s*$/;
const placeholders = z.preprocess(
  value => (typeof value === 'string' && !/^(?:1|true|0|false)$/.test(value) ? [value] : value),
  z.union([flag, z.array(z.string(ALLOWED).regex(PLACEHOLDER, ALLOWED))], ALLOWED),
);
const pairs = z
  .record(
    z.string(),
    z.union(
      [z.string(), z.number(), z.boolean()],
      'must be a text, a number or true/false (a date as a text)',
    ),
    'must be a table of names and values',
  )
  .transform(values => Object.fromEntries(Object.entries(values).map(([k, v]) => [k, settingText(v)])));

function settingText(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
}

function wholeNumber(min: number, max: number, message = `must be a whole number from ${min} to ${max}`) {
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d{1,15}$/, message)
          .transform(Number),
      ],
      message,
    )
    .refine(value => Number.isInteger(value) && value >= min && value <= max, message);
}

function parsed<T>(parse: (value: string) => T | undefined, message: string) {
  return z.string(message).transform((value, context) => {
    const result = parse(value);
    if (result !== undefined) return result;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

const duration = parsed(parseDuration, 'must be a duration with a unit: 500ms, 30s, 5m or 2h');

// Node and the server's client alone take about 60 MB.
const MIN_MEMORY_MAX_BYTES = 64 * 1024 * 1024;

function parseMemoryMax(value: string): number | undefined {
  const bytes = parseSize(value);
  return bytes !== undefined && bytes >= MIN_MEMORY_MAX_BYTES ? bytes : undefined;
}

// Less than this no answer has.
const MIN_MAX_RESULT_BYTES = 1024;

function parseMaxResult(value: string): number | undefined {
  const bytes = parseSize(value);
  return bytes !== undefined && bytes >= MIN_MAX_RESULT_BYTES ? bytes : undefined;
}

const CONCURRENCY = `must be a whole number from 1 to ${MAX_CONCURRENCY}, or auto`;
const concurrency = z.union([z.literal('auto'), wholeNumber(1, MAX_CONCURRENCY, CONCURRENCY)], CONCURRENCY);

// As mkdir(1) and the shell take it. What the owner may do is not taken away: qrun itself has to.
const UMASK = 'must be a umask in octal digits that leaves the owner all rights, such as 0077';

function parseUmask(value: string): number | undefined {
  return /^0{0,2}[0-7]{2}$/.test(value) ? Number.parseInt(value, 8) : undefined;
}

function parseShard(value: string): Shard | undefined {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(value);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && index >= 1 && index <= count ? { index, count } : undefined;
}

/** One key of the configuration: how it is checked, where it may come from, and what it is for. */
interface Field<T> {
  readonly schema: z.ZodType<T>;
  readonly env?: string;
  /** Flags only: choices of one run, not of a sweep. */
  readonly flagOnly?: boolean;
}

function field<T>(schema: z.ZodType<T>, options: Omit<Field<T>, 'schema'> = {}): Field<T> {
  return { schema, ...options };
}

const FIELDS = {
  engine: field(z.enum(['clickhouse', 'embedded'], 'must be clickhouse or embedded'), { env: 'QRUN_ENGINE' }),
  url: field(text, { env: 'CLICKHOUSE_URL' }),
  user: field(text, { env: 'CLICKHOUSE_USER' }),
  database: field(text, { env: 'CLICKHOUSE_DATABASE' }),
  password_file: field(text, { env: 'CLICKHOUSE_PASSWORD_FILE' }),
  ca_file: field(text, { env: 'CLICKHOUSE_CA_FILE' }),
  data_dir: field(text, { env: 'QRUN_DATA_DIR' }),
  allow_files: field(flag, { env: 'QRUN_ALLOW_FILES' }),
  allow_network: field(flag, { env: 'QRUN_ALLOW_NETWORK' }),
  concurrency: field(concurrency, { env: 'QRUN_CONCURRENCY' }),
  memory_max: field(parsed(parseMemoryMax, `must be a size of at least 64M: ${SIZE_EXAMPLES}`), {
    env: 'QRUN_MEMORY_MAX',
  }),
  timeout: field(duration, { env: 'QRUN_TIMEOUT' }),
  retries: field(wholeNumber(0, 100), { env: 'QRUN_RETRIES' }),
  max_outage: field(duration, { env: 'QRUN_MAX_OUTAGE' }),
  halt: field(parsed(parseHalt, `must be ${HALT_FORMS}`), { env: 'QRUN_HALT' }),
  max_result: field(parsed(parseMaxResult, `must be a size of at least 1K: ${SIZE_EXAMPLES}`), {
    env: 'QRUN_MAX_RESULT',
  }),
  rows_per_query: field(wholeNumber(1, 1_000_000_000), { env: 'QRUN_ROWS_PER_QUERY' }),
  log_dir: field(text, { env: 'QRUN_LOG_DIR' }),
  follow_links: field(flag, { env: 'QRUN_FOLLOW_LINKS' }),
  umask: field(parsed(parseUmask, UMASK), { env: 'QRUN_UMASK' }),
  allow_placeholders: field(placeholders),
  skip_bad: field(flag, { env: 'QRUN_SKIP_BAD' }),
  redact: field(flag, { env: 'QRUN_REDACT' }),
  include: field(globs),
  exclude: field(globs),
  settings: field(pairs),
  parameters: field(pairs),
  log: field(text, { flagOnly: true }),
  events: field(text, { flagOnly: true }),
  setup: field(flag, { flagOnly: true }),
  rerun: field(z.enum(['errors', 'all', 'none'], 'must be errors, all or none'), { flagOnly: true }),
  shard: field(parsed(parseShard, 'must be i/n with 1 <= i <= n, such as 2/8'), { flagOnly: true }),
  shuffle: field(text, { flagOnly: true }),
  limit: field(wholeNumber(1, 1_000_000_000), { flagOnly: true }),
} as const;

/** The names of all configuration keys. */
export type ConfigKey = keyof typeof FIELDS;

/** The keys that `qrun.toml` takes, in the order of the documentation. */
export const TOML_KEYS: readonly ConfigKey[] = (Object.keys(FIELDS) as ConfigKey[]).filter(
  key => (FIELDS[key] as Field<unknown>).flagOnly !== true,
);

/** The environment variable of a key, where it has one. */
export function environmentName(key: ConfigKey): string | undefined {
  return (FIELDS[key] as Field<unknown>).env;
}

/** The configuration of a command, checked and complete. Durations are milliseconds, paths are as written. */
export interface Config {
  readonly engine: 'clickhouse' | 'embedded';
  readonly url: string | undefined;
  readonly user: string | undefined;
  readonly database: string | undefined;
  readonly password_file: string | undefined;
  readonly ca_file: string | undefined;
  readonly data_dir: string | undefined;
  /** Whether SQL on the embedded engine may read and write files. */
  readonly allow_files: boolean;
  /** Whether SQL on the embedded engine may use the network. */
  readonly allow_network: boolean;
  /** `auto`: what is recommended when the run starts. */
  readonly concurrency: number | 'auto';
  /** Bytes. */
  readonly memory_max: number | undefined;
  readonly timeout: number;
  readonly retries: number;
  readonly max_outage: number;
  readonly halt: HaltPolicy;
  /** Bytes; where it is not given, it follows from the free space when a run starts. */
  readonly max_result: number | undefined;
  readonly rows_per_query: number | undefined;
  readonly log_dir: string | undefined;
  /** Whether links among the SQL files may lead out of the tree. */
  readonly follow_links: boolean;
  /** Rights that nobody but the owner gets on what is written, on top of the umask of the process. */
  readonly umask: number | undefined;
  /** All, none, or those named. */
  readonly allow_placeholders: AllowedPlaceholders;
  /** Whether queries run although files beside them cannot. */
  readonly skip_bad: boolean;
  /** Whether credentials of the SQL are hidden in messages. */
  readonly redact: boolean;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, string>>;
  readonly log: string | undefined;
  readonly events: string | undefined;
  readonly setup: boolean;
  readonly rerun: Rerun;
  readonly shard: Shard | undefined;
  readonly shuffle: string | undefined;
  readonly limit: number | undefined;
}

// 16: the concurrency of the scripts that qrun replaces. 1 h: no query hangs for ever, and none that is known
// runs so long. 3 retries: with backoff up to a minute. 10 min: a server restart with a large recovery.
const DEFAULTS = {
  concurrency: 16,
  timeout: 3_600_000,
  retries: 3,
  max_outage: 600_000,
  halt: DEFAULT_HALT,
  allow_files: false,
  allow_network: false,
  allow_placeholders: false,
  skip_bad: false,
  redact: true,
  follow_links: false,
  include: [],
  exclude: [],
  settings: {},
  parameters: {},
  setup: false,
  rerun: 'errors',
} as const satisfies Partial<Config>;

/** What was given, by source; values as TOML, the environment or the command line has them. */
export interface ConfigInputs {
  readonly toml: { readonly file: string; readonly values: Readonly<Record<string, unknown>> } | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The variables of `.env`, which those of the environment hide. */
  readonly dotEnv?: Readonly<Record<string, string | undefined>>;
  /** By configuration key. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** How a flag is written, for messages: `concurrency` -> `--concurrency`. */
  readonly flagName?: (key: string) => string;
}

/** A configuration, and where each of its values came from. */
export interface ResolvedConfig {
  readonly config: Config;
  readonly sources: Readonly<Partial<Record<ConfigKey, ConfigSource>>>;
  /** Every value that was given, unparsed, as a qrun.toml could hold it: what a job gets to resolve the same. */
  readonly given: Readonly<Partial<Record<ConfigKey, unknown>>>;
}

/**
 * The one configuration of a command: defaults, then qrun.toml, then the environment, then flags. `settings`
 * and `parameters` are merged key by key, everything else is replaced.
 *
 * Errors: QrunError `CONFIG` with all problems at once: unknown keys (with the known ones), bad values. What may
 * hold a secret (settings, parameters, URLs) is not repeated in them.
 */
export function resolveConfig(inputs: ConfigInputs): ResolvedConfig {
  const problems: string[] = [];
  const values: Record<string, unknown> = { ...DEFAULTS };
  const sources: Partial<Record<ConfigKey, ConfigSource>> = {};
  const given: Partial<Record<ConfigKey, unknown>> = {};
  const take = (key: ConfigKey, raw: unknown, source: ConfigSource, label: string): void => {
    problems.push(...keyProblems(label, raw));
    const result = FIELDS[key].schema.safeParse(raw, WRONG_TYPE);
    if (!result.success) {
      for (const issue of result.error.issues) {
        // Of a flag that is given several times the value tells which one is meant.
        const isPlain = issue.path.length === 0 || (source === 'flag' && typeof issue.path[0] === 'number');
        const at = isPlain ? '' : `.${issue.path.join('.')}`;
        problems.push(`${label}${at}: ${issue.message}, not ${shown(key, valueAt(raw, issue.path))}`);
      }
      return;
    }
    const merge = key === 'settings' || key === 'parameters';
    if (key === 'parameters') problems.push(...parameterProblems(label, result.data as object));
    values[key] = merge ? { ...(values[key] as object), ...(result.data as object) } : result.data;
    given[key] = merge ? values[key] : raw;
    sources[key] = source;
  };
  for (const [name, raw] of Object.entries(inputs.toml?.values ?? {})) {
    const label = `${inputs.toml?.file}: ${name}`;
    if (name === 'sweep') {
      problems.push(...sweepProblems(label, raw));
      continue;
    }
    const key = TOML_KEYS.find(one => one === name);
    if (key !== undefined) take(key, raw, 'qrun.toml', label);
    else problems.push(`${label}: ${unknownKey(name)}`);
  }
  for (const key of TOML_KEYS) {
    const name = environmentName(key);
    if (name === undefined) continue;
    // An empty variable counts as none, and hides nothing.
    if (isGiven(inputs.env[name])) take(key, inputs.env[name], 'environment', name);
    else if (isGiven(inputs.dotEnv?.[name])) take(key, inputs.dotEnv?.[name], '.env', name);
  }
  for (const [key, raw] of Object.entries(inputs.flags)) {
    if (raw === undefined) continue;
    take(key as ConfigKey, raw, 'flag', inputs.flagName?.(key) ?? `--${key.replaceAll('_', '-')}`);
  }
  if (problems.length > 0) {
    throw new QrunError('CONFIG', 'the configuration is not usable', {
      details: problems,
      hint: 'correct each line above; `qrun config` prints what is in force and from where',
    });
  }
  values.engine ??= values.url === undefined ? 'embedded' : 'clickhouse';
  return { config: values as unknown as Config, sources, given };
}

function isGiven(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}

// A command line or a file with more of them is a mistake; each stands in the id of the unit, and in every record.
const MAX_PARAMETERS = 100;
const MAX_VALUE_LENGTH = 64 * 1024;

function parameterProblems(label: string, parameters: object): string[] {
  const entries = Object.entries(parameters) as [string, string][];
  if (entries.length > MAX_PARAMETERS) {
    return [`${label}: has ${entries.length} parameters; ${MAX_PARAMETERS} are the limit`];
  }
  return entries.flatMap(([name, value]) => {
    const problem =
      parameterProblem(name) ??
      (value.length > MAX_VALUE_LENGTH
        ? `has ${value.length} characters; ${MAX_VALUE_LENGTH} are the limit: put large data into a table`
        : undefined);
    return problem === undefined ? [] : [`${label}.${name.slice(0, 100)}: ${problem}`];
  });
}

function valueAt(raw: unknown, path: readonly PropertyKey[]): unknown {
  let value = raw;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return value;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

// More of a bad value tells nobody anything.
const LONGEST_SHOWN = 200;

// A bad value, as far as a message may repeat it.
function shown(key: ConfigKey, value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'object' && value !== null) return 'a table';
  if (typeof value !== 'string') return String(value);
  if (key === 'settings' || key === 'parameters') return 'a text';
  if (/:\/\/|@/.test(value)) return 'a URL';
  return JSON.stringify(value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}...` : value);
}

function unknownKey(name: string): string {
  if (name === 'password') {
    return 'passwords do not belong into this file; use CLICKHOUSE_PASSWORD, .env or password_file';
  }
  return `unknown key; known are ${TOML_KEYS.join(', ')}, [sweep]`;
}

/** How the flag of a configuration key is written. */
export function flagName(key: string): string {
  if (key === 'parameters') return '--param';
  if (key === 'settings') return '--set';
  // The one of its two flags that takes a value, which may be bad.
  if (key === 'allow_placeholders') return '--allow-placeholder';
  return `--${key.replaceAll('_', '-')}`;
}
