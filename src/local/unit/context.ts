import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import {
  type Config,
  type ConfigKey,
  type ConfigSource,
  environmentName,
  type ResolvedConfig,
  resolveConfig,
} from '../../core/config/config.js';
import type { NumberUse, Respelled } from '../../core/config/toml-numbers.js';
import type { Giver } from '../../core/config/trust.js';
import { splitSettings } from '../../core/engines/engine-settings.js';
import { QrunError } from '../../core/errors.js';
import type { Parameters, Settings } from '../../core/model.js';
import { parseSweepTable, type SweepTable } from '../../core/sweep/units.js';
import { type FingerprintInputs, shortHash } from '../../core/unit/fingerprint.js';
import { logName, unitId } from '../../core/unit/names.js';
import { readDotEnv, readToml } from '../../io/config/config-files.js';
import { type JobConfig, readJobConfig } from '../../io/config/submission-config.js';
import { localTimeZone } from '../../io/engines/time-zone.js';
import { believeBelow } from '../../io/files/owner.js';
import { isBeneath, realOf } from '../../io/files/paths.js';
import { realLogPath } from '../../io/log/place.js';
import { findSweepRoot, type SweepRoot, strangerIn } from '../../io/unit/sweep-root.js';
import { statOf, unitName } from '../../io/unit/unit-files.js';
import { refuseAllowedByTree } from '../config/allowed-by-tree.js';
import {
  type Connection,
  type ConnectionInputs,
  type ConnectionKey,
  connectionOf,
  passwordSource,
  type SecretVariable,
} from '../config/connection.js';
import { placesOf } from '../config/places.js';
import { acceptsRoot, TreeTrust, type TrustInputs, treeSettings } from '../config/trust.js';

/** The surroundings of the process, as far as the configuration depends on them. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A sweep as a command works on it: its root, and the configuration that all its units share. */
export interface SweepContext {
  readonly root: string;
  readonly configFile: string | undefined;
  readonly config: Config;
  readonly sources: Readonly<Partial<Record<ConfigKey, ConfigSource>>>;
  /** What was given, as a job's configuration file holds it; see {@link ResolvedConfig}. */
  readonly given: ResolvedConfig['given'];
  readonly table: SweepTable;
  readonly logDirectory: string;
  /** The directory that the user manages the embedded engine's data in, or else the one that holds all of it. */
  readonly dataDirectory: string;
  /** The time zone that the embedded engine works in; undefined with a server, which has its own. */
  readonly timeZone: string | undefined;
  /** Numbers in qrun.toml that stood in the ids of units with other digits; see {@link refuseRespelled}. */
  readonly respelled: readonly Respelled[];
  /** Units that a job's configuration names; see {@link JobConfig}. */
  readonly jobUnits: readonly string[] | undefined;
  /**
   * The connection with its secrets, as {@link connectionOf} hands it out: made when it is first needed, once, and never
   * kept in anything that is printed. Errors: as there.
   */
  readonly connection: () => Connection;
  /** Where the password comes from; `undefined` where there is none. */
  readonly passwordSource: string | undefined;
  /** Files that hold a password, or would if it were wanted. */
  readonly secretFiles: readonly string[];
  /** Who gave what the connection is made of; what {@link JobConfig} keeps of it. */
  readonly givers: ConnectionInputs['givers'];
  readonly trust: TreeTrust;
  /** What the person who starts a command should know about where its configuration comes from. */
  readonly notices: readonly string[];
  /** Where links among the SQL files may lead; `null` for anywhere. */
  readonly linksWithin: string | null;
  /** Whether the password would be there in a process that starts with an empty environment. */
  readonly passwordSurvives: () => boolean;
}

/** A unit as a command works on it: where it is, what it is called, and its configuration. */
export interface UnitContext extends SweepContext {
  readonly directory: string;
  readonly unit: string;
  readonly logPath: string;
  readonly inputs: FingerprintInputs;
}

/** A unit's context whose concurrency is a number, so that it can run. */
export type RunnableContext = UnitContext & { readonly config: Config & { readonly concurrency: number } };

/**
 * Resolves the configuration of a unit: its sweep root, qrun.toml and .env there, the environment, and flags.
 * Variables of the environment win over those of `.env`. The flag `config` names a file that {@link jobConfig}
 * made: it says where the root is, and stands for qrun.toml and the environment.
 *
 * Errors: QrunError `CONFIG`.
 */
