import { runUnitSession, type UnitDeps, type UnitRequest } from '../../../src/app/unit/session.js';
import { QrunError } from '../../../src/core/errors.js';
import type { RunEvent } from '../../../src/core/unit/events.js';
import { ResultLog } from '../../../src/io/log/result-log.js';
import { checkBytes } from '../checker.js';
import type { Ack } from '../journal.js';
import { checkLedger } from '../ledger.js';
import { type Random, randomOf } from '../random.js';
import { SimDisk, SimLock } from './disk.js';
import { makeQueries, mayFail, PROFILES, type Profile, RETRIES, sqlOf } from './profiles.js';
import { type Behaviour, SimServer } from './server.js';
import { NO_HAZARDS, type SimProcess, World } from './world.js';

/** What a seed led to. */
export interface SeedResult {
  readonly seed: number;
  readonly profile: string;
  readonly violations: readonly string[];
  readonly faults: number;
  readonly steps: number;
  /** Of every step, when it was asked for. */
  readonly history: readonly string[];
}

const UNIT = 'sim';
const LOG = '/results/sim.ndjson';
const JOURNAL = '/journal';

/**
 * Runs one seed: a unit is run by one process after the other, and by some at once, with the faults of the seed's
 * profile, and in the end by one without faults. All of qrun's code above the disk and the network is the real one.
 */
export async function runSeed(seed: number, keepHistory = false): Promise<SeedResult> {
  const profile = PROFILES[seed % PROFILES.length] ?? PROFILES[0];
  const scenario = new Scenario(profile, randomOf(seed), keepHistory);
  await scenario.run();
  const { violations, world } = scenario;
  const { faults, steps, history = [] } = world;
  return { seed, profile: profile.name, violations, faults, steps, history };
}

class Scenario {
  readonly violations: string[] = [];
  readonly world: World;
  readonly #profile: Profile;
  readonly #random: Random;
  readonly #disk: SimDisk;
  readonly #lock: SimLock;
  readonly #server: SimServer;
  readonly #behaviours: ReadonlyMap<string, Behaviour>;
  readonly #innocent: ReadonlySet<string>;
  readonly #acks: Ack[] = [];
  readonly #shellAcks: string[] = [];
  readonly #live = new Set<SimProcess>();
  #leaseHolder: SimProcess | undefined;
  #initial: Buffer = Buffer.alloc(0);
  #runs = 0;
  #splitGroups = false;
  // Queries are refused for longer than their retries last.
  #refused = false;
  // Nothing is injected any more.
  #calm = false;

  constructor(profile: Profile, random: Random, keepHistory: boolean) {
    this.#profile = profile;
    this.#random = random;
    this.world = new World(random, { ...NO_HAZARDS, ...profile.hazards(random) }, keepHistory);
    this.#disk = new SimDisk(this.world, random.chance(0.2));
    this.#lock = new SimLock(this.world);
    const { behaviours, innocent } = makeQueries(random, profile.serverFaults === true);
    this.#behaviours = behaviours;
    this.#innocent = innocent;
    this.#server = new SimServer(this.world, behaviours);
    this.#splitGroups = profile.shells === true || profile.rogue === true;
  }

