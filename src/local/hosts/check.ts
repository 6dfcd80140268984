import {
  checkExit,
  checkHost,
  type HostCheck,
  type HostsCheck,
  unreachedHost,
} from '../../core/hosts/check.js';
import type { Host } from '../../core/hosts/host.js';
import { lookCommand, parseLook } from '../../core/hosts/look.js';
import { sshProblem } from '../../core/hosts/ssh-failure.js';
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
  const checks = await Promise.all(hosts.map(host => lookAt(host, connections)));
  return { version: version(), hosts: checks, exit_code: checkExit(checks) };
}

async function lookAt(host: Host, connections: HostConnections): Promise<HostCheck> {
  const askedS = Date.now() / 1000;
  const sinceMs = performance.now();
  const end = await connections.run(host, lookCommand(host.root, QUEUE.name, host.qrun), LOOK_LIMIT_MS);
  const problem = sshProblem(host, end);
  if (problem !== undefined) return unreachedHost(host, problem);
  return checkHost(host, parseLook(end.stdout), {
    version: version(),
    queue: QUEUE.name,
    askedS,
    answeredS: Date.now() / 1000,
    elapsedMs: performance.now() - sinceMs,
  });
}
