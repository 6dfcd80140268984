import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** One request as the stub got it. */
export interface StubRequest {
  readonly sql: string;
  /** The body where the SQL stands in the URL: inline data. */
  readonly data: string | undefined;
  /** The fields of a multipart/form-data body, as a server reads them; the SQL is its field `query`. */
  readonly form: Readonly<Record<string, string>> | undefined;
  /** The path of the request, without its parameters. */
  readonly path: string;
  readonly url: URLSearchParams;
  readonly response: ServerResponse;
  readonly socket: Socket;
}

/** What the stub does with a statement. */
export type Shape = (request: StubRequest) => void;

export interface StubServer {
  readonly url: string;
  readonly port: number;
  /** Statements in order of arrival, without those that open the engine. */
  readonly requests: StubRequest[];
  /** Ids for which KILL QUERY came, as often as it came. */
  readonly killed: string[];
  /** What is done with statements from now on. */
  shape: Shape;
  /** What is done with the statements that open the engine; `undefined` answers as a modern server does. */
  openShape: Shape | undefined;
  /** What is done with those of them that ask for what is in force; `undefined` answers that all of it is. */
  inForceShape: Shape | undefined;
  /** What is done with KILL QUERY; `undefined` ends the queries that hang, and answers that no such query runs. */
  killShape: Shape | undefined;
  /** Resolves when the given number of statements has arrived. */
  arrived(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** What the statements that open the engine are answered. */
export const OPENING: Readonly<Record<string, string>> = {
  'SELECT version() AS v': '{"v":"25.11.1.1"}\n',
  'SELECT version() AS v FORMAT JSONEachRow': '{"v":"25.11.1.1"}\n',
  'SELECT name AS v FROM system.settings':
    '{"v":"max_threads"}\n{"v":"max_execution_time"}\n{"v":"output_format_json_quote_64bit_integers"}\n',
  'SELECT {v:UInt8} AS v': '{"v":1}\n',
  'SELECT 1 AS v': '{"v":1}\n',
  'SELECT currentDatabase() AS v': '{"v":"default"}\n',
};

const IN_FORCE =
  /^SELECT concat\(name, .*\) AS v FROM system\.settings WHERE name IN \((?<names>[^)]*)\)(?: SETTINGS (?<clause>.*))?$/;

/**
 * How ClickHouse answers one of the statements that open the engine, with the parameters of the URL in force;
 * `undefined` for any other statement.
 */
export function opening({
  sql,
  url,
  path = '/',
}: Pick<StubRequest, 'sql' | 'url'> & { readonly path?: string }): Shape | undefined {
  if (sql === 'SELECT 1 AS v' && url.get('session_check') === '1') {
    return status(404, 'Code: 372. DB::Exception: Session not found. (SESSION_NOT_FOUND)');
  }
  const line = (v: string) => `${JSON.stringify({ v })}\n`;
  // Under a path its name is asked for as a database, which is not there.
  if (sql === 'SELECT currentDatabase() AS v' && path === '/')
    return rows(line(url.get('database') ?? 'default'));
  const known = OPENING[sql];
  if (known !== undefined) return rows(known);
  if (sql.startsWith('SELECT query_id AS v FROM system.processes')) {
    return rows(line(url.get('query_id') ?? ''));
  }
  if (sql === 'SELECT queryID() AS v') return rows(line(url.get('query_id') ?? ''));
  if (sql.startsWith('SELECT arrayJoin([concat('))
    return status(404, 'Code: 46. DB::Exception: (UNKNOWN_FUNCTION)');
  if (sql.startsWith("SELECT toFixedString('', 300000) AS v, throwIf")) {
    return status(500, 'Code: 395. DB::Exception: (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)');
  }
  const asked = IN_FORCE.exec(sql)?.groups;
  if (asked === undefined) return undefined;
  const clause = new Map(
    [...(asked.clause ?? '').matchAll(/(\w+) = (?:'([^']*)'|([^,]*))/g)].map(([, name, text, number]) => [
      name ?? '',
      text ?? number ?? '',
    ]),
  );
  return rows(
    [...(asked.names ?? '').matchAll(/'([^']*)'/g)]
      .map(([, name = '']) => line(`${name}\t1\t${clause.get(name) ?? url.get(name) ?? 'default'}`))
      .join(''),
  );
}

/** Whether a statement asks the server for what is in force. */
function isInForce({ sql, url }: StubRequest): boolean {
  return OPENING[sql] === undefined || url.get('session_check') === '1';
}

/** What stands on each answer of ClickHouse, and so on each of this server that a shape does not take it from. */
export const MARK = 'X-ClickHouse-Server-Display-Name';

