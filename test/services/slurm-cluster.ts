import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import type { TaskQueue } from '../../src/core/queue/queue.js';
import { SLURM } from '../../src/io/queue/slurm/kind.js';
import { freePort } from './clickhouse-server.js';
import type { TestQueue } from './sweep-harness.js';

const FOLDERS = ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin'];
const START_LIMIT_MS = 30_000;
// Slurm's own figure; a node that is gone counts as down after this.
const NODE_LIMIT_S = 5;

/** The nodes of a cluster, each with a slurmd of its own. */
export const NODES = ['nodeA', 'nodeB'] as const;

/** A process of a cluster. */
export type ClusterProcess = 'slurmctld' | (typeof NODES)[number];

/** A Slurm cluster of the tests' own: a controller, munge and two nodes, all on this machine, without accounting. */
export interface SlurmCluster extends TestQueue {
  readonly directory: string;
  /** Runs a client, gives its stdout, and throws when it fails. */
  run(program: string, ...args: string[]): Promise<string>;
  /** Ends a process with SIGKILL; a node takes what runs on it along, as a machine without power does. */
  kill(process: ClusterProcess): Promise<void>;
  /** Starts it again after {@link kill}, and waits until it answers. */
  restart(process: ClusterProcess): Promise<void>;
  /** Waits until the controller has saved what it knows now: it does so within five seconds. */
  saved(): Promise<void>;
  /** What its logs say. */
  log(): string;
  /** Cancels all jobs, ends all processes and removes the directories. */
  stop(): Promise<void>;
}

/** Whether Slurm and munge are installed. */
export function slurmAvailable(): boolean {
  return ['slurmctld', 'slurmd', 'munged', 'sbatch'].every(name => pathOf(name) !== undefined);
}

/** How a cluster differs from the usual one. */
export interface ClusterOptions {
  readonly maxArraySize?: number;
  readonly cpus?: number;
}

/** Starts a cluster and resolves when both nodes are idle. */
export async function startSlurmCluster(options: ClusterOptions = {}): Promise<SlurmCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'qs-'));
  for (const name of ['munge', 'state', ...NODES]) mkdirSync(join(directory, name));
  await writeFile(join(directory, 'munge', 'key'), crypto.getRandomValues(new Uint8Array(1024)), {
    mode: 0o400,
  });
  const ports = [await freePort(), await freePort(), await freePort()] as const;
  await writeFile(join(directory, 'slurm.conf'), config(directory, ports, options));
  const cluster = new OwnCluster(directory);
  await cluster.start();
  return cluster;
}

function config(
  directory: string,
  [controller, ...nodes]: readonly number[],
  { maxArraySize = 1001, cpus = 8 }: ClusterOptions,
): string {
  const user = process.getuid?.() === 0 ? 'root' : process.env.USER;
  return [
    'ClusterName=qrun',
    'SlurmctldHost=localhost(127.0.0.1)',
    `SlurmUser=${user}`,
    `SlurmdUser=${user}`,
    `SlurmctldPort=${controller}`,
    // A job that is started again waits for the end of its old credential: five seconds is the least.
    `AuthInfo=socket=${directory}/munge/socket,cred_expire=5`,
    `SlurmctldPidFile=${directory}/slurmctld.pid`,
    `SlurmdPidFile=${directory}/%n.pid`,
    `SlurmdSpoolDir=${directory}/%n`,
    `StateSaveLocation=${directory}/state`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'MpiDefault=none',
    'JobAcctGatherType=jobacct_gather/none',
    'SchedulerType=sched/backfill',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_CPU_Memory',
    'DefMemPerCPU=10',
    'SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0',
    `SlurmdTimeout=${NODE_LIMIT_S}`,
    'ReturnToService=2',
    'KillWait=10',
    `MaxArraySize=${maxArraySize}`,
    'SlurmdParameters=config_overrides',
    ...NODES.map(
      (name, n) =>
        `NodeName=${name} NodeHostname=localhost NodeAddr=127.0.0.1 Port=${nodes[n]} CPUs=${cpus} RealMemory=16000`,
    ),
    `PartitionName=main Nodes=${NODES.join(',')} Default=YES MaxTime=INFINITE State=UP`,
    '',
  ].join('\n');
}

class OwnCluster implements SlurmCluster {
  readonly env: Readonly<Record<string, string>>;
  readonly #children = new Map<string, ChildProcess>();

  constructor(readonly directory: string) {
    this.env = {
      PATH: [...(process.env.PATH ?? '').split(':'), ...FOLDERS].join(':'),
      HOME: directory,
      LANG: 'C.UTF-8',
      SLURM_CONF: join(directory, 'slurm.conf'),
    };
  }

