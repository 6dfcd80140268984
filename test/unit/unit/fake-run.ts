import { setMaxListeners } from 'node:events';
import { DueQueries, type PlannedQuery } from '../../../src/app/unit/due-queries.js';
import type { ReadQuery, UnitPlan } from '../../../src/app/unit/plan.js';
import { runUnit } from '../../../src/app/unit/pool.js';
import type { RunDeps, RunOptions } from '../../../src/app/unit/run-options.js';
import type { Clock } from '../../../src/core/clock.js';
import { ENGINES } from '../../../src/core/engines/facts.js';
import { type Failure, ownFailure, transportFailure } from '../../../src/core/engines/failure.js';
import type { GroupHead } from '../../../src/core/log/record.js';
import { decodeSql, parseQuery } from '../../../src/core/sql/parse.js';
import type { RunEvent, RunSummary } from '../../../src/core/unit/events.js';
import { fingerprinter } from '../../../src/core/unit/fingerprint.js';
import type { PlanReason } from '../../../src/core/unit/plan.js';
import type {
  Engine,
  EngineInfo,
  EngineOutcome,
  EngineRequest,
  EngineResult,
} from '../../../src/io/engines/engine.js';
import { Permits } from '../../../src/io/engines/permits.js';
import type { ResultBody } from '../../../src/io/engines/result-body.js';
import type { GroupContent, ResultLog } from '../../../src/io/log/result-log.js';

/**
 * Time that passes only while everybody waits for it: when the event loop comes round, the earliest timer is
 * due. Hours take no time, and the order of what happens is always the same.
 */
export class FakeClock implements Clock {
  readonly startMs = Date.parse('2026-01-31T12:00:00.000Z');
  #elapsedMs = 0;
  #timers: { atMs: number; fire: () => void }[] = [];
  #turning = false;

