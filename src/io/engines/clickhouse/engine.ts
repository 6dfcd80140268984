import { randomUUID } from 'node:crypto';
import { HTTP_PARAMETERS } from '../../../core/engines/engine-settings.js';
import { type Failure, ownFailure } from '../../../core/engines/failure.js';
import { refusalOf } from '../../../core/engines/refusal.js';
import type { Engine, EngineInfo, EngineRequest, EngineResult } from '../engine.js';
import { Running } from '../running.js';
import { Stop, type StopSignal } from '../stop.js';
import { Attempt, type AttemptContext } from './attempt.js';
import { Canceller } from './cancel.js';
import { HttpChannel } from './client.js';
import { ParameterPlace } from './form.js';
import { type ClickHouseOptions, connect, type ServerProfile } from './open.js';
import { SettingAliases } from './setting-aliases.js';

export type { ClickHouseOptions } from './open.js';

/**
 * Opens the engine `clickhouse`: a server from 18.16 on, over HTTP or HTTPS.
 *
 * Rejects as {@link connect} does: QrunError `CONFIG`, `ENGINE_UNREACHABLE` or `ENGINE_REFUSED`. Aborting
 * `signal` ends the opening; it does not close an open engine.
 */
export async function openClickHouse(options: ClickHouseOptions, signal: AbortSignal): Promise<Engine> {
  const { profile, queries } = await connect(options, signal);
  return new ClickHouseEngine(options, profile, queries);
}

const PING_TIMEOUT_MS = 5000;
// For cancelling and pinging; each takes milliseconds, and has a connection of its own.
const CONTROL_CONNECTIONS = 8;

class ClickHouseEngine implements Engine {
  readonly info: EngineInfo;
  readonly #queries: HttpChannel;
  readonly #control: HttpChannel;
  readonly #context: AttemptContext;
  readonly #slots: Slots;
  readonly #closing = new AbortController();
  readonly #running = new Running();
  readonly #pingId = `qrun-ping-${randomUUID()}`;
  #pings = 0;
  #closed: Promise<void> | undefined;

  constructor(options: ClickHouseOptions, profile: ServerProfile, queries: HttpChannel) {
    this.#queries = queries;
    this.#control = new HttpChannel(profile.endpoint, CONTROL_CONNECTIONS, profile.identity, { fresh: true });
    this.#context = {
      options,
      profile,
      queries: this.#queries,
      control: this.#control,
      canceller: new Canceller(this.#control, profile.identity),
      parameterPlace: new ParameterPlace(this.#control),
      limits: { executionTimeRefused: profile.executionTimeRefused },
      aliases: new SettingAliases(this.#control),
      url: undefined,
    };
    this.#slots = new Slots(options.concurrency);
    this.info = {
      kind: 'clickhouse',
      version: profile.version,
      target: profile.endpoint.url,
      user: profile.endpoint.user ?? 'default',
      supportsParameters: profile.supportsParameters,
      slots: options.concurrency,
      ...(profile.parametersLost ? { parametersLost: true } : {}),
      ...(profile.notices.length === 0 ? {} : { notices: profile.notices }),
    };
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
    this.#closed ??= (async () => {
      this.#closing.abort();
      await this.#running.ended();
      await Promise.all([this.#queries.close(), this.#control.close()]);
    })();
    return this.#closed;
  }

  async #runInSlot(request: EngineRequest, stop: Stop): Promise<EngineResult> {
    const taken = this.#slots.take(stop);
    if (!(typeof taken === 'boolean' ? taken : await taken)) {
      const failure = ownFailure('ABORTED', 'transient', 'cancelled by qrun; it was not sent');
      return { ok: false, failure: { ...failure, neverStarted: true } };
    }
    try {
      // From here on, because the time in the queue is not the query's.
      stop.startDeadline(request.timeoutMs);
      return await new Attempt(request, stop, this.#context).run();
    } finally {
      this.#slots.free();
    }
  }

  async #ping(stop: Stop): Promise<Failure | undefined> {
    stop.startDeadline(PING_TIMEOUT_MS);
    // With an id, as queries have one: what stands before the server may treat requests without one otherwise.
    this.#pings += 1;
    const queryId = `${this.#pingId}-${this.#pings}`;
    const call = { sql: 'SELECT 1', queryId, query: HTTP_PARAMETERS };
    const answer = await this.#control.call(call, stop);
    if (answer.ok) return undefined;
    if (stop.why === 'TIMEOUT') {
      const message = `${this.info.target} did not answer within ${PING_TIMEOUT_MS / 1000} s`;
      return { ...ownFailure('TIMEOUT', 'transient', message), serverGone: true };
    }
    if (stop.why === 'ABORTED') return ownFailure('ABORTED', 'transient', 'the ping was cancelled');
    // A server that says it is overloaded answers; one that refuses the user, or has no quota left, is of no use.
    const refusal = refusalOf(answer.failure);
    const isThere = answer.failure.code > 0 && (refusal === undefined || refusal === 'full');
    return isThere ? undefined : answer.failure;
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

/** A limited number of permits, given out in order. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** `true` with a permit, `false` when the signal aborted first; a promise where it must be waited for. */
  take(signal: StopSignal): boolean | Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#free > 0) {
      this.#free -= 1;
      return true;
    }
    return new Promise(resolve => {
      const grant = () => {
        signal.removeEventListener('abort', leave);
        resolve(true);
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(grant), 1);
        resolve(false);
      };
      this.#waiting.push(grant);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  free(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
