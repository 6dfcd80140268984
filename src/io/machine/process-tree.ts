import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { platform } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { plainEnvironment } from './plain-environment.js';

/** A process by more than its number, which is given to others later. */
interface Listed {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  /** When it was started, in the system's own words. */
  readonly started: string;
}

// Between two looks at what still lives. One takes a few milliseconds, and happens only while something is stopped.
const LOOK_EVERY_MS = 30;
// What a process that was killed may take to end: more only where the kernel waits for a dead disk.
const KILLED_MS = 5_000;
// A process may start others while it is looked at; each look finds those.
const MAX_LOOKS = 8;

/** The variable that marks the processes of one command; its value is different for each. */
export const COMMAND_ID = 'QRUN_COMMAND_ID';

/** A value of {@link COMMAND_ID} for one command. */
export function newCommandId(): string {
  return randomBytes(12).toString('hex');
}

/**
 * A child and all that it started, to be signalled and waited for as one: to signal a shell alone leaves running what
 * the shell waits for. They stay in the process group of this process, so that Ctrl-C, a pause and a kill of the group
 * reach them as well.
 *
 * They are found by their parents and, on Linux, by the variable {@link COMMAND_ID} that the child was started with,
 * which they inherit: that finds those whose parents have ended. A process that has left for a session of its own and
 * whose parents have ended is a daemon, and is left alone.
 */
export class ProcessTree {
  readonly #child: Pick<ChildProcess, 'pid' | 'exitCode' | 'signalCode'>;
  readonly #mark: string | undefined;
  /** Of those that belong to it and lived at the last look: when each was started. */
  #living = new Map<number, string>();

  constructor(child: Pick<ChildProcess, 'pid' | 'exitCode' | 'signalCode'>, commandId?: string) {
    this.#child = child;
    this.#mark = commandId === undefined ? undefined : `${COMMAND_ID}=${commandId}`;
  }

  /** Looks at what belongs to it now, so that it is known when its parents have ended. */
  remember(): void {
    this.#look();
  }

  /** Sends a signal to all that live. One that has just ended, or belongs to another user, is no error. */
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

  /** Resolves when none of them lives; after `graceMs` they get SIGKILL. */
  async ended(graceMs: number): Promise<void> {
    const killAt = performance.now() + graceMs;
    while (this.#look().length > 0) {
      const lateMs = performance.now() - killAt;
      if (lateMs > KILLED_MS) return;
      if (lateMs >= 0) this.signal('SIGKILL');
      await delay(LOOK_EVERY_MS);
    }
  }

  /** Asks all of them to end, and resolves when none lives any more; see {@link ended}. */
  async stop(name: NodeJS.Signals, graceMs: number): Promise<void> {
    this.signal(name);
    await this.ended(graceMs);
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
    // Its number is its own until this process has been told of its end.
    if (first !== undefined && exitCode === null && signalCode === null) take(first);
    for (const one of processes.values()) {
      if (one.session === own && !living.has(one.pid) && this.#isMarked(one.pid)) take(one);
    }
    // Children come after their parents only by chance, so that it is gone through until nothing is new.
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
      // Another user's, or gone.
      return false;
    }
  }
}

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended, or is not ours to signal.
  }
}

/** All processes that live, by their number; those that have ended and were not waited for do not. */
function listProcesses(): Map<number, Listed> {
  const lines = platform() === 'linux' ? fromProc() : fromPs();
  return new Map(lines.map(one => [one.pid, one]));
}

function fromProc(): Listed[] {
  return readdirSync('/proc').flatMap(name => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // The name of the program comes first, in parentheses, and may hold anything.
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const [state, parent, , session, ...more] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') return [];
      // The 22nd field of proc(5), of which six are before these.
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