  nowMs(): number {
    return this.startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  delay(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (signal?.aborted === true) return resolve();
      const timer = { atMs: this.#elapsedMs + ms, fire: () => done() };
      const done = (): void => {
        this.#timers = this.#timers.filter(other => other !== timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      signal?.addEventListener('abort', done, { once: true });
      this.#timers.push(timer);
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(() => {
      this.#turning = false;
      const next = this.#timers.reduce<{ atMs: number; fire: () => void } | undefined>(
        (first, timer) => (first === undefined || timer.atMs < first.atMs ? timer : first),
        undefined,
      );
      if (next === undefined) return;
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
      next.fire();
      this.#turn();
    });
  }
}

/** Rows as an engine gives them. */
export function bodyOf(rows: readonly object[]): ResultBody & { disposed: number } {
  const bytes = Buffer.from(rows.map(row => `${JSON.stringify(row)}\n`).join(''));
  const body = {
    rows: rows.length,
    sizeBytes: bytes.length,
    kind: 'memory' as const,
    disposed: 0,
    async *chunks() {
      yield bytes;
    },
    bytes: () => bytes,
    dispose: async () => {
      body.disposed += 1;
    },
  };
  return body;
}

export function success(rows = 1): EngineOutcome {
  return { ok: true, body: bodyOf(Array.from({ length: rows }, (_, n) => ({ n }))), stats: undefined };
}

export function failed(failure: Failure): EngineOutcome {
  return { ok: false, failure };
}

export const SYNTAX: Failure = { ...ownFailure('SYNTAX_ERROR', 'permanent', 'Code: 62. bad'), code: 62 };
export const OVERLOAD: Failure = {
  ...ownFailure('TOO_MANY_SIMULTANEOUS_QUERIES', 'transient', 'Code: 202. busy'),
  code: 202,
};
export const LOST = transportFailure({ code: 'ECONNRESET', syscall: 'read', message: 'read ECONNRESET' });
export const REFUSED = transportFailure({
  code: 'ECONNREFUSED',
  syscall: 'connect',
  message: 'connect ECONNREFUSED',
});
export const ABORTED = ownFailure('ABORTED', 'transient', 'cancelled by qrun');

/** One call of `run`: which query, its how-manyth call, and what was asked. */
export interface Call {
  readonly name: string;
  readonly nth: number;
  readonly atMs: number;
  readonly request: EngineRequest;
}

type Script = (call: Call, engine: FakeEngine) => EngineOutcome | Promise<EngineOutcome>;

/** An engine that answers as a script says, and can be down. */
export class FakeEngine implements Engine {
  readonly info: EngineInfo = {
    facts: ENGINES.clickhouse,
    version: '26.7.3.1',
    target: 'http://fake:8123',
    supportsParameters: true,
    permits: 1000,
  };
  readonly calls: Call[] = [];
  readonly pings: number[] = [];
  /** What a ping is told while the engine is down. */
  whyDown: Failure = REFUSED;
  /** Calls that came while the engine was down. */
  whileDown = 0;
  running = 0;
  maxRunning = 0;
  readonly clock: FakeClock;
  readonly #script: Script;
  readonly #permits: Permits<object>;
  #upAtMs = 0;
  #endAll = newLife();

  constructor(clock: FakeClock, script: Script, slots = 1000, inProcess = false) {
    this.clock = clock;
    this.#script = script;
    this.#permits = new Permits(Array.from({ length: slots }, () => ({})));
    this.info = { ...this.info, facts: { ...this.info.facts, inProcess }, permits: slots };
  }

  get down(): boolean {
    return this.clock.monotonicMs() < this.#upAtMs;
  }

  /** Ends everything that runs, and answers nobody for so long. */
  die(forMs: number): void {
    this.#upAtMs = this.clock.monotonicMs() + forMs;
    const ended = this.#endAll;
    this.#endAll = newLife();
    ended.abort();
  }

  /** Takes no new connections for so long, and lets those that are there end. */
  refuse(forMs: number): void {
    this.#upAtMs = this.clock.monotonicMs() + forMs;
  }

  names(): string[] {
    return this.calls.map(call => call.name);
  }

  async run(request: EngineRequest): Promise<EngineResult> {
    const taking = this.#permits.take(request.signal);
    const place = taking instanceof Promise ? await taking : taking;
    if (place === undefined) return { ...failed({ ...ABORTED, neverStarted: true }), durationMs: 0 };
    const startedMs = this.clock.monotonicMs();
    try {
      const outcome =
        request.begin?.() === false
          ? failed({ ...ABORTED, neverStarted: true })
          : await this.#runInPlace(request);
      return { ...outcome, durationMs: this.clock.monotonicMs() - startedMs };
    } finally {
      this.#permits.give(place);
    }
  }

  async #runInPlace(request: EngineRequest): Promise<EngineOutcome> {
    const text = request.query.statements[0]?.text ?? '';
    const name = /'(\w+)'/.exec(text)?.[1] ?? text;
    const nth = this.calls.filter(call => call.name === name).length + 1;
    const call = { name, nth, atMs: this.clock.monotonicMs(), request };
    this.calls.push(call);
    if (request.signal.aborted) return failed({ ...ABORTED, neverStarted: true });
    if (this.down) {
      this.whileDown += 1;
      return failed(this.whyDown);
    }
    this.running += 1;
    this.maxRunning = Math.max(this.maxRunning, this.running);
    const life = this.#endAll.signal;
    try {
      const result = await Promise.race([
        this.#script(call, this),
        aborted(life).then(() => failed(LOST)),
        aborted(request.signal).then(() => failed(ABORTED)),
      ]);
      return life.aborted ? failed(LOST) : result;
    } finally {
      this.running -= 1;
    }
  }

  async ping(signal: AbortSignal): Promise<Failure | undefined> {
    this.pings.push(this.clock.monotonicMs());
    await this.clock.delay(1);
    if (signal.aborted) return ABORTED;
    return this.down ? this.whyDown : undefined;
  }

  async close(): Promise<void> {}
}

// Each running query listens.
function newLife(): AbortController {
  const life = new AbortController();
  setMaxListeners(0, life.signal);
  return life;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** A log that keeps groups in memory and acknowledges at once. */
export class MemoryLog implements Pick<ResultLog, 'append' | 'records' | 'path'> {
  readonly path = '/logs/unit.ndjson';
  readonly groups: { head: GroupHead; content: GroupContent }[] = [];
  records = 0;

  async append(head: GroupHead, content: GroupContent): Promise<boolean> {
    this.groups.push({ head, content });
    this.records += content.outcome === 'normal' ? content.body.rows : 1;
    if (content.outcome === 'normal') await content.body.dispose();
    return true;
  }

  /** `name outcome attempt` of each group, in order. */
  lines(): string[] {
    return this.groups.map(({ head, content }) => `${head.query} ${content.outcome} ${head.attempt}`);
  }

  error(query: string): string | undefined {
    const group = this.groups.find(({ head }) => head.query === query);
    return group?.content.outcome === 'error' ? group.content.error.name : undefined;
  }
}

/** Query files by name. */
export type Files = Readonly<Record<string, string>>;

/** Files `q1` to `q<count>` that only read. */
export function reads(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`q${n + 1}`, `SELECT 'q${n + 1}'`]));
}

