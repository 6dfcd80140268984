import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ENGINE_SETTINGS,
  fixedSetting,
  HTTP_SETTINGS,
  suggest,
} from '../../../core/engines/engine-settings.js';
import type { Failure } from '../../../core/engines/failure.js';
import { quotaEndsInMs, refusalOf } from '../../../core/engines/refusal.js';
import { QrunError } from '../../../core/errors.js';
import type { Settings } from '../../../core/model.js';
import { literal } from '../../../core/sql/set-statement.js';
import { unlessAborted } from '../../../core/unless-aborted.js';
import { shownVersion } from '../answer-texts.js';
import type { SpoolOptions } from '../result-body.js';
import { askTexts } from './http/ask.js';
import { HttpChannel } from './http/channel.js';
import { type EndpointOptions, endpointOf, type HttpEndpoint } from './http/endpoint.js';
import { ServerIdentity } from './http/identity.js';
import {
  type Ask,
  allInForce,
  lostParameters,
  lostSettings,
  type OnTheWay,
  type ProbeAnswer,
} from './in-force.js';
import { lostError, openError } from './open-error.js';
import { type AllowedSettings, allowedSettings, refusesSetting } from './readonly.js';

/** Which server to use and how. */
export interface ClickHouseOptions extends EndpointOptions {
  readonly database?: string;
  /** How many queries run at once. */
  readonly concurrency: number;
  readonly spool: SpoolOptions;
  /** The user's settings for all queries. */
  readonly settings: Settings;
  /** How long opening may take in total, in milliseconds; 15,000 by default. */
  readonly openTimeoutMs?: number;
  /** Notices about the server from whoever names it; they are added to the server's own notices. */
  readonly notices?: readonly string[];
}

/** What is known of a server that has answered. */
export interface ServerProfile extends AllowedSettings {
  readonly endpoint: HttpEndpoint;
  readonly version: string;
  readonly supportsParameters: boolean;
  /** Knows `close_session`, so that a session's temporary tables go at once. */
  readonly closesSessions: boolean;
  /** The server knows parameters, but a proxy drops their values. */
  readonly parametersLost: boolean;
  /** The marks on its answers. */
  readonly identity: ServerIdentity;
}

// An overloaded server may queue a query for 5 s (queue_max_wait_ms of 18.16) before it refuses it. This leaves room
// for two such refusals.
const OPEN_TIMEOUT_MS = 15_000;
const RETRY_WAIT_MS = 250;

/**
 * Connects to a server, checks that qrun can work with it, and resolves with what it can do.
 *
 * Rejects with QrunError `CONFIG` (options: URL, CA file, settings; all bad settings at once),
 * `ENGINE_UNREACHABLE` (nothing answers, or something that is not ClickHouse, or not in time) or
 * `ENGINE_REFUSED` (user, password, database, settings that the user may not change, parameters of the URL that do not
 * reach the server). Within the time limit, it waits for the end of an overload (code 202, HTTP 429, 503), and of a
 * quota's interval. No error shows the password.
 *
 * `queries` is the channel for the queries, with its connections still open; close it. All requests here go over it,
 * not as control traffic, because they prove that what queries send over this route arrives.
 */
