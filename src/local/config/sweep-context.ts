import { resolve } from 'node:path';
import { type GivenValues, type ResolvedConfig, resolveConfig } from '../../core/config/config.js';
import { environmentName, keysWhere, tomlName } from '../../core/config/keys.js';
import type { Config, ConfigKey } from '../../core/config/table.js';
import type { Respelled } from '../../core/config/toml-numbers.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import { parseSweepTable, type SweepTable } from '../../core/sweep/units.js';
import { readSubmission, type SubmissionConfig } from '../../io/config/submission-config.js';
import { localTimeZone } from '../../io/engines/time-zone.js';
import { believeBelow } from '../../io/files/owner.js';
import { type Connection, type ConnectionInputs, connectionsOf, passwordSource } from './connection.js';
import { connectionInputs, isFromOutside } from './givers.js';
import { placesOf } from './places.js';
import { readTree, type TreeFiles, withoutEmpty } from './tree-files.js';
import { type Environment, type TreeTrust, treeSettings } from './trust.js';

/** The environment of the process, as far as the configuration depends on it. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: Environment;
  /**
   * Removes the rights of `umask` from what this process writes from now on. The command line passes it; without it a
   * configured `umask` changes nothing, and {@link SweepContext.notices} say so.
   */
  readonly restrict?: (umask: number) => void;
}

/** What is given to a configuration besides what the tree and the environment say. */
export interface Given {
  /** Values from a program that uses qrun as a library. */
  readonly options?: GivenValues;
  /** Values from a command line. */
  readonly flags?: GivenValues;
  /** The file of the submission that this is a task of, and its digest; see {@link readSubmission}. */
  readonly submission?: { readonly file: string; readonly digest?: string | undefined } | undefined;
  /** Whether the tree is trusted, whatever it says. */
  readonly trust?: boolean;
}

/** A sweep as a command sees it: its root, and the configuration that all its units share. */
export interface SweepContext {
  readonly root: string;
  readonly configFile: string | undefined;
  readonly config: Config;
  readonly sources: ResolvedConfig['sources'];
  /** What was given, as the configuration of a submission holds it; see {@link ResolvedConfig}. */
  readonly given: ResolvedConfig['given'];
  readonly table: SweepTable;
  readonly logDirectory: string;
  /** The directory in which the user manages the embedded engine's data; otherwise the one that holds all of it. */
  readonly dataDirectory: string;
  /** The time zone of the embedded engine; undefined with a server, which has its own. */
  readonly timeZone: string | undefined;
  /** Numbers in qrun.toml that had other digits in the ids of units. */
  readonly respelled: readonly Respelled[];
  /** Units that a submission was about; see {@link SubmissionConfig}. */
  readonly submittedUnits: readonly string[] | undefined;
  /**
   * Returns the connections with their secrets, one for each server, as {@link connectionsOf} does. They are made once,
   * when first needed, and never kept in anything that is printed. Errors: as there.
   */
  readonly connections: () => readonly Connection[];
  /** Where the password comes from; `undefined` if there is none. */
  readonly passwordSource: string | undefined;
  /** Files that hold a password, or would if one were needed. */
  readonly secretFiles: readonly string[];
  /** Who gave the values of the connection; stored in {@link SubmissionConfig}. */
  readonly givers: ConnectionInputs['givers'];
  readonly trust: TreeTrust;
  /** What the person who starts a command should know about where its configuration comes from. */
  readonly notices: readonly string[];
  /** Where links among the SQL files may lead; `null` for anywhere. */
  readonly linksWithin: string | null;
  /** Returns whether a process that starts with an empty environment would find the password. */
  readonly passwordSurvives: () => boolean;
}

/**
 * Resolves the configuration of the sweep that a directory belongs to: its root, qrun.toml and .env there, the
 * environment, and what is given. Variables of the environment win over those of `.env`. The file of a submission
 * says where the root is, and replaces qrun.toml and the environment.
 *
 * Errors: QrunError `CONFIG`.
 */
