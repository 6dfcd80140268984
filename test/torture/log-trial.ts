import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkKept, sideFiles } from './checker.js';
import { type Child, type Ended, type Faults, start, startProgram } from './child.js';
import { kindOf, queryNames, rowsOf, type Shape } from './expected.js';
import type { Home } from './home.js';
import { readJournal } from './journal.js';
import { checkLedger, readTrace } from './ledger.js';
import type { Place } from './places.js';
import type { Trial } from './tally.js';
import type { WriterConfig } from './writer.js';

/** What a trial of the log layer is about. */
export interface LogTrialOptions {
  readonly home: Home;
  readonly place: Place;
  readonly queries: number;
  readonly shape: Shape;
  /** Traces every call, for the ledger; costs a copy of every byte. */
  readonly traced?: boolean;
}

/** The unit of all trials of the log layer. */
export const UNIT = 'torture';

/** A log, writers that record into it, and the verdict on what they leave. */
export class LogTrial {
  readonly log: string;
  readonly journal: string;
  readonly fired: string;
  readonly queries: readonly string[];
  readonly #options: LogTrialOptions;
  readonly #trace: string;
  readonly #strace: string;
  readonly #seen: Buffer[] = [];
  #initial: Buffer = Buffer.alloc(0);

  constructor(options: LogTrialOptions) {
    this.#options = options;
    const { directory, aside } = options.place;
    this.log = join(directory, 'unit.ndjson');
    this.journal = join(aside, 'journal');
    this.fired = join(aside, 'fired');
    this.#trace = join(aside, 'trace');
    this.#strace = join(aside, 'strace');
    this.queries = queryNames(options.queries);
  }

  /** Starts a writer with faults. */
  writer(rules: readonly string[] = [], overrides: Partial<WriterConfig> = {}, limitMs?: number): Child {
    const config = this.#config(overrides);
    const { home, place, traced } = this.#options;
    const trace = { path: this.#trace, globs: [`${place.directory}*`, this.journal] };
    const faults: Faults = { rules, fired: this.fired, ...(traced === true ? { trace } : {}) };
    const needed = rules.length > 0 || traced === true;
    return startProgram(home, 'writer.js', config, {
      ...(needed ? { faults } : {}),
      ...(limitMs === undefined ? {} : { limitMs }),
    });
  }

  /** Starts a writer that may not make a file larger than this. */
  limitedWriter(fileBytes: number): Child {
    const program = this.#options.home.program('writer.js');
    const args = [`--fsize=${fileBytes}`, process.execPath, program, JSON.stringify(this.#config({}))];
    return start(this.#options.home, 'prlimit', args);
  }

  /** Starts a writer in which strace injects faults into a system call. */
  stracedWriter(call: string, injection: string): Child {
    const program = this.#options.home.program('writer.js');
    return start(this.#options.home, 'strace', [
      ...['-f', '-qq', '-o', this.#strace, '-e', `trace=${call}`, '-e', `inject=${call}:${injection}`],
      ...[process.execPath, program, JSON.stringify(this.#config({}))],
    ]);
  }

  /** How many errors strace has injected into the last straced writer. */
  stracedCount(): number {
    return existsSync(this.#strace) ? readFileSync(this.#strace, 'utf8').split('(INJECTED)').length - 1 : 0;
  }

  /** Torn records to which a shell writer has glued its line: where the line begins, and where the glue is. */
  unglue(): { offset: number; at: number }[] {
    const content = this.content();
    const found: { offset: number; at: number }[] = [];
    for (let at = content.indexOf('{"shell"'); at !== -1; at = content.indexOf('{"shell"', at + 1)) {
      if (at > 0 && content[at - 1] !== 10) found.push({ offset: content.lastIndexOf(10, at) + 1, at });
    }
    return found;
  }

  /** What a person does about such lines: takes the torn records out. */
  repairGlued(): void {
    let content = this.content();
    for (const { offset, at } of this.unglue().reverse()) {
      content = Buffer.concat([content.subarray(0, offset), content.subarray(at)]);
    }
    writeFileSync(this.log, content);
    this.#seen.length = 0;
  }

  #config(overrides: Partial<WriterConfig>): WriterConfig {
    return {
      log: this.log,
      unit: UNIT,
      queries: this.queries,
      shape: this.#options.shape,
      journal: this.journal,
      parallel: 2,
      ...overrides,
    };
  }

  /** Notes what is in the log now: no byte of it may ever get lost. */
  observe(): void {
    if (existsSync(this.log)) this.#seen.push(readFileSync(this.log));
  }

  /** The log as it is. */
  content(): Buffer {
    return existsSync(this.log) ? readFileSync(this.log) : Buffer.alloc(0);
  }

  /** Says that the log did not begin empty; to be called before the first traced writer. */
  begins(initial: Buffer): void {
    this.#initial = initial;
  }

  /** How many faults the shim has injected so far. */
  firedCount(): number {
    return existsSync(this.fired) ? readFileSync(this.fired, 'utf8').split('\n').length - 1 : 0;
  }

  /** The traced calls so far. */
  calls(): ReturnType<typeof readTrace> {
    return readTrace(this.#trace);
  }

  /** Lets a writer without faults record the rest; notes a violation when it does not end well. */
  async finish(trial: Trial, overrides: Partial<WriterConfig> = {}): Promise<Ended> {
    this.observe();
    const ended = await this.writer([], overrides).ended;
    trial.expect(ended.code === 0, `the last writer ended with ${describe(ended)}`);
    return ended;
  }

  /** What is wrong with the log before anybody repairs it. */
  checkNow(): readonly string[] {
    const acks = readJournal(this.journal);
    return check({
      log: this.log,
      unit: UNIT,
      acks,
      rows: query => rowsOf(query, this.#options.shape),
      settled: [],
    }).violations;
  }

  /** Judges what is left; everything is removed when nothing is wrong. `settled`: all of it, where not given. */
  async verdict(
    trial: Trial,
    claim: { settled?: readonly string[]; shellAcks?: readonly string[]; splitGroups?: boolean } = {},
  ): Promise<ReturnType<typeof check>> {
    const { shape, traced, place } = this.#options;
    const finding = check({
      log: this.log,
      unit: UNIT,
      acks: readJournal(this.journal),
      rows: query => rowsOf(query, shape),
      settled: this.queries.filter(name => kindOf(name) !== 'error'),
      ...claim,
    });
    const violations = [...finding.violations];
    const content = this.content();
    for (const seen of this.#seen) violations.push(...checkKept(seen, content, finding.sides));
    if (traced === true) {
      const options = { initial: this.#initial, journal: this.journal };
      violations.push(...checkLedger(this.calls(), this.log, content, finding.sides, options));
    }
    trial.violations(violations.map(text => `${text} [${place.directory}]`));
    if (violations.length === 0) await place.remove();
    return finding;
  }

  /** Removes everything without a verdict: there was no trial. */
  async discard(): Promise<void> {
    await this.#options.place.remove();
  }

  /** The side files so far. */
  sides(): ReturnType<typeof sideFiles> {
    return sideFiles(this.log);
  }
}

/** How a process ended, for a message. */
export function describe({ code, signal, stderr, hung }: Ended): string {
  return `${hung ? 'a hang' : (signal ?? `code ${code}`)}: ${stderr.trim().slice(-600) || 'no message'}`;
}
