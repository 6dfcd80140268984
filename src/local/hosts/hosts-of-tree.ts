import { QrunError } from '../../core/errors.js';
import { chooseHosts, type Host } from '../../core/hosts/host.js';
import { queueOf } from '../../io/queue/queues.js';
import type { SweepContext } from '../config/sweep-context.js';

/**
 * Returns the hosts of a tree with these names; all without names. This is the only way to them, and so the only place
 * where it is decided that they are connected to: hosts that a tree names get the user's keys offered, run commands as
 * the user, and receive files, so that the tree must be trusted.
 *
 * Errors: QrunError `CONFIG` for a tree that is not trusted, or has changed since, or names no hosts; `USAGE` for an
 * unknown name. Nothing was connected to.
 */
export function hostsOfTree(
  { config, configFile, root, trust }: SweepContext,
  names: readonly string[],
): readonly Host[] {
  const hosts = chooseHosts(config.hosts, names, configFile ?? `the sweep root ${root}`);
  if (trust.trusted()) return hosts;
  const changes = trust.changes();
  const state =
    changes === undefined
      ? 'the tree is not trusted'
      : `it has changed since it was trusted (${changes.join(', ')})`;
  throw new QrunError('CONFIG', `no host is connected to: ${configFile} names them, and ${state}`, {
    details: hosts.map(({ name, ssh }) => (name === ssh ? name : `${name}: ssh ${ssh}`)),
    hint: `look at them, and then ${trust.command} (QRUN_TRUST=${root} or --trust in CI)`,
  });
}

/**
 * Returns whether a sweep runs on hosts: its qrun.toml names some, nobody has asked for this machine alone, and no
 * cluster has its tasks.
 */
export function runsOnHosts({ config, table }: Pick<SweepContext, 'config' | 'table'>): boolean {
  return config.hosts.length > 0 && queueOf(table).isCluster !== true;
}

/** Returns a sweep as it is on this machine alone, whatever hosts its qrun.toml names. */
export function onThisMachine<S extends SweepContext>(sweep: S): S {
  return { ...sweep, config: { ...sweep.config, hosts: [] } };
}
