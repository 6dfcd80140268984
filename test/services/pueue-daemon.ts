import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { Pueue } from '../../src/io/queue/pueue/client.js';
import { PUEUE } from '../../src/io/queue/pueue/kind.js';

/** Where programs are looked for: `cargo install` puts them where PATH need not lead. */
export const PROGRAM_FOLDERS = [
  ...(process.env.PATH ?? '').split(delimiter),
  join(homedir(), '.cargo', 'bin'),
];
const START_LIMIT_MS = 20_000;

/** A pueue daemon of the tests' own, with its own directories, group state and socket. */
export interface PueueDaemon {
  /** What a process needs in its environment to reach it: PATH with pueue, and the configuration. */
  readonly env: Readonly<Record<string, string>>;
  readonly pid: number;
  readonly directory: string;
  /** What the daemon has saved. */
  savedState(): string;
  /** A client of qrun's. */
  client(): Promise<Pueue>;
  /** Runs `pueue ARGS`, gives its stdout, and throws when it fails. */
  pueue(...args: string[]): Promise<string>;
  /** What a task printed so far. */
  taskLog(id: string): string;
  /** Ends it with SIGKILL: its tasks go on as orphans. */
  kill(): Promise<void>;
  /** Starts it again after {@link kill}. */
  restart(): Promise<void>;
  /** Ends it with all its tasks and removes its directories. */
  stop(): Promise<void>;
}

/** Whether pueue and pueued are installed. */
export function pueueAvailable(): boolean {
  return programPath('pueue') !== undefined && programPath('pueued') !== undefined;
}

/** Starts a daemon; `where` is for one whose state lies on a disk of the test's choice. */
export async function startPueueDaemon(where?: string): Promise<PueueDaemon> {
  // Short: the path of a socket has 108 bytes at most.
  const directory = await mkdtemp(join(where ?? tmpdir(), 'qp-'));
  for (const name of ['data', 'run', 'home']) mkdirSync(join(directory, name));
  const config = join(directory, 'pueue.yml');
  await writeFile(
    config,
    [
      'shared:',
      `  pueue_directory: ${join(directory, 'data')}`,
      `  runtime_directory: ${join(directory, 'run')}`,
      `  alias_file: ${join(directory, 'aliases.yml')}`,
      '  use_unix_socket: true',
      `  unix_socket_path: ${join(directory, 's')}`,
      `  pid_path: ${join(directory, 'run', 'pid')}`,
      'client: {}',
      'daemon: {}',
      '',
    ].join('\n'),
  );
  const daemon = new OwnDaemon(directory, config);
  await daemon.restart();
  return daemon;
}

class OwnDaemon implements PueueDaemon {
  readonly env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;

  constructor(
    readonly directory: string,
    readonly config: string,
  ) {
    this.env = {
      PATH: PROGRAM_FOLDERS.join(delimiter),
      HOME: join(directory, 'home'),
      LANG: 'C.UTF-8',
      PUEUE_CONFIG_PATH: config,
    };
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  savedState(): string {
    return readFileSync(join(this.directory, 'data', 'state.json'), 'utf8');
  }

  client(): Promise<Pueue> {
    return Pueue.open(PUEUE, { env: this.env });
  }

  async pueue(...args: string[]): Promise<string> {
    const { stdout } = await execa('pueue', args, { env: this.env, extendEnv: false, stdin: 'ignore' });
    return stdout;
  }

  taskLog(id: string): string {
    const path = join(this.directory, 'data', 'task_logs', `${id}.log`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  async restart(): Promise<void> {
    const log = openSync(join(this.directory, 'daemon.log'), 'a');
    const child = spawn('pueued', ['-c', this.config], { env: { ...this.env }, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    process.once('exit', this.#killNow);
    const deadline = performance.now() + START_LIMIT_MS;
    for (;;) {
      const { failed } = await execa('pueue', ['group', '--json'], {
        env: this.env,
        extendEnv: false,
        reject: false,
      });
      if (!failed) return;
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(
          `pueued does not answer:\n${readFileSync(join(this.directory, 'daemon.log'), 'utf8')}`,
        );
      }
      await delay(20);
    }
  }

  readonly #killNow = (): void => {
    this.#child?.kill('SIGKILL');
  };

  async kill(): Promise<void> {
    const child = this.#child;
    process.off('exit', this.#killNow);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise(resolve => child.once('exit', resolve));
      // Kills the tasks, saves and exits.
      child.kill('SIGTERM');
      await ended;
    }
    process.off('exit', this.#killNow);
    await rm(this.directory, { recursive: true, force: true });
  }
}

function programPath(program: string): string | undefined {
  return PROGRAM_FOLDERS.map(folder => join(folder, program)).find(path => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
