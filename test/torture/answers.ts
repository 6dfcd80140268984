import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { MARK, opening } from '../engines/stub-server.js';
import { kindOf, parseSql, rowsOf } from './expected.js';

/** A server that speaks as much of ClickHouse's HTTP interface as qrun uses, and knows the results by heart. */
export interface AnsweringServer {
  readonly url: string;
  readonly port: number;
  /** Queries that have arrived so far, by name, in order. */
  readonly arrived: string[];
  /** How long each query takes. */
  delayMs: number;
  /** Keeps all answers back while it is set. */
  hold: Promise<void> | undefined;
  /** Answers a statement in another way when it gives `true`. */
  stream: ((sql: string, response: ServerResponse) => Promise<boolean>) | undefined;
  /** How many statements of other forms came. */
  other: number;
  /** Resolves when so many queries have arrived in all. */
  arrivals(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the server on a free port of 127.0.0.1. */
export async function startAnswers(): Promise<AnsweringServer> {
  const sockets = new Set<Socket>();
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = createServer((request, response) => void answer(request, response));
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    response.setHeader(MARK, 'answers');
    const url = new URL(request.url ?? '/', 'http://answers').searchParams;
    const sql = url.get('query') ?? Buffer.concat(chunks).toString('utf8');
    const query = parseSql(sql);
    if (answers.stream !== undefined && (await answers.stream(sql, response))) return;
    if (query === undefined) {
      const open = opening({ sql: sql.trim(), url });
      if (open !== undefined)
        open({ sql, url, data: undefined, form: undefined, path: '/', response, socket: request.socket });
      else {
        if (sql.trim() !== 'SELECT 1') answers.other += 1;
        response.end(sql.trim() === 'SELECT 1' ? '{"1":1}\n' : '');
      }
      return;
    }
    answers.arrived.push(query.name);
    for (const entry of waiting) if (answers.arrived.length >= entry.count) entry.resolve();
    if (answers.delayMs > 0) await sleep(answers.delayMs);
    await answers.hold;
    if (kindOf(query.name) === 'error') {
      response.writeHead(404, { 'X-ClickHouse-Exception-Code': '60' });
      response.end(`Code: 60. DB::Exception: no table of ${query.name}. (UNKNOWN_TABLE)\n`);
      return;
    }
    response.end(
      rowsOf(query.name, query.shape)
        .map(row => `${row}\n`)
        .join(''),
    );
  };

  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const answers: AnsweringServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    arrived: [],
    delayMs: 0,
    hold: undefined,
    stream: undefined,
    other: 0,
    arrivals: count =>
      new Promise(resolve => {
        if (answers.arrived.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
    stop: () =>
      new Promise(resolve => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  return answers;
}