/** Starts an HTTP server that opens like ClickHouse 25.11 and then answers in any shape. */
export async function startStubServer(shape: Shape = rows('{"a":1}\n')): Promise<StubServer> {
  const requests: StubRequest[] = [];
  const killed: string[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const sockets = new Set<Socket>();
  // As long a URL as ClickHouse takes.
  const server = createServer(
    { maxHeaderSize: 2 ** 20 },
    (request, response) => void answer(request, response),
  );
  // Nothing here may end a connection but the shapes.
  server.keepAliveTimeout = 0;
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    response.setHeader(MARK, 'stub');
    const body = await textOf(request);
    const { pathname: path, searchParams: url } = new URL(request.url ?? '/', 'http://stub');
    const inUrl = url.get('query');
    const form = formOf(request.headers['content-type'] ?? '', body);
    const stubRequest: StubRequest = {
      sql: inUrl ?? form?.query ?? body,
      data: inUrl === null ? undefined : body,
      form,
      path,
      url,
      response,
      socket: request.socket,
    };
    writtenBefore.set(response, request.socket.bytesWritten);
    const open = opening(stubRequest);
    const kill = /^KILL QUERY WHERE query_id IN \((.*)\) ASYNC$/.exec(stubRequest.sql);
    if (open !== undefined) {
      const shape = isInForce(stubRequest) ? stub.inForceShape : stub.openShape;
      (shape ?? open)(stubRequest);
    } else if (kill !== null) {
      for (const [, id = ''] of (kill[1] ?? '').matchAll(/'((?:\\.|[^'\\])*)'/g)) {
        killed.push(id.replace(/\\(.)/g, '$1'));
      }
      if (stub.killShape !== undefined) stub.killShape(stubRequest);
      else {
        rows('')(stubRequest);
        for (const each of requests) if (killed.includes(each.url.get('query_id') ?? '')) endAsKilled(each);
      }
    } else {
      requests.push(stubRequest);
      for (const entry of waiting) if (entry.count <= requests.length) entry.resolve();
      stub.shape(stubRequest);
    }
  };

  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stub: StubServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    killed,
    shape,
    openShape: undefined,
    inForceShape: undefined,
    killShape: undefined,
    arrived: count =>
      new Promise(resolve => {
        if (requests.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
    stop: () =>
      new Promise(resolve => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  return stub;
}

// Of earlier answers on the same connection.
const writtenBefore = new WeakMap<ServerResponse, number>();

/** A statement that has had no answer ends as on a server where it was killed. */
export function endAsKilled({ response, socket }: StubRequest): void {
  if (response.headersSent || socket.bytesWritten > (writtenBefore.get(response) ?? 0) || socket.destroyed)
    return;
  response.writeHead(500);
  response.end('Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)');
}

function formOf(contentType: string, body: string): Record<string, string> | undefined {
  const boundary = /^multipart\/form-data; boundary=(\S+)$/.exec(contentType)?.[1];
  if (boundary === undefined) return undefined;
  const parts = `\r\n${body}`.split(`\r\n--${boundary}`);
  if (parts.shift() !== '' || parts.pop() !== '--\r\n') throw new Error(`no form: ${JSON.stringify(body)}`);
  return Object.fromEntries(
    parts.map(part => {
      const match = /^\r\nContent-Disposition: form-data; name="(\w+)"\r\n\r\n(.*)$/s.exec(part);
      if (match === null) throw new Error(`no field: ${JSON.stringify(part)}`);
      return [match[1], match[2]];
    }),
  );
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    // The client went away; what came is all there is.
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** How a connection ends before the answer does. */
export type Cut = 'fin' | 'rst' | 'hang';

function cutNow(socket: Socket, how: Cut): void {
  if (how === 'fin') socket.end();
  if (how === 'rst') socket.resetAndDestroy();
}

// Waits until the bytes have left, because a reset throws away what is still in the buffer.
function writeThen(socket: Socket, bytes: string, how: Cut): void {
  socket.write(bytes, () => setImmediate(() => cutNow(socket, how)));
}

const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const head = (headers: readonly string[], status = '200 OK') =>
  `HTTP/1.1 ${status}\r\n${[`${MARK}: stub`, ...headers].map(line => `${line}\r\n`).join('')}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked';

/** A proper answer with status 200. */
export function rows(body: string, headers: Readonly<Record<string, string>> = {}): Shape {
  return ({ response }) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', ...headers });
    response.end(body);
  };
}

/** A proper answer with another status. */
export function status(code: number, body: string, headers: Readonly<Record<string, string>> = {}): Shape {
  return ({ response }) => {
    response.writeHead(code, headers);
    response.end(body);
  };
}

/** An answer of something else than ClickHouse. */
export function foreign(code: number, body: string, headers: Readonly<Record<string, string>> = {}): Shape {
  return request => {
    request.response.removeHeader(MARK);
    status(code, body, headers)(request);
  };
}

/** Chunks that stop before the last one. */
export function cutChunks(body: string, how: Cut, headers: readonly string[] = []): Shape {
  return ({ socket }) => writeThen(socket, head([CHUNKED, ...headers]) + chunk(body), how);
}

/** Chunks with their end, whatever stands in them. */
export function wholeChunks(body: string, headers: Readonly<Record<string, string>> = {}): Shape {
  return ({ response }) => {
    response.writeHead(200, headers);
    response.write(body);
    response.end();
  };
}

/** A length that is larger than what comes. */
export function cutLength(body: string, how: Cut, headers: readonly string[] = []): Shape {
  return ({ socket }) =>
    writeThen(socket, head([`Content-Length: ${Buffer.byteLength(body) + 100}`, ...headers]) + body, how);
}

/** Neither a length nor chunks: the body ends with the connection. */
export function untilClose(body: string): Shape {
  return ({ socket }) => writeThen(socket, head(['Connection: close']) + body, 'fin');
}

/** No answer: the connection ends before the headers, or stays. */
export function noHeaders(how: Cut): Shape {
  return ({ socket }) => cutNow(socket, how);
}

/** An answer that is not HTTP. */
export function notHttp(): Shape {
  return ({ socket }) => writeThen(socket, 'SSH-2.0-OpenSSH_9.2p1\r\n', 'hang');
}

/** The exception block of 25.11 and later. */
export function taggedException(tag: string, message: string): string {
  return `\r\n__exception__\r\n${tag}\r\n${message}\n${Buffer.byteLength(message) + 1} ${tag}\r\n__exception__\r\n`;
}
