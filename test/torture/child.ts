import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Home } from './home.js';

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** It did not end by itself within the limit and was killed: a hang. */
  readonly hung: boolean;
}

/** A process of a trial. */
export interface Child {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** Whether it has ended. */
  readonly done: () => boolean;
  kill(signal: NodeJS.Signals): void;
  /** To the whole group of a process that was started as its leader. */
  killGroup(signal: NodeJS.Signals): void;
  /** Resolves when its output holds the text, or when it has ended. */
  says(text: string): Promise<void>;
}

/** Faults and trace of a process, see shim/faults.c. */
export interface Faults {
  readonly rules?: readonly string[];
  readonly fired?: string;
  readonly trace?: { readonly path: string; readonly globs: readonly string[] };
}

/** How a process is started. */
export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly faults?: Faults;
  /** Leads a process group of its own, as a job of pueue does. */
  readonly leader?: boolean;
  readonly limitMs?: number;
}

// No trial's process takes longer on an idle machine than a few seconds; a hang is a finding, not a nuisance.
const LIMIT_MS = 120_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a process. It gets the environment of this one less everything that steers qrun and faults. */
export function start(
  home: Home,
  command: string,
  args: readonly string[],
  options: StartOptions = {},
): Child {
  const env = { ...cleanEnvironment(), ...options.env, ...faultEnvironment(home, options.faults) };
  const child = spawn(command, args, {
    cwd: options.cwd,
    env,
    detached: options.leader ?? false,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let output = '';
  const texts = { stdout: '', stderr: '' };
  const waiting: { text: string; resolve: () => void }[] = [];
  const keep = (name: 'stdout' | 'stderr') => (chunk: Buffer) => {
    texts[name] += chunk.toString('utf8');
    output += chunk.toString('utf8');
    for (const entry of waiting) if (output.includes(entry.text)) entry.resolve();
  };
  child.stdout?.on('data', keep('stdout'));
  child.stderr?.on('data', keep('stderr'));
  let done = false;
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    child.kill('SIGKILL');
  }, options.limitMs ?? LIMIT_MS);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => {
      done = true;
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      done = true;
      for (const entry of waiting) entry.resolve();
      resolve({ code, signal, ...texts, hung });
    });
  });
  ended.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    ended,
    done: () => done,
    kill: signal => void child.kill(signal),
    killGroup: signal => {
      try {
        process.kill(-(child.pid ?? 0), signal);
      } catch {
        // It has ended.
      }
    },
    says: text =>
      new Promise(resolve => {
        if (done || output.includes(text)) resolve();
        else waiting.push({ text, resolve });
      }),
  };
}

/** Starts a program of these tests in Node with a configuration as JSON. */
export function startProgram(home: Home, name: string, config: unknown, options: StartOptions = {}): Child {
  return start(home, process.execPath, [home.program(name), JSON.stringify(config)], options);
}

function cleanEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined || /^(QRUN_|CLICKHOUSE_|LD_PRELOAD|NODE_OPTIONS|VITEST|FORCE_COLOR)/.test(name))
      continue;
    env[name] = value;
  }
  return { ...env, NO_COLOR: '1' };
}

/** The environment that gives a process its faults. */
export function faultEnvironment(home: Home, faults: Faults | undefined): Record<string, string> {
  if (faults === undefined) return {};
  if (home.shim === undefined) throw new Error('the fault library needs Linux and gcc');
  return {
    LD_PRELOAD: home.shim,
    ...(faults.rules === undefined ? {} : { QRUN_FAULTS: faults.rules.join(';') }),
    ...(faults.fired === undefined ? {} : { QRUN_FAULTS_FIRED: faults.fired }),
    ...(faults.trace === undefined
      ? {}
      : { QRUN_TRACE: faults.trace.path, QRUN_TRACE_GLOB: faults.trace.globs.join(',') }),
  };
}

/** Whether a program is there. */
export function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(directory => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The most memory that a running process has had, in bytes; `undefined` when it is gone. */
export function peakMemory(pid: number): number | undefined {
  try {
    const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}