export const fingerprint = fingerprinter({ parameters: {}, settings: {} });

/** The queries of a plan in which every file is due. */
export function queriesOf(files: Files, reason: PlanReason = 'new'): PlannedQuery[] {
  return Object.entries(files).map(([name, sql]) => ({
    name,
    fingerprint: fingerprint(Buffer.from(sql)),
    reason,
  }));
}

/** A plan in which every file is due. */
export function planOf(files: Files, reason: PlanReason = 'new'): UnitPlan {
  const due = new DueQueries();
  for (const query of queriesOf(files, reason)) due.add(query);
  const others = { usesParameters: false, cannotRun: [], refused: 0, noStatement: [] };
  return { due, settled: 0, keptErrors: 0, ...others };
}

export function readOf(sql: string): ReadQuery {
  const bytes = Buffer.from(sql);
  return { bytes, query: parseQuery(decodeSql(bytes)) };
}

export interface FakeRun {
  readonly files: Files;
  readonly script: Script;
  readonly options?: Partial<RunOptions>;
  readonly log?: Pick<ResultLog, 'append' | 'records' | 'path'>;
  readonly deps?: Partial<Pick<RunDeps, 'inflight' | 'suspects' | 'freeDescriptors'>>;
  /** The engine runs inside the process. */
  readonly inProcess?: boolean;
  readonly read?: RunDeps['read'];
  readonly random?: () => number;
  /** How many queries the engine runs at once. */
  readonly slots?: number;
  readonly onEvent?: (event: RunEvent, engine: FakeEngine) => void;
}

export interface FakeRunResult {
  readonly summary: RunSummary;
  readonly events: RunEvent[];
  readonly engine: FakeEngine;
  readonly log: MemoryLog;
  readonly clock: FakeClock;
}

/** Runs files on a fake engine with a fake clock; the log is in memory unless another one is given. */
export async function fakeRun({ files, script, options, ...rest }: FakeRun): Promise<FakeRunResult> {
  const clock = new FakeClock();
  const engine = new FakeEngine(clock, script, rest.slots, rest.inProcess);
  const log = new MemoryLog();
  const events: RunEvent[] = [];
  const summary = await runUnit(
    {
      engine,
      log: rest.log ?? log,
      read: rest.read ?? (name => readOf(files[name] ?? '')),
      fingerprint,
      clock,
      random: rest.random ?? (() => 0.5),
      ...rest.deps,
      emit: event => {
        events.push(event);
        rest.onEvent?.(event, engine);
      },
    },
    {
      run: 'r1',
      unit: 'unit',
      plan: planOf(files),
      parameters: {},
      settings: {},
      concurrency: 4,
      timeoutMs: 60_000,
      retries: 3,
      halt: undefined,
      outageLimitMs: 60_000,
      drain: new AbortController().signal,
      abort: new AbortController().signal,
      ...options,
    },
  );
  return { summary, events, engine, log, clock };
}

/** The events of one type. */
export function eventsOf<T extends RunEvent['type']>(
  events: readonly RunEvent[],
  type: T,
): Extract<RunEvent, { type: T }>[] {
  return events.filter((event): event is Extract<RunEvent, { type: T }> => event.type === type);
}
