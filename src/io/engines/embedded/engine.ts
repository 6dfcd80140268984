import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type EmbeddedAccess, NO_ACCESS } from '../../../core/engines/embedded/access.js';
import { ENGINE_SETTINGS } from '../../../core/engines/engine-settings.js';
import { type Failure, ownFailure } from '../../../core/engines/failure.js';
import { QrunError } from '../../../core/errors.js';
import type { Settings } from '../../../core/model.js';
import type { Engine, EngineInfo, EngineRequest, EngineResult } from '../engine.js';
import type { SpoolOptions } from '../result-body.js';
import { Running } from '../running.js';
import { Stop, type StopSignal } from '../stop.js';
import { isTimeZone } from '../time-zone.js';
import { EmbeddedAttempt, type EmbeddedContext, type Slot } from './attempt.js';
import { loadChdb } from './chdb.js';
import type { Connections } from './connections.js';
import { checkSettings, dieOfCrashes, engineFacts, openConnections, refuseMoreAccess } from './open.js';
import { openPipes, type ResultPipes } from './pipe.js';

/** Where the data of the engine is and how it is used. */
export interface EmbeddedOptions {
  /** Made where it does not exist. One process at a time can have it open. */
  readonly dataDirectory: string;
  /** How many queries are given to the engine at once; it runs {@link embeddedSlots} of them. */
  readonly concurrency: number;
  readonly spool: SpoolOptions;
  /** The user's settings for all queries. */
  readonly settings: Settings;
  /** What SQL may reach beyond the data; nothing where it is not given. */
  readonly access?: EmbeddedAccess;
  /** For dates without one; that of the process where it is not given. One for the life of the process. */
  readonly timeZone?: string;
  /** How many queries run at once, where it is not to be {@link embeddedSlots}. */
  readonly slots?: number;
  /**
   * How long a query may take to end after it was cancelled, milliseconds; 5,000 where it is not given. Then `run`
   * resolves although the query may still run, and its slot stays taken until it has ended.
   */
  readonly cancelLimitMs?: number;
}

const EMBEDDED_SETTINGS: Settings = {
  ...ENGINE_SETTINGS,
  // Two threads for each query that format nothing: 2,000 in place of 1,550 light queries a second on 2 cores.
  // A result of 300 MB takes 1.5 s in place of 1.2 s.
  output_format_parallel_formatting: '0',
};
// A query ends at its next block, and a block takes seconds at most.
const CANCEL_LIMIT_MS = 5000;
const PING_TIMEOUT_MS = 5000;
/** How many queries for each core a run gives to the engine when they are not light. */
export const HEAVY_FOR_EACH_CORE = 2;
// Of the threads of libuv: one for KILL QUERY, one for the files of the process.
const OTHER_THREADS = 2;

/**
 * How many queries the engine runs at once: eight for each core, where there are as many queries and the process
 * has threads for them. Each running query holds a thread of libuv, of which there are 4 unless
 * UV_THREADPOOL_SIZE was set before the process used the first; with none left nothing could be cancelled.
 *
 * Eight for each core, because between two light queries of a slot the main thread has its turn: on 2 cores 970
 * queries a second with 4 slots, 1,120 with 8 and 1,220 with 16. Heavy ones get {@link HEAVY_FOR_EACH_CORE} of them:
 * these use all cores anyway, and with twice as many an aggregation of 3 million keys took 20 % more CPU and twice
 * the memory.
 */
export function embeddedSlots(concurrency: number, cores: number, threads: number): number {
  return Math.max(1, Math.min(concurrency, 8 * cores, threads - OTHER_THREADS));
}

// As libuv reads it: at most 1,024, and 1 for what is no number.
function threads(): number {
  const value = process.env.UV_THREADPOOL_SIZE;
  return value === undefined ? 4 : Math.min(1024, Math.max(1, Number.parseInt(value, 10) || 1));
}

/**
 * Opens the engine `embedded`: ClickHouse inside this process (chDB), on a data directory.
 *
 * Rejects with QrunError `ENGINE_MISSING` (the package chdb is not there or not for this platform), `CONFIG`
 * (directory, time zone, settings; all bad settings at once), `DATA_LOCKED` (another process has the directory open) or
 * `ENGINE_UNREACHABLE` (`signal` aborted). It takes about 0.2 s and 250 MB, the first time in a process. Aborting
 * `signal` ends the opening; it does not close an open engine.
 *
 * An open engine must be closed before the process ends: a process cannot exit before its queries have.
 */
export async function openEmbedded(options: EmbeddedOptions, signal: AbortSignal): Promise<Engine> {
  const path = resolve(options.dataDirectory);
  const access = options.access ?? NO_ACCESS;
  const goOn = () => {
    if (!signal.aborted) return;
    throw new QrunError('ENGINE_UNREACHABLE', `opening the data directory ${path} was interrupted`, {
      cause: signal.reason,
    });
  };
  goOn();
  const cores = availableParallelism();
  const slots = options.slots ?? embeddedSlots(options.concurrency, cores, threads());
  // Begun first, because another process makes them while this one is busy with loading chDB.
  const opening = openPipes(slots);
  // It may fail before it is waited for.
  opening.catch(() => undefined);
  let connections: Connections | undefined;
  try {
    if (options.timeZone !== undefined) useTimeZone(options.timeZone);
    const connect = await loadChdb(access);
    goOn();
    connections = await openConnections(connect, path, access);
    await dieOfCrashes();
    goOn();
    await refuseMoreAccess(connections, access);
    const { version, timeZone } = await engineFacts(connections);
    refuseOtherTimeZone(timeZone, options.timeZone);
    await checkSettings(connections, options.settings);
    const pipes = await opening;
    const info = {
      kind: 'embedded',
      version,
      target: path,
      supportsParameters: true,
      slots,
      heavySlots: Math.min(slots, options.slots ?? HEAVY_FOR_EACH_CORE * cores),
      diesWithProcess: true,
    } as const;
    return new EmbeddedEngine(info, options, connections, pipes);
  } catch (error) {
    await connections?.close();
    await opening.then(
      pipes => pipes.close(),
      () => undefined,
    );
    throw error;
  }
}

