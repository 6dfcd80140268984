import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostProcess, SshHost } from '../services/ssh-hosts.js';
import { type Child, type Ended, start } from './child.js';
import type { Home } from './home.js';
import { contentOf, type JudgedQuery, judgeUnit } from './host-judge.js';
import type { HostPair } from './host-pair.js';
import { describe } from './log-trial.js';
import type { Place } from './places.js';
import type { Random } from './random.js';
import type { Trial } from './tally.js';

/** What a trial over hosts works with. */
export interface HostSweepOptions {
  readonly home: Home;
  readonly pair: HostPair;
  readonly place: Place;
  readonly random: Random;
  /** Of the sweep, its group and its roots: no other trial has it. */
  readonly name: string;
}

interface OwnQuery extends JudgedQuery {
  version: number;
  readonly rows: number;
  readonly seconds: number;
}

const PAD = 'abcdefghijklmnopqrstuvwxyz0123456789';
const SETTLE_LIMIT_MS = 60_000;
// Each round is a submission, all that follows from it, and an audit.
const MAX_ROUNDS = 8;
// What is wrong with one query is mostly wrong with others too.
const SHOWN = 5;

/** A sweep over two hosts: its files, the commands on it, and the verdict on what they leave. */
export class HostSweep {
  readonly units: readonly string[];
  readonly #options: HostSweepOptions;
  readonly #root: string;
  readonly #queries = new Map<string, Map<string, OwnQuery>>();
  readonly #seen: { log: string; bytes: Buffer }[] = [];

