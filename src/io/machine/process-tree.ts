import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { platform } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { plainEnvironment } from './plain-environment.js';

/** A process, identified by more than its number, which is reused later. */
interface Listed {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  /** When it was started, in the system's own format. */
  readonly started: string;
}

// Time between two looks at what is still alive. A look takes a few milliseconds, and only happens during a stop.
const LOOK_EVERY_MS = 30;
// How long a killed process may take to end. It takes longer only if the kernel waits for a dead disk.
const KILLED_MS = 5_000;
// A process may start others during a look; the next look finds those.
const MAX_LOOKS = 8;

/** The variable that marks the processes of a command; each command has its own value. */
export const COMMAND_ID = 'QRUN_COMMAND_ID';

/** Returns a new value of {@link COMMAND_ID}, for one command. */
export function newCommandId(): string {
  return randomBytes(12).toString('hex');
}

/**
 * A child and all that it started, to be signalled and waited for as one: a signal to a shell alone would leave running
 * what the shell waits for. They stay in the process group of this process, so that Ctrl-C, a pause and a kill of the
 * group reach them too.
 *
 * They are found by their parents and, on Linux, by the variable {@link COMMAND_ID}, which they inherit from the child:
 * it finds those whose parents have ended. A process in a session of its own whose parents have ended is a daemon, and
 * is left alone.
 */
export class ProcessTree {
  readonly #child: Pick<ChildProcess, 'pid' | 'exitCode' | 'signalCode'>;
  readonly #mark: string | undefined;
  /** The processes that belonged to it and were alive at the last look, with the time at which each was started. */
  #living = new Map<number, string>();

  constructor(child: Pick<ChildProcess, 'pid' | 'exitCode' | 'signalCode'>, commandId?: string) {
    this.#child = child;
    this.#mark = commandId === undefined ? undefined : `${COMMAND_ID}=${commandId}`;
  }

  /** Notes which processes belong to it now, so that they are still known when their parents have ended. */
  remember(): void {
    this.#look();
  }

  /** Sends a signal to all that are alive. One that has just ended, or belongs to another user, is not an error. */
  signal(name: NodeJS.Signals): void {
    const told = new Set<number>();
    for (let look = 0; look < MAX_LOOKS; look += 1) {
      const untold = this.#look().filter(pid => !told.has(pid));
      if (untold.length === 0) return;
      for (const pid of untold) {
        told.add(pid);
        send(pid, name);
      }
    }
  }

  /**
   * Sends all of them a signal to end, and resolves when none is alive any more. After `graceMs` they get SIGKILL;
   * {@link KILLED_MS} after that it resolves in any case.
   */
  async stop(name: NodeJS.Signals, graceMs: number): Promise<void> {
    this.signal(name);
    const killAt = performance.now() + graceMs;
    while (this.#look().length > 0) {
      const lateMs = performance.now() - killAt;
      if (lateMs > KILLED_MS) return;
      if (lateMs >= 0) this.signal('SIGKILL');
      await delay(LOOK_EVERY_MS);
    }
  }

  #look(): number[] {
    const processes = listProcesses();
    const own = processes.get(process.pid)?.session;
    const living = new Map<number, string>();
    const take = ({ pid, started }: Listed): void => void living.set(pid, started);
    for (const [pid, started] of this.#living) {
      const now = processes.get(pid);
      if (now?.started === started) take(now);
    }
    const { pid: root = 0, exitCode, signalCode } = this.#child;
    const first = processes.get(root);
    // Its number cannot be reused before this process has been notified of its end.
    if (first !== undefined && exitCode === null && signalCode === null) take(first);
    for (const one of processes.values()) {
      if (one.session === own && !living.has(one.pid) && this.#isMarked(one.pid)) take(one);
    }
    // The list need not have children after their parents, so it is gone through until nothing new is found.
    for (let before = -1; before !== living.size; ) {
      before = living.size;
      for (const one of processes.values()) {
        if (living.has(one.parent) && !living.has(one.pid)) take(one);
      }
    }
    living.delete(process.pid);
    this.#living = living;
    return [...living.keys()];
  }

  #isMarked(pid: number): boolean {
    if (this.#mark === undefined || platform() !== 'linux') return false;
    try {
      return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${this.#mark}\0`);
    } catch {
      // It belongs to another user, or is gone.
      return false;
    }
  }
}

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended, or may not be signalled.
  }
}

/** Returns all live processes by their number, without zombies. */
function listProcesses(): Map<number, Listed> {
  const lines = platform() === 'linux' ? fromProc() : fromPs();
  return new Map(lines.map(one => [one.pid, one]));
}

function fromProc(): Listed[] {
  return readdirSync('/proc').flatMap(name => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // The name of the program is in parentheses before these fields, and may contain anything.
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const [state, parent, , session, ...more] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') return [];
      // The 22nd field of proc(5); six come before `more`.
      const started = more[15] ?? '';
      return [{ pid: Number(name), parent: Number(parent), session: Number(session), started }];
    } catch {
      return [];
    }
  });
}

function fromPs(): Listed[] {
  const text = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,lstart='], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: plainEnvironment(),
  });
  return text.split('\n').flatMap(line => {
    const [, pid, parent, state = '', started = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (pid === undefined || state.startsWith('Z')) return [];
    return [{ pid: Number(pid), parent: Number(parent), session: 0, started: started.trim() }];
  });
}
