import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { ROOT } from '../built.js';
import { PROGRAM_FOLDERS, pueueAvailable } from './pueue-daemon.js';

const LIMIT_MS = 20_000;

/** A host with an sshd of its own, in network, mount and host-name namespaces of its own. */
export interface SshHost {
  readonly name: string;
  readonly address: string;
  /** A directory that only it uses. */
  readonly directory: string;
  /** Whether it has a pueue daemon. */
  readonly hasQueue: boolean;
  /** This machine as the host sees it over a second network, which {@link link} does not cut. */
  readonly gateway: string;
  /** Runs a program on it, without ssh, and gives its stdout. */
  here(program: string, ...args: readonly string[]): Promise<string>;
  /** Cuts the network over which it is logged in to, or mends it. What runs there still reaches {@link gateway}. */
  link(state: 'up' | 'down'): void;
  /** Cuts the network of {@link gateway}, or mends it. */
  serverLink(state: 'up' | 'down'): void;
  /** The processes that run on it, with their words. */
  processes(): readonly HostProcess[];
  /** Ends its pueue daemon with SIGKILL; the tasks go on. */
  killQueue(): Promise<void>;
  /** Starts the pueue daemon again. */
  startQueue(): Promise<void>;
  /** Ends all that runs on it, as a loss of power does; its files stay. */
  crash(): Promise<void>;
  /** Starts it again after {@link crash}. */
  boot(): Promise<void>;
  /** How many logins it has accepted. */
  logins(): number;
  /** Gives its sshd another host key. */
  newKey(): Promise<void>;
  /** Ends it with all that runs on it. */
  stop(): Promise<void>;
}

/** A process on a host. */
export interface HostProcess {
  readonly pid: number;
  readonly words: readonly string[];
}

// A host has two networks of four addresses each.
const NETWORKS_A_HOST = 2;
let started = 0;
const alive = new Set<OwnHost>();
process.on('exit', () => {
  for (const host of alive) host.removeNow();
});
let subnet: string | undefined;

// 10.200.0.0/13 in pieces of 256 addresses, one for each test process: from its pid on, the first that nobody has.
function ownSubnet(): string {
  if (subnet !== undefined) return subnet;
  const taken = new Set(ip('-o', '-4', 'addr').match(/\b10\.\d+\.\d+(?=\.)/g));
  for (let n = process.pid; ; n += 1) {
    subnet = `10.${200 + ((n >> 8) % 50)}.${n & 255}`;
    if (!taken.has(subnet)) return subnet;
  }
}

function network(n: number): { readonly ours: string; readonly its: string } {
  const base = n * 4;
  if (base > 252) throw new Error('a test process can start no more hosts');
  return { ours: `${ownSubnet()}.${base + 1}`, its: `${ownSubnet()}.${base + 2}` };
}

/** Starts and ends a host; `userKey`: the public key that may log in. */
export class OwnHost implements SshHost {
  readonly address: string;
  readonly hasQueue = pueueAvailable();
  readonly gateway: string;
  readonly #namespace: string;
  // By the name of the interface in the host.
  readonly #links: Readonly<Record<'eth0' | 'eth1', { name: string; ours: string; its: string }>>;
  readonly #queueConfig: string;
  #sshd: ChildProcess | undefined;

