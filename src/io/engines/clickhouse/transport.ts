import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ClickHouseClientConfigOptions } from '@clickhouse/client';
import type * as undici from 'undici';
// Only what is used: the whole package, with fetch, WebSocket and caches, would take 45 ms and 7 MB more at each start.
import buildConnector from 'undici/lib/core/connect.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import { encodeSql } from '../../../core/sql/lexer/encoding.js';
import type { StopSignal } from '../stop.js';
import { AnswerBody } from './answer.js';

/** What `createClient` takes in place of its own connection. */
export type ClientConnection = NonNullable<ClickHouseClientConfigOptions['connection']>;

/** Where requests go, and how many at once. */
export interface ConnectionOptions {
  /** Scheme, host and port; nothing else. */
  readonly origin: string;
  /** The path that requests go to; `/` where it is not given. */
  readonly path?: string;
  readonly user: string;
  readonly password: string;
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca: Buffer | undefined;
  readonly connections: number;
  /** Each request gets a connection of its own, which a balancer may lead to another server than the last one. */
  readonly fresh?: boolean;
}

/** What stands in a request in place of the SQL alone. `exec` takes it as its `values`. */
export interface RequestBody {
  readonly bytes: string | Buffer;
  readonly contentType?: string;
}

// Idle sockets are closed after this time; the shortest keep-alive in use is 3 s (18.16's default).
const IDLE_SOCKET_MS = 2500;
// A server that announces how long it keeps a connection is left this long before.
const IDLE_MARGIN_MS = 500;
// With wait_end_of_query the server is silent until the query has ended, so TCP itself must find out that the
// other side has vanished. The system then probes for about ten minutes more.
const TCP_KEEPALIVE_MS = 30_000;
// ClickHouse sends under 2 KiB, and the usual limit is 16 KiB; a user may switch on progress headers (about 200 bytes
// each, ten a second unless told otherwise) to keep a load balancer awake. A header of no length takes 200 bytes of
// memory, and each query that runs may have as many.
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * A connection for `createClient` that does what qrun needs of `exec` and no more, on undici's dispatcher.
 *
 * The client's own one begins each request with a timer, builds a stream pipeline for each body, sends it in
 * chunks, and makes two abort controllers: three times the CPU of this one for a small query (docs/performance.md).
 * `exec` resolves when the headers are there, whatever the status, and rejects with the error of the socket;
 * an abort before that cuts the request. Of the headers it gives those of {@link AnswerHeader}. Its `stream` is an
 * {@link AnswerBody}, which is no stream of Node: reading, proving and cutting the body is the caller's. `close` cuts
 * what is still open.
 */
