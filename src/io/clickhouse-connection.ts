import { Agent as HttpAgent, type RequestOptions, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import type { ClickHouseClientConfigOptions } from '@clickhouse/client';

/** What `createClient` takes in place of its own connection. */
export type ClientConnection = NonNullable<ClickHouseClientConfigOptions['connection']>;

/** Where requests go, and how many at once. */
export interface ConnectionOptions {
  /** Scheme, host and port; nothing else. */
  readonly origin: string;
  readonly user: string;
  readonly password: string;
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca: Buffer | undefined;
  readonly connections: number;
}

// Idle sockets are closed after this time; the shortest keep-alive in use is 3 s (18.16's default).
const IDLE_SOCKET_MS = 2500;
// With wait_end_of_query the server is silent until the query has ended, so TCP itself must find out that the
// other side has vanished. The system then probes for about ten minutes more.
const TCP_KEEPALIVE_MS = 30_000;
// A user may switch on progress headers (about 200 bytes each) to keep a load balancer awake; Node's own limit
// is 16 KiB.
const MAX_HEADER_BYTES = 1024 * 1024;

/**
 * A connection for `createClient` that does what qrun needs of `exec` and no more, straight on node:http.
 *
 * The client's own one begins each request with a timer, builds a stream pipeline for each body, sends it in
 * chunks, and makes two abort controllers: twice the CPU of this one for a small query (docs/performance.md).
 * `exec` resolves when the headers are there, whatever the status, and rejects with the error of the socket;
 * an abort before that destroys the request. Reading, proving and cutting the body is the caller's.
 */
export function leanConnection(options: ConnectionOptions): ClientConnection {
  const { hostname, port, protocol } = new URL(options.origin);
  const secure = protocol === 'https:';
  const request = secure ? requestHttps : requestHttp;
  const socketOptions = {
    keepAlive: true,
    keepAliveMsecs: TCP_KEEPALIVE_MS,
    maxSockets: options.connections,
    // For sockets in use this only emits an event that nobody listens to.
    timeout: IDLE_SOCKET_MS,
  };
  const agent = secure
    ? new HttpsAgent({ ...socketOptions, ...(options.ca === undefined ? {} : { ca: options.ca }) })
    : new HttpAgent(socketOptions);
  const credentials = Buffer.from(`${options.user}:${options.password}`).toString('base64');
  const fixed: RequestOptions = {
    agent,
    method: 'POST',
    // An IPv6 address stands in brackets in a URL, and without them everywhere else.
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (secure ? 443 : 80) : Number(port),
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const exec: ClientConnection['exec'] = ({
    query,
    values,
    query_id = '',
    clickhouse_settings,
    abort_signal,
  }) =>
    new Promise((resolve, reject) => {
      const url = new URLSearchParams(clickhouse_settings as Record<string, string>);
      if (query_id !== '') url.set('query_id', query_id);
      if (values !== undefined) url.set('query', query);
      const body = Buffer.from(query);
      const headers = {
        authorization: `Basic ${credentials}`,
        'user-agent': 'qrun',
        // Without a length the values of an INSERT go in chunks.
        ...(values === undefined ? { 'content-length': body.length } : {}),
      };
      const sent = request({ ...fixed, path: `/?${url}`, headers });
      const abort = (): void => {
        sent.destroy(new Error('The user aborted a request.'));
      };
      const settled = (): void => abort_signal?.removeEventListener('abort', abort);
      abort_signal?.addEventListener('abort', abort, { once: true });
      // Stays, because a socket may fail again after it has failed.
      sent.on('error', error => {
        settled();
        reject(error);
      });
      sent.once('response', response => {
        settled();
        resolve({
          stream: response,
          query_id,
          response_headers: response.headers,
          http_status_code: response.statusCode ?? 0,
        });
      });
      if (values === undefined) sent.end(body);
      else sendValues(values, sent);
    });
  return {
    exec,
    query: unused,
    insert: unused,
    command: unused,
    ping: unused,
    close: async () => agent.destroy(),
  };
}

function sendValues(
  values: Readable,
  request: NodeJS.WritableStream & { destroy(error: Error): void },
): void {
  values.on('error', error => request.destroy(error));
  values.pipe(request);
}

function unused(): Promise<never> {
  return Promise.reject(new Error('qrun sends everything through exec'));
}
