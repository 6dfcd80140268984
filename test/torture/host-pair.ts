import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { pueueAvailable } from '../services/pueue-daemon.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from '../services/ssh-hosts.js';
import { bundledCli, type Home } from './home.js';

/** Why no pair of hosts can be started here; `undefined` if one can. */
export function noHosts(): string | undefined {
  if (!sshHostsAvailable()) return 'needs root, sshd, rsync and network namespaces';
  if (!pueueAvailable()) return 'needs pueue';
  return clickHouseServerAvailable() && process.env.QRUN_TEST_URL === undefined
    ? undefined
    : 'needs clickhouse-server';
}

/** Two hosts with a pueue daemon on each, and a server that both reach also while this machine does not reach them. */
export interface HostPair {
  readonly hosts: readonly [SshHost, SshHost];
  readonly env: Readonly<Record<string, string>>;
  /** The qrun of this build, bundled as in the package. */
  readonly cli: string;
  /** Of the server, as the hosts and this machine see it. */
  readonly url: string;
  /** `[[hosts]]` with the qrun of this build and these roots. */
  toml(rootOf: (host: SshHost) => string, slots: readonly [number, number]): string;
  stop(): Promise<void>;
}

/** Starts a pair, which many trials use one after the other. */
export async function startHostPair(home: Home): Promise<HostPair> {
  const cli = await bundledCli(home);
  const all: SshHosts = await startSshHosts('alpha', 'beta');
  const [alpha, beta] = all.hosts;
  if (alpha === undefined || beta === undefined) throw new Error('there are no two hosts');
  const server: ClickHouseServer = await startClickHouseServer({ alsoAt: alpha.gateway }).catch(
    async (error: unknown) => {
      await all.stop();
      throw error;
    },
  );
  return {
    hosts: [alpha, beta],
    env: all.env,
    cli,
    url: `http://${alpha.gateway}:${server.port}`,
    toml: (rootOf, slots) =>
      [alpha, beta]
        .map((host, n) =>
          [
            '[[hosts]]',
            `name = "${host.name}"`,
            `root = "${rootOf(host)}"`,
            `slots = ${slots[n]}`,
            `qrun = ${JSON.stringify([process.execPath, cli])}`,
            '',
          ].join('\n'),
        )
        .join('\n'),
    async stop() {
      await all.stop();
      await server.stop();
    },
  };
}