export function sweepContext(
  directory: string,
  { options = {}, flags = {}, submission, trust: trusts }: Given,
  { cwd, env, restrict }: Surroundings,
): SweepContext {
  const submitted =
    submission === undefined ? undefined : readSubmission(resolve(cwd, submission.file), submission.digest);
  const isTrusted = trusts === true || submitted?.made?.trusted === true;
  const tree = readTree(resolve(cwd, directory), cwd, submitted, { given: isTrusted, env });
  const { root, configFile, dotEnvFile, values, dotEnv, trust } = tree;
  const resolved = resolveConfig({
    toml: configFile === undefined ? undefined : { file: configFile, values },
    env: submitted === undefined ? withoutEmpty(env) : {},
    dotEnv: submitted === undefined ? dotEnv : {},
    options,
    flags,
  });
  const { sources } = resolved;
  trust.settle(treeSettings(values, submitted === undefined ? dotEnv : {}));
  // What a submission allowed, it allowed for its tasks.
  if (submitted?.made === undefined) refuseAllowedByTree(tree, resolved);
  const paths = absolutePaths(resolved, root, cwd);
  const config = { ...resolved.config, ...paths };
  // What the file of a submission holds was decided when it was made.
  const isNamed = (key: 'logDir' | 'dataDir'): boolean =>
    isFromOutside(sources[key]) || submitted?.made !== undefined || trust.trusted();
  for (const place of [root, paths.logDir, paths.dataDir]) {
    if (place !== undefined) believeBelow(place, () => trust.trusted());
  }
  const places = placesOf(root, paths, isNamed);
  if (config.umask !== undefined) restrict?.(config.umask);
  const inputs = connectionInputs(tree, { config, sources }, submitted, env);
  const { fileWins, variable } = inputs;
  let connections: readonly Connection[] | undefined;
  return {
    root,
    configFile,
    config,
    sources,
    // A task runs where it is; which hosts there are does not concern it.
    given: {
      ...resolved.given,
      ...paths,
      ...(fileWins ? {} : { passwordFile: undefined }),
      hosts: undefined,
    },
    table: parseSweepTable(configFile ?? '', values.sweep),
    ...places,
    timeZone: timeZoneOf(config, submitted, env),
    linksWithin: config.followLinks ? null : root,
    submittedUnits: submitted?.units,
    respelled: tree.respelled,
    connections: () => {
      connections ??= connectionsOf(inputs);
      return connections;
    },
    passwordSource: passwordSource(inputs),
    passwordSurvives: () =>
      fileWins || variable === undefined || dotEnv.CLICKHOUSE_PASSWORD === variable.read(),
    secretFiles: [
      ...(dotEnv.CLICKHOUSE_PASSWORD === undefined ? [] : [dotEnvFile]),
      ...(paths.passwordFile === undefined ? [] : [paths.passwordFile]),
    ],
    givers: inputs.givers,
    trust,
    notices: tree.notices,
  };
}

// Keys that let the SQL of a tree do more than work on its data, or let links send files from elsewhere as SQL. The
// tree itself must not set them. The first two have no meaning on a server.
const IN_PROCESS: readonly ConfigKey[] = ['allowFiles', 'allowNetwork'];
const GUARDED = keysWhere(({ tree }) => tree === 'guarded');

// Whoever runs qrun may allow this by a flag, by the environment, or by trusting the tree as it is.
function refuseAllowedByTree(
  { configFile, dotEnvFile, trust }: TreeFiles,
  { config, sources }: ResolvedConfig,
): void {
  const details = GUARDED.flatMap(key => {
    if (config[key] !== true) return [];
    if (!factsOf(config.engine).inProcess && IN_PROCESS.includes(key)) return [];
    if (sources[key] === 'qrun.toml') return [`${configFile}: ${tomlName(key)} = true`];
    return sources[key] === '.env' ? [`${dotEnvFile}: ${environmentName(key)}`] : [];
  });
  if (details.length === 0 || trust.trusted()) return;
  throw new QrunError('CONFIG', 'the tree allows itself what only you may allow', {
    details,
    hint: `if you trust it: ${trust.command}, or --trust; or give --allow-files, --allow-network or --follow-links yourself`,
  });
}

// A path in qrun.toml means the same wherever qrun is started; so does the path of a secret in .env.
function absolutePaths({ config, sources }: ResolvedConfig, root: string, cwd: string) {
  const from = (key: ConfigKey): string => {
    const isOfTree =
      sources[key] === 'qrun.toml' ||
      (sources[key] === '.env' && (key === 'passwordFile' || key === 'caFile'));
    return isOfTree ? root : cwd;
  };
  return Object.fromEntries(
    keysWhere(entry => entry.path === true).flatMap(key => {
      const path = config[key];
      return typeof path !== 'string' ? [] : [[key, resolve(from(key), path)]];
    }),
  ) as Partial<Record<'logDir' | 'dataDir' | 'caFile' | 'passwordFile', string>>;
}

// The time zone of this process would decide for the embedded engine, so a task keeps that of its submission. If the
// user sets one for the queries, that of the process must decide nothing.
function timeZoneOf(
  config: Config,
  submitted: SubmissionConfig | undefined,
  env: Environment,
): string | undefined {
  if (!factsOf(config.engine).inProcess) return undefined;
  if ((config.settings.session_timezone ?? '') !== '') return 'UTC';
  return submitted?.timeZone ?? localTimeZone(env);
}