export function unitContext(
  directory: string,
  flags: Readonly<Record<string, unknown>>,
  surroundings: Surroundings,
  flagName?: (key: string) => string,
): UnitContext {
  const sweep = sweepContext(directory, flags, surroundings, flagName);
  return unitIn(sweep, resolve(surroundings.cwd, directory), {}, surroundings.cwd);
}

/** The sweep that a directory belongs to; see {@link unitContext}. */
export function sweepContext(
  directory: string,
  { config: jobFile, config_digest: jobDigest, trust: given, ...flags }: Readonly<Record<string, unknown>>,
  { cwd, env }: Surroundings,
  flagName?: (key: string) => string,
): SweepContext {
  const job =
    typeof jobFile === 'string'
      ? readJobConfig(resolve(cwd, jobFile), jobDigest as string | undefined)
      : undefined;
  const inputs: TrustInputs = { given: given === true || job?.made?.trusted === true, env };
  const accepts = (at: string): boolean => acceptsRoot(at, inputs);
  const found: SweepRoot =
    job === undefined
      ? sweepRootOf(resolve(cwd, directory), cwd, accepts)
      : { directory: job.root, configFile: job.file };
  const { directory: root, configFile } = found;
  const trust = new TreeTrust(root, inputs);
  const toml =
    job !== undefined || configFile === undefined
      ? undefined
      : readToml(configFile, numberUse, trust.checks(configFile));
  const values = job?.values ?? toml?.values ?? {};
  const dotEnvFile = join(root, '.env');
  // Of a root that is only the unit's parent nobody has said that it is one.
  const passesOver = found.guessed === true ? undefined : strangerIn(dotEnvFile, statOf(root), accepts);
  const dotEnv =
    found.guessed === true || passesOver !== undefined
      ? {}
      : withoutEmpty(readDotEnv(dotEnvFile, trust.checks(dotEnvFile)));
  const set = withoutEmpty(env);
  const {
    config,
    sources,
    given: all,
  } = resolveConfig({
    toml: configFile === undefined ? undefined : { file: configFile, values },
    env: job === undefined ? set : {},
    dotEnv: job === undefined ? dotEnv : {},
    flags,
    ...(flagName === undefined ? {} : { flagName }),
  });
  trust.settle(treeSettings(values, job === undefined ? dotEnv : {}));
  // What a submission allowed, it allowed for its tasks.
  if (job?.made === undefined) refuseAllowedByTree({ config, sources, configFile, dotEnvFile }, trust);
  // A path in qrun.toml means the same wherever qrun is started; so does that of a secret in .env.
  const from = (key: ConfigKey, path: string): string =>
    resolve(sources[key] === 'qrun.toml' || (sources[key] === '.env' && isOfSecret(key)) ? root : cwd, path);
  const absolute = Object.fromEntries(
    PATH_KEYS.flatMap(key => {
      const path = config[key];
      return path === undefined ? [] : [[key, from(key, path)]];
    }),
  ) as Partial<Record<(typeof PATH_KEYS)[number], string>>;
  // What a job's file holds was decided when it was made.
  const isNamed = (key: 'log_dir' | 'data_dir'): boolean =>
    sources[key] === 'flag' || sources[key] === 'environment' || job?.made !== undefined || trust.trusted();
  for (const place of [root, absolute.log_dir, absolute.data_dir]) {
    if (place !== undefined) believeBelow(place, () => trust.trusted());
  }
  const places = placesOf(root, absolute, isNamed);
  // Only takes rights away; no file of a tree can give any.
  if (config.umask !== undefined) process.umask(process.umask() | config.umask);
  const variable = secretVariable(set, dotEnv, root);
  const fileWins = absolute.password_file !== undefined && winsOver(variable, sources.password_file, job);
  const known: ConnectionInputs = {
    config: { ...config, ...absolute },
    givers: Object.fromEntries(
      CONNECTION_KEYS.flatMap(key => (config[key] === undefined ? [] : [[key, giverOf(key, sources, job)]])),
    ),
    fileWins,
    variable,
    namedBy: key => namedBy(key, sources[key], { configFile, dotEnvFile }),
    trust,
    unproven: job !== undefined && job.made === undefined,
  };
  let made: Connection | undefined;
  return {
    root,
    configFile,
    config: known.config,
    sources,
    given: { ...all, ...absolute, ...(fileWins ? {} : { password_file: undefined }) },
    table: parseSweepTable(configFile ?? '', values.sweep),
    ...places,
    timeZone: timeZoneOf(config, job, env),
    linksWithin: config.follow_links ? null : root,
    jobUnits: job?.units,
    respelled: toml?.respelled ?? [],
    connection: () => {
      made ??= connectionOf(known);
      return made;
    },
    passwordSource: passwordSource(known),
    passwordSurvives: () =>
      fileWins || variable === undefined || dotEnv.CLICKHOUSE_PASSWORD === variable.value,
    secretFiles: [
      ...(dotEnv.CLICKHOUSE_PASSWORD === undefined ? [] : [dotEnvFile]),
      ...(absolute.password_file === undefined ? [] : [absolute.password_file]),
    ],
    givers: known.givers,
    trust,
    notices: [
      ...(found.passedOver === undefined ? [] : [notUsed(found.passedOver)]),
      ...(passesOver === undefined ? [] : [notUsed({ file: dotEnvFile, why: passesOver })]),
    ],
  };
}

