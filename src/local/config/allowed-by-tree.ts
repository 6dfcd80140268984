import type { ConfigSource } from '../../core/config/config.js';
import { environmentName, keysWhere, tomlName } from '../../core/config/keys.js';
import type { Config, ConfigKey } from '../../core/config/table.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import type { TreeTrust } from './trust.js';

// Keys that let the SQL of a tree do more than work on its data, or let links send files from elsewhere as SQL. The
// tree itself must not set them. The first two have no meaning on a server.
const IN_PROCESS: readonly ConfigKey[] = ['allowFiles', 'allowNetwork'];
const GUARDED = keysWhere(({ tree }) => tree === 'guarded');

/** A configuration and where it comes from, as far as needed here. */
export interface AllowedBy {
  readonly config: Config;
  readonly sources: Readonly<Partial<Record<ConfigKey, ConfigSource>>>;
  readonly configFile: string | undefined;
  readonly dotEnvFile: string;
}

/**
 * Refuses a configuration in which qrun.toml or .env lets SQL on the embedded engine use files or the network, or
 * lets links lead out of the tree. Whoever runs qrun may allow this by a flag, by the environment, or by trusting the
 * tree as it is.
 *
 * Errors: QrunError `CONFIG`, naming the keys and where they are set.
 */
export function refuseAllowedByTree(
  { config, sources, configFile, dotEnvFile }: AllowedBy,
  trust: Pick<TreeTrust, 'trusted' | 'command'>,
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