  async start(): Promise<void> {
    process.once('exit', this.#killNow);
    const munge = (name: string): string => join(this.directory, 'munge', name);
    this.#spawn('munged', [
      ...['--foreground', '--force', `--key-file=${munge('key')}`, `--socket=${munge('socket')}`],
      ...[`--pid-file=${munge('pid')}`, `--log-file=${munge('log')}`, `--seed-file=${munge('seed')}`],
    ]);
    await this.#until('munge', () => this.#succeeds('munge', '-n', '-S', munge('socket')));
    for (const name of ['slurmctld', ...NODES] as const) this.#spawnOf(name);
    await this.#until('both nodes', () => this.#areIdle());
  }

  client(): Promise<TaskQueue> {
    return SLURM.open({ env: this.env });
  }

  async run(program: string, ...args: string[]): Promise<string> {
    const { stdout } = await execa(program, args, { env: this.env, extendEnv: false, stdin: 'ignore' });
    return stdout;
  }

  async kill(name: ClusterProcess): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    if (name !== 'slurmctld') await this.#killSteps(name);
  }

  async restart(name: ClusterProcess): Promise<void> {
    this.#spawnOf(name);
    await this.#until(name, async () =>
      name === 'slurmctld' ? await this.#succeeds('squeue') : await this.#isUp(name),
    );
  }

  async saved(): Promise<void> {
    const path = join(this.directory, 'state', 'job_state');
    const sinceMs = Date.now();
    await this.#until(
      'a saved state',
      async () => (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > sinceMs,
    );
  }

  log(): string {
    return ['slurmctld', ...NODES].map(name => `${name}:\n${this.#logOf(name)}`).join('\n');
  }

  async stop(): Promise<void> {
    await this.#succeeds('scancel', `--user=${process.getuid?.()}`);
    await this.#until('all jobs', async () => (await this.run('squeue', '-h').catch(() => '')) === '').catch(
      () => {},
    );
    for (const name of NODES) await this.kill(name);
    for (const name of ['slurmctld', 'munged']) await this.kill(name as ClusterProcess);
    process.off('exit', this.#killNow);
    await rm(this.directory, { recursive: true, force: true });
  }

  #spawnOf(name: ClusterProcess): void {
    const conf = join(this.directory, 'slurm.conf');
    const args = name === 'slurmctld' ? ['-D', '-f', conf] : ['-D', '-f', conf, '-N', name];
    this.#spawn(name === 'slurmctld' ? 'slurmctld' : 'slurmd', args, name);
  }

  #spawn(program: string, args: readonly string[], name = program): void {
    const log = openSync(join(this.directory, `${name}.log`), 'a');
    const child = spawn(pathOf(program) ?? program, args, {
      env: { ...this.env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#children.set(name, child);
  }

  // What a node runs are processes of their own, which outlive its slurmd.
  async #killSteps(node: string): Promise<void> {
    const { stdout } = await execa('ps', ['-eo', 'pid,ppid,args'], { reject: false });
    const lines = stdout.split('\n').map(line => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []);
    const steps = lines.filter(
      ([, pid, , args]) =>
        args?.startsWith('slurmstepd:') === true && environmentOf(Number(pid)).includes(this.directory),
    );
    const doomed = new Set(
      steps.filter(([, pid]) => nodeOf(Number(pid), lines) === node).map(([, pid]) => Number(pid)),
    );
    for (let size = -1; size !== doomed.size; ) {
      size = doomed.size;
      for (const [, pid, parent] of lines) if (doomed.has(Number(parent))) doomed.add(Number(pid));
    }
    for (const pid of doomed) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
  }

  readonly #killNow = (): void => {
    for (const child of this.#children.values()) child.kill('SIGKILL');
  };

  async #areIdle(): Promise<boolean> {
    const up = await Promise.all(NODES.map(name => this.#isUp(name)));
    return up.every(Boolean);
  }

  async #isUp(node: string): Promise<boolean> {
    const { stdout, failed } = await execa('sinfo', ['-h', '-n', node, '-o', '%T'], {
      env: this.env,
      extendEnv: false,
      reject: false,
    });
    return !failed && /^(?:idle|mixed|allocated)$/.test(stdout.trim());
  }

  async #succeeds(program: string, ...args: string[]): Promise<boolean> {
    const { failed } = await execa(program, args, {
      env: this.env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 5_000,
    });
    return !failed;
  }

  async #until(what: string, look: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + START_LIMIT_MS;
    while (!(await look())) {
      if (performance.now() > deadline) throw new Error(`Slurm: ${what} not ready:\n${this.log()}`);
      await delay(30);
    }
  }

  #logOf(name: string): string {
    try {
      return readFileSync(join(this.directory, `${name}.log`), 'utf8').slice(-3_000);
    } catch {
      return '';
    }
  }
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

// The batch script of a step knows its node.
function nodeOf(step: number, lines: readonly (readonly (string | undefined)[])[]): string | undefined {
  const child = lines.find(([, , parent]) => Number(parent) === step)?.[1];
  return child === undefined ? undefined : /SLURMD_NODENAME=(\w+)/.exec(environmentOf(Number(child)))?.[1];
}

function pathOf(program: string): string | undefined {
  return [...(process.env.PATH ?? '').split(':'), ...FOLDERS]
    .map(folder => join(folder, program))
    .find(path => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