export async function connect(
  options: ClickHouseOptions,
  signal: AbortSignal,
): Promise<{ readonly profile: ServerProfile; readonly queries: HttpChannel }> {
  // The CA file may be on a disk that does not respond.
  const endpoint = await unlessAborted(endpointOf(options), signal);
  if (endpoint === undefined) {
    throw new QrunError('ENGINE_UNREACHABLE', 'opening the engine was interrupted', { cause: signal.reason });
  }
  refuseFixed(options.settings);
  const identity = new ServerIdentity();
  // Two more than run at once: a socket that is being closed still counts.
  const queries = new HttpChannel(endpoint, options.concurrency + 2, identity);
  const timeoutMs = options.openTimeoutMs ?? OPEN_TIMEOUT_MS;
  const stop = new AbortController();
  // Each running request listens to it.
  setMaxListeners(0, stop.signal);
  const abort = () => stop.abort();
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  const timer = setTimeout(abort, timeoutMs);
  const probe = new Probe(queries, identity, endpoint, options, stop.signal, () =>
    signal.aborted
      ? new QrunError('ENGINE_UNREACHABLE', `connecting to ${endpoint.url} was interrupted`, {
          cause: signal.reason,
        })
      : new QrunError('ENGINE_UNREACHABLE', `${endpoint.url} did not answer within ${timeoutMs} ms`, {
          hint: endpoint.url.startsWith('https:')
            ? 'check the host, the port (HTTPS is 8443, 8123 speaks only http) and firewalls'
            : 'check the host, the port (HTTP is 8123) and firewalls',
        }),
  );
  try {
    const profile = await probe.run();
    identity.settle();
    return { profile: { endpoint, identity, ...profile }, queries };
  } catch (error) {
    // Requests that are still running are of no more use.
    abort();
    await queries.close();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

class Probe {
  // The parameter of the URL that names it, if one is given.
  readonly database: Settings;

  constructor(
    readonly channel: HttpChannel,
    readonly identity: ServerIdentity,
    readonly endpoint: HttpEndpoint,
    readonly options: ClickHouseOptions,
    readonly stop: AbortSignal,
    readonly whyStopped: () => QrunError,
  ) {
    const { database } = options;
    this.database = database === undefined ? {} : { database };
  }

  async run(): Promise<Omit<ServerProfile, 'endpoint' | 'identity'>> {
    // Without settings, so that a failure is about the server or the user, not about something that qrun asked for.
    const version = await this.rows('SELECT version() AS v', {});
    if (!version.ok) {
      // It may have answered in its own default format. A statement that names the format shows if it is ClickHouse.
      if (version.failure.name === 'RESULT_INVALID') {
        const named = await this.rows('SELECT version() AS v FORMAT JSONEachRow', {});
        if (named.ok) throw lostError(['default_format'], this.endpoint);
      }
      throw openError(version.failure, this.endpoint, this.options);
    }
    const ask = this.rows.bind(this);
    await this.refuseDatabaseAsPath();
    const abilities = Promise.all([
      this.rows('SELECT name AS v FROM system.settings', {}),
      this.rows('SELECT {v:UInt8} AS v', { param_v: '1' }),
      this.rows('SELECT 1 AS v', { close_session: '1' }),
    ]);
    const parametersOnTheWay = lostParameters(ask, this.options.database);
    // It is awaited last, or not at all if something else fails first.
    parametersOnTheWay.catch(() => {});
    const [names, parameters, closing] = await abilities;
    // If the user may not read system.settings, each setting is tried on the server.
    const known = names.ok ? new Set(names.values) : undefined;
    const { allowed, unproven, lost } = await this.settingsInForce(ask, known);
    const allLost = [...lost, ...(await parametersOnTheWay)];
    if (allLost.length > 0) throw lostError(allLost, this.endpoint);
    return {
      version: shownVersion(version.values[0]),
      supportsParameters: parameters.ok,
      // 456: the server understands {v:UInt8}, but has received no value for it.
      parametersLost: !parameters.ok && parameters.failure.code === 456,
      closesSessions: closing.ok,
      ...allowed,
      notices: [
        ...(this.options.notices ?? []),
        ...allowed.notices,
        ...severalServers(this.identity),
        ...(unproven.length === 0
          ? []
          : [
              `whether ${unproven.join(', ')} reach the server could not be verified: neither system.settings nor getSetting shows it to the user`,
            ]),
      ],
    };
  }

  // Nearly every server and user accepts all settings, which is proven in one step. Only otherwise each one is tried.
  private async settingsInForce(
    ask: Ask,
    known: ReadonlySet<string> | undefined,
  ): Promise<OnTheWay & { readonly allowed: AllowedSettings }> {
    const { settings: given } = this.options;
    const own = Object.fromEntries(this.ownSettings(known));
    if (known !== undefined && (await allInForce(ask, { ...own, ...given }, this.database))) {
      return { allowed: { settings: own, executionTimeRefused: false, notices: [] }, lost: [], unproven: [] };
    }
    const allowed = await this.acceptedSettings(known);
    await this.checkUserSettings(allowed.settings, known);
    return { allowed, ...(await lostSettings(ask, { ...allowed.settings, ...given })) };
  }

  private ownSettings(known: ReadonlySet<string> | undefined): [name: string, value: string][] {
    const wanted = Object.entries({ ...ENGINE_SETTINGS, ...HTTP_SETTINGS });
    const { settings: given } = this.options;
    return wanted.filter(([name]) => (known?.has(name) ?? true) && !Object.hasOwn(given, name));
  }

  /**
   * Returns qrun's own settings without those that the server does not know or that the user has given. Also checks the
   * database.
   */
  private async acceptedSettings(known: ReadonlySet<string> | undefined): Promise<AllowedSettings> {
    let left = this.ownSettings(known);
    for (;;) {
      const settings = Object.fromEntries(left);
      const tried = await this.rows('SELECT 1 AS v', { ...settings, ...this.database });
      if (tried.ok) return { settings, executionTimeRefused: false, notices: [] };
      if (refusesSetting(tried.failure)) {
        const allowed = await allowedSettings(settings, this, this.endpoint);
        const again = await this.rows('SELECT 1 AS v', { ...allowed.settings, ...this.database });
        if (!again.ok) throw openError(again.failure, this.endpoint, this.options);
        return allowed;
      }
      const { code, message } = tried.failure;
      const unknown = left.filter(([name]) => message.includes(name));
      if (code !== 115 || unknown.length === 0) throw openError(tried.failure, this.endpoint, this.options);
      left = left.filter(entry => !unknown.includes(entry));
    }
  }

  // Other clients take the path for a database, but ClickHouse answers under every path: the queries would silently run
  // in a database that was not meant.
  private async refuseDatabaseAsPath(): Promise<void> {
    const { path, url } = this.endpoint;
    const word = /^\/(\w+)\/?$/.exec(path)?.[1];
    if (word === undefined || this.options.database !== undefined) return;
    const there = await this.rows('SELECT currentDatabase() AS v', { database: word });
    if (!there.ok || there.values[0] !== word) return;
    throw new QrunError('CONFIG', `the path of ${url} is also the name of a database there`, {
      hint: `say which database is meant: --database ${word} (and omit the path unless a proxy needs it)`,
    });
  }

  /** Returns why a setting cannot be set, or `undefined` if it can. */
  async trySetting(name: string, value: string): Promise<Failure | undefined> {
    const answer = await this.rows('SELECT 1 AS v', { [name]: value });
    return answer.ok ? undefined : answer.failure;
  }

  async valueInForce(name: string): Promise<string | undefined> {
    const answer = await this.rows(
      `SELECT toString(value) AS v FROM system.settings WHERE name = ${literal(name)}`,
      {},
    );
    return answer.ok ? answer.values[0] : undefined;
  }

  private async checkUserSettings(own: Settings, known: ReadonlySet<string> | undefined): Promise<void> {
    const user = Object.entries(this.options.settings);
    if (user.length === 0) return;
    const all = await this.rows('SELECT 1 AS v', { ...own, ...this.options.settings });
    if (all.ok) return;
    if (all.failure.name === 'URL_TOO_LONG') throw openError(all.failure, this.endpoint, this.options);
    const problems: string[] = [];
    let refused = false;
    for (const [name, value] of user) {
      const alone = await this.rows('SELECT 1 AS v', { [name]: value });
      if (alone.ok) continue;
      const { code, message } = alone.failure;
      const isRefused = refusesSetting(alone.failure);
      refused ||= isRefused;
      const inForce = isRefused ? await this.valueInForce(name) : undefined;
      const close = code === 115 && known !== undefined ? suggest(name, known) : undefined;
      problems.push(
        code === 115
          ? `the server knows no setting "${name}"${close === undefined ? '' : `; did you mean "${close}"?`}`
          : `the server does not accept ${name}=${value}${inForce === undefined ? '' : ` (${inForce} is in force)`}: ${message}`,
      );
    }
    if (problems.length === 0) problems.push(`the settings do not go together: ${all.failure.message}`);
    throw new QrunError(refused ? 'ENGINE_REFUSED' : 'CONFIG', problems[0] ?? '', {
      hint: 'SELECT name, description FROM system.settings lists what this server knows',
      details: problems.slice(1),
    });
  }

  /** Returns the column `v` of a result; waits for the end of an overload. */
  private async rows(sql: string, query: Settings, queryId = ''): Promise<ProbeAnswer> {
    for (let waitMs = RETRY_WAIT_MS; ; waitMs *= 2) {
      const answer = await askTexts(this.channel, { sql, queryId, query }, ['v'], this.stop);
      if (this.stop.aborted) throw this.whyStopped();
      if (answer.ok) return { ok: true, values: answer.rows.map(({ v }) => v) };
      const { kind, neverStarted, serverGone, name } = answer.failure;
      const passes = neverStarted && kind === 'transient' && !serverGone && name !== 'CONNECTION_FAILED';
      const refusal = refusalOf(answer.failure);
      const quotaMs = refusal === 'quota' ? quotaEndsInMs(answer.failure.message, Date.now()) : undefined;
      const soon = quotaMs !== undefined && quotaMs < (this.options.openTimeoutMs ?? OPEN_TIMEOUT_MS);
      if (!passes && refusal !== 'full' && !soon) return answer;
      const asked = soon ? quotaMs + 1_000 : (answer.failure.retryAfterMs ?? 0);
      await sleep(Math.max(waitMs, asked), undefined, { signal: this.stop }).catch(() => {
        throw openError(answer.failure, this.endpoint, this.options);
      });
    }
  }
}

// Opening makes requests at the same time over separate connections, so it has met several servers if there are several.
function severalServers(identity: ServerIdentity): string[] {
  if (!identity.isSeveral) return [];
  return [
    `several servers answer at this URL (${identity.servers.join(', ')}): each query goes to any of them, so all must hold the same data`,
  ];
}

function refuseFixed(settings: Settings): void {
  const problems = Object.keys(settings).flatMap(name => {
    const why = fixedSetting(name);
    return why === undefined ? [] : [`the setting "${name}" cannot be set: ${why}`];
  });
  const [first, ...details] = problems;
  if (first !== undefined) throw new QrunError('CONFIG', first, { details });
}
