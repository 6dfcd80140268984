import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';

/** A server that is not the user's: it keeps what it is sent. */
export interface EvilServer {
  /** Of a name that is not this machine's by qrun's rule, although it leads here: 0.0.0.0. */
  readonly url: string;
  /** The same server by a name of this machine. */
  readonly localUrl: string;
  /** User and password of each request, decoded. */
  readonly credentials: string[];
  /** How many connections were opened. */
  connections(): number;
}

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** Starts one on 127.0.0.1; it refuses everybody and ends with the test. */
export async function evilServer(): Promise<EvilServer> {
  const credentials: string[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    const basic = (request.headers.authorization ?? '').replace('Basic ', '');
    credentials.push(Buffer.from(basic, 'base64').toString('latin1'));
    request.resume();
    response.writeHead(403, { 'x-clickhouse-exception-code': '516' });
    response.end('Code: 516. DB::Exception: wrong password. (AUTHENTICATION_FAILED)');
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  open.push(async () => {
    server.closeAllConnections();
    await new Promise<void>(resolve => server.close(() => resolve()));
  });
  return {
    url: `http://0.0.0.0:${port}`,
    localUrl: `http://127.0.0.1:${port}`,
    credentials,
    connections: () => connections,
  };
}
