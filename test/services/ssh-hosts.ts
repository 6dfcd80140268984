import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { builtQrun, ROOT } from '../built.js';
import { PROGRAM_FOLDERS, pueueAvailable } from './pueue-daemon.js';

const LIMIT_MS = 20_000;

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

/** A host with an sshd of its own, in network, mount and host-name namespaces of its own. */
export interface SshHost {
  readonly name: string;
  readonly address: string;
  /** A directory that only it uses. */
  readonly directory: string;
  /** Whether it has a pueue daemon. */
  readonly hasQueue: boolean;
  /** Runs a program on it, without ssh, and gives its stdout. */
  here(program: string, ...args: readonly string[]): Promise<string>;
  /** Cuts its network, or mends it. */
  link(state: 'up' | 'down'): void;
  /** How many logins it has accepted. */
  logins(): number;
  /** Gives its sshd another host key. */
  newKey(): Promise<void>;
  /** Ends it with all that runs on it. */
  stop(): Promise<void>;
}

/** Several hosts, and how they are reached. */
export interface SshHosts {
  readonly hosts: readonly SshHost[];
  /** For processes that reach them: in its PATH, ssh is the real one with a configuration of the tests' own. */
  readonly env: Readonly<Record<string, string>>;
  /** `[[hosts]]` of a qrun.toml, with this root on each. */
  toml(rootOf: (host: SshHost) => string, more?: string): string;
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
  const hosts: OwnHost[] = [];
  try {
    for (const name of names) {
      const host = new OwnHost(name, join(directory, name), join(directory, 'id.pub'));
      hosts.push(host);
      await host.start();
    }
  } catch (error) {
    for (const host of hosts) await host.stop();
    throw error;
  }
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
    toml: (rootOf, more = '') =>
      hosts
        .map(host =>
          [
            '[[hosts]]',
            `name = "${host.name}"`,
            `root = "${rootOf(host)}"`,
            `qrun = ${JSON.stringify([process.execPath, builtQrun()])}`,
            more,
            '',
          ].join('\n'),
        )
        .join('\n'),
    forgetKeys: () => writeFileSync(known, ''),
    knowKeys,
    async stop() {
      for (const host of hosts) await host.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

let started = 0;

class OwnHost implements SshHost {
  readonly address: string;
  readonly hasQueue = pueueAvailable();
  readonly #number: number;
  readonly #namespace: string;
  readonly #link: string;
  readonly #ours: string;
  #sshd: ChildProcess | undefined;

  constructor(
    readonly name: string,
    readonly directory: string,
    readonly userKey: string,
  ) {
    started += 1;
    this.#number = started;
    // Each test process has addresses of its own: its pid in the middle.
    const [high, low] = [200 + ((process.pid >> 8) % 50), process.pid & 255];
    const base = `10.${high}.${low}.${this.#number * 4}`.split('.').map(Number);
    this.#ours = [...base.slice(0, 3), (base[3] ?? 0) + 1].join('.');
    this.address = [...base.slice(0, 3), (base[3] ?? 0) + 2].join('.');
    this.#namespace = `qrun-${process.pid}-${this.#number}`;
    this.#link = `q${process.pid}-${this.#number}`;
  }

  async start(): Promise<void> {
    for (const at of [this.directory, join(this.directory, 'home')]) mkdirSync(at);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(this.directory, 'key')]);
    const queue = this.#queueConfig();
    writeFileSync(
      join(this.directory, 'sshd_config'),
      [
        `ListenAddress ${this.address}:22`,
        `HostKey ${this.directory}/key`,
        `AuthorizedKeysFile ${this.userKey}`,
        'PidFile none',
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'PermitRootLogin prohibit-password',
        'AllowUsers root',
        `SetEnv PATH=${PROGRAM_FOLDERS.join(delimiter)} PUEUE_CONFIG_PATH=${queue}`,
        '',
      ].join('\n'),
    );
    const { address } = this;
    ip('netns', 'add', this.#namespace);
    ip('link', 'add', this.#link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.#namespace);
    ip('addr', 'add', `${this.#ours}/30`, 'dev', this.#link);
    ip('link', 'set', this.#link, 'up');
    ip('-n', this.#namespace, 'addr', 'add', `${address}/30`, 'dev', 'eth0');
    ip('-n', this.#namespace, 'link', 'set', 'eth0', 'up');
    process.once('exit', this.#endNow);
    await this.#listen();
    if (this.hasQueue) await this.#startQueue(queue);
  }

  async #listen(): Promise<void> {
    const log = openSync(join(this.directory, 'sshd.log'), 'a');
    const script = join(ROOT, 'test/services/ssh-host.sh');
    const child = spawn('ip', ['netns', 'exec', this.#namespace, 'sh', script, this.name, this.directory], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#sshd = child;
    const before = (this.log().match(/Server listening/g) ?? []).length;
    await until(`sshd of ${this.name}`, () => {
      if (child.exitCode !== null) throw new Error(`sshd of ${this.name} ended:\n${this.log()}`);
      return (this.log().match(/Server listening/g) ?? []).length > before;
    });
  }

  logins(): number {
    return (this.log().match(/Accepted publickey/g) ?? []).length;
  }

  log(): string {
    return readFileSync(join(this.directory, 'sshd.log'), 'utf8');
  }

  publicKey(): string {
    return readFileSync(join(this.directory, 'key.pub'), 'utf8').split(' ').slice(0, 2).join(' ').trim();
  }

  #queueConfig(): string {
    const at = join(this.directory, 'q');
    for (const name of ['', 'data', 'run']) mkdirSync(join(at, name), { recursive: true });
    const config = join(at, 'pueue.yml');
    appendFileSync(
      config,
      [
        'shared:',
        `  pueue_directory: ${join(at, 'data')}`,
        `  runtime_directory: ${join(at, 'run')}`,
        `  alias_file: ${join(at, 'aliases.yml')}`,
        '  use_unix_socket: true',
        `  unix_socket_path: ${join(at, 's')}`,
        `  pid_path: ${join(at, 'run', 'pid')}`,
        'client: {}',
        'daemon: {}',
        '',
      ].join('\n'),
    );
    return config;
  }

  async #startQueue(config: string): Promise<void> {
    const [program, ...args] = this.#inside('pueued', '-c', config);
    spawn(program as string, args, { stdio: 'ignore', env: this.#env(config) });
    await until(`pueued of ${this.name}`, async () => {
      const asked = await execa('pueue', ['-c', config, 'group', '--json'], {
        reject: false,
        env: this.#env(config),
      });
      return !asked.failed;
    });
  }

  #env(config: string): Record<string, string> {
    return { PATH: PROGRAM_FOLDERS.join(delimiter), HOME: '/root', PUEUE_CONFIG_PATH: config };
  }

  #inside(...words: readonly string[]): string[] {
    return ['nsenter', `--target=${this.#sshd?.pid}`, '--mount', '--uts', '--net', '--', ...words];
  }

  async here(program: string, ...args: readonly string[]): Promise<string> {
    const [command, ...words] = this.#inside(program, ...args);
    const env = this.#env(join(this.directory, 'q', 'pueue.yml'));
    return (await execa(command as string, words, { env, extendEnv: false, stdin: 'ignore' })).stdout;
  }

  link(state: 'up' | 'down'): void {
    ip('link', 'set', this.#link, state);
  }

  async newKey(): Promise<void> {
    for (const name of ['key', 'key.pub']) rmSync(join(this.directory, name));
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(this.directory, 'key')]);
    // It reads its configuration and keys again.
    const before = (this.log().match(/Server listening/g) ?? []).length;
    this.#sshd?.kill('SIGHUP');
    await until('another key', () => (this.log().match(/Server listening/g) ?? []).length > before);
  }

  async stop(): Promise<void> {
    this.#endNow();
    process.off('exit', this.#endNow);
    await until(`the end of ${this.name}`, () => this.#pids().length === 0);
    try {
      ip('netns', 'delete', this.#namespace);
    } catch {
      // It was never made.
    }
  }

  #pids(): number[] {
    try {
      const pids = execFileSync('ip', ['netns', 'pids', this.#namespace], {
        encoding: 'utf8',
        stdio: 'pipe',
      });
      return pids
        .split('\n')
        .filter(line => line !== '')
        .map(Number);
    } catch {
      return [];
    }
  }

  readonly #endNow = (): void => {
    for (const pid of this.#pids()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
  };
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${LIMIT_MS / 1000} s`);
    await delay(20);
  }
}
