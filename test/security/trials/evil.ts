import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { MARK, opening } from '../../engines/stub-server.js';

/** A request as an attacker reads it. */
export interface Seen {
  /** `user:password` as it was sent, in whatever header or parameter. */
  readonly credentials: string;
  readonly sql: string;
}

/** What the server does with a statement; `undefined` lets it be answered as ClickHouse does. */
export type Mode = (sql: string, response: ServerResponse) => true | undefined;

/** A server in the hands of an attacker. */
export interface Evil {
  /** By an address that is not a loopback one, where the trials have a network of their own; else 127.0.0.1. */
  readonly url: string;
  readonly seen: Seen[];
  /** Everything that it was told, as one text. */
  readonly told: () => string;
  stop(): Promise<void>;
}

const CHUNK_BYTES = 64 * 1024;

/** Starts a server that opens as ClickHouse does and then does as its mode says. */
export async function startEvil(mode: Mode, host: string): Promise<Evil> {
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ maxHeaderSize: 2 ** 20 }, async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      // The client went away.
    }
    const { pathname: path, searchParams: url } = new URL(request.url ?? '/', 'http://evil');
    const sql = url.get('query') ?? Buffer.concat(chunks).toString('utf8');
    const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const others = [
      request.headers['x-clickhouse-user'],
      request.headers['x-clickhouse-key'],
      url.get('password'),
    ];
    seen.push({ credentials: [Buffer.from(basic, 'base64').toString(), ...others].join('|'), sql });
    response.on('error', () => undefined);
    response.setHeader(MARK, 'evil');
    if (mode(sql, response)) return;
    const shape = opening({ sql, url, path });
    if (shape !== undefined) {
      shape({ sql, url, path, data: undefined, form: undefined, response, socket: request.socket });
    } else answer(response, '{"a":1}\n');
  });
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>(resolve => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    seen,
    told: () => seen.map(({ credentials, sql }) => `${credentials} ${sql}`).join('\n'),
    stop: () =>
      new Promise(resolve => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** An answer with status 200. */
export function answer(response: ServerResponse, body: string | Buffer): true {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.end(body);
  return true;
}

/** Answers as a good server does. */
export const good: Mode = () => undefined;

/** Only of statements that are no part of the opening: those of the SQL files. */
export function queries(mode: Mode): Mode {
  return (sql, response) => (/MINE|SQLSECRET/.test(sql) ? mode(sql, response) : undefined);
}

/** Answers with this text and status 200. */
export function rows(text: string): Mode {
  return (_, response) => answer(response, text);
}

/** Answers with an error status. */
export function status(code: number, body: string, headers: Readonly<Record<string, string>> = {}): Mode {
  return (_, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.writeHead(code);
    response.end(body);
    return true;
  };
}

/** Rows without an end, or so many bytes of them; as fast as they are read. */
export function endless(
  bytes = Number.POSITIVE_INFINITY,
  piece = '{"a":"0123456789abcdef"}\n',
  before = '',
): Mode {
  const chunk = Buffer.from(piece.repeat(Math.ceil(CHUNK_BYTES / piece.length)));
  return (_, response) => {
    response.writeHead(200);
    let sent = 0;
    if (before !== '') response.write(before);
    const more = (): void => {
      while (sent < bytes && !response.destroyed) {
        sent += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
    return true;
  };
}
