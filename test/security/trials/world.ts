import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { type Evil, good, type Mode, startEvil } from './evil.js';

/** What came of a trial. */
export interface Verdict {
  readonly state: 'gone' | 'open' | 'left out';
  /** What happened, in a few words. */
  readonly saw: string;
}

/** Something that was possible once, tried again. */
export interface Trial {
  /** What is tried, as a sentence. */
  readonly name: string;
  readonly run: (world: World) => Promise<Verdict>;
}

/** How qrun ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both. */
  readonly said: string;
  /** It did not end within the limit, and was killed. */
  readonly hung: boolean;
  readonly ms: number;
  /** The most memory that it had. */
  readonly peakMb: number;
}

export interface Start {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: number;
  readonly limitMs?: number;
  readonly umask?: string;
}

/** The user that is attacked, and the one who attacks from the same machine. */
export const VICTIM = 1500;
export const ATTACKER = 65534;

const LIMIT_MS = 30_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** The verdict: `open` where the condition says that the attack worked. */
export function verdict(open: boolean, saw: string): Verdict {
  return { state: open ? 'open' : 'gone', saw };
}

/** A directory of its own for one trial, with a home, and what an attacker and a victim do in it. */
export class World {
  readonly root: string;
  readonly home: string;
  readonly #qrun: string;
  /** Where servers listen: an address that qrun does not take for this machine's own, where there is one. */
  readonly host: string;
  readonly #servers: Evil[] = [];
  #count = 0;

  constructor(qrun: string, host: string) {
    this.root = mkdtempSync(join(tmpdir(), 'qrun-trial-'));
    chmodSync(this.root, 0o755);
    this.#qrun = qrun;
    this.host = host;
    this.home = this.directory('home');
  }

  /** Makes a directory. */
  directory(name: string, mode = 0o755, owner = 0): string {
    const path = join(this.root, name);
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
    chownSync(path, owner, owner);
    return path;
  }

  /** Writes a file, with its directories. */
  put(name: string, content: string | Buffer, mode = 0o644, owner = 0): string {
    const path = join(this.root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    chmodSync(path, mode);
    chownSync(path, owner, owner);
    return path;
  }

  /** Makes a symbolic link. */
  link(name: string, target: string): void {
    const path = join(this.root, name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
  }

  /** Gives a directory and all in it to a user. */
  give(name: string, owner: number): void {
    execFileSync('chown', ['-hR', `${owner}:${owner}`, join(this.root, name)]);
  }

  /** What a file holds, or an empty text where there is none. */
  read(name: string): string {
    try {
      return readFileSync(join(this.root, name), 'utf8');
    } catch {
      return '';
    }
  }

  /** Everything that files below a directory hold, links not followed. */
  readAll(name: string): string {
    const path = join(this.root, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return '';
    if (stat.isFile()) return stat.size > 64 * 1024 * 1024 ? '' : readFileSync(path, 'latin1');
    if (!stat.isDirectory()) return '';
    return readdirSync(path)
      .map(entry => this.readAll(join(name, entry)))
      .join('\n');
  }

  /** A tree as the attacker made it, cloned by git as the victim does it; gives the clone's name. */
  clone(
    name: string,
    files: Readonly<Record<string, string>>,
    links: Readonly<Record<string, string>> = {},
  ): string {
    const attacker = `${name}-attacker`;
    for (const [path, content] of Object.entries(files)) this.put(join(attacker, path), content);
    for (const [path, target] of Object.entries(links)) this.link(join(attacker, path), target);
    this.git(attacker, 'init', '-q');
    this.git(attacker, 'add', '-Af');
    this.git(attacker, 'commit', '-qm', 'x');
    this.git('.', 'clone', '-q', attacker, name);
    return join(this.root, name);
  }

  /** Runs git in a directory, with a name and nothing of this machine's configuration. */
  git(name: string, ...args: string[]): string {
    const who = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'protocol.file.allow=always'];
    return execFileSync('git', ['-C', join(this.root, name), ...who, ...args], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', HOME: this.home, GIT_CONFIG_NOSYSTEM: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Starts a server of the attacker's; `own` on 127.0.0.1, as one that the victim named. */
  async evil(mode: Mode = good, own = false): Promise<Evil> {
    const server = await startEvil(mode, own ? '127.0.0.1' : this.host);
    this.#servers.push(server);
    return server;
  }

  /** Runs the built command to its end. */
  async qrun(args: readonly string[], start: Start = {}): Promise<Ended> {
    return await this.run([process.execPath, this.#qrun, ...args], start);
  }

  /** Runs a command to its end, as a user, within a limit. */
  async run(words: readonly string[], start: Start = {}): Promise<Ended> {
    this.#count += 1;
    const { cwd = this.root, env = {}, user, limitMs = LIMIT_MS, umask = '022' } = start;
    const prefix =
      user === undefined ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--'];
    const script = `umask ${umask}; exec "$@"`;
    const child = spawn('/bin/sh', ['-c', script, 'sh', ...prefix, ...words], {
      cwd,
      env: {
        PATH: process.env.PATH ?? '',
        HOME: this.home,
        LANG: 'C.UTF-8',
        TMPDIR: this.#temporary(user),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.on('data', chunk => {
        texts[name] += String(chunk);
      });
    }
    const since = performance.now();
    let hung = false;
    let peakMb = 0;
    // Looked at while it runs: nothing of it is left afterwards.
    const look = setInterval(() => {
      peakMb = Math.max(peakMb, memoryMb(child.pid ?? 0));
      const late = performance.now() - since > limitMs;
      if (!late && peakMb < 4000) return;
      hung = true;
      child.kill('SIGKILL');
    }, 50);
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (...end) => resolve(end));
    });
    clearInterval(look);
    running.delete(child);
    const ms = performance.now() - since;
    return { code, signal, ...texts, said: `${texts.stdout}\n${texts.stderr}`, hung, ms, peakMb };
  }

  // Of the victim's own, so that what is left in it can be looked at.
  #temporary(user: number | undefined): string {
    return this.directory(`tmp-${user ?? 0}`, 0o700, user ?? 0);
  }

  /** Ends the servers and removes the directory. */
  async close(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}

function memoryMb(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** The first line of what qrun said that tells why, for a report. */
export function why({ said, code, signal, hung }: Ended): string {
  const line =
    said.split('\n').find(text => /error|refuse|cannot|not /i.test(text)) ?? said.trim().split('\n')[0] ?? '';
  return `${hung ? 'killed after the limit' : `exit ${code ?? signal}`}: ${line.trim().slice(0, 110)}`;
}

// What a terminal acts on, or what turns the order of the text around it; colours of qrun's own are no attack.
const DRIVING = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

// Sequences that drive a terminal but do not colour, which the function that takes colours away would take too.
const OTHER = new RegExp(`${String.fromCharCode(0x1b)}(?!\\[[\\d;]*m)`);

/** Whether an output holds control characters of somebody else. */
export function drives(said: string): boolean {
  return said.split(/[\n\t]/).some(line => OTHER.test(line) || DRIVING.test(stripVTControlCharacters(line)));
}
