import type { ConfigSource, ResolvedConfig } from '../../core/config/config.js';
import { environmentName, flagName, tomlName } from '../../core/config/keys.js';
import type { Config } from '../../core/config/table.js';
import type { Giver } from '../../core/config/trust.js';
import type { SubmissionConfig } from '../../io/config/submission-config.js';
import { isBeneath, realOf } from '../../io/files/paths.js';
import type { ConnectionInputs, ConnectionKey, Secret } from './connection.js';
import { type TreeFiles, withoutEmpty } from './tree-files.js';
import type { Environment } from './trust.js';

const CONNECTION_KEYS: readonly ConnectionKey[] = ['url', 'passwordFile', 'caFile'];

type Sources = ResolvedConfig['sources'];

/**
 * Returns what decides about a connection: each of its values with who gave it, and which of two passwords counts.
 * `config`: with absolute paths; `env`: of the process.
 */
export function connectionInputs(
  tree: TreeFiles,
  { config, sources }: { readonly config: Config; readonly sources: Sources },
  submitted: SubmissionConfig | undefined,
  env: Environment,
): ConnectionInputs {
  const variable = secretVariable(withoutEmpty(env), tree);
  return {
    config,
    givers: Object.fromEntries(
      CONNECTION_KEYS.flatMap(key =>
        config[key] === undefined ? [] : [[key, giverOf(key, sources, submitted)]],
      ),
    ),
    fileWins: config.passwordFile !== undefined && winsOver(variable, sources.passwordFile, submitted),
    variable,
    namedBy: key => namedBy(key, sources[key], tree),
    trust: tree.trust,
    unproven: submitted !== undefined && submitted.made === undefined,
  };
}

function secretVariable(
  { CLICKHOUSE_PASSWORD: outside }: Environment,
  { root, dotEnvFile: file, dotEnv: { CLICKHOUSE_PASSWORD: inside } }: TreeFiles,
): Secret | undefined {
  // What the tree holds is not a secret from it, even if a shell has put it into the environment.
  if (outside !== undefined && outside !== inside) {
    return { giver: 'outside', where: 'CLICKHOUSE_PASSWORD in the environment', read: () => outside };
  }
  if (inside === undefined) return undefined;
  // A link to a file elsewhere is the tree's choice, and its target is not the tree's own.
  const isOwn = isBeneath(realOf(file), realOf(root));
  const where = `CLICKHOUSE_PASSWORD in ${file}${isOwn ? '' : ` (which leads to ${realOf(file)})`}`;
  return { giver: isOwn ? 'tree' : 'outside', where, read: () => inside };
}

// As for every value, the environment wins over the tree, and within the tree .env wins. Within one of them the file
// wins. What the file of a submission names was decided when it was made.
function winsOver(
  variable: Secret | undefined,
  source: ConfigSource | undefined,
  submitted: SubmissionConfig | undefined,
): boolean {
  if (variable === undefined || submitted !== undefined) return true;
  if (source === '.env') return variable.giver === 'tree';
  return source !== 'qrun.toml';
}

function giverOf(key: ConnectionKey, sources: Sources, submitted: SubmissionConfig | undefined): Giver {
  if (isFromOutside(sources[key])) return 'outside';
  return submitted?.made?.givers[tomlName(key)] ?? 'tree';
}

/** Returns whether a value was given by whoever starts or uses qrun, and not by the tree. */
export function isFromOutside(source: ConfigSource | undefined): boolean {
  return source === 'flag' || source === 'option' || source === 'environment';
}

function namedBy(key: ConnectionKey, source: ConfigSource | undefined, files: TreeFiles): string {
  if (source === 'flag') return flagName(key);
  if (source === 'option') return key;
  if (source === 'environment') return environmentName(key) as string;
  return (source === '.env' ? files.dotEnvFile : files.configFile) ?? 'the default';
}
