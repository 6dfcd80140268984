import { dirname, join, resolve } from 'node:path';
import { type Config, type ConfigKey, type ConfigSource, resolveConfig } from '../core/config.js';
import { changesResult } from '../core/engine-settings.js';
import { type FingerprintInputs, shortHash } from '../core/fingerprint.js';
import type { Settings } from '../core/model.js';
import { logName, unitId } from '../core/names.js';
import { readDotEnv, readSecretFile, readToml } from '../io/config-files.js';
import { findSweepRoot, type SweepRoot, unitName } from '../io/unit-files.js';

/** The surroundings of the process, as far as the configuration depends on them. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A unit as a command works on it: where it is, what it is called, and its configuration. */
export interface UnitContext {
  readonly directory: string;
  readonly root: string;
  readonly configFile: string | undefined;
  readonly unit: string;
  readonly logPath: string;
  readonly logDirectory: string;
  readonly dataDirectory: string;
  readonly config: Config;
  readonly sources: Readonly<Partial<Record<ConfigKey, ConfigSource>>>;
  readonly inputs: FingerprintInputs;
  /** Read when it is needed, and never kept in anything that is printed. */
  readonly password: () => string | undefined;
}

/** A unit's context whose concurrency is a number, so that it can run. */
export type RunnableContext = UnitContext & { readonly config: Config & { readonly concurrency: number } };

/**
 * Resolves the configuration of a unit: its sweep root, qrun.toml and .env there, the environment, and flags.
 * Variables of the environment win over those of `.env`.
 *
 * Errors: QrunError `CONFIG`.
 */
export function unitContext(
  directory: string,
  flags: Readonly<Record<string, unknown>>,
  { cwd, env }: Surroundings,
  flagName?: (key: string) => string,
): UnitContext {
  const absolute = resolve(cwd, directory);
  const { directory: root, configFile } = sweepRootOf(absolute, cwd);
  const toml = configFile === undefined ? undefined : { file: configFile, values: readToml(configFile) };
  const variables = { ...readDotEnv(join(root, '.env')), ...env };
  const { config, sources } = resolveConfig({
    toml,
    env: variables,
    flags,
    ...(flagName === undefined ? {} : { flagName }),
  });
  // A path in qrun.toml means the same wherever qrun is started.
  const from = (key: ConfigKey, path: string): string =>
    resolve(sources[key] === 'qrun.toml' ? root : cwd, path);
  const unit = unitId(unitName(absolute, root), config.parameters);
  const directoryOfLogs =
    config.log_dir === undefined ? join(root, 'results') : from('log_dir', config.log_dir);
  const logPath =
    config.log === undefined ? join(directoryOfLogs, logName(unit, shortHash)) : resolve(cwd, config.log);
  return {
    directory: absolute,
    root,
    configFile,
    unit,
    logPath,
    logDirectory: resolve(logPath, '..'),
    dataDirectory:
      config.data_dir === undefined ? join(root, '.qrun', 'data') : from('data_dir', config.data_dir),
    config: {
      ...config,
      ...(config.ca_file === undefined ? {} : { ca_file: from('ca_file', config.ca_file) }),
      ...(config.password_file === undefined
        ? {}
        : { password_file: from('password_file', config.password_file) }),
    },
    sources,
    inputs: { parameters: config.parameters, settings: resultSettings(config) },
    password: () => {
      const { password_file: file } = config;
      const given = variables.CLICKHOUSE_PASSWORD;
      // As for every value, the environment wins over qrun.toml.
      if (file === undefined || (given !== undefined && sources.password_file === 'qrun.toml')) return given;
      return readSecretFile(from('password_file', file));
    },
  };
}

// What is wrong with a file in place of a directory, or with one that may not be entered, is said when its queries
// are listed; to look for a qrun.toml in it fails before that.
function sweepRootOf(directory: string, cwd: string): SweepRoot {
  try {
    return findSweepRoot(directory, cwd);
  } catch (error) {
    if (dirname(directory) === directory) throw error;
    return sweepRootOf(dirname(directory), cwd);
  }
}

// The database decides what an unqualified table name means, as a setting would.
function resultSettings(config: Config): Settings {
  const settings = Object.entries(config.settings).filter(([name]) => changesResult(name));
  return Object.fromEntries(
    config.database === undefined ? settings : [...settings, ['database', config.database]],
  );
}
