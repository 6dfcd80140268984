import { ENGINES } from '../../../src/core/engines/facts.js';
import {
  type Failure,
  httpFailure,
  ownFailure,
  serverFailure,
  transportFailure,
} from '../../../src/core/engines/failure.js';
import type { Engine, EngineOutcome, EngineRequest, EngineResult } from '../../../src/io/engines/engine.js';
import { type ResultBody, ResultWriter } from '../../../src/io/engines/result-body.js';
import type { SimProcess, World } from './world.js';

/** What a query of a simulation does. */
export interface Behaviour {
  readonly rows: readonly string[];
  /** Fails each time. */
  readonly permanent?: boolean;
  /** So many attempts meet a full server first. */
  readonly refusals?: number;
  /** So many answers are lost on the way. */
  readonly losses?: number;
  /** The server dies of it. */
  readonly poison?: boolean;
  /** Changes data. */
  readonly insert?: boolean;
}

interface Running {
  readonly process: SimProcess;
  readonly finish: (outcome: EngineOutcome) => void;
}

/** A server of a simulation, which restarts by itself when it has died. */
export class SimServer {
  readonly #world: World;
  readonly #behaviours: ReadonlyMap<string, Behaviour>;
  readonly #left = new Map<string, { refusals: number; losses: number }>();
  #running = new Set<Running>();
  #downUntil = 0;
  /** Until then a balancer before the server answers queries with 503, while the server answers pings. */
  refusingUntil = 0;
  /** How often an INSERT was carried out, by run and query. */
  readonly effects = new Map<string, number>();
  /** How many attempts were made, by run and query. */
  readonly attempts = new Map<string, number>();

  constructor(world: World, behaviours: ReadonlyMap<string, Behaviour>) {
    this.#world = world;
    this.#behaviours = behaviours;
    for (const [name, { refusals = 0, losses = 0 }] of behaviours) this.#left.set(name, { refusals, losses });
  }

  /** The server dies with everything that runs on it, and is back later. */
  die(why: string): void {
    const downMs = this.#world.random.int(50, 20_000);
    this.#world.tell(`server dies ${why}, back in ${downMs} ms`);
    this.#world.faults += 1;
    this.#downUntil = this.#world.nowMs + downMs;
    const running = this.#running;
    this.#running = new Set();
    for (const { process, finish } of running) {
      this.#world.at(this.#world.random.next() * 5, process, () =>
        finish({ ok: false, failure: transportFailure({ code: 'ECONNRESET', message: 'socket hang up' }) }),
      );
    }
  }

  /** The server as the engine of one process. */
  for(process: SimProcess, run: string): Engine {
    const world = this.#world;
    return {
      info: {
        facts: ENGINES.clickhouse,
        version: '25.1',
        target: 'simulated',
        supportsParameters: true,
        permits: 64,
      },
      run: request => this.#run(process, run, request),
      ping: signal =>
        new Promise(resolve => {
          world.at(1 + world.random.next() * 5, process, () =>
            resolve(signal.aborted ? ABORTED : this.#down()),
          );
        }),
      close: async () => {},
    };
  }

  #down(): Failure | undefined {
    if (this.#world.nowMs >= this.#downUntil) return undefined;
    const message = 'connect ECONNREFUSED';
    return transportFailure({ code: 'ECONNREFUSED', syscall: 'connect', message });
  }

  #run(process: SimProcess, run: string, request: EngineRequest): Promise<EngineResult> {
    const world = this.#world;
    const name = /'(\w+)'/.exec(request.query.statements[0]?.text ?? '')?.[1] ?? '';
    const key = `${run} ${name}`;
    this.attempts.set(key, (this.attempts.get(key) ?? 0) + 1);
    if (request.begin?.() === false) return Promise.resolve({ ok: false, failure: ABORTED, durationMs: 0 });
    const startedMs = world.nowMs;
    return new Promise(resolve => {
      let over = false;
      const finish = (outcome: EngineOutcome): void => {
        if (over) return;
        over = true;
        this.#running.delete(entry);
        resolve({ ...outcome, durationMs: world.nowMs - startedMs });
      };
      const entry: Running = { process, finish };
      const abort = (): void => finish({ ok: false, failure: ABORTED });
      request.signal.addEventListener('abort', abort, { once: true });
      if (request.signal.aborted) return abort();
      // The connection is made a little later; it may find the server gone.
      world.at(world.random.next() * 2, process, () => {
        const failure = this.#refusal(name);
        if (over || failure !== undefined) {
          if (failure !== undefined) finish({ ok: false, failure });
          return;
        }
        this.#running.add(entry);
        world.at(world.random.next() * 200, undefined, () => {
          if (this.#running.has(entry)) this.#end(name, key, entry);
        });
      });
    });
  }

  #refusal(name: string): Failure | undefined {
    const down = this.#down();
    if (down !== undefined) return down;
    if (this.#world.nowMs < this.refusingUntil) {
      return httpFailure({ status: 503, body: 'no server is available' }, this.#world.nowMs);
    }
    const left = this.#left.get(name);
    if (left === undefined || left.refusals === 0) return undefined;
    left.refusals -= 1;
    this.#world.faults += 1;
    const message =
      'Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)';
    return serverFailure({ code: 202, name: 'TOO_MANY_SIMULTANEOUS_QUERIES', message });
  }

  #end(name: string, key: string, { process, finish }: Running): void {
    const behaviour = this.#behaviours.get(name);
    const left = this.#left.get(name);
    if (behaviour?.poison === true) {
      this.die(`of ${name}`);
      return;
    }
    if (behaviour?.insert === true) this.effects.set(key, (this.effects.get(key) ?? 0) + 1);
    const result = async (): Promise<EngineOutcome> => {
      if (behaviour?.permanent === true) {
        const message = 'Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)';
        return { ok: false, failure: serverFailure({ code: 60, name: 'UNKNOWN_TABLE', message }) };
      }
      if (left !== undefined && left.losses > 0) {
        left.losses -= 1;
        this.#world.faults += 1;
        return { ok: false, failure: transportFailure({ code: 'ECONNRESET', message: 'read ECONNRESET' }) };
      }
      return { ok: true, body: await bodyOf(behaviour?.rows ?? []), stats: undefined };
    };
    void result().then(end => this.#world.at(this.#world.random.next(), process, () => finish(end)));
  }
}

const ABORTED = ownFailure('ABORTED', 'transient', 'cancelled by qrun');

async function bodyOf(rows: readonly string[]): Promise<ResultBody> {
  const writer = new ResultWriter({ directory: '/', thresholdBytes: Number.POSITIVE_INFINITY });
  for (const row of rows) await writer.write(Buffer.from(`${row}\n`));
  const body = await writer.finish();
  if ('reason' in body) throw new Error(body.reason);
  return body;
}
