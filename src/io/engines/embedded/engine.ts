import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type EmbeddedAccess, NO_ACCESS } from '../../../core/engines/embedded/access.js';
import { ENGINE_SETTINGS } from '../../../core/engines/engine-settings.js';
import { ENGINES } from '../../../core/engines/facts.js';
import type { Failure } from '../../../core/engines/failure.js';
import { QrunError } from '../../../core/errors.js';
import type { Settings } from '../../../core/model.js';
import { Attempts } from '../attempts.js';
import type { Engine, EngineInfo, EngineRequest, EngineResult } from '../engine.js';
import { Permits } from '../permits.js';
import type { SpoolOptions } from '../result-body.js';
import { isTimeZone } from '../time-zone.js';
import { EmbeddedAttempt, type EmbeddedContext, type EmbeddedPlace } from './attempt.js';
import { loadChdb } from './chdb.js';
import type { Connections } from './connections.js';
import { LightLoad } from './light-load.js';
import { checkSettings, dieOfCrashes, engineFacts, openConnections, refuseMoreAccess } from './open.js';
import { openPipes, type ResultPipes } from './pipe.js';

/** Where the data of the engine is and how it is used. */
export interface EmbeddedOptions {
  /** Created if it does not exist. One process at a time can have it open. */
  readonly dataDirectory: string;
  /** How many queries are given to the engine at once; it runs {@link embeddedPermits} of them. */
  readonly concurrency: number;
  readonly spool: SpoolOptions;
  /** The user's settings for all queries. */
  readonly settings: Settings;
  /** What SQL may reach beyond the data; nothing by default. */
  readonly access?: EmbeddedAccess;
  /** The time zone of dates that name none; by default that of the process. It is fixed for the life of the process. */
  readonly timeZone?: string;
  /** How many queries run at once, if it is not to be {@link embeddedPermits}. */
  readonly permits?: number;
  /**
   * How long a query may take to end after it was cancelled, in milliseconds; 5,000 by default. After that `run`
   * resolves although the query may still run, and its place stays taken until the query has ended.
   */
  readonly cancelLimitMs?: number;
}

const EMBEDDED_SETTINGS: Settings = {
  ...ENGINE_SETTINGS,
  // Saves two threads per query that format nothing: 2,000 instead of 1,550 light queries a second on 2 cores.
  // A result of 300 MB takes 1.5 s instead of 1.2 s.
  output_format_parallel_formatting: '0',
};
// A query ends at its next block, and a block takes seconds at most.
const CANCEL_LIMIT_MS = 5000;
// libuv threads kept free: one for KILL QUERY, one for the files of the process.
const OTHER_THREADS = 2;

/**
 * Returns how many queries the engine runs at once: as many as it can use, but no more than `concurrency`, and no more
 * than the process has threads for. Each running query holds a libuv thread. There are 4 unless UV_THREADPOOL_SIZE was
 * set before the process used the first one; with none left, nothing could be cancelled. Fewer queries run if they are
 * not light: see {@link LightLoad}.
 */
export function embeddedPermits(concurrency: number, cores: number, threads: number): number {
  return Math.max(1, Math.min(concurrency, ENGINES.embedded.mostQueries(cores), threads - OTHER_THREADS));
}

// As libuv reads it: at most 1,024, and 1 if it is not a number.
function threads(): number {
  const value = process.env.UV_THREADPOOL_SIZE;
  return value === undefined ? 4 : Math.min(1024, Math.max(1, Number.parseInt(value, 10) || 1));
}