export function leanConnection(options: ConnectionOptions): ClientConnection {
  const connector = buildConnector({
    keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would decide where nobody does.
    rejectUnauthorized: true,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  const connecting = new Set<Socket>();
  const pool = new Pool(options.origin, {
    connections: options.connections,
    pipelining: 1,
    keepAliveTimeout: IDLE_SOCKET_MS,
    keepAliveMaxTimeout: IDLE_SOCKET_MS,
    keepAliveTimeoutThreshold: IDLE_MARGIN_MS,
    // A query may take any time; its deadline is the caller's.
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEADER_BYTES,
    connect: (where, callback) => {
      // Its type does not say so, but it gives the socket: one that waits for an answer to its SYN is closed with
      // the rest, in place of keeping the process.
      const socket: unknown = connector(where, (...result) => {
        if (socket instanceof Socket) connecting.delete(socket);
        callback(...result);
      });
      if (socket instanceof Socket) connecting.add(socket);
    },
  });
  const credentials = Buffer.from(`${options.user}:${options.password}`).toString('base64');
  const headers = { authorization: `Basic ${credentials}`, 'user-agent': 'qrun' };
  const pairs = new PairEncoder();
  const reset = options.fresh === true;
  const base = `${options.path ?? '/'}?`;
  const exec: ClientConnection['exec'] = ({
    query,
    values,
    query_id = '',
    clickhouse_settings,
    abort_signal,
  }) =>
    new Promise((resolve, reject) => {
      // 18.16 takes nothing between two `&` for a setting without a name.
      let path = `${base}${pairs.encode(clickhouse_settings as Record<string, string>)}`;
      if (query_id !== '') path += `query_id=${encodeURIComponent(query_id)}&`;
      path = path.slice(0, -1);
      const handler = new Handler(query_id, resolve, reject, abort_signal as RequestSignal | undefined);
      // The client hands it through without touching it.
      const body = values as unknown as RequestBody | undefined;
      const type = body?.contentType;
      pool.dispatch(
        {
          method: 'POST',
          path,
          headers: type === undefined ? headers : { ...headers, 'content-type': type },
          body: body?.bytes ?? encodeSql(query),
          reset,
        },
        handler,
      );
    });
  return {
    exec,
    query: unused,
    insert: unused,
    command: unused,
    ping: unused,
    close: async () => {
      for (const socket of connecting) socket.destroy();
      await pool.destroy();
    },
  };
}

/** A signal that is told how far the request of its statement has come. */
export interface RequestSignal extends StopSignal {
  /** Its bytes go to the server from now on: called when a connection has been found for it. */
  sent?(): void;
  /** ClickHouse has answered: called when the headers are there. */
  answered?(): void;
}

type ExecResult = Awaited<ReturnType<ClientConnection['exec']>>;

/** Takes one answer from the dispatcher: its head to whoever waits for `exec`, its bytes to the body. */
class Handler implements undici.Dispatcher.DispatchHandlers {
  readonly #queryId: string;
  readonly #resolve: (result: ExecResult) => void;
  readonly #reject: (error: Error) => void;
  readonly #signal: RequestSignal | undefined;
  readonly #onAbort = (): void => this.onError(new Error('The user aborted a request.'));
  #cut: ((error: Error) => void) | undefined;
  #body: AnswerBody | undefined;
  #over: Error | undefined;

  constructor(
    queryId: string,
    resolve: (result: ExecResult) => void,
    reject: (error: Error) => void,
    signal: RequestSignal | undefined,
  ) {
    this.#queryId = queryId;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  onConnect(cut: (error?: Error) => void): void {
    // It may have been aborted while it waited for a connection.
    if (this.#over !== undefined) cut(this.#over);
    else {
      this.#cut = cut;
      this.#signal?.sent?.();
    }
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    // 103 comes before the answer; a 100 that nobody has asked for ends the connection before it comes here.
    if (status < 200) return true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#body = new AnswerBody(resume, error => this.#cut?.(error));
    this.#resolve({
      // The client hands it through without touching it.
      stream: this.#body as unknown as Readable,
      query_id: this.#queryId,
      response_headers: headersOf(raw),
      http_status_code: status,
    });
    // They have no body, whatever length they announce, and nobody of ClickHouse gives them: nothing is waited for.
    if (status === 204 || status === 304) {
      this.#body.end();
      this.#cut?.(new Error('an answer without a body'));
    }
    return true;
  }

  onData(chunk: Buffer): boolean {
    return this.#body?.push(chunk) ?? true;
  }

  onComplete(): void {
    this.#body?.end();
  }

  // Before the headers it is the error of the request, behind them that of the body. May come twice.
  onError(error: Error): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (this.#body !== undefined) this.#body.fail(asNodeError(error));
    else {
      this.#reject(asNodeError(error));
      this.#cut?.(error);
    }
  }
}

// What undici finds itself, in the words of node:http and of the system, by which failures are classified.
function asNodeError(error: Error): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'UND_ERR_SOCKET') {
    return Object.assign(new Error(`socket hang up (${message})`), { code: 'ECONNRESET' });
  }
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return Object.assign(new Error(message), { code: 'ETIMEDOUT', syscall: 'connect' });
  }
  if (code === HEADERS_TOO_LARGE) {
    const limit = `the headers of the answer are larger than ${MAX_HEADER_BYTES} bytes`;
    const help = 'with send_progress_in_http_headers set http_headers_progress_interval_ms higher';
    return Object.assign(new Error(`${limit} (${help})`), { code });
  }
  return error;
}

/** undici's code of headers that are larger than allowed. */
export const HEADERS_TOO_LARGE = 'UND_ERR_HEADERS_OVERFLOW';

/** All headers of an answer that a {@link leanConnection} gives. */
export type AnswerHeader = (typeof ANSWER_HEADERS)[number];

const ANSWER_HEADERS = [
  'content-encoding',
  'content-length',
  'content-type',
  'location',
  'retry-after',
  'transfer-encoding',
  'x-clickhouse-exception-code',
  'x-clickhouse-exception-tag',
  'x-clickhouse-format',
  'x-clickhouse-query-id',
  'x-clickhouse-server-display-name',
  'x-clickhouse-summary',
] as const;

// Most headers of an answer are others, and to decode them takes longer than to prove a small result.
const ANSWER_HEADER_BYTES: ReadonlySet<number> = new Set(ANSWER_HEADERS.map(name => name.length));

// Name and value in turn.
function headersOf(raw: readonly Buffer[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const bytes = raw[i] as Buffer;
    if (!ANSWER_HEADER_BYTES.has(bytes.length)) continue;
    const name = bytes.toString('latin1').toLowerCase();
    // As node:http does: the first of a kind counts, except where lists are allowed.
    headers[name] ??= (raw[i + 1] as Buffer).toString('latin1');
  }
  return headers;
}

/** Writes the pairs of a URL, each with an `&` behind it. Most are the same from query to query, and are then not encoded again. */
class PairEncoder {
  readonly #last = new Map<string, { readonly value: string; readonly text: string }>();

  encode(pairs: Readonly<Record<string, string>>): string {
    let text = '';
    for (const name in pairs) {
      const value = pairs[name] as string;
      let last = this.#last.get(name);
      if (last?.value !== value) {
        last = { value, text: `${encodeURIComponent(name)}=${encodeURIComponent(value)}&` };
        this.#last.set(name, last);
      }
      text += last.text;
    }
    return text;
  }
}

function unused(): Promise<never> {
  return Promise.reject(new Error('qrun sends everything through exec'));
}
