import type { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { type Caller, type HttpAnswer, type HttpCall, MAX_HEADER_BYTES, type ReplyBody } from './call.js';
import type { HttpEndpoint } from './endpoint.js';
import type { ServerIdentity } from './identity.js';
import { notSent, proven, unanswered } from './proof.js';

// Each request takes milliseconds, and has its own connection.
const CONNECTIONS = 8;
// Callers have their own limits, of seconds; this is for a caller without one.
const SILENCE_LIMIT_MS = 60_000;

/**
 * Control traffic, over the official client: ping, KILL QUERY, limits, settings, the query log. It never waits behind
 * queries. Each request has its own connection, which a balancer may lead to a different server than the last one.
 *
 * The client's `exec` returns the answer as it came, with its status and headers, so that it is proven like the answer
 * to a query. Its other methods read an answer of any size into memory, accept that of a proxy as a result, and lose
 * the status of an error. The client is loaded with the first request: most runs need none.
 */
export class ControlClient implements Caller {
  readonly #endpoint: HttpEndpoint;
  readonly #identity: ServerIdentity;
  #opening: Promise<ClickHouseClient> | undefined;

  constructor(endpoint: HttpEndpoint, identity: ServerIdentity) {
    this.#endpoint = endpoint;
    this.#identity = identity;
  }

  async call(call: HttpCall, stop: AbortSignal): Promise<HttpAnswer> {
    this.#opening ??= open(this.#endpoint);
    const client = await this.#opening;
    // The client does not check whether a signal has already been aborted.
    if (stop.aborted) return notSent();
    try {
      const { stream, response_headers, http_status_code } = await client.exec({
        query: call.sql,
        query_id: call.queryId,
        clickhouse_settings: call.query,
        abort_signal: stop,
        ignore_error_response: true,
        decompress_response_stream: false,
      });
      const reply = { status: http_status_code ?? 0, headers: response_headers, body: bodyOf(stream) };
      return await proven(reply, call, this.#identity, stop);
    } catch (error) {
      return unanswered(error, call);
    }
  }

  /** Closes all connections. */
  async close(): Promise<void> {
    await (await this.#opening)?.close();
  }
}

async function open({ origin, path, user, password, ca }: HttpEndpoint): Promise<ClickHouseClient> {
  const [{ ClickHouseLogLevel, createClient }, http, https] = await Promise.all([
    import('@clickhouse/client'),
    import('node:http'),
    import('node:https'),
  ]);
  const limits = { keepAlive: false, maxSockets: CONNECTIONS };
  // Stated explicitly, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would apply.
  const tls = { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) };
  return createClient({
    url: origin,
    pathname: path,
    username: user ?? 'default',
    password: password ?? '',
    http_agent: origin.startsWith('https:') ? new https.Agent({ ...limits, ...tls }) : new http.Agent(limits),
    keep_alive: { enabled: false },
    max_response_headers_size: MAX_HEADER_BYTES,
    request_timeout: SILENCE_LIMIT_MS,
    log: { level: ClickHouseLogLevel.OFF },
  });
}

function bodyOf(stream: Readable): ReplyBody {
  return {
    read: async take => {
      const chunks = stream[Symbol.asyncIterator]();
      for (;;) {
        let next: IteratorResult<Buffer>;
        try {
          next = await chunks.next();
        } catch (error) {
          return error as Error;
        }
        if (next.done === true) return undefined;
        try {
          await take(next.value);
        } catch (error) {
          stream.destroy();
          throw error;
        }
      }
    },
    destroy: () => {
      stream.destroy();
    },
  };
}
