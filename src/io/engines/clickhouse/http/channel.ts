import { Socket } from 'node:net';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import { encodeSql } from '../../../../core/sql/lexer/encoding.js';
import { AnswerBody } from './answer.js';
import {
  type AnswerHeaders,
  type Caller,
  type HttpAnswer,
  type HttpCall,
  MAX_HEADER_BYTES,
  type Reply,
  type RequestSignal,
} from './call.js';
import type { HttpEndpoint } from './endpoint.js';
import { formBody, type RequestBody, textOf } from './form.js';
import type { ServerIdentity } from './identity.js';
import { notSent, proven, unanswered } from './proof.js';

// Idle sockets are closed after this time; the shortest keep-alive in use is 3 s (18.16's default).
const IDLE_SOCKET_MS = 2500;
// If a server announces how long it keeps a connection, qrun closes it this much earlier.
const IDLE_MARGIN_MS = 500;
// With wait_end_of_query the server is silent until the query has ended, so TCP itself must detect that the other side
// has vanished. The system then probes for about ten more minutes.
const TCP_KEEPALIVE_MS = 30_000;

/**
 * The route of queries to a server, on undici's dispatcher. The official client begins each request with a timer,
 * builds a stream pipeline for each body, sends it in chunks, and makes two abort controllers. For a small query that
 * takes three times the CPU of this (docs/performance.md).
 *
 * At most `connections` requests run at once; further ones wait. Answers are proven: see {@link proven}.
 */
export class HttpChannel implements Caller {
  readonly #pool: Pool;
  readonly #identity: ServerIdentity;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #base: string;
  readonly #isFresh: boolean;
  readonly #pairs = new PairEncoder();
  readonly #connecting = new Set<Socket>();

  /** `fresh`: each request uses a new connection, which a balancer may lead to another server. */
  constructor(
    endpoint: HttpEndpoint,
    connections: number,
    identity: ServerIdentity,
    { fresh = false }: { readonly fresh?: boolean } = {},
  ) {
    const { origin, path, user = 'default', password = '' } = endpoint;
    this.#identity = identity;
    const credentials = Buffer.from(`${user}:${password}`).toString('base64');
    this.#headers = { authorization: `Basic ${credentials}`, 'user-agent': 'qrun' };
    this.#base = `${path}?`;
    this.#isFresh = fresh;
    this.#pool = new Pool(origin, {
      connections,
      pipelining: 1,
      keepAliveTimeout: IDLE_SOCKET_MS,
      keepAliveMaxTimeout: IDLE_SOCKET_MS,
      keepAliveTimeoutThreshold: IDLE_MARGIN_MS,
      // A query may take any time; its deadline is up to the caller.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_HEADER_BYTES,
      connect: connectorOf(endpoint, this.#connecting),
    });
  }

  async call(call: HttpCall, stop: RequestSignal): Promise<HttpAnswer> {
    if (stop.aborted) return notSent();
    let reply: Reply;
    try {
      reply = await this.#send(call, stop);
    } catch (error) {
      return unanswered(error, call);
    }
    return await proven(reply, call, this.#identity, stop);
  }

  /** Cuts what is still open. */
  async close(): Promise<void> {
    for (const socket of this.#connecting) socket.destroy();
    await this.#pool.destroy();
  }

  // Resolves when the headers have arrived, whatever the status. An abort before that cuts the request.
  #send(call: HttpCall, stop: RequestSignal): Promise<Reply> {
    // No empty pairs: 18.16 takes an empty string between two `&` for a setting without a name.
    let path = this.#base + this.#pairs.encode(call.query);
    if (call.queryId !== '') path += `query_id=${encodeURIComponent(call.queryId)}&`;
    const { bytes: body, contentType } = bodyOf(call);
    const headers =
      contentType === undefined ? this.#headers : { ...this.#headers, 'content-type': contentType };
    return new Promise((resolve, reject) => {
      this.#pool.dispatch(
        { method: 'POST', path: path.slice(0, -1), headers, body, reset: this.#isFresh },
        new Handler(resolve, reject, stop),
      );
    });
  }
}

function bodyOf({ sql, data, form }: HttpCall): RequestBody {
  if (form !== undefined) return formBody(form);
  return { bytes: encodeSql(data === undefined ? sql : textOf({ sql, data })) };
}

function connectorOf({ ca }: HttpEndpoint, connecting: Set<Socket>): buildConnector.connector {
  const connect = buildConnector({
    keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    // Stated explicitly, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would apply.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
  });
  return (where, callback) => {
    // Its type does not say so, but it returns the socket. A socket that waits for an answer to its SYN can then be
    // closed with the rest, and does not keep the process alive.
    const socket: unknown = connect(where, (...result) => {
      if (socket instanceof Socket) connecting.delete(socket);
      callback(...result);
    });
    if (socket instanceof Socket) connecting.add(socket);
  };
}

/** Takes one answer from the dispatcher: passes its head to the waiting caller, and its bytes to the body. */
class Handler implements Dispatcher.DispatchHandler {
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (error: Error) => void;
  readonly #stop: RequestSignal;
  readonly #onAbort = (): void => this.#end(new Error('The user aborted a request.'));
  #controller: Dispatcher.DispatchController | undefined;
  #body: AnswerBody | undefined;
  #over: Error | undefined;

  constructor(resolve: (reply: Reply) => void, reject: (error: Error) => void, stop: RequestSignal) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#stop = stop;
    stop.addEventListener('abort', this.#onAbort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // It may have been aborted while it waited for a connection.
    if (this.#over !== undefined) controller.abort(this.#over);
    else {
      this.#controller = controller;
      this.#stop.sent?.();
    }
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    // A 103 comes before the answer. A 100 that nobody asked for ends the connection before it gets here.
    if (status < 200) return;
    this.#stop.removeEventListener('abort', this.#onAbort);
    this.#body = new AnswerBody(
      () => controller.resume(),
      error => controller.abort(error),
    );
    this.#resolve({ status, headers, body: this.#body });
    // These have no body, whatever length they announce, and ClickHouse never sends them: there is nothing to wait for.
    if (status === 204 || status === 304) {
      this.#body.end();
      controller.abort(new Error('an answer without a body'));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#body?.push(chunk) === false) controller.pause();
  }

  onResponseEnd(): void {
    this.#body?.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#end(error);
  }

  // Before the headers it is the error of the request, after them that of the body. May be called twice.
  #end(error: Error): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#stop.removeEventListener('abort', this.#onAbort);
    if (this.#body !== undefined) this.#body.fail(asNodeError(error));
    else {
      this.#reject(asNodeError(error));
      this.#controller?.abort(error);
    }
  }
}

// Converts undici's own errors to those of node:http and of the system, by which failures are classified.
function asNodeError(error: Error): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error.name === 'HTTPParserError') return Object.assign(new Error(`Parse Error: ${message}`), { code });
  if (code === 'UND_ERR_SOCKET') {
    return Object.assign(new Error(`socket hang up (${message})`), { code: 'ECONNRESET' });
  }
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return Object.assign(new Error(message), { code: 'ETIMEDOUT', syscall: 'connect' });
  }
  return error;
}

/**
 * Writes the pairs of a URL, each followed by an `&`. Most are the same from query to query, and are then not encoded
 * again.
 */
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