  constructor(
    readonly name: string,
    readonly directory: string,
    readonly userKey: string,
  ) {
    started += 1;
    this.#namespace = `qrun-${process.pid}-${started}`;
    const [first, second] = [
      network((started - 1) * NETWORKS_A_HOST),
      network(started * NETWORKS_A_HOST - 1),
    ];
    this.#links = {
      eth0: { name: `q${process.pid}-${started}`, ...first },
      eth1: { name: `q${process.pid}-${started}s`, ...second },
    };
    this.address = first.its;
    this.gateway = second.ours;
    this.#queueConfig = join(directory, 'q', 'pueue.yml');
  }

  async start(): Promise<void> {
    for (const at of [this.directory, join(this.directory, 'home')]) mkdirSync(at);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(this.directory, 'key')]);
    this.#configureQueue();
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
        `SetEnv PATH=${PROGRAM_FOLDERS.join(delimiter)} PUEUE_CONFIG_PATH=${this.#queueConfig}`,
        '',
      ].join('\n'),
    );
    ip('netns', 'add', this.#namespace);
    for (const [device, { name, ours, its }] of Object.entries(this.#links)) {
      ip('link', 'add', name, 'type', 'veth', 'peer', 'name', device, 'netns', this.#namespace);
      ip('addr', 'add', `${ours}/30`, 'dev', name);
      ip('link', 'set', name, 'up');
      ip('-n', this.#namespace, 'addr', 'add', `${its}/30`, 'dev', device);
      ip('-n', this.#namespace, 'link', 'set', device, 'up');
    }
    ip('-n', this.#namespace, 'route', 'add', 'default', 'via', this.gateway);
    alive.add(this);
    await this.boot();
  }

  async boot(): Promise<void> {
    await this.#listen();
    if (this.hasQueue) await this.startQueue();
  }

  async crash(): Promise<void> {
    this.#endNow();
    await until(`the end of ${this.name}`, () => {
      // What was forked meanwhile.
      this.#endNow();
      return this.#pids().length === 0;
    });
  }

  processes(): readonly HostProcess[] {
    return this.#pids().flatMap(pid => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
        return words.length === 0 ? [] : [{ pid, words }];
      } catch {
        return [];
      }
    });
  }

  async killQueue(): Promise<void> {
    const daemons = this.processes().filter(({ words }) => words[0] === 'pueued');
    for (const { pid } of daemons) process.kill(pid, 'SIGKILL');
    await until(`the end of pueued of ${this.name}`, () =>
      this.processes().every(({ words }) => words[0] !== 'pueued'),
    );
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

  #configureQueue(): void {
    const at = join(this.directory, 'q');
    for (const name of ['', 'data', 'run']) mkdirSync(join(at, name), { recursive: true });
    writeFileSync(
      this.#queueConfig,
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
  }

  async startQueue(): Promise<void> {
    const [program, ...args] = this.#inside('pueued', '-c', this.#queueConfig);
    spawn(program as string, args, { stdio: 'ignore', env: this.#env() });
    await until(`pueued of ${this.name}`, async () => {
      const asked = await execa('pueue', ['-c', this.#queueConfig, 'group', '--json'], {
        reject: false,
        env: this.#env(),
      });
      return !asked.failed;
    });
  }

  #env(): Record<string, string> {
    return { PATH: PROGRAM_FOLDERS.join(delimiter), HOME: '/root', PUEUE_CONFIG_PATH: this.#queueConfig };
  }

  #inside(...words: readonly string[]): string[] {
    return ['nsenter', `--target=${this.#sshd?.pid}`, '--mount', '--uts', '--net', '--', ...words];
  }

  async here(program: string, ...args: readonly string[]): Promise<string> {
    const [command, ...words] = this.#inside(program, ...args);
    return (await execa(command as string, words, { env: this.#env(), extendEnv: false, stdin: 'ignore' }))
      .stdout;
  }

  link(state: 'up' | 'down'): void {
    ip('link', 'set', this.#links.eth0.name, state);
  }

  serverLink(state: 'up' | 'down'): void {
    ip('link', 'set', this.#links.eth1.name, state);
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
    await this.crash();
    this.removeNow();
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

  /** Ends all that runs on it and removes its namespace; its files stay. */
  removeNow(): void {
    alive.delete(this);
    this.#endNow();
    try {
      ip('netns', 'delete', this.#namespace);
    } catch {
      // It was never made.
    }
  }

  #endNow(): void {
    for (const pid of this.#pids()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
  }
}

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { stdio: 'pipe', encoding: 'utf8' });
}

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${LIMIT_MS / 1000} s`);
    await delay(20);
  }
}
