import {
  checkExit,
  checkHost,
  type HostCheck,
  type HostsCheck,
  unreachedHost,
} from '../../core/hosts/check.js';
import type { Host } from '../../core/hosts/host.js';
import { type HostLook, lookCommand, parseLook } from '../../core/hosts/look.js';
import { type HostProblem, sshProblem } from '../../core/hosts/ssh-failure.js';
import { HostConnections, type SshOptions } from '../../io/hosts/ssh.js';
import { version } from '../../io/machine/this-process.js';
import { QUEUE } from '../../io/queue/queues.js';

// A host that has been reached, and hangs: a dead network disk, a login that never ends.
const LOOK_LIMIT_MS = 30_000;

/**
 * Looks at hosts, at all of them at once and with one ssh each, and returns what a sweep would miss there. A host that
 * cannot be reached delays nobody but itself: five seconds until it counts as dead.
 *
 * Errors: QrunError `SSH_MISSING`; the reason of the signal.
 */
export async function checkHosts(
  hosts: readonly Host[],
  options: Omit<SshOptions, 'shared'>,
): Promise<HostsCheck> {
  const connections = new HostConnections(options);
  const checks = await Promise.all(
    hosts.map(async host => {
      const looked = await lookAtHost(host, connections);
      return 'check' in looked ? looked.check : unreachedHost(host, looked.unreached);
    }),
  );
  return { version: version(), hosts: checks, exit_code: checkExit(checks) };
}

/** What one look at a host has shown: why it was not reached, or what it has. */
export type HostLooked =
  | { readonly unreached: HostProblem }
  | { readonly check: HostCheck; readonly look: HostLook | undefined };

/**
 * Looks at one host, with one ssh, and resolves with what was found. `mark`: see {@link lookCommand}. Errors: QrunError
 * `SSH_MISSING`; the reason of the signal.
 */
export async function lookAtHost(
  host: Host,
  connections: HostConnections,
  mark?: string,
): Promise<HostLooked> {
  const askedS = Date.now() / 1000;
  const sinceMs = performance.now();
  const end = await connections.run(host, lookCommand(host.root, QUEUE.name, host.qrun, mark), LOOK_LIMIT_MS);
  const unreached = sshProblem(host, end);
  if (unreached !== undefined) return { unreached };
  const look = parseLook(end.stdout);
  const check = checkHost(host, look, {
    version: version(),
    queue: QUEUE.name,
    askedS,
    answeredS: Date.now() / 1000,
    elapsedMs: performance.now() - sinceMs,
  });
  return { check, look };
}
