import { type Config, type ConfigKey, type ConfigSource, environmentName } from '../core/config.js';
import { QrunError } from '../core/errors.js';

// What lets the SQL of a tree do more than work on its data: not for the tree itself to say.
const GUARDED = ['allow_files', 'allow_network'] as const satisfies readonly ConfigKey[];

/** A configuration and where it comes from, as far as it is asked here. */
export interface AllowedBy {
  readonly config: Config;
  readonly sources: Readonly<Partial<Record<ConfigKey, ConfigSource>>>;
  readonly configFile: string | undefined;
  /** What the `.env` of the tree gives, and what stands in the environment itself. */
  readonly dotEnv: {
    readonly file: string;
    readonly given: Readonly<Record<string, string | undefined>>;
    readonly set: Readonly<Record<string, string | undefined>>;
  };
}

/**
 * Refuses a configuration in which qrun.toml or .env lets SQL on the embedded engine use files or the network: only
 * whoever runs qrun may, by a flag or the environment. `isTrusted`: whether the user has said that the tree may.
 *
 * Errors: QrunError `CONFIG`, naming the keys and where they stand.
 */
export function refuseAllowedByTree(
  { config, sources, configFile, dotEnv }: AllowedBy,
  isTrusted: () => boolean = () => false,
): void {
  if (config.engine !== 'embedded') return;
  const details = GUARDED.flatMap(key => {
    if (config[key] !== true) return [];
    if (sources[key] === 'qrun.toml') return [`${configFile}: ${key} = true`];
    const name = environmentName(key) ?? '';
    const isOfFile = sources[key] === 'environment' && dotEnv.set[name] === undefined;
    return isOfFile && dotEnv.given[name] !== undefined ? [`${dotEnv.file}: ${name}`] : [];
  });
  if (details.length === 0 || isTrusted()) return;
  throw new QrunError('CONFIG', 'the tree allows its own SQL to use what is outside of its data', {
    details,
    hint: 'if you trust its SQL, give --allow-files or --allow-network yourself, or QRUN_ALLOW_FILES=1 in the environment',
  });
}
