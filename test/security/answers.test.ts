import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { rows, type Shape, type StubServer, startStubServer, status } from '../engines/stub-server.js';
import { qrun, records, removeTree, tree } from '../integration/qrun.js';

vi.setConfig({ testTimeout: 60_000 });

let stub: StubServer;
let root: string;

beforeAll(async () => {
  stub = await startStubServer();
});
afterAll(async () => await stub.stop());
const roots: string[] = [];
function place(): string {
  const made = tree({
    'u/evil.sql': 'SELECT 1 AS a',
    'u/good.sql': 'SELECT 2 AS a',
    'u/other.sql': 'SELECT 3 AS a',
  });
  roots.push(made);
  return made;
}
beforeEach(() => {
  root = place();
});
afterAll(() => roots.forEach(removeTree));

const log = (at = root) => readFileSync(join(at, 'results/u.ndjson'));
const unit = (...args: string[]) => qrun(['unit', 'u', '-q', '--json', ...args], { cwd: root });
const audit = () => qrun(['audit', 'u', '--json'], { cwd: root });

/** What the query `evil` gets; the others get a row of their own. */
function evil(shape: Shape): Shape {
  return request => (request.sql.startsWith('SELECT 1 ') ? shape : rows('{"a":2}\n'))(request);
}

const byQuery = (at = root) => Object.fromEntries(records(log(at)).map(record => [record.query, record]));

async function expectRefused(name: string, message: string, ...args: string[]): Promise<void> {
  const ended = await unit('--url', stub.url, '--halt', 'same=off', ...args);
  expect(ended, ended.stderr).toMatchObject({ code: 20 });
  // Each line is one JSON value, and says of whom it is.
  expect(byQuery()).toMatchObject({
    evil: {
      unit: 'u',
      outcome: 'error',
      parts: 1,
      error: { name, message: expect.stringContaining(message) },
    },
    good: { unit: 'u', outcome: 'normal', row: { a: 2 } },
    other: { unit: 'u', outcome: 'normal', row: { a: 2 } },
  });
  expect(records(log())).toHaveLength(3);
  // Nothing waits in a file, and nothing stands in the way of the next run.
  expect(readdirSync(join(root, 'results')).filter(file => file.startsWith('.'))).toEqual([]);
  stub.shape = rows('{"a":4}\n');
  expect(await unit('--url', stub.url)).toMatchObject({ code: 0 });
  expect(await audit()).toMatchObject({ code: 0 });
}

