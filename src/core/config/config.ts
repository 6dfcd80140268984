import { defaultEngine } from '../engines/facts.js';
import { QrunError } from '../errors.js';
import { sweepProblems } from '../sweep/units.js';
import { parameterProblem } from '../text/secret-names.js';
import { CONFIG_KEYS, entryOf, environmentName, flagName, keyOf, TOML_KEYS, tomlName } from './keys.js';
import { keyProblems, REPORT } from './problems.js';
import type { Config, ConfigKey } from './table.js';
import * as values from './values.js';

/**
 * Where a value came from; later ones win. `.env` is the file beside qrun.toml and belongs to the tree, as that does.
 */
export type ConfigSource = 'default' | 'qrun.toml' | '.env' | 'environment' | 'option' | 'flag';

/** Values of a configuration, unchecked. */
export type GivenValues = Readonly<Partial<Record<ConfigKey, unknown>>>;

/** What was given, by source; values are as TOML, the environment or the command line holds them. */
export interface ConfigInputs {
  /** By the names of qrun.toml. */
  readonly toml: { readonly file: string; readonly values: Readonly<Record<string, unknown>> } | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The variables of `.env`; those of the environment hide them. */
  readonly dotEnv?: Readonly<Record<string, string | undefined>>;
  /** From a program that uses qrun as a library. */
  readonly options?: GivenValues;
  /** From a command line. */
  readonly flags?: GivenValues;
}

/** A configuration, and where each of its values came from. */
export interface ResolvedConfig {
  readonly config: Config;
  readonly sources: Readonly<Partial<Record<ConfigKey, ConfigSource>>>;
  /** Every given value, unparsed, as a qrun.toml could hold it. A job gets them to resolve the same configuration. */
  readonly given: GivenValues;
}

/**
 * Returns the one configuration of a command: defaults, then qrun.toml, then the environment, then options and flags.
 * `settings` and `parameters` are merged name by name; everything else is replaced.
 *
 * Errors: QrunError `CONFIG` with all problems at once: unknown keys (with the known ones) and bad values. It does not
 * repeat what may hold a secret (settings, parameters, URLs).
 */
export function resolveConfig(inputs: ConfigInputs): ResolvedConfig {
  const problems: string[] = [];
  const parsed: Partial<Record<ConfigKey, unknown>> = {};
  const sources: Partial<Record<ConfigKey, ConfigSource>> = {};
  const given: Partial<Record<ConfigKey, unknown>> = {};
  const take = (key: ConfigKey, raw: unknown, source: ConfigSource, label: string): void => {
    problems.push(...keyProblems(label, raw));
    const result = entryOf(key).schema(values).safeParse(raw, REPORT);
    if (!result.success) {
      for (const issue of result.error.issues) {
        if (issue.code === 'unrecognized_keys') {
          const at = [label, ...issue.path.map(String)].join('.');
          problems.push(...issue.keys.map(name => `${at}.${name}: ${issue.message}`));
          continue;
        }
        // For a flag that is given several times, the value shows which one is meant.
        const isPlain = issue.path.length === 0 || (source === 'flag' && typeof issue.path[0] === 'number');
        const at = isPlain ? '' : `.${issue.path.join('.')}`;
        // As it was given: the schema may already have made a number of it.
        const value = issue.path.length === 0 ? raw : issue.input;
        problems.push(`${label}${at}: ${issue.message}, not ${shown(key, value)}`);
      }
      return;
    }
    const { merged } = entryOf(key);
    if (key === 'parameters') problems.push(...parameterProblems(label, result.data as object));
    parsed[key] = merged ? { ...(parsed[key] as object), ...(result.data as object) } : result.data;
    given[key] = merged ? parsed[key] : raw;
    sources[key] = source;
  };
  for (const [name, raw] of Object.entries(inputs.toml?.values ?? {})) {
    const label = `${inputs.toml?.file}: ${name}`;
    if (name === 'sweep') {
      problems.push(...sweepProblems(label, raw));
      continue;
    }
    const key = keyOf(name);
    if (key !== undefined) take(key, raw, 'qrun.toml', label);
    else problems.push(`${label}: ${unknownKey(name)}`);
  }
  for (const key of TOML_KEYS) {
    const name = environmentName(key);
    if (name === undefined) continue;
    // An empty variable counts as not set, and hides nothing.
    if (isGiven(inputs.env[name])) take(key, inputs.env[name], 'environment', name);
    else if (isGiven(inputs.dotEnv?.[name])) take(key, inputs.dotEnv?.[name], '.env', name);
  }
  for (const source of ['option', 'flag'] as const) {
    const known = (source === 'flag' ? inputs.flags : inputs.options) ?? {};
    for (const key of CONFIG_KEYS) {
      if (known[key] !== undefined) take(key, known[key], source, source === 'flag' ? flagName(key) : key);
    }
  }
  if (problems.length > 0) {
    throw new QrunError('CONFIG', 'the configuration is not usable', {
      details: problems,
      hint: 'correct each line above; `qrun config` prints what is in force and from where',
    });
  }
  parsed.engine ??= defaultEngine(parsed.url !== undefined);
  const config = Object.fromEntries(CONFIG_KEYS.map(key => [key, parsed[key] ?? defaultOf(key)])) as Config;
  return { config, sources, given };
}

function defaultOf(key: ConfigKey): unknown {
  const { schema, default: value } = entryOf(key);
  // A value that is not a string stands for itself.
  return typeof value === 'string' ? schema(values).parse(value) : value;
}

function isGiven(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}

// More parameters than this are a mistake. Each one is in the unit's id and in every record.
const MAX_PARAMETERS = 100;
const MAX_VALUE_LENGTH = 64 * 1024;

function parameterProblems(label: string, parameters: object): string[] {
  const entries = Object.entries(parameters) as [string, string][];
  if (entries.length > MAX_PARAMETERS) {
    return [`${label}: has ${entries.length} parameters; the limit is ${MAX_PARAMETERS}`];
  }
  return entries.flatMap(([name, value]) => {
    const problem =
      parameterProblem(name) ??
      (value.length > MAX_VALUE_LENGTH
        ? `has ${value.length} characters; the limit is ${MAX_VALUE_LENGTH}: put large data into a table`
        : undefined);
    return problem === undefined ? [] : [`${label}.${name.slice(0, 100)}: ${problem}`];
  });
}

// Showing more of a bad value helps nobody.
const LONGEST_SHOWN = 200;

// A bad value, as far as a message may repeat it.
function shown(key: ConfigKey, value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'object' && value !== null) return 'a table';
  if (typeof value !== 'string') return String(value);
  if (entryOf(key).merged) return 'a string';
  if (/:\/\/|@/.test(value)) return 'a URL';
  return JSON.stringify(value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}...` : value);
}

function unknownKey(name: string): string {
  if (name === 'password') {
    return 'passwords do not belong in this file; use CLICKHOUSE_PASSWORD, .env or password_file';
  }
  return `unknown key; known are ${TOML_KEYS.map(tomlName).join(', ')}, [sweep]`;
}
