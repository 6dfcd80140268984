import { randomUUID } from 'node:crypto';
import { HTTP_PARAMETERS } from '../../../core/engines/engine-settings.js';
import { ENGINES } from '../../../core/engines/facts.js';
import type { Failure } from '../../../core/engines/failure.js';
import { refusalOf } from '../../../core/engines/refusal.js';
import { Attempts } from '../attempts.js';
import type { EngineInfo, EngineRequest, EngineResult, Server } from '../engine.js';
import { Permits } from '../permits.js';
import type { Stop } from '../stop.js';
import { Attempt, type AttemptContext } from './attempt.js';
import { Canceller } from './cancel.js';
import { HttpChannel } from './http/channel.js';
import { ControlClient } from './http/control.js';
import { ParameterPlace } from './http/form.js';
import { type ClickHouseOptions, connect, type ServerProfile } from './open.js';
import { SettingAliases } from './setting-aliases.js';

export type { ClickHouseOptions } from './open.js';

/**
 * Opens the engine `clickhouse`: a server from 18.16 on, over HTTP or HTTPS.
 *
 * Rejects like {@link connect}: QrunError `CONFIG`, `ENGINE_UNREACHABLE` or `ENGINE_REFUSED`. Aborting `signal` ends
 * the opening; it does not close an open engine.
 */
export async function openClickHouse(options: ClickHouseOptions, signal: AbortSignal): Promise<Server> {
  const { profile, queries } = await connect(options, signal);
  return new ClickHouseEngine(options, profile, queries);
}

// For statements that look for their session, and for checking whether forms get through.
const OTHER_CONNECTIONS = 8;

// How long a mark stays.
const MARK_S = '10';

class ClickHouseEngine implements Server {
  readonly info: EngineInfo;
  readonly #control: ControlClient;
  readonly #context: AttemptContext;
  readonly #attempts: Attempts<object>;
  readonly #pingId = `qrun-ping-${randomUUID()}`;
  #pings = 0;

  constructor(options: ClickHouseOptions, profile: ServerProfile, queries: HttpChannel) {
    const { endpoint, identity } = profile;
    const others = new HttpChannel(endpoint, OTHER_CONNECTIONS, identity, { fresh: true });
    this.#control = new ControlClient(endpoint, identity);
    this.#context = {
      options,
      profile,
      queries,
      others,
      canceller: new Canceller(this.#control, identity),
      parameterPlace: new ParameterPlace(others),
      limits: { executionTimeRefused: profile.executionTimeRefused },
      aliases: new SettingAliases(this.#control),
      url: undefined,
    };
    this.#attempts = new Attempts(new Permits(Array.from({ length: options.concurrency }, () => ({}))));
    this.info = {
      facts: ENGINES.clickhouse,
      version: profile.version,
      target: endpoint.url,
      user: endpoint.user ?? 'default',
      supportsParameters: profile.supportsParameters,
      permits: options.concurrency,
      parametersLost: profile.parametersLost,
      notices: profile.notices,
    };
  }

  run(request: EngineRequest): Promise<EngineResult> {
    return this.#attempts.run(request, (_, stop) => new Attempt(request, stop, this.#context).run());
  }

  ping(signal: AbortSignal): Promise<Failure | undefined> {
    return this.#attempts.ping(signal, this.info.target, stop => this.#ping(stop));
  }

  close(): Promise<void> {
    const { queries, others } = this.#context;
    return this.#attempts.close(async () => {
      await Promise.all([queries.close(), others.close(), this.#control.close()]);
    });
  }

  // A session: its id is known to this server alone, on all versions, without any right.
  async mark(id: string, signal: AbortSignal): Promise<void> {
    await this.#inSession({ session_id: id, session_timeout: MARK_S }, signal);
  }

  async hasMark(id: string, signal: AbortSignal): Promise<boolean> {
    return await this.#inSession({ session_id: id, session_check: '1', session_timeout: MARK_S }, signal);
  }

  async #inSession(session: Readonly<Record<string, string>>, signal: AbortSignal): Promise<boolean> {
    this.#pings += 1;
    const queryId = `${this.#pingId}-${this.#pings}`;
    const call = { sql: 'SELECT 1', queryId, query: { ...HTTP_PARAMETERS, ...session } };
    return (await this.#control.call(call, signal)).ok;
  }

  async #ping(stop: Stop): Promise<Failure | undefined> {
    // With an id, like queries: something in front of the server may treat requests without an id differently.
    this.#pings += 1;
    const queryId = `${this.#pingId}-${this.#pings}`;
    const call = { sql: 'SELECT 1', queryId, query: HTTP_PARAMETERS };
    const answer = await this.#control.call(call, stop.signal);
    if (answer.ok) return undefined;
    // A server that reports overload does answer. One that refuses the user or has no quota left is of no use.
    const refusal = refusalOf(answer.failure);
    const isThere = answer.failure.code > 0 && (refusal === undefined || refusal === 'full');
    return isThere ? undefined : answer.failure;
  }
}