describe('an answer cannot forge, close or damage a record', () => {
  const forged = '"unit":"other","query":"good","outcome":"normal","row":{"profit":999}';
  it.each<[string, string, string]>([
    ['no JSON', '{not json}\n', 'byte 2 of row 1'],
    ['a record of another query', `{"a":1},${forged}\n`, 'byte 8 of row 1, after its end, is ","'],
    ['the same in the second row', `{"a":1}\n{"a":1},${forged}\n`, 'byte 8 of row 2, after its end'],
    ['a whole record', `{"a":1}}\n{${forged}\n`, 'byte 8 of row 1, after its end, is "}"'],
    ['a record behind an open text', `{"a":"}\n{${forged}\n`, 'byte 8 of row 1 is the control byte 0x0a'],
    ['a NUL', '{"a":"\0"}\n', 'the control byte 0x00'],
    ['two objects with a CR between', '{"a":1}\r{"x":2}\n', 'line 1 does not end with "}"'],
    [
      'deep nesting',
      `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}\n`,
      'more than 512 nested arrays and objects',
    ],
    ['nan', '{"a":nan}\n', 'output_format_json_quote_denormals=1'],
    ['half of a surrogate pair', '{"a":"\\ud800"}\n', 'surrogates in pairs'],
    ['one row in the spool of many', `${'{"a":1}\n'.repeat(300_000)}{"a":01}\n`, 'byte 7 of row 300001'],
  ])('%s', async (_, body, message) => {
    stub.shape = evil(rows(body));
    await expectRefused('RESULT_INVALID', message);
  });

  it('nor can what a server says of itself', async () => {
    const name = `x","outcome":"normal"}\\u0000${'n'.repeat(1000)}`;
    stub.openShape = request => {
      request.response.setHeader('X-ClickHouse-Server-Display-Name', name);
      const body = /version/.test(request.sql) ? `25.1"},{"a":"${'9'.repeat(500_000)}` : '1';
      rows(`${JSON.stringify({ v: body })}\n`, { 'x-clickhouse-query-id': name })(request);
    };
    stub.shape = evil(
      status(
        500,
        'Code: 395. DB::Exception: "},{"unit":"other"\n{"unit":"u"}\0\x1b[2J (FUNCTION_THROW_IF_VALUE)',
      ),
    );
    try {
      const ended = await unit('--url', stub.url, '--halt', 'same=off');
      expect(ended, ended.stderr).toMatchObject({ code: 20 });
    } finally {
      stub.openShape = undefined;
    }
    expect(records(log())).toHaveLength(3);
    expect(byQuery()).toMatchObject({ evil: { error: { code: 395 } } });
    expect(log().includes(0)).toBe(false);
    const runs = records(readFileSync(join(root, 'results/u.ndjson.runs')));
    expect(runs.length).toBeGreaterThan(0);
    expect(JSON.stringify(runs).length).toBeLessThan(10_000);
  });

  it('nor can numbers that are none, in a summary', async () => {
    const summary = JSON.stringify({
      read_rows: '1e999',
      read_bytes: { toString: 1, valueOf: 1 },
      memory_usage: [5],
      elapsed_ns: '-1',
      result_rows: { valueOf: 1 },
      written_rows: 'nan',
    }).replace('{', '{"__proto__":{"result_rows":"7"},');
    stub.shape = rows('{"a":2}\n', { 'x-clickhouse-summary': summary, 'x-clickhouse-format': 'JSONEachRow' });
    const ended = await unit('--url', stub.url);
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    for (const record of records(log())) expect(record).not.toHaveProperty('stats');
  });
});

// Writes until the connection ends, and then says so.
function endless(begin: string, chunk: string, ended: () => void): Shape {
  return ({ response }) => {
    response.writeHead(200);
    response.write(begin);
    const go = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', go);
    response.once('close', ended);
    go();
  };
}

