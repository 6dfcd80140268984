import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkKept } from './checker.js';
import { type Child, type Ended, type Faults, start } from './child.js';
import { kindOf, queryNames, rowsOf, type Shape, sqlOf } from './expected.js';
import type { Home } from './home.js';
import { readEvents } from './journal.js';
import { describe } from './log-trial.js';
import type { Place } from './places.js';
import type { Trial } from './tally.js';

/** A unit of SQL files, and how `qrun unit` is run on it. */
export interface UnitTrialOptions {
  readonly home: Home;
  readonly place: Place;
  /** Of the server; the embedded engine where not given. */
  readonly url?: string;
  /** SQL by name of the query. */
  readonly sql: Readonly<Record<string, string>>;
  readonly rows: (query: string) => readonly string[];
  /** The log's directory; in the place where not given. */
  readonly logDirectory?: string;
}

/** What a start of `qrun unit` differs in. */
export interface UnitRun {
  readonly concurrency?: number;
  readonly args?: readonly string[];
  readonly rules?: readonly string[];
  readonly leader?: boolean;
  readonly limitMs?: number;
}

/** The queries of {@link AnsweringServer}. */
export function answeredQueries(count: number, shape: Shape): Pick<UnitTrialOptions, 'sql' | 'rows'> {
  const names = queryNames(count);
  return {
    sql: Object.fromEntries(names.map(name => [name, sqlOf(name, shape)])),
    rows: query => rowsOf(query, shape),
  };
}

/** One unit, runs of `qrun unit` on it, and the verdict on what they leave. */
export class UnitTrial {
  readonly log: string;
  readonly directory: string;
  readonly fired: string;
  readonly events: string;
  readonly #options: UnitTrialOptions;
  readonly #seen: Buffer[] = [];
  #runs = 0;

  constructor(options: UnitTrialOptions) {
    this.#options = options;
    const { directory, aside } = options.place;
    this.directory = join(directory, 'unit');
    this.log = join(options.logDirectory ?? join(directory, 'results'), 'unit.ndjson');
    this.fired = join(aside, 'fired');
    this.events = join(aside, 'events');
    mkdirSync(this.directory, { recursive: true });
    mkdirSync(this.events, { recursive: true });
    for (const [name, sql] of Object.entries(options.sql))
      writeFileSync(join(this.directory, `${name}.sql`), sql);
  }

  /** Starts `qrun unit`; each run has an events file of its own. */
  run(run: UnitRun = {}): Child {
    const { home, place, url } = this.#options;
    this.#runs += 1;
    const faults: Faults = { rules: run.rules ?? [], fired: this.fired };
    const args = [
      ...[home.cli, 'unit', this.directory, '--log', this.log],
      ...(url === undefined ? ['--engine', 'embedded'] : ['--url', url]),
      ...['-P', String(run.concurrency ?? 8), '--events', join(this.events, String(this.#runs))],
      ...(run.args ?? []),
    ];
    return start(home, process.execPath, args, {
      cwd: place.directory,
      ...(run.rules === undefined ? {} : { faults }),
      ...(run.leader === undefined ? {} : { leader: run.leader }),
      ...(run.limitMs === undefined ? {} : { limitMs: run.limitMs }),
    });
  }

  /** Starts `qrun audit`. */
  startAudit(): Child {
    const { home, place } = this.#options;
    const args = [home.cli, 'audit', this.directory, '--log', this.log, '--json'];
    return start(home, process.execPath, args, { cwd: place.directory });
  }

  /** Runs `qrun audit` and gives its verdict. */
  async audit(): Promise<string> {
    const ended = await this.startAudit().ended;
    const report = ended.stdout === '' ? {} : (JSON.parse(ended.stdout) as { verdict?: string });
    return report.verdict ?? describe(ended);
  }

  /** The log as it is. */
  content(): Buffer {
    return existsSync(this.log) ? readFileSync(this.log) : Buffer.alloc(0);
  }

  /** Notes what is in the log now: no byte of it may ever get lost. */
  observe(): void {
    this.#seen.push(this.content());
  }

  firedCount(): number {
    return existsSync(this.fired) ? readFileSync(this.fired, 'utf8').split('\n').length - 1 : 0;
  }

  /** The events of all runs. */
  readEvents(): Record<string, unknown>[] {
    return this.#eventFiles().flatMap(path =>
      readFileSync(path, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line) as Record<string, unknown>),
    );
  }

  #eventFiles(): string[] {
    return Array.from({ length: this.#runs }, (_, n) => join(this.events, String(n + 1))).filter(path =>
      existsSync(path),
    );
  }

  /** A run without faults to the end of the unit, which must end with this code. */
  async finish(trial: Trial, code: number, run: UnitRun = {}): Promise<Ended> {
    this.observe();
    const ended = await this.run(run).ended;
    trial.expect(ended.code === code, `the last run: exit code ${code} was due: ${describe(ended)}`);
    return ended;
  }

  /** Judges what is left; everything is removed when nothing is wrong. */
  async verdict(
    trial: Trial,
    claim: { settled?: readonly string[]; audit?: string } = {},
  ): Promise<ReturnType<typeof check>> {
    const { rows, sql, place } = this.#options;
    const names = Object.keys(sql);
    const finding = check({
      log: this.log,
      unit: 'unit',
      acks: this.#eventFiles().flatMap(readEvents),
      rows,
      settled: claim.settled ?? names.filter(name => kindOf(name) !== 'error'),
    });
    const violations = [...finding.violations];
    for (const seen of this.#seen) violations.push(...checkKept(seen, this.content(), finding.sides));
    if (claim.audit !== undefined) {
      const verdict = await this.audit();
      if (verdict !== claim.audit) violations.push(`the audit says ${verdict}, ${claim.audit} was due`);
    }
    trial.violations(violations.map(text => `${text} [${place.directory}]`));
    if (violations.length === 0) await place.remove();
    return finding;
  }
}