const CONNECTION_KEYS = ['url', 'password_file', 'ca_file'] as const satisfies readonly ConnectionKey[];

function isOfSecret(key: ConfigKey): boolean {
  return key === 'password_file' || key === 'ca_file';
}

// An empty variable counts as none, and hides nothing.
function withoutEmpty(variables: Surroundings['env']): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
}

function secretVariable(
  { CLICKHOUSE_PASSWORD: outside }: Surroundings['env'],
  { CLICKHOUSE_PASSWORD: inside }: Surroundings['env'],
  root: string,
): SecretVariable | undefined {
  const file = join(root, '.env');
  // What the tree holds is no secret to it, also where a shell has put it into the environment.
  if (outside !== undefined && outside !== inside) {
    return { value: outside, giver: 'outside', where: 'CLICKHOUSE_PASSWORD in the environment' };
  }
  if (inside === undefined) return undefined;
  // A link to a file elsewhere is a choice of the tree, and what it leads to is not the tree's own.
  const isOwn = isBeneath(realOf(file), realOf(root));
  const where = `CLICKHOUSE_PASSWORD in ${file}${isOwn ? '' : ` (which leads to ${realOf(file)})`}`;
  return { value: inside, giver: isOwn ? 'tree' : 'outside', where };
}

// As for every value, the environment wins over the tree, and in the tree .env wins; within one of them the file does.
// What a job's file names was decided when it was made.
function winsOver(
  variable: SecretVariable | undefined,
  source: ConfigSource | undefined,
  job: JobConfig | undefined,
): boolean {
  if (variable === undefined || job !== undefined) return true;
  if (source === '.env') return variable.giver === 'tree';
  return source !== 'qrun.toml';
}

function giverOf(key: ConnectionKey, sources: SweepContext['sources'], job: JobConfig | undefined): Giver {
  const source = sources[key];
  if (source === 'flag' || source === 'environment') return 'outside';
  return job?.made?.givers[key] ?? 'tree';
}

function namedBy(
  key: ConnectionKey,
  source: ConfigSource | undefined,
  files: { readonly configFile: string | undefined; readonly dotEnvFile: string },
): string {
  if (source === 'flag') return `--${key.replaceAll('_', '-')}`;
  if (source === 'environment') return environmentName(key) as string;
  return (source === '.env' ? files.dotEnvFile : files.configFile) ?? 'the default';
}

function notUsed({ file, why }: { readonly file: string; readonly why: string }): string {
  return `${file} is not used: ${why}`;
}

const PATH_KEYS = ['log_dir', 'data_dir', 'ca_file', 'password_file'] as const;

/** One unit of a sweep; `parameters` come on top of those that all units have. */
export function unitIn(
  sweep: SweepContext,
  directory: string,
  parameters: Parameters,
  cwd = sweep.root,
): UnitContext {
  const config = { ...sweep.config, parameters: { ...sweep.config.parameters, ...parameters } };
  const unit = unitId(unitName(directory, sweep.root), config.parameters);
  const logPath = config.log === undefined ? logPathOf(sweep, unit) : realLogPath(resolve(cwd, config.log));
  if (config.log !== undefined) refuseInput('--log', config.log, logPath);
  if (config.log === undefined) refuseRespelled(sweep, directory, config.parameters, logPath);
  return {
    ...sweep,
    config,
    directory,
    unit,
    logPath,
    logDirectory: dirname(logPath),
    inputs: {
      parameters: config.parameters,
      settings: resultSettings(config, sweep.timeZone),
      limits: splitSettings(config.settings).limits,
    },
  };
}

