import type { HostsFacts } from '../../app/machine/doctor-hosts.js';
import { plainEnvironment } from '../../io/machine/plain-environment.js';
import { runProgram } from '../../io/machine/program.js';
import type { Surroundings, SweepContext } from '../config/sweep-context.js';
import { checkHosts } from './check.js';
import { hostsOfTree, runsOnHosts } from './hosts-of-tree.js';

// A program that takes longer than this to say its version is not usable.
const LIMIT_MS = 10_000;

/**
 * Returns what is known about the hosts of a tree (those with these names; all without names), and how to look at them;
 * `undefined` if it names none. Nothing is connected to before.
 *
 * Errors: as `hostsOfTree`.
 */
export async function hostsFacts(
  context: SweepContext,
  names: readonly string[],
  env: Surroundings['env'],
): Promise<HostsFacts | undefined> {
  if (!runsOnHosts(context) && names.length === 0) return undefined;
  const hosts = hostsOfTree(context, names);
  const [ssh, rsync] = await Promise.all([versionOf('ssh', '-V', env), versionOf('rsync', '--version', env)]);
  return { programs: { ssh, rsync }, check: async () => await checkHosts(hosts, { env }) };
}

async function versionOf(
  program: string,
  flag: string,
  env: Surroundings['env'],
): Promise<string | undefined> {
  const end = await runProgram(program, [flag], { env: plainEnvironment(env), timeoutMs: LIMIT_MS });
  // ssh says it on stderr.
  return end.ok ? `${end.stdout}${end.stderr}`.trim().split('\n')[0] : undefined;
}
