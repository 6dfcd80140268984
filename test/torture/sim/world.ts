import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../src/core/clock.js';
import type { Random } from '../random.js';

/** What can go wrong in a world, each as a probability for one operation. */
export interface Hazards {
  /** SIGKILL before or after an operation of a process. */
  readonly crash: number;
  /** Not in the middle of an append: a torn end would be glued to the line of the next shell writer. */
  readonly noTornEnds: boolean;
  readonly writeError: number;
  readonly syncError: number;
  /** After a sync that failed the kernel counts the bytes as written, as Linux does. */
  readonly syncForgets: boolean;
  readonly readError: number;
  /** SIGSTOP, with SIGCONT after up to a minute. */
  readonly stop: number;
}

export const NO_HAZARDS: Hazards = {
  crash: 0,
  noTornEnds: false,
  writeError: 0,
  syncError: 0,
  syncForgets: false,
  readError: 0,
  stop: 0,
};

interface Due {
  readonly at: number;
  readonly order: number;
  readonly process: SimProcess | undefined;
  readonly act: () => void;
}

/** A process of a world. A dead one never hears of its operations again; its lock is free. */
export class SimProcess {
  readonly pid: number;
  dead = false;
  stoppedUntil = 0;
  /**
   * A sync of it has failed and it has not written the bytes again yet. It is not killed then, but right after:
   * what the kernel has forgotten and a dead process cannot repair any more is beyond the protocol (see the
   * report), and would hide everything else here.
   */
  betweenSyncAndRewrite = false;
  killedAfterwards: string | undefined;
  /** What the system does when the process is gone. */
  readonly onDeath: (() => void)[] = [];

  constructor(pid: number) {
    this.pid = pid;
  }
}

// Enough turns of the event loop for everything that an operation sets off: what is simulated waits for
// nothing real but microtasks and single turns of setImmediate.
const TURNS = 3;

/**
 * Time, chance and processes of a simulation. Everything that happens is an entry of one queue, in the order of
 * simulated time, so that the same seed gives the same history.
 */
export class World {
  readonly random: Random;
  readonly clock: Clock;
  hazards: Hazards;
  nowMs = 0;
  steps = 0;
  /** What happened, one line each; kept only when asked for. */
  readonly history: string[] | undefined;
  /** How many faults were injected. */
  faults = 0;
  #queue: Due[] = [];
  #order = 0;
  #pid = 100;

  constructor(random: Random, hazards: Hazards, keepHistory: boolean) {
    this.random = random;
    this.hazards = hazards;
    this.history = keepHistory ? [] : undefined;
    this.clock = {
      nowMs: () => 1_800_000_000_000 + this.nowMs,
      monotonicMs: () => this.nowMs,
      delay: async () => {},
    };
  }

  newProcess(): SimProcess {
    this.#pid += 1;
    return new SimProcess(this.#pid);
  }

  /** The clock of a process. */
  clockOf(process: SimProcess): Clock {
    return {
      ...this.clock,
      delay: (ms, signal) =>
        new Promise(resolve => {
          if (signal.aborted) resolve();
          signal.addEventListener('abort', () => resolve(), { once: true });
          this.at(ms, process, resolve);
        }),
    };
  }

  /** Does something later, unless the process has died by then. */
  at(delayMs: number, process: SimProcess | undefined, act: () => void): void {
    this.#order += 1;
    const due = { at: this.nowMs + delayMs, order: this.#order, process, act };
    // Sorted from behind: most entries are due soon after the last one.
    let index = this.#queue.length;
    while (index > 0 && (this.#queue[index - 1]?.at ?? 0) > due.at) index -= 1;
    this.#queue.splice(index, 0, due);
  }

  /** An operation of a process that takes time: it may be killed before or after, or stopped. */
  call<T>(process: SimProcess, what: string, act: () => T, torn = false): Promise<T> {
    return new Promise((resolve, reject) => {
      this.at(this.random.next() * 3, process, () => {
        if (this.#strikes(process, what, torn)) return;
        if (process.stoppedUntil > this.nowMs) {
          void this.call(process, what, act, torn).then(resolve, reject);
          return;
        }
        let result: T;
        try {
          result = act();
        } catch (error) {
          reject(error);
          return;
        }
        if (this.#strikes(process, `after ${what}`, torn)) return;
        // Later, if it has been stopped meanwhile.
        if (process.stoppedUntil > this.nowMs) this.at(0, process, () => resolve(result));
        else resolve(result);
      });
    });
  }

  /** SIGKILL. */
  kill(process: SimProcess, why: string): void {
    if (process.dead) return;
    if (process.betweenSyncAndRewrite) {
      process.killedAfterwards = why;
      return;
    }
    this.tell(`${process.pid} killed ${why}`);
    process.dead = true;
    for (const act of process.onDeath) act();
  }

  tell(text: string): void {
    this.history?.push(`${this.nowMs.toFixed(2)} ${text}`);
  }

  /** Lets time pass until nothing is due any more, `done` says so, or too much has happened. */
  async run(
    done: () => boolean,
    limits: { readonly steps: number; readonly untilMs: number },
  ): Promise<boolean> {
    await settle();
    while (!done()) {
      const next = this.#queue.shift();
      if (next === undefined) return false;
      const { process } = next;
      if (process?.dead === true) continue;
      if (process !== undefined && process.stoppedUntil > next.at) {
        this.#order += 1;
        this.at(process.stoppedUntil - this.nowMs, process, next.act);
        continue;
      }
      this.steps += 1;
      this.nowMs = Math.max(this.nowMs, next.at);
      if (this.steps > limits.steps || this.nowMs > limits.untilMs) return false;
      next.act();
      await settle();
    }
    return true;
  }

  #strikes(process: SimProcess, what: string, torn: boolean): boolean {
    const { crash, stop, noTornEnds } = this.hazards;
    if (stop > 0 && this.random.chance(stop)) {
      const ms = this.random.int(10, 60_000);
      this.faults += 1;
      this.tell(`${process.pid} stopped for ${ms} ms at ${what}`);
      process.stoppedUntil = this.nowMs + ms;
    }
    if (crash === 0 || (torn && noTornEnds) || !this.random.chance(crash)) return false;
    this.faults += 1;
    this.kill(process, `at ${what}`);
    return process.dead;
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await setImmediate();
}
