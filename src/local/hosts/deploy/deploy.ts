import { factsOf } from '../../../core/engines/facts.js';
import { deployExit, type HostsDeploy, nextCommands } from '../../../core/hosts/deploy/deploy.js';
import { readInstallation } from '../../../io/hosts/installation.js';
import { HostConnections, type SshOptions } from '../../../io/hosts/ssh.js';
import type { ResolvedSweep } from '../../sweep/context.js';
import { hostsOfTree } from '../hosts-of-tree.js';
import { Deployment } from './steps.js';
import { enginePackages, type StepsRequest, type Way, wayAsHost } from './way.js';

/** What a deployment does. */
export interface DeployRequest extends StepsRequest {
  /** The names of the hosts; all without names. */
  readonly names: readonly string[];
  /** Whether an engine that needs no server is sent too; by default if the sweep uses it. */
  readonly withEngine?: boolean | undefined;
  /** Called when it is known what will be sent. */
  readonly onBegin?:
    | ((what: Pick<HostsDeploy, 'name' | 'files' | 'size_bytes' | 'packages_left_out'>) => void)
    | undefined;
}

/**
 * Brings this very qrun to the hosts of a sweep, beside what is there: looks at each, says what happens to what runs,
 * sends the files to a new directory, tries them there, and then makes them current by one rename of a link. A host
 * that fails at one of these steps has no further ones, and goes on with the version it had, whatever happens and
 * whenever this process is killed; so do all tasks that were submitted before. Doing it again does what is missing.
 *
 * Errors: as `hostsOfTree`; QrunError `SSH_MISSING`, `WRITE_FAILED`; the reason of the signal.
 */
export async function deployToHosts(
  sweep: ResolvedSweep,
  request: DeployRequest,
  options: Omit<SshOptions, 'shared'>,
): Promise<HostsDeploy> {
  const hosts = hostsOfTree(sweep, request.names);
  const without = leftOut(sweep, request.withEngine);
  const installation = await readInstallation(new Set(without));
  const { name, version, files, sizeBytes } = installation;
  const what = { name, files, size_bytes: sizeBytes, packages_left_out: without };
  request.onBegin?.(what);
  const ways = hosts.map((host): Way => ({ host, steps: [], switched: false, removed: [] }));
  const connections = new HostConnections({ ...options, shared: true });
  try {
    await new Deployment(installation, request, connections).all(ways);
  } finally {
    await connections.close();
  }
  const deployed = ways.map(wayAsHost);
  return {
    ...what,
    version,
    dry_run: request.dryRun,
    hosts: deployed,
    next: nextCommands(deployed, sweep.start),
    exit_code: deployExit(deployed),
  };
}

// An engine of 540 MB that a sweep on a server does not use.
function leftOut({ config }: ResolvedSweep, withEngine: boolean | undefined): string[] {
  const isSent = withEngine ?? factsOf(config.engine).data === 'directory';
  return isSent ? [] : enginePackages();
}
