import { ENGINES } from '../../../core/engines/facts.js';
import { QrunError } from '../../../core/errors.js';
import type { EngineLimits } from '../../../core/machine/sizing.js';
import { shownVersion } from '../answer-texts.js';
import { askTexts, type Texts } from './http/ask.js';
import { ControlClient } from './http/control.js';
import { type EndpointOptions, endpointOf, type HttpEndpoint } from './http/endpoint.js';
import { ServerIdentity } from './http/identity.js';
import { openError } from './open-error.js';

/** The limits that a server reports. `undefined` means not reported; 0 means no limit, as on the server. */
export interface ServerLimits extends Required<EngineLimits> {
  /** URL without user and password. */
  readonly target: string;
  readonly version: string;
  readonly maxServerMemoryBytes: number | undefined;
  readonly maxQueryMemoryBytes: number | undefined;
  /** Tables that could not be read, and why: `system.server_settings: ...`. */
  readonly unknown: readonly string[];
}

// People wait for these answers. A server that is too busy to answer in this time has said enough.
const LIMIT_MS = 5_000;
const SETTINGS = ['max_threads', 'max_memory_usage'];
const SERVER_SETTINGS = [
  'max_concurrent_queries',
  'max_server_memory_usage',
  'concurrent_threads_soft_limit_num',
  'concurrent_threads_soft_limit_ratio_to_cores',
];

/** Asks a server about itself, without settings that a user might not be allowed to set. */
export class ServerWatcher {
  readonly #control: ControlClient;
  readonly #endpoint: HttpEndpoint;

  private constructor(endpoint: HttpEndpoint) {
    this.#endpoint = endpoint;
    this.#control = new ControlClient(endpoint, new ServerIdentity());
  }

  /** Does not contact the server. Errors: QrunError `CONFIG` for options that cannot be used. */
  static async open(options: EndpointOptions): Promise<ServerWatcher> {
    return new ServerWatcher(await endpointOf(options));
  }

  /**
   * Returns the version and the limits. If the server has no `system.server_settings` (before 20.x) or the user may not
   * read the tables, the fields are `undefined` and `unknown` says why.
   *
   * Errors: QrunError `ENGINE_UNREACHABLE` or `ENGINE_REFUSED` if it does not even tell its version.
   */
  async limits(signal?: AbortSignal): Promise<ServerLimits> {
    const version = await this.#rows('SELECT version() AS name', ['name'], signal);
    if (!version.ok) throw openError(version.failure, this.#endpoint, {});
    const unknown: string[] = [];
    const read = async (table: string, names: readonly string[]): Promise<Map<string, string>> => {
      const list = names.map(name => `'${name}'`).join(', ');
      const answer = await this.#rows(
        `SELECT name, toString(value) AS value FROM ${table} WHERE name IN (${list})`,
        ['name', 'value'],
        signal,
      );
      if (!answer.ok) unknown.push(`${table}: ${answer.failure.message.split('\n')[0]}`);
      return new Map(answer.ok ? answer.rows.map(({ name, value }) => [name, value]) : []);
    };
    const settings = await read('system.settings', SETTINGS);
    const server = await read('system.server_settings', SERVER_SETTINGS);
    return {
      facts: ENGINES.clickhouse,
      target: this.#endpoint.url,
      version: shownVersion(version.rows[0]?.name),
      maxQueries: number(server.get('max_concurrent_queries')),
      maxServerMemoryBytes: number(server.get('max_server_memory_usage')),
      maxQueryMemoryBytes: number(settings.get('max_memory_usage')),
      maxThreads: number(settings.get('max_threads')),
      softThreads: number(server.get('concurrent_threads_soft_limit_num')),
      softThreadsPerCore: number(server.get('concurrent_threads_soft_limit_ratio_to_cores')),
      unknown,
    };
  }

  /**
   * Returns how many queries of all users have failed while they ran, in the last `seconds` by the server's clock, as
   * far as its query log has them by now. `undefined` if the log cannot be read. Rejects only for an aborted signal.
   */
  async exceptions(seconds: number, signal?: AbortSignal): Promise<number | undefined> {
    const since = `now() - ${Math.ceil(seconds)}`;
    try {
      const answer = await this.#rows(
        // The type was the number 4 before it became an Enum8 (18.16 has the number).
        `SELECT toString(count()) AS name FROM system.query_log WHERE toString(type) IN ('4', 'ExceptionWhileProcessing')
         AND event_date >= toDate(${since}) AND event_time >= ${since}`,
        ['name'],
        signal,
      );
      return answer.ok ? number(answer.rows[0]?.name) : undefined;
    } catch (error) {
      if (error instanceof QrunError) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#control.close();
  }

  async #rows<Name extends string>(
    sql: string,
    names: readonly Name[],
    signal: AbortSignal | undefined,
  ): Promise<Texts<Name>> {
    const limit = AbortSignal.timeout(LIMIT_MS);
    const stop = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    const answer = await askTexts(this.#control, { sql }, names, stop);
    signal?.throwIfAborted();
    if (limit.aborted) {
      throw new QrunError(
        'ENGINE_UNREACHABLE',
        `${this.#endpoint.url} did not answer within ${LIMIT_MS} ms`,
        { hint: 'check the host, the port (HTTP is 8123) and firewalls' },
      );
    }
    return answer;
  }
}

/**
 * Returns the limits of a server, or the reason (`ENGINE_*`) if it is away or refuses us. Rejects with QrunError
 * `CONFIG`, and for an aborted signal.
 */
export async function readServerLimits(
  options: EndpointOptions,
  signal?: AbortSignal,
): Promise<ServerLimits | QrunError> {
  let watcher: ServerWatcher | undefined;
  try {
    watcher = await ServerWatcher.open(options);
    return await watcher.limits(signal);
  } catch (error) {
    if (error instanceof QrunError && error.code !== 'CONFIG') return error;
    throw error;
  } finally {
    await watcher?.close();
  }
}

// Older servers show the number of cores as `auto(8)`. '' and words are not numbers.
function number(text: string | undefined): number | undefined {
  const digits = /^(?:'?auto\()?(\d+(?:\.\d+)?)\)?'?$/.exec(text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}