  async run(): Promise<void> {
    this.#scheduleServerFaults();
    for (let round = this.#random.int(2, 5); round > 0 && this.violations.length === 0; round -= 1) {
      await this.#faultyRound();
      if (this.#profile.powerLoss === true && this.#random.chance(0.6)) this.#losePower();
    }
    if (this.violations.length > 0) return;
    await this.#lastRun();
    this.#judge('at the end');
    if (this.violations.length > 0) return;
    // What was acknowledged, and what the last run said is complete, must be on the disk. The lines of a writer
    // without the lock need not be.
    if (this.#profile.rogue === true) return;
    this.#losePower();
    this.#judge('after a power loss at the end');
  }

  async #faultyRound(): Promise<void> {
    const count = this.#random.int(1, this.#profile.processes);
    for (let n = 0; n < count; n += 1) {
      this.world.at(this.#random.next() * 300, undefined, () => this.#startProcess());
    }
    let waiting = count;
    this.world.at(301, undefined, () => {
      waiting = 0;
    });
    if (this.#profile.shells === true) this.#startShell();
    if (this.#profile.rogue === true) this.#scheduleRogue();
    const killAt = this.#random.chance(0.4) ? this.world.nowMs + this.#random.int(50, 3_000) : Infinity;
    if (killAt < Infinity) {
      this.world.at(killAt - this.world.nowMs, undefined, () => {
        if (this.world.hazards.noTornEnds || this.world.hazards.crash === 0) return;
        for (const process of [...this.#live]) this.world.kill(process, 'from outside');
      });
    }
    await this.#until(() => waiting === 0 && this.#live.size === 0, 'a round');
    this.#checkLedger('after a round');
  }

  async #lastRun(): Promise<void> {
    this.world.hazards = NO_HAZARDS;
    this.#server.refusingUntil = 0;
    this.#calm = true;
    let code = await this.#runToEnd();
    if (code === 23 && this.#profile.rogue === true) {
      // A foreign line in the middle of a record needs a person, who takes out what cannot be read.
      this.world.tell('bad lines are taken out by hand');
      this.#disk.takeOutBadLines(LOG);
      this.#initial = Buffer.from(this.#disk.read(LOG));
      code = await this.#runToEnd();
    }
    const allowed = [...this.#behaviours.values()].some(mayFail) ? [0, 20] : [0];
    if (!allowed.includes(code ?? -1)) this.violations.push(`the last run ended with ${code}`);
  }

  async #runToEnd(): Promise<number | undefined> {
    const { exit } = this.#startProcess();
    let code: number | undefined;
    void exit.then(value => {
      code = value;
    });
    await this.#until(() => code !== undefined, 'the last run');
    return code;
  }

  async #until(done: () => boolean, what: string): Promise<void> {
    const limits = { steps: this.world.steps + 60_000, untilMs: this.world.nowMs + 7_200_000 };
    if (!(await this.world.run(done, limits))) this.violations.push(`${what} does not end`);
  }

  #startProcess(): { readonly process: SimProcess; readonly exit: Promise<number> } {
    const process = this.world.newProcess();
    this.#live.add(process);
    process.onDeath.push(() => {
      this.#live.delete(process);
      if (this.#leaseHolder === process) this.#leaseHolder = undefined;
    });
    this.#runs += 1;
    const run = `r${this.#runs}`;
    this.world.tell(`${process.pid} starts ${run}`);
    const exit = this.#session(process, run).then(code => {
      if (!process.dead) this.world.tell(`${process.pid} ends with ${code}`);
      this.#live.delete(process);
      return code;
    });
    return { process, exit };
  }

  async #session(process: SimProcess, run: string): Promise<number> {
    const drain = new AbortController();
    const abort = new AbortController();
    if (this.#profile.stops === true && !this.#calm && this.#random.chance(0.3)) {
      this.world.at(this.#random.int(1, 2_000), process, () => drain.abort('SIGTERM'));
      this.world.at(this.#random.int(2_000, 9_000), process, () => abort.abort('SIGTERM'));
    }
    try {
      const summary = await runUnitSession(
        this.#deps(process, run),
        this.#request(run, drain.signal, abort.signal),
      );
      if (process.dead) return -1;
      if (summary.not_run === 0 && [0, 20].includes(summary.exit_code)) this.#claimComplete(process, run);
      return summary.exit_code;
    } catch (error) {
      if (process.dead) return -1;
      if (!(error instanceof QrunError)) {
        // A stop that comes while a unit is planned ends the planning, if that takes long enough to look.
        const isStopped = drain.signal.aborted && error === drain.signal.reason;
        const aborted = isStopped || (error instanceof Error && error.name === 'AbortError');
        if (!aborted) this.violations.push(`${process.pid}: a bug: ${(error as Error)?.stack ?? error}`);
        return 1;
      }
      this.world.tell(`${process.pid} ${error.code}: ${error.message}`);
      this.#expectError(error);
      return error.exitCode;
    }
  }

  // Each fault of a world has errors that it may lead to; any other is a fault of qrun.
  #expectError({ code, message }: QrunError): void {
    const { hazards } = this.world;
    const { rogue, lease, serverFaults } = this.#profile;
    const expected =
      (code === 'UNIT_RUNNING' && lease) ||
      (['WRITE_FAILED', 'READ_FAILED', 'LOG_UNUSABLE'].includes(code) &&
        hazards.writeError + hazards.readError > 0) ||
      (code === 'WRITE_FAILED' && hazards.syncError > 0) ||
      (code === 'LOG_SYNC' && hazards.syncError > 0) ||
      (code === 'LOCK_BUSY' && hazards.stop > 0) ||
      (code === 'LOG_DAMAGED' && rogue === true) ||
      (code === 'ENGINE_LOST' && serverFaults === true);
    if (!expected) this.violations.push(`unexpected ${code}: ${message}`);
  }

  // Whoever ends well says that all queries are settled: the same promise as an acknowledgement.
  #claimComplete(process: SimProcess, run: string): void {
    for (const [query, behaviour] of this.#behaviours) {
      if (mayFail(behaviour)) continue;
      if (!this.#acks.some(ack => ack.query === query && ack.recorded?.run === run)) {
        this.#note({ query, pid: process.pid });
      }
    }
  }

  #deps(process: SimProcess, run: string): UnitDeps {
    const { world } = this;
    return {
      source: {
        directory: '/unit',
        list: () => [...this.#behaviours.keys()],
        read: name => Buffer.from(sqlOf(name, this.#behaviours.get(name))),
      },
      identity: async () => IDENTITY,
      takeLease: async () => {
        if (this.#profile.lease && this.#leaseHolder !== undefined) {
          throw new QrunError('UNIT_RUNNING', `pid ${this.#leaseHolder.pid} runs the unit`);
        }
        this.#leaseHolder = process;
        return {
          release: () => {
            if (this.#leaseHolder === process) this.#leaseHolder = undefined;
          },
        };
      },
      openLog: () =>
        ResultLog.open({
          path: LOG,
          unit: UNIT,
          disk: this.#disk.for(process),
          lock: this.#lock.for(process, `${LOG}.lock`),
          onRepair: ({ bytes, reason }) => world.tell(`${process.pid} repaired ${bytes} bytes: ${reason}`),
        }),
      readRuns: () => [],
      appendRun: () => world.call(process, 'append to the sidecar', () => {}),
      readSetupFiles: () => [],
      openEngine: () => world.call(process, 'open the engine', () => this.#server.for(process, run)),
      withSetupLock: work => work(),
      clock: world.clockOf(process),
      random: () => this.#random.next(),
      emit: event => this.#onEvent(process, run, event),
    };
  }

  #request(run: string, drain: AbortSignal, abort: AbortSignal): UnitRequest {
    return {
      ...{ run, unit: UNIT, directory: '/unit', inputs: { parameters: {}, settings: {} }, settings: {} },
      selection: { include: [], exclude: [], shard: undefined, shuffle: undefined },
      ...{ limit: undefined, rerun: 'errors', allowPlaceholders: false, concurrency: this.#random.int(1, 4) },
      ...{ timeoutMs: 0, retries: RETRIES, outageLimitMs: 600_000, halt: undefined, rowsPerQuery: undefined },
      ...{ setup: false, drain, abort },
    };
  }

  #onEvent(process: SimProcess, run: string, event: RunEvent): void {
    if (process.dead) return;
    if (event.type !== 'query_recorded') return;
    this.world.tell(`${process.pid} recorded ${event.query} (${event.outcome})`);
    this.#note({ query: event.query, recorded: { run, attempt: event.attempt }, pid: process.pid });
    const { query, outcome } = event;
    // Others on the same server have queries of their own that kill it.
    const alone = this.#profile.processes === 1 || this.#calm;
    if (outcome === 'error' && this.#innocent.has(query) && alone && !this.#refused) {
      this.violations.push(`${query} stands as error, although it did no harm: ${event.error?.message}`);
    }
    const attempts = this.#server.attempts.get(`${run} ${query}`) ?? 0;
    if (attempts > 150) this.violations.push(`${query} was attempted ${attempts} times`);
  }

  #note(ack: Ack): void {
    this.#acks.push(ack);
    this.#disk.note({ kind: 'W', path: JOURNAL, data: Buffer.from(JSON.stringify(ack)) }, ack.pid);
  }

  #startShell(): void {
    const process = this.world.newProcess();
    const lock = this.#lock.for(process, `${LOG}.lock`);
    const disk = this.#disk.for(process);
    this.#live.add(process);
    process.onDeath.push(() => this.#live.delete(process));
    const write = async (): Promise<void> => {
      const file = await disk.open(LOG);
      for (let number = 1; number <= 3; number += 1) {
        await lock.acquire({ limitMs: 1e9 });
        for (const part of [1, 2]) {
          await file.append(
            Buffer.from(`${JSON.stringify({ shell: process.pid, number, part, parts: 2 })}\n`),
          );
        }
        lock.release();
        if (!process.dead) this.#shellAcks.push(`${process.pid}/${number}`);
        await this.world.call(process, 'pause', () => {});
      }
      this.#live.delete(process);
    };
    void write();
  }

  // A program that appends whenever it likes: qrun cannot stop it, but must notice.
  #scheduleRogue(): void {
    for (let n = this.#random.int(1, 6); n > 0; n -= 1) {
      this.world.at(this.#random.next() * 400, undefined, () => {
        if (this.#calm) return;
        this.world.faults += 1;
        this.world.tell('a line from a writer without the lock');
        const line = { shell: 'rogue', number: this.world.faults, part: 1, parts: 1 };
        this.#disk.appendRaw(LOG, Buffer.from(`${JSON.stringify(line)}\n`), 1);
      });
    }
  }

  #scheduleServerFaults(): void {
    if (this.#profile.serverFaults !== true) return;
    if (this.#random.chance(0.7))
      this.world.at(this.#random.int(50, 800), undefined, () => this.#server.die('by chance'));
    if (this.#random.chance(0.3)) {
      this.#refused = true;
      this.world.at(this.#random.int(50, 800), undefined, () => {
        this.world.tell('queries get 503 for 5 s');
        this.world.faults += 1;
        this.#server.refusingUntil = this.#calm ? 0 : this.world.nowMs + 5_000;
      });
    }
  }

  #losePower(): void {
    for (const process of [...this.#live]) {
      process.betweenSyncAndRewrite = false;
      this.world.kill(process, 'by the power loss');
    }
    this.world.tell('power loss');
    this.world.faults += 1;
    this.#disk.losePower();
    this.#initial = Buffer.from(this.#disk.read(LOG));
  }

  #checkLedger(when: string): void {
    const content = this.#disk.read(LOG);
    const options = { initial: this.#initial, journal: JOURNAL };
    const found = checkLedger(this.#disk.calls, LOG, content, this.#disk.sides(LOG), options);
    this.violations.push(...found.map(text => `${when}: ${text}`));
  }

  #judge(when: string): void {
    if (when === 'at the end') this.#checkLedger(when);
    const finding = checkBytes(this.#disk.read(LOG), {
      unit: UNIT,
      acks: this.#acks,
      rows: query => this.#behaviours.get(query)?.rows ?? [],
      settled: [...this.#behaviours].filter(([, behaviour]) => !mayFail(behaviour)).map(([query]) => query),
      shellAcks: this.#shellAcks,
      splitGroups: this.#splitGroups,
    });
    this.violations.push(...finding.violations.map(text => `${when}: ${text}`));
    for (const [key, times] of this.#server.effects) {
      if (times > 1) this.violations.push(`the INSERT of ${key} was carried out ${times} times in one run`);
    }
  }
}

const IDENTITY = {
  ...{ user: 'sim', host: 'sim', pid: 1, qrun: '0', node: '20', arguments: [] },
  git_commit: null,
};
