import { execFileSync } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { builtQrun } from '../built.js';
import { PROGRAM_FOLDERS } from './pueue-daemon.js';
import { OwnHost, type SshHost } from './ssh-host.js';

export type { HostProcess, SshHost } from './ssh-host.js';

/** Whether two hosts can be started here: root, sshd, rsync, and network namespaces. */
export function sshHostsAvailable(): boolean {
  if (process.getuid?.() !== 0) return false;
  const programs = ['/usr/sbin/sshd', '/usr/bin/ssh', '/usr/bin/ssh-keygen', '/usr/bin/rsync'];
  try {
    for (const program of programs) accessSync(program, constants.X_OK);
    const name = `qp${process.pid}`;
    execFileSync('ip', ['netns', 'add', name], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'delete', name], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Several hosts, and how they are reached. */
export interface SshHosts {
  readonly hosts: readonly SshHost[];
  /** For processes that reach them: in its PATH, ssh is the real one with a configuration of the tests' own. */
  readonly env: Readonly<Record<string, string>>;
  /** `[[hosts]]` of a qrun.toml, with this root on each. `qrun`: in place of the one that the tests have built. */
  toml(rootOf: (host: SshHost) => string, more?: string, qrun?: readonly string[]): string;
  /** Forgets the host keys. */
  forgetKeys(): void;
  /** Makes the host keys known. */
  knowKeys(): void;
  stop(): Promise<void>;
}

/** Starts a host for each name, with a pueue daemon on each where pueue is installed. */
export async function startSshHosts(...names: readonly string[]): Promise<SshHosts> {
  const directory = mkdtempSync(join(tmpdir(), 'qh-'));
  chmodSync(directory, 0o755);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'id')]);
  const removeNow = (): void => rmSync(directory, { recursive: true, force: true });
  const hosts: OwnHost[] = [];
  try {
    for (const name of names) {
      const host = new OwnHost(name, join(directory, name), join(directory, 'id.pub'));
      hosts.push(host);
      await host.start();
    }
  } catch (error) {
    for (const host of hosts) await host.stop();
    removeNow();
    throw error;
  }
  process.once('exit', removeNow);
  const known = join(directory, 'known_hosts');
  const config = join(directory, 'config');
  const knowKeys = (): void =>
    writeFileSync(known, hosts.map(host => `${host.address} ${host.publicKey()}\n`).join(''));
  const places = hosts.map(({ name, address }) => `Host ${name}\n  HostName ${address}\n`).join('');
  writeFileSync(
    config,
    `${places}Host *\n  User root\n  IdentityFile ${directory}/id\n  IdentitiesOnly yes\n  UserKnownHostsFile ${known}\n  GlobalKnownHostsFile /dev/null\n  HashKnownHosts no\n`,
  );
  mkdirSync(join(directory, 'bin'));
  writeFileSync(join(directory, 'bin', 'ssh'), `#!/bin/sh\nexec /usr/bin/ssh -F '${config}' "$@"\n`, {
    mode: 0o755,
  });
  mkdirSync(join(directory, 'home'));
  knowKeys();
  return {
    hosts,
    env: {
      PATH: [join(directory, 'bin'), ...PROGRAM_FOLDERS].join(delimiter),
      HOME: join(directory, 'home'),
      TMPDIR: tmpdir(),
    },
    toml: (rootOf, more = '', qrun = [process.execPath, builtQrun()]) =>
      hosts
        .map(host =>
          [
            '[[hosts]]',
            `name = "${host.name}"`,
            `root = "${rootOf(host)}"`,
            `qrun = ${JSON.stringify(qrun)}`,
            more,
            '',
          ].join('\n'),
        )
        .join('\n'),
    forgetKeys: () => writeFileSync(known, ''),
    knowKeys,
    async stop() {
      for (const host of hosts) await host.stop();
      removeNow();
      process.off('exit', removeNow);
    },
  };
}