// The engine reads the variable when it is opened for the first time; the system's own zone would decide without it.
function useTimeZone(name: string): void {
  if (!isTimeZone(name)) {
    throw new QrunError('CONFIG', `the time zone ${JSON.stringify(name)} is none that ClickHouse knows`, {
      hint: 'set TZ to a name of the tz database, such as UTC or Asia/Tokyo',
    });
  }
  if (process.env.TZ !== name) process.env.TZ = name;
}

function refuseOtherTimeZone(is: string, wanted: string | undefined): void {
  if (wanted === undefined || is === wanted) return;
  throw new QrunError('CONFIG', `the embedded engine works in the time zone ${is}, not in ${wanted}`, {
    hint: 'it keeps its first one for the life of the process: use a process for each time zone',
  });
}

class EmbeddedEngine implements Engine {
  readonly info: EngineInfo;
  readonly #context: EmbeddedContext;
  readonly #pipes: ResultPipes;
  readonly #free: Slot[];
  readonly #waiting: ((slot: Slot) => void)[] = [];
  // Slots of calls that could not be cancelled.
  readonly #lost = new Set<Promise<void>>();
  readonly #running = new Running();
  readonly #closing = new AbortController();
  readonly #onExit = () => {
    for (const pipe of this.#pipes.pipes) pipe.abandon();
  };
  #closed: Promise<void> | undefined;

  constructor(info: EngineInfo, options: EmbeddedOptions, connections: Connections, pipes: ResultPipes) {
    this.info = info;
    const settings = { ...EMBEDDED_SETTINGS, ...options.settings };
    const cancelLimitMs = options.cancelLimitMs ?? CANCEL_LIMIT_MS;
    const access = options.access ?? NO_ACCESS;
    this.#context = { connections, spool: options.spool, settings, cancelLimitMs, access };
    this.#pipes = pipes;
    this.#free = pipes.pipes.map(pipe => ({ pipe, session: undefined }));
    process.once('exit', this.#onExit);
  }

  run(request: EngineRequest): Promise<EngineResult> {
    const stop = new Stop(request.signal, this.#closing.signal);
    return this.#track(this.#runInSlot(request, stop), stop);
  }

  ping(signal: AbortSignal): Promise<Failure | undefined> {
    const stop = new Stop(signal, this.#closing.signal);
    return this.#track(this.#ping(stop), stop);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await this.#running.ended();
    if (this.#lost.size > 0) {
      // What could not be cancelled still writes into its pipe; chDB closes when it ends.
      void Promise.allSettled(this.#lost).then(() => this.#release());
      return;
    }
    await this.#release();
  }

  async #release(): Promise<void> {
    const { connections } = this.#context;
    for (const { session } of this.#free) if (session !== undefined) connections.discard(session.connection);
    await connections.close();
    await this.#pipes.close();
    process.off('exit', this.#onExit);
  }

  async #runInSlot(request: EngineRequest, stop: Stop): Promise<EngineResult> {
    const slot = await this.#take(stop);
    if (slot === undefined) {
      const why = this.#closed === undefined ? 'cancelled by qrun' : 'the engine is closed';
      const failure = ownFailure('ABORTED', 'transient', `${why}; it was not sent`);
      return { ok: false, failure: { ...failure, neverStarted: true } };
    }
    // From here on, because the time in the queue is not the query's.
    stop.startDeadline(request.timeoutMs);
    const attempt = new EmbeddedAttempt(request, stop, slot, this.#context);
    try {
      return await attempt.run();
    } finally {
      const free = attempt.whenSlotIsFree();
      if (free === undefined) this.#give(slot);
      else this.#giveLater(slot, free);
    }
  }

  #take(signal: StopSignal): Promise<Slot | undefined> | Slot | undefined {
    if (signal.aborted) return undefined;
    const slot = this.#free.pop();
    if (slot !== undefined) return slot;
    return new Promise(resolve => {
      const take = (given: Slot) => {
        signal.removeEventListener('abort', leave);
        resolve(given);
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        resolve(undefined);
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #give(slot: Slot): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }

  #giveLater(slot: Slot, free: Promise<void>): void {
    const given = free.then(() => {
      this.#lost.delete(given);
      this.#give(slot);
    });
    this.#lost.add(given);
  }

  async #ping(stop: Stop): Promise<Failure | undefined> {
    if (stop.why !== undefined)
      return ownFailure('ABORTED', 'transient', 'cancelled by qrun; it was not sent');
    stop.startDeadline(PING_TIMEOUT_MS);
    const stopped = new Promise<undefined>(resolve => {
      stop.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    const answer = await Promise.race([this.#context.connections.control('SELECT 1'), stopped]);
    if (answer !== undefined) return answer.ok ? undefined : answer.failure;
    return stop.why === 'ABORTED'
      ? ownFailure('ABORTED', 'transient', 'cancelled by qrun')
      : ownFailure('TIMEOUT', 'transient', `the engine did not answer within ${PING_TIMEOUT_MS / 1000} s`);
  }

  async #track<T>(running: Promise<T>, stop: Stop): Promise<T> {
    this.#running.begin();
    try {
      return await running;
    } finally {
      this.#running.end();
      stop.dispose();
    }
  }
}
