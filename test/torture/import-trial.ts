import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeRowless, type GroupHead, RecordEncoder } from '../../src/core/log/record.js';
import { check, checkKept } from './checker.js';
import { type Child, type Faults, startProgram } from './child.js';
import { fingerprintOf, kindOf, queryNames, rowsOf, type Shape } from './expected.js';
import type { Home } from './home.js';
import type { ImporterConfig } from './importer.js';
import { readJournal } from './journal.js';
import { checkLedger, readTrace } from './ledger.js';
import { describe } from './log-trial.js';
import type { Place } from './places.js';
import type { Random } from './random.js';
import type { Trial } from './tally.js';

/** What a trial of the import is about. */
export interface ImportTrialOptions {
  readonly home: Home;
  readonly place: Place;
  readonly random: Random;
  readonly queries: number;
  readonly shape: Shape;
  /** How many other hosts there are. */
  readonly hosts: number;
  /** The unit, and where its log is beneath the place. */
  readonly unit: string;
  readonly log: string;
  /** The fingerprints of the queries, where they are not those of {@link fingerprintOf}. */
  readonly fingerprint?: (query: string) => string;
}

interface HostLog {
  readonly path: string;
  readonly bytes: Buffer;
  /** Queries with a whole group that settles them under the present text. */
  readonly settled: readonly string[];
}

const OLD = 'f'.repeat(16);
// Each acknowledgement is synced, and a few of each source tell as much as all.
const ACKNOWLEDGED = 6;

/** Logs of several hosts, the log into which they are imported, and the verdict on what that leaves. */
export class ImportTrial {
  readonly log: string;
  readonly queries: readonly string[];
  readonly hosts: readonly HostLog[];
  readonly fired: string;
  readonly #options: ImportTrialOptions;
  readonly #journal: string;
  readonly #trace: string;
  readonly #initial: Buffer;
  readonly #here: readonly string[];
  // Every group that any host has written.
  readonly #known = new Set<string>();
  readonly #seen: Buffer[] = [];