  constructor(options: HostSweepOptions) {
    this.#options = options;
    const { place, pair, random, name } = options;
    this.#root = join(place.directory, 'sweep');
    this.units = Array.from({ length: random.int(4, 6) }, (_, n) => `u${n}`);
    for (const unit of this.units) {
      mkdirSync(join(this.#root, unit), { recursive: true });
      const queries = Array.from(
        { length: random.int(5, 9) },
        (_, n) => [`q${n}`, newQuery(unit, `q${n}`, random)] as const,
      );
      this.#queries.set(unit, new Map(queries));
      for (const [query] of queries) this.#write(unit, query);
    }
    const head = `url = "${pair.url}"\n\n[sweep]\nname = "${name}"\n\n`;
    const slots = [random.int(1, 3), random.int(1, 3)] as const;
    writeFileSync(join(this.#root, 'qrun.toml'), head + pair.toml(host => this.rootOn(host), slots));
  }

  /** Of the sweep on a host. */
  rootOn(host: SshHost): string {
    return join(host.directory, this.#options.name);
  }

  /** Starts a command on this machine; the sweep is its directory. */
  qrun(...args: readonly string[]): Child {
    const { home, pair } = this.#options;
    return start(home, process.execPath, [pair.cli, ...args], {
      cwd: this.#root,
      env: { ...pair.env, QRUN_TRUST: this.#root },
    });
  }

  /** Sends the files, and submits. */
  async begin(trial: Trial): Promise<void> {
    await this.#done(trial, ['hosts', 'push', '.']);
    await this.#done(trial, ['submit-all', '.', '-P2']);
  }

  /** Gives some queries of a unit another text. Gives how many. */
  change(unit: string): number {
    const { random } = this.#options;
    let changed = 0;
    for (const [name, query] of this.#queries.get(unit) ?? []) {
      if (query.kind !== 'normal' || !random.chance(0.4)) continue;
      query.version += 1;
      changed += 1;
      this.#write(unit, name);
    }
    return changed;
  }

  /** The processes on a host that run one of its units. */
  runsOn(host: SshHost): readonly HostProcess[] {
    const root = `${this.rootOn(host)}/`;
    return host
      .processes()
      .filter(({ words }) => words.includes('unit') && words.some(word => word.startsWith(root)));
  }

  /** Notes what is in all logs now. */
  observe(): void {
    for (const unit of this.units) {
      for (const log of [this.#logHere(unit), ...this.#hostLogs(unit)]) {
        const bytes = contentOf(log);
        if (bytes.length > 0) this.#seen.push({ log, bytes });
      }
    }
  }

  /** Submits until the audit here finds nothing missing, and judges what is left. The hosts must be well again. */
  async verdict(trial: Trial): Promise<void> {
    const { place } = this.#options;
    this.observe();
    let audit: Ended | undefined;
    for (let round = 0; round < MAX_ROUNDS && audit?.code !== 0 && audit?.code !== 20; round += 1) {
      await this.idle();
      // 22: units that wait in a group that a dead queue has left paused; they run what they have, and again later.
      await this.#done(trial, ['hosts', 'push', '.'], [0, 22]);
      await this.#done(trial, ['submit-all', '.', '-P2', '--resume-group']);
      await this.idle();
      audit = await this.qrun('audit-all', '.').ended;
    }
    const hasErrors = [...this.#queries.values()].some(unit =>
      [...unit.values()].some(({ kind }) => kind === 'error'),
    );
    const due = hasErrors ? 20 : 0;
    trial.expect(
      audit?.code === due,
      `the audit: ${due} was due: ${audit === undefined ? 'none' : describe(audit)}\n${audit?.stdout}`,
    );
    const before = this.units.map(unit => contentOf(this.#logHere(unit)));
    await this.#done(trial, ['collect', '.']);
    for (const [n, unit] of this.units.entries())
      trial.expect(
        contentOf(this.#logHere(unit)).equals(before[n] ?? Buffer.alloc(0)),
        `${unit}: importing again appended`,
      );
    const violations = this.units.flatMap(unit =>
      judgeUnit({
        unit,
        log: this.#logHere(unit),
        queries: this.#queries.get(unit) ?? new Map(),
        hostLogs: this.#hostLogs(unit),
        seen: this.#seen.filter(({ log }) => basename(log) === logName(unit)),
      }),
    );
    for (const text of violations.slice(0, SHOWN)) trial.violation(`${text} [${place.directory}]`);
    await this.#clean(violations.length === 0);
  }

  /** Resolves when nothing of the sweep runs or waits on the hosts. */
  async idle(): Promise<void> {
    const deadline = performance.now() + SETTLE_LIMIT_MS;
    for (const host of this.#options.pair.hosts) {
      while (this.runsOn(host).length > 0 || (await this.#live(host))) {
        if (performance.now() > deadline) throw new Error(`${host.name} is still busy`);
        // A look at the queue is a process.
        await sleep(100);
      }
    }
  }

  async #live(host: SshHost): Promise<boolean> {
    const { tasks, groups } = JSON.parse(await host.here('pueue', 'status', '--json')) as {
      tasks: Record<string, { group: string; status: string | Record<string, unknown> }>;
      groups: Record<string, { status: string }>;
    };
    const group = this.#group();
    // What waits in a group that stands does not begin by itself.
    if (groups[group]?.status === 'Paused') return false;
    return Object.values(tasks).some(
      task => task.group === group && !(typeof task.status === 'object' && 'Done' in task.status),
    );
  }

  #group(): string {
    return `qrun-${this.#options.name}`;
  }

  async #done(trial: Trial, args: readonly string[], codes: readonly number[] = [0]): Promise<void> {
    const ended = await this.qrun(...args).ended;
    const isFine = ended.code !== null && codes.includes(ended.code);
    trial.expect(isFine, `qrun ${args.join(' ')} ended with ${describe(ended)}`);
  }

  #write(unit: string, name: string): void {
    const query = this.#queries.get(unit)?.get(name);
    if (query === undefined) return;
    const { kind, version, rows, seconds } = query;
    const sql =
      kind === 'error'
        ? `SELECT no_such_column_${name} FROM system.one`
        : `SELECT '${unit}/${name}' AS q, ${version} AS v, number AS i, '${PAD}' AS pad FROM ` +
          `(SELECT number FROM system.numbers LIMIT ${rows}) WHERE sleep(${seconds}) = ${kind === 'normal' ? 0 : 1}`;
    writeFileSync(join(this.#root, unit, `${name}.sql`), `${sql}\n`);
  }

  #logHere(unit: string): string {
    return join(this.#root, 'results', logName(unit));
  }

  #hostLogs(unit: string): string[] {
    return this.#options.pair.hosts.map(host => join(this.rootOn(host), 'results', logName(unit)));
  }

  async #clean(isGood: boolean): Promise<void> {
    for (const host of this.#options.pair.hosts) {
      await host.here('pueue', 'clean', '--group', this.#group()).catch(() => '');
      await host.here('pueue', 'group', 'remove', this.#group()).catch(() => '');
      if (isGood && existsSync(this.rootOn(host)) && readdirSync(this.rootOn(host)).length > 0)
        await host.here('rm', '-rf', this.rootOn(host));
    }
    if (isGood) await this.#options.place.remove();
  }
}

function logName(unit: string): string {
  return `${unit}.ndjson`;
}

// Most are quick; some take long enough to be met by a fault.
function newQuery(unit: string, name: string, random: Random): OwnQuery {
  const kind = random.chance(0.1) ? 'error' : random.chance(0.1) ? 'skipped' : 'normal';
  const rows = random.int(1, 4);
  const seconds = random.chance(0.5) ? 0 : random.int(5, 40) / 100;
  return {
    ...{ kind, rows, seconds },
    version: 1,
    rowsOf: version =>
      kind === 'normal'
        ? Array.from({ length: rows }, (_, i) =>
            JSON.stringify({ q: `${unit}/${name}`, v: version, i, pad: PAD }),
          )
        : [],
  };
}