/**
 * Opens the engine `embedded`: ClickHouse inside this process (chDB), on a data directory.
 *
 * Rejects with QrunError `ENGINE_MISSING` (the package chdb is not installed, or not for this platform), `CONFIG`
 * (directory, time zone, settings; all bad settings at once), `DATA_LOCKED` (another process has the directory open) or
 * `ENGINE_UNREACHABLE` (`signal` aborted). Takes about 0.2 s and 250 MB the first time in a process. Aborting `signal`
 * ends the opening; it does not close an open engine.
 *
 * An open engine must be closed before the process ends: a process cannot exit before its queries have ended.
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
  const permits = options.permits ?? embeddedPermits(options.concurrency, cores, threads());
  // Started first, because another process makes the pipes while this one is busy loading chDB.
  const opening = openPipes(permits);
  // It may fail before it is awaited.
  opening.catch(() => undefined);
  let connections: Connections | undefined;
  try {
    refuseOtherTimeZone(zoneOfEngine, options.timeZone);
    if (options.timeZone !== undefined) useTimeZone(options.timeZone);
    const connect = await loadChdb(access);
    goOn();
    connections = await openConnections(connect, path, access);
    await dieOfCrashes();
    goOn();
    await refuseMoreAccess(connections, access);
    const { version, timeZone } = await engineFacts(connections);
    zoneOfEngine = timeZone;
    refuseOtherTimeZone(timeZone, options.timeZone);
    await checkSettings(connections, options.settings);
    const pipes = await opening;
    const info = { facts: ENGINES.embedded, version, target: path, supportsParameters: true, permits };
    const heavyPermits = options.permits ?? ENGINES.embedded.queriesForEachCore * cores;
    return new EmbeddedEngine(info, heavyPermits, options, connections, pipes);
  } catch (error) {
    await connections?.close();
    await opening.then(
      pipes => pipes.close(),
      () => undefined,
    );
    throw error;
  }
}

// The engine's zone once it has been opened in this process. TZ must not be touched after that: the engine would not
// follow, and the rest of the program would.
let zoneOfEngine: string | undefined;

// The engine reads TZ when it is opened for the first time. Without it the system's own zone would apply.
function useTimeZone(name: string): void {
  if (!isTimeZone(name)) {
    throw new QrunError('CONFIG', `the time zone ${JSON.stringify(name)} is not known to ClickHouse`, {
      hint: 'set TZ to a name of the tz database, such as UTC or Asia/Tokyo',
    });
  }
  if (process.env.TZ !== name) process.env.TZ = name;
}

function refuseOtherTimeZone(is: string | undefined, wanted: string | undefined): void {
  if (is === undefined || wanted === undefined || is === wanted) return;
  throw new QrunError('CONFIG', `the embedded engine works in the time zone ${is}, not in ${wanted}`, {
    hint: 'it keeps its first one for the life of the process: use a process for each time zone',
  });
}

class EmbeddedEngine implements Engine {
  readonly info: EngineInfo;
  readonly #context: EmbeddedContext;
  readonly #pipes: ResultPipes;
  readonly #places: readonly EmbeddedPlace[];
  readonly #load: LightLoad;
  readonly #attempts: Attempts<EmbeddedPlace>;
  readonly #onExit = () => {
    for (const pipe of this.#pipes.pipes) pipe.abandon();
  };

  constructor(
    info: EngineInfo,
    heavyPermits: number,
    options: EmbeddedOptions,
    connections: Connections,
    pipes: ResultPipes,
  ) {
    this.info = info;
    const settings = { ...EMBEDDED_SETTINGS, ...options.settings };
    const cancelLimitMs = options.cancelLimitMs ?? CANCEL_LIMIT_MS;
    const access = options.access ?? NO_ACCESS;
    this.#context = { connections, spool: options.spool, settings, cancelLimitMs, access };
    this.#pipes = pipes;
    this.#places = pipes.pipes.map(pipe => ({ pipe, session: undefined }));
    this.#load = new LightLoad(heavyPermits);
    this.#attempts = new Attempts(new Permits(this.#places, () => this.#load.limit));
    process.once('exit', this.#onExit);
  }

  run(request: EngineRequest): Promise<EngineResult> {
    return this.#attempts.run(
      request,
      (place, stop) => new EmbeddedAttempt(request, stop, place, this.#context).run(),
      durationMs => this.#load.note(durationMs),
    );
  }

  ping(signal: AbortSignal): Promise<Failure | undefined> {
    return this.#attempts.ping(signal, 'the engine', async () => {
      const answer = await this.#context.connections.control('SELECT 1');
      return answer.ok ? undefined : answer.failure;
    });
  }

  close(): Promise<void> {
    return this.#attempts.close(() => this.#release());
  }

  async #release(): Promise<void> {
    const { connections } = this.#context;
    for (const { session } of this.#places)
      if (session !== undefined) connections.discard(session.connection);
    await connections.close();
    await this.#pipes.close();
    process.off('exit', this.#onExit);
  }
}
