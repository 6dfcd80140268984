import type { Home } from './home.js';
import type { Places } from './places.js';
import type { Random } from './random.js';

/** How much is done: the share of every test run, or all of it. */
export type Scale = 'fast' | 'full';

/** What a group of trials works with. */
export interface Context {
  readonly scale: Scale;
  readonly seed: number;
  /** Which seeds are simulated, where it is asked for. */
  readonly seeds?: { readonly from: number; readonly count: number; readonly profile?: string };
  /** How long the fuzzing takes, where it is asked for. */
  readonly minutes?: number;
  readonly home: Home;
  readonly places: Places;
  /** Begins a line of the report. */
  row(fault: string): Row;
  /** `fast` of the two numbers in the fast share, `full` otherwise. */
  count(fast: number, full: number): number;
  /** A generator of its own for each name; the same for the same seed. */
  random(name: string): Random;
}

/** A group of trials about one fault. */
export interface Group {
  readonly name: string;
  readonly run: (context: Context) => Promise<void>;
}

/** A line of the report, as it stands at the end. */
export interface RowResult {
  readonly group: string;
  readonly fault: string;
  readonly trials: number;
  readonly injected: number;
  readonly violations: readonly string[];
  /** Trials in which nothing was injected, although it should have been. */
  readonly idle: number;
  readonly leftOut: string | undefined;
  readonly note: string | undefined;
  readonly seconds: number;
}

/** One trial: tells what it injected and what went wrong. */
export interface Trial {
  readonly number: number;
  injected(times?: number): void;
  violation(text: string): void;
  /** Notes a violation unless the condition holds. */
  expect(condition: boolean, text: string): void;
  violations(texts: readonly string[]): void;
}

/** Counts the trials of one fault. */
export class Row {
  readonly fault: string;
  readonly #group: string;
  #startedMs: number | undefined;
  readonly #violations: string[] = [];
  readonly #done: (row: RowResult) => void;
  #trials = 0;
  #injected = 0;
  #idle = 0;
  #leftOut: string | undefined;
  #note: string | undefined;

  constructor(group: string, fault: string, done: (row: RowResult) => void) {
    this.#group = group;
    this.fault = fault;
    this.#done = done;
  }

  /**
   * Runs a trial. An exception is a violation. A trial that injects nothing is a failure of the proof, unless
   * `mayMiss` says that the moment is left to chance.
   */
  async trial(run: (trial: Trial) => Promise<void> | void, { mayMiss = false } = {}): Promise<void> {
    this.#startedMs ??= performance.now();
    const number = this.#trials;
    this.#trials += 1;
    let injected = 0;
    const violation = (text: string): void => {
      this.#violations.push(`trial ${number}: ${text}`);
    };
    try {
      await run({
        number,
        injected: (times = 1) => {
          injected += times;
        },
        violation,
        expect: (condition, text) => {
          if (!condition) violation(text);
        },
        violations: texts => texts.forEach(violation),
      });
    } catch (error) {
      violation(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    this.#injected += injected;
    if (injected === 0 && !mayMiss) this.#idle += 1;
  }

  /** Counts many trials at once. */
  add(trials: number, injected: number, violations: readonly string[]): void {
    this.#startedMs ??= performance.now();
    this.#trials += trials;
    this.#injected += injected;
    this.#violations.push(...violations);
  }

  /** Says why nothing was tried. */
  leaveOut(reason: string): void {
    this.#leftOut = reason;
  }

  note(text: string): void {
    this.#note = text;
  }

  /** Hands the line in; nothing is added afterwards. */
  end(): void {
    this.#done({
      group: this.#group,
      fault: this.fault,
      trials: this.#trials,
      injected: this.#injected,
      violations: this.#violations,
      idle: this.#trials > 0 && this.#injected === 0 ? Math.max(1, this.#idle) : this.#idle,
      leftOut: this.#leftOut,
      note: this.#note,
      seconds: (performance.now() - (this.#startedMs ?? performance.now())) / 1000,
    });
  }
}

/** Whether a line is a failure: a violation, an injection that did not take place, or a service that must be there. */
export function failed(row: RowResult): boolean {
  if (row.leftOut !== undefined) return process.env.QRUN_REQUIRE_SERVICES === '1';
  return row.violations.length > 0 || row.idle > 0 || row.trials === 0;
}

/** Runs `work` for 0 .. count - 1, a few at a time. */
export async function inParallel(
  count: number,
  width: number,
  work: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}