  constructor(options: ImportTrialOptions) {
    this.#options = options;
    const { place, random } = options;
    this.log = join(place.directory, options.log);
    this.queries = queryNames(options.queries);
    this.#journal = join(place.aside, 'journal');
    this.#trace = join(place.aside, 'trace');
    this.fired = join(place.aside, 'fired');
    mkdirSync(dirname(this.log), { recursive: true });
    this.hosts = Array.from({ length: options.hosts }, (_, n) => this.#hostLog(n));
    const here = random.chance(0.5) ? this.#bytesOf('here', 0.4) : { bytes: Buffer.alloc(0), settled: [] };
    this.#initial = here.bytes;
    this.#here = here.settled;
    if (here.bytes.length > 0) writeFileSync(this.log, here.bytes);
  }

  /** Starts the importer with faults. */
  importer(rules: readonly string[] = [], traced = false): Child {
    const { home, place, random, unit } = this.#options;
    const config: ImporterConfig = {
      log: this.log,
      unit,
      queries: this.queries,
      journal: this.#journal,
      sources: random.shuffled(
        this.hosts.map(({ path, settled }) => ({
          path,
          settled: random.shuffled(settled).slice(0, ACKNOWLEDGED),
        })),
      ),
    };
    const trace = { path: this.#trace, globs: [`${place.directory}*`, this.#journal] };
    const faults: Faults = { rules, fired: this.fired, ...(traced ? { trace } : {}) };
    return startProgram(home, 'importer.js', config, rules.length > 0 || traced ? { faults } : {});
  }

  firedCount(): number {
    return existsSync(this.fired) ? readFileSync(this.fired, 'utf8').split('\n').length - 1 : 0;
  }

  content(): Buffer {
    return existsSync(this.log) ? readFileSync(this.log) : Buffer.alloc(0);
  }

  /** Notes what is in the log now: no byte of it may ever get lost. */
  observe(): void {
    this.#seen.push(this.content());
  }

  /** Imports everything without faults, and once more, which must change nothing. */
  async finish(trial: Trial, traced = false): Promise<void> {
    this.observe();
    const ended = await this.importer([], traced).ended;
    trial.expect(ended.code === 0, `the last import ended with ${describe(ended)}`);
    const before = this.content();
    const again = await this.importer([], traced).ended;
    trial.expect(again.code === 0, `the import once more ended with ${describe(again)}`);
    trial.expect(this.content().equals(before), 'importing the same again changed the log');
  }

  /** Judges what is left; everything is removed when nothing is wrong. */
  async verdict(trial: Trial, traced = false): Promise<void> {
    const { unit, shape, place, fingerprint = fingerprintOf } = this.#options;
    const content = this.content();
    const settled = new Set([...this.#here, ...this.hosts.flatMap(host => host.settled)]);
    const finding = check({
      log: this.log,
      unit,
      acks: readJournal(this.#journal),
      rows: query => rowsOf(query, shape),
      settled: [...settled],
      fingerprint,
    });
    const violations = [...finding.violations, ...this.#others(content, settled)];
    for (const seen of this.#seen) violations.push(...checkKept(seen, content, finding.sides));
    for (const { path, bytes } of this.hosts)
      if (!readFileSync(path).equals(bytes)) violations.push(`${path} was changed`);
    if (traced) {
      const options = { initial: this.#initial, journal: this.#journal };
      violations.push(...checkLedger(readTrace(this.#trace), this.log, content, finding.sides, options));
    }
    trial.violations(violations.map(text => `${text} [${place.directory}]`));
    if (violations.length === 0) await place.remove();
  }

  // Every group has the bytes that a host has written, and what counts of a query is of the present text if any is.
  #others(content: Buffer, settled: ReadonlySet<string>): string[] {
    const violations: string[] = [];
    const final = new Map<string, { readonly fingerprint: string; readonly outcome: string }>();
    const { fingerprint = fingerprintOf } = this.#options;
    for (let at = 0; at < content.length; ) {
      const line = content.indexOf(10, at);
      if (line === -1) break;
      const head = JSON.parse(content.toString('utf8', at, line)) as {
        query: string;
        parts: number;
        fingerprint: string;
        outcome: string;
      };
      let end = at;
      for (let part = 0; part < head.parts; part += 1) end = content.indexOf(10, end) + 1;
      if (!this.#known.has(content.toString('latin1', at, end)))
        violations.push(`the group of ${head.query} at byte ${at} is none that a host has written`);
      final.set(head.query, head);
      at = end;
    }
    for (const query of settled) {
      const state = final.get(query);
      if (state?.fingerprint !== fingerprint(query) || state.outcome === 'error')
        violations.push(
          `${query} was settled by a host, and is ${state?.outcome} of ${state?.fingerprint} here`,
        );
    }
    return violations;
  }

  #hostLog(n: number): HostLog {
    const path = join(this.#options.place.directory, 'hosts', `h${n}`, this.#fileName());
    const { bytes, settled } = this.#bytesOf(`h${n}`, 0.8);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return { path, bytes, settled };
  }

  #fileName(): string {
    return this.#options.log.split('/').at(-1) ?? '';
  }

  // What a host has recorded: old texts, failed attempts, results, and often a torn end.
  #bytesOf(host: string, share: number): { bytes: Buffer; settled: readonly string[] } {
    const { random, fingerprint = fingerprintOf } = this.#options;
    const groups: Buffer[] = [];
    const settled: string[] = [];
    let run = 0;
    for (const query of random.shuffled(this.queries)) {
      if (!random.chance(share)) continue;
      if (random.chance(0.1)) run += 1;
      const head = { query, run: `run-${host}-${run}` };
      if (random.chance(0.15))
        groups.push(this.#group({ ...head, attempt: 7, fingerprint: OLD }, kindOf(query)));
      if (random.chance(0.25))
        groups.push(this.#group({ ...head, attempt: 1, fingerprint: fingerprint(query) }, 'error'));
      groups.push(this.#group({ ...head, attempt: 2, fingerprint: fingerprint(query) }, kindOf(query)));
      if (kindOf(query) !== 'error') settled.push(query);
    }
    const whole = Buffer.concat(groups);
    const last = groups.at(-1);
    if (last === undefined || !random.chance(0.4)) return { bytes: whole, settled };
    const torn = last.subarray(0, random.int(1, last.length - 1));
    return { bytes: Buffer.concat([whole, torn]), settled };
  }

  #group(fields: Pick<GroupHead, 'query' | 'run' | 'attempt' | 'fingerprint'>, kind: string): Buffer {
    const { unit, shape } = this.#options;
    const head: GroupHead = {
      ...fields,
      unit,
      rerun: false,
      queryId: `${fields.run}-${fields.query}`,
      startedAtMs: 1_700_000_000_000,
      durationMs: 1.5,
      parameters: {},
    };
    const bytes = kind === 'normal' ? normal(head, rowsOf(fields.query, shape)) : rowless(head, kind);
    this.#known.add(bytes.toString('latin1'));
    return bytes;
  }
}

function normal(head: GroupHead, rows: readonly string[]): Buffer {
  const encoder = new RecordEncoder(head, rows.length, undefined);
  return Buffer.concat(encoder.encode(Buffer.from(rows.map(row => `${row}\n`).join(''))));
}

function rowless(head: GroupHead, kind: string): Buffer {
  if (kind === 'skipped') return encodeRowless(head, { outcome: 'skipped', stats: undefined });
  const error = { code: 60, name: 'UNKNOWN_TABLE', kind: 'permanent' as const, message: 'no such table' };
  return encodeRowless(head, { outcome: 'error', error });
}