describe('a result that is too large', () => {
  it.each([
    ['endless rows', '', '{"a":1}\n'.repeat(8192)],
    ['an endless row', '{"a":"', 'x'.repeat(65_536)],
  ])('%s end as error of that query, and its query is cancelled', async (_, begin, chunk) => {
    let isCut = false;
    stub.killed.length = 0;
    stub.shape = evil(
      endless(begin, chunk, () => {
        isCut = true;
      }),
    );
    const started = performance.now();
    await expectRefused('RESULT_TOO_LARGE', 'the result is larger than 4M', '--max-result', '4M');
    expect(isCut).toBe(true);
    expect(stub.killed.length).toBeGreaterThan(0);
    // At once, and not at the deadline.
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it('is as large as the limit, and no byte more', async () => {
    const body = `{"a":"${'x'.repeat(2048 - 9)}"}\n`;
    expect(body).toHaveLength(2048);
    stub.shape = rows(body);
    expect(await unit('--url', stub.url, '--max-result', '2048')).toMatchObject({ code: 0 });
    expect(await unit('--url', stub.url, '--max-result', '2047', '--rerun', 'all')).toMatchObject({
      code: 20,
    });
  });

  it('ends on the embedded engine too, and the others are recorded', async () => {
    root = tree({
      'u/evil.sql': 'SELECT number FROM system.numbers',
      'u/good.sql': 'SELECT 2 AS a',
      'u/other.sql': 'SELECT 3 AS a',
    });
    roots.push(root);
    const ended = await unit('--max-result', '4M', '-P2', '--halt', 'same=off');
    expect(ended, ended.stderr).toMatchObject({ code: 20 });
    expect(byQuery()).toMatchObject({
      evil: { outcome: 'error', error: { name: 'RESULT_TOO_LARGE' } },
      good: { outcome: 'normal' },
      other: { outcome: 'normal' },
    });
    expect(records(log())).toHaveLength(3);
  });
});

/** A server below HTTP: it opens as ClickHouse does, and writes what it likes to the query `evil`. */
async function startRaw(write: (socket: Socket) => void): Promise<{ url: string; stop: () => void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    // What is not for the query goes to the stub.
    let isEvil = false;
    let head = '';
    socket.on('data', data => {
      head += data.toString('latin1');
      if (!isEvil && head.endsWith('SELECT 1 AS a')) {
        isEvil = true;
        write(socket);
      }
      if (isEvil) return;
      const end = head.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (end === -1 || head.length < end + 4 + length) return;
      const [, path = '/'] = head.split(' ');
      const body = head.slice(end + 4);
      head = '';
      void fetch(`${stub.url}${path}`, { method: 'POST', body }).then(async answer => {
        const text = await answer.text();
        socket.write(
          `HTTP/1.1 ${answer.status} x\r\nX-ClickHouse-Server-Display-Name: stub\r\n` +
            `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
        );
      });
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function pump(socket: Socket, chunk: string): void {
  const go = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', go);
  go();
}

const HEAD = 'HTTP/1.1 200 OK\r\nX-ClickHouse-Server-Display-Name: x\r\n';
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;

// Most of their time is waiting for deadlines.
describe.concurrent('an answer that does not end', () => {
  it.each<[string, string, string, string]>([
    ['headers', HEAD, 'a: b\r\n'.repeat(10_000), 'HEADERS_TOO_LARGE'],
    ['headers without a letter in them', HEAD, 'a:\r\n'.repeat(10_000), 'HEADERS_TOO_LARGE'],
    ['a header', `${HEAD}a: `, 'x'.repeat(60_000), 'HEADERS_TOO_LARGE'],
    ['the name of a header', HEAD, 'x'.repeat(60_000), 'HEADERS_TOO_LARGE'],
    ['the status', 'HTTP/1.1 200 ', 'x'.repeat(60_000), 'TIMEOUT'],
    ['answers before the answer', '', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'.repeat(100), 'TIMEOUT'],
    ['the length of a chunk', CHUNKED, '0'.repeat(60_000), 'TIMEOUT'],
    ['what stands behind the length of a chunk', `${CHUNKED}8;a="`, 'x'.repeat(60_000), 'TIMEOUT'],
    ['trailers', `${CHUNKED}8\r\n{"a":1}\n\r\n0\r\n`, 'a: b\r\n'.repeat(10_000), 'CONNECTION_LOST'],
    ['chunks of one byte', `${CHUNKED}6\r\n{"a":"\r\n`, '1\r\nx\r\n'.repeat(10_000), 'TIMEOUT'],
  ])('%s', async (_, begin, chunk, name) => {
    stub.shape = rows('{"a":2}\n');
    const at = place();
    const raw = await startRaw(socket => {
      socket.write(begin);
      pump(socket, chunk);
    });
    try {
      const limits = ['--timeout', '2s', '--retries', '0', '--max-outage', '1s'];
      const started = performance.now();
      const args = ['unit', 'u', '-q', '--url', raw.url, ...limits, '-P1', '--halt', 'same=off'];
      const ended = await qrun(args, { cwd: at });
      expect(ended, ended.stderr).toMatchObject({ code: 20 });
      // The deadline, and five seconds for the cancel.
      expect(performance.now() - started).toBeLessThan(20_000);
      expect(byQuery(at)).toMatchObject({
        evil: { error: { name } },
        good: { outcome: 'normal' },
        other: { outcome: 'normal' },
      });
    } finally {
      raw.stop();
    }
  });
});

it('config tells the limit', async () => {
  const { stdout } = await qrun(['config', 'u'], { cwd: root });
  expect(stdout).toMatch(/max_result +half of the free space, at most 16G +default +QRUN_MAX_RESULT/);
  const given = await qrun(['config', 'u', '--max-result', '1.5G'], { cwd: root });
  expect(given.stdout).toMatch(/max_result +1\.5G +flag/);
  expect(existsSync(join(root, 'results'))).toBe(false);
});