/** What a number in qrun.toml is for. */
function numberUse([table, key]: readonly string[]): NumberUse {
  if (table === 'settings') return 'setting';
  const isParameter = table === 'parameters' || (table === 'sweep' && (key === 'epochs' || key === 'matrix'));
  return isParameter ? 'parameter' : 'number';
}

// Up to version 0.1.0 a parameter that qrun.toml gives as 1.0 was sent as 1, under an id with that. Its results are
// neither silently left behind nor taken for those of another text.
function refuseRespelled(
  { root, logDirectory, respelled }: SweepContext,
  directory: string,
  parameters: Parameters,
  logPath: string,
): void {
  const found = respelled.filter(({ name, written }) => parameters[name] === written);
  if (found.length === 0) return;
  const before = Object.fromEntries(found.map(one => [one.name, one.before]));
  const old = unitId(unitName(directory, root), { ...parameters, ...before });
  const oldLog = join(logDirectory, logName(old, shortHash));
  if (!existsSync(oldLog) || existsSync(logPath)) return;
  throw new QrunError(
    'CONFIG',
    'qrun.toml gives parameters as numbers that were sent in other digits before',
    {
      details: found.map(one => `${one.name} = ${one.written} was sent as ${one.before}: ${oldLog}`),
      hint: `write them as texts: ${found.map(one => `"${one.before}"`).join(', ')} to go on with that log, or ${found.map(one => `"${one.written}"`).join(', ')} for new results`,
    },
  );
}

// What qrun reads, by name: a file with one of these would be a query, a setup or a configuration by the next run.
const INPUT = /\.sql$|^(?:qrun\.toml|\.env)$/i;

/**
 * Refuses to write to a file that qrun reads as an input, whether it exists or not. `path` is where `given` leads to.
 *
 * Errors: QrunError `USAGE`.
 */
export function refuseInput(option: string, given: string, path: string): void {
  if (!INPUT.test(basename(path))) return;
  throw new QrunError('USAGE', `${option} ${given}: qrun reads files of this name as its input`, {
    hint: 'give the file another name, such as results.ndjson',
  });
}

/**
 * Where the log of a unit lies by its id; see {@link realLogPath}.
 *
 * Errors: QrunError `LOG_UNUSABLE` for a link that leads out of the directory of the logs.
 */
export function logPathOf({ logDirectory }: Pick<SweepContext, 'logDirectory'>, unit: string): string {
  const named = join(logDirectory, logName(unit, shortHash));
  const path = realLogPath(named);
  // A link of the tree could lead to any file of the user's: one that is named by --log is his own.
  if (path === named || dirname(path) === realLogPath(logDirectory)) return path;
  throw new QrunError(
    'LOG_UNUSABLE',
    `the log ${named} is not used: it is a symbolic link that leads elsewhere, to ${path}`,
    {
      hint: 'remove the link, or name its target with --log',
    },
  );
}

// What is wrong with a file in place of a directory, or with one that may not be entered, is said when its queries
// are listed; to look for a qrun.toml in it fails before that.
function sweepRootOf(directory: string, cwd: string, accepts: (at: string) => boolean): SweepRoot {
  try {
    return findSweepRoot(directory, cwd, accepts);
  } catch (error) {
    if (error instanceof QrunError || dirname(directory) === directory) throw error;
    return sweepRootOf(dirname(directory), cwd, accepts);
  }
}

// Of the embedded engine the time zone of this process would decide; a job keeps the one of its submission. Where the
// user sets one for his queries, that of the process is to decide nothing.
function timeZoneOf(
  config: Config,
  job: JobConfig | undefined,
  env: Surroundings['env'],
): string | undefined {
  if (config.engine !== 'embedded') return undefined;
  if ((config.settings.session_timezone ?? '') !== '') return 'UTC';
  return job?.timeZone ?? localTimeZone(env);
}

// The database decides what an unqualified table name means, as a setting would; so does the time zone for all dates
// without one. UTC is what an engine has that is told nothing: it adds nothing to fingerprints.
function resultSettings(config: Config, timeZone: string | undefined): Settings {
  return Object.fromEntries([
    ...Object.entries(splitSettings(config.settings).result),
    ...(config.database === undefined ? [] : [['database', config.database]]),
    ...(timeZone === undefined || timeZone === 'UTC' ? [] : [[TIME_ZONE_INPUT, timeZone]]),
  ]);
}

// No setting of ClickHouse has this name.
const TIME_ZONE_INPUT = 'timezone';
