import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseQuery } from '../../src/core/sql/parse.js';
import { type ClickHouseOptions, openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import type { Engine, EngineRequest, EngineResult } from '../../src/io/engines/engine.js';
import {
  type Cut,
  cutChunks,
  cutLength,
  endAsKilled,
  MARK,
  noHeaders,
  notHttp,
  OPENING,
  rows,
  type Shape,
  type StubServer,
  startStubServer,
  status,
  taggedException,
  untilClose,
  wholeChunks,
} from './stub-server.js';

const OLD_TEXT =
  "Code: 395, e.displayText() = DB::Exception: Value passed to 'throwIf' function is non zero, e.what() = DB::Exception";
const NEW_TEXT =
  "Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero: while executing 'FUNCTION throwIf()'. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 25.11.1.1 (official build))";
const ROWS = '{"a":1}\n{"a":2}\n';
const TAG = 'abcdefghijklmnop';

let stub: StubServer;
let engine: Engine;
let ids = 0;

function options(changes: Partial<ClickHouseOptions> = {}): ClickHouseOptions {
  return {
    url: stub.url,
    concurrency: 4,
    spool: { directory: tmpdir(), thresholdBytes: 1024 * 1024 },
    settings: {},
    ...changes,
  };
}

function run(sql: string, changes: Partial<EngineRequest> = {}): Promise<EngineResult> {
  ids += 1;
  return engine.run({
    query: parseQuery(sql),
    queryId: `q${ids}`,
    parameters: {},
    settings: {},
    timeoutMs: 0,
    signal: new AbortController().signal,
    ...changes,
  });
}

async function failure(shape: Shape, sql = 'SELECT 1', changes: Partial<EngineRequest> = {}) {
  stub.shape = shape;
  const result = await run(sql, changes);
  if (result.ok) throw new Error(`taken for a result: ${result.body.bytes()?.toString()}`);
  return result.failure;
}

async function text(result: EngineResult): Promise<string> {
  if (!result.ok) throw new Error(result.failure.message);
  const bytes = result.body.bytes()?.toString('utf8') ?? '(spooled)';
  await result.body.dispose();
  return bytes;
}

beforeAll(async () => {
  stub = await startStubServer();
  engine = await openClickHouse(options(), new AbortController().signal);
});

afterAll(async () => {
  await engine.close();
  await stub.stop();
});

beforeEach(() => {
  stub.requests.length = 0;
  stub.killed.length = 0;
  stub.killShape = undefined;
});

describe('a whole answer', () => {
  it('is given out byte for byte, from chunks and with a length', async () => {
    for (const shape of [rows(ROWS), wholeChunks(ROWS), rows(ROWS, { 'content-length': '16' })]) {
      stub.shape = shape;
      expect(await text(await run('SELECT 1'))).toBe(ROWS);
    }
  });

  it('may be empty', async () => {
    stub.shape = rows('');
    const result = await run('SELECT 1');
    expect(result.ok && result.body.rows).toBe(0);
  });

  it('carries the cost that the summary header states', async () => {
    const summary = {
      read_rows: '10',
      read_bytes: '80',
      elapsed_ns: '1234567',
      memory_usage: '4096',
      result_rows: '2',
    };
    stub.shape = rows(ROWS, { 'x-clickhouse-summary': JSON.stringify(summary) });
    const result = await run('SELECT 1');
    expect(result.ok && result.stats).toEqual({
      read_rows: 10,
      read_bytes: 80,
      elapsed_ms: 1.235,
      memory_bytes: 4096,
    });
    const two = await run('SELECT 1; SELECT 2');
    expect(two.ok && two.stats).toEqual({
      read_rows: 20,
      read_bytes: 160,
      elapsed_ms: 2.47,
      memory_bytes: 4096,
    });
  });

  it('has no cost when the header is missing or broken', async () => {
    for (const headers of [{}, { 'x-clickhouse-summary': '{"read_rows' }]) {
      stub.shape = rows(ROWS, headers);
      const result = await run('SELECT 1');
      expect(result).toMatchObject({ ok: true, stats: undefined });
    }
  });
});

describe('an answer that stops too early', () => {
  const cuts: Cut[] = ['fin', 'rst'];
  for (const how of cuts) {
    it.each([
      ['after a whole row in chunks', cutChunks(ROWS, how)],
      ['in the middle of a row in chunks', cutChunks('{"a":1}\n{"a"', how)],
      ['in chunks, from a server that keeps no connection', cutChunks(ROWS, how, ['Connection: close'])],
      ['before its length is reached', cutLength(ROWS, how)],
      [
        'before its length, from a server that keeps no connection',
        cutLength(ROWS, how, ['Connection: close']),
      ],
      ['before any header', noHeaders(how)],
    ])(`is unknown (${how}): %s`, async (_, shape) => {
      const lost = await failure(shape);
      expect(lost).toMatchObject({ code: 0, name: 'CONNECTION_LOST', kind: 'unknown', neverStarted: false });
    });
  }

  it.each([
    ['whole', ROWS],
    ['cut', '{"a":1}\n{"a":'],
    ['empty', ''],
  ])('is unknown when only the end of the connection ends it: %s', async (_, body) => {
    expect(await failure(untilClose(body))).toMatchObject({ name: 'RESULT_CUT', kind: 'unknown' });
  });

  it('is unknown when the last row has no end although the answer is whole', async () => {
    expect(await failure(wholeChunks('{"a":1}\n{"a":2}'))).toMatchObject({
      name: 'RESULT_CUT',
      kind: 'unknown',
    });
  });
});

describe('an exception behind rows', () => {
  it.each([
    ['text, clean end (to 24.x)', wholeChunks(`${ROWS + OLD_TEXT}\n`), OLD_TEXT],
    ['text with a length', rows(`${ROWS + OLD_TEXT}\n`), OLD_TEXT],
    ['text alone', rows(`${OLD_TEXT}\n`), OLD_TEXT],
    ['marker without tag, clean end', wholeChunks(`${ROWS}__exception__\n${NEW_TEXT}\n`), NEW_TEXT],
    ['marker without tag, no last chunk', cutChunks(`${ROWS}__exception__\n${NEW_TEXT}\n`, 'fin'), NEW_TEXT],
    [
      'tagged block, clean end',
      wholeChunks(ROWS + taggedException(TAG, NEW_TEXT), { 'x-clickhouse-exception-tag': TAG }),
      NEW_TEXT,
    ],
    [
      'tagged block, no last chunk',
      cutChunks(ROWS + taggedException(TAG, NEW_TEXT), 'rst', [`X-ClickHouse-Exception-Tag: ${TAG}`]),
      NEW_TEXT,
    ],
    [
      'header with status 200 and rows',
      rows(`${ROWS + NEW_TEXT}\n`, { 'x-clickhouse-exception-code': '395' }),
      NEW_TEXT,
    ],
  ])('is the failure, never data: %s', async (_, shape, message) => {
    expect(await failure(shape)).toEqual({
      code: 395,
      name: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO',
      kind: 'permanent',
      message,
      neverStarted: false,
      serverGone: false,
    });
  });

  it('is found behind a large result, across chunks', async () => {
    const many =
      '{"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}\n'.repeat(
        60_000,
      );
    expect(await failure(wholeChunks(`${many + OLD_TEXT}\n`))).toMatchObject({ code: 395 });
  });

  it('is found behind a large result that has the header', async () => {
    const many = '{"a":1}\n'.repeat(50_000);
    const shown = await failure(rows(`${many + NEW_TEXT}\n`, { 'x-clickhouse-exception-code': '395' }));
    expect(shown).toMatchObject({ code: 395, message: NEW_TEXT });
  });

  it('is the failure when only the header names it', async () => {
    expect(await failure(rows('', { 'x-clickhouse-exception-code': '209' }))).toMatchObject({
      code: 209,
      name: 'SOCKET_TIMEOUT',
      kind: 'transient',
    });
  });

  it('is not found in rows that quote one', async () => {
    const quoting = `{"m":"\\n${OLD_TEXT}"}\n{"exception":"${OLD_TEXT.replaceAll('"', '')}"}\n`;
    stub.shape = rows(quoting);
    expect(await text(await run('SELECT 1'))).toBe(quoting);
    expect(await failure(cutChunks(quoting, 'fin'))).toMatchObject({ name: 'CONNECTION_LOST' });
  });
});

describe('an error status', () => {
  it('keeps a message that is whole, whatever its length up to 64 KiB', async () => {
    const message = `Code: 62. DB::Exception: Syntax error: ${'x'.repeat(60_000)} (SYNTAX_ERROR)`;
    expect((await failure(status(400, `${message}\n`))).message).toBe(message);
  });

  it('does not read a message that never ends', async () => {
    const endless: Shape = ({ response }) => {
      response.writeHead(500);
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(10_000)));
      };
      response.on('drain', more);
      more();
    };
    expect(await failure(endless)).toMatchObject({ name: 'HTTP_500' });
  });

  it('reads no more than 64 KiB of a message and leaves the engine usable', async () => {
    const huge = `Code: 62. DB::Exception: ${'x'.repeat(8_000_000)}`;
    const shown = await failure(status(400, huge));
    expect(shown.code).toBe(62);
    expect(shown.message.length).toBe(64 * 1024);
    stub.shape = rows(ROWS);
    expect(await text(await run('SELECT 1'))).toBe(ROWS);
  });

  it.each<[string, Shape, object]>([
    [
      'a 502 page',
      status(502, '<html><h1>502 Bad Gateway</h1></html>', { 'content-type': 'text/html' }),
      { name: 'HTTP_502', kind: 'transient', neverStarted: false, serverGone: true },
    ],
    [
      'an empty 503',
      status(503, ''),
      { name: 'HTTP_503', kind: 'transient', neverStarted: true, serverGone: true },
    ],
    [
      '429 with Retry-After',
      status(429, 'slow down', { 'retry-after': '7' }),
      { name: 'HTTP_429', kind: 'transient', neverStarted: true, retryAfterMs: 7000, serverGone: false },
    ],
    [
      '301',
      status(301, '', { location: 'https://u:p@elsewhere/x' }),
      { name: 'HTTP_301', kind: 'permanent', serverGone: true },
    ],
    [
      'a user who is refused',
      status(403, 'Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)'),
      { code: 516, neverStarted: true, serverGone: true },
    ],
    ['a login page', status(401, 'who are you'), { name: 'HTTP_401', kind: 'transient', neverStarted: true }],
    ['408', status(408, ''), { name: 'HTTP_408', kind: 'transient', neverStarted: false }],
    ['418', status(418, 'teapot'), { name: 'HTTP_418', kind: 'permanent' }],
    ['204', status(204, ''), { name: 'HTTP_204', kind: 'transient', serverGone: true }],
    [
      'ClickHouse saying that it has too many queries',
      status(500, 'Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)'),
      { code: 202, kind: 'transient', neverStarted: true, serverGone: false },
    ],
    [
      'an exception as a JSON object',
      status(500, JSON.stringify({ exception: NEW_TEXT })),
      { code: 395, message: NEW_TEXT, kind: 'permanent' },
    ],
    [
      'an error whose body breaks off behind its text',
      ({ socket }) => {
        const body = `HTTP/1.1 500 E\r\nContent-Length: 9999\r\n\r\n${OLD_TEXT}`;
        socket.write(body, () => socket.end());
      },
      { code: 395, kind: 'permanent' },
    ],
    [
      'an HTML page with 200',
      rows('<html>', { 'content-type': 'text/html' }),
      { name: 'NOT_CLICKHOUSE', kind: 'transient' },
    ],
    [
      'a compressed answer',
      rows('\u001f', { 'content-encoding': 'gzip' }),
      { name: 'NOT_CLICKHOUSE', kind: 'permanent' },
    ],
    ['rows of another format', rows('1\t2\n'), { name: 'RESULT_INVALID', kind: 'permanent' }],
    ['no HTTP', notHttp(), { name: 'CONNECTION_LOST', kind: 'unknown' }],
  ])('%s', async (_, shape, expected) => {
    const shown = await failure(shape);
    expect(shown).toMatchObject(expected);
    expect(shown.message).not.toContain('u:p');
  });
});

describe('a query that changes data', () => {
  it('does not count as passing once it may have run', async () => {
    const overcommit = status(
      500,
      'Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)',
    );
    expect(await failure(overcommit, 'INSERT INTO t SELECT 1')).toMatchObject({ kind: 'unknown' });
    expect(await failure(overcommit, 'SELECT 1')).toMatchObject({ kind: 'transient' });
    const full = status(500, 'Code: 202. DB::Exception: Too many. (TOO_MANY_SIMULTANEOUS_QUERIES)');
    expect(await failure(full, 'INSERT INTO t SELECT 1')).toMatchObject({
      kind: 'transient',
      neverStarted: true,
    });
    const secondFull: Shape = request => (request.sql.startsWith('INSERT') ? rows('') : full)(request);
    expect(await failure(secondFull, 'INSERT INTO t SELECT 1; SELECT 1')).toMatchObject({
      kind: 'unknown',
      neverStarted: false,
    });
    expect(await failure(secondFull, 'SELECT 2; SELECT 1')).toMatchObject({
      kind: 'transient',
      neverStarted: true,
    });
  });
});

describe('cancelling', () => {
  const halfBody: Shape = ({ socket }) =>
    void socket.write(
      'HTTP/1.1 200 OK\r\nX-ClickHouse-Server-Display-Name: stub\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"a":1}\n\r\n',
    );

  it('at the deadline kills the query, and waits for its own answer', async () => {
    const late = await failure(noHeaders('hang'), 'SELECT 1', { queryId: 'late', timeoutMs: 50 });
    expect(late).toMatchObject({
      name: 'TIMEOUT',
      kind: 'permanent',
      neverStarted: false,
      serverGone: false,
    });
    expect(late.message).toBe('no result within 50 ms; it has ended on the server');
    expect(stub.killed).toContain('late');
  });

  it.each<[string, Shape]>([
    ['in the middle of the body', halfBody],
    [
      'in the middle of an error text',
      ({ socket }) =>
        void socket.write(
          'HTTP/1.1 500 E\r\nX-ClickHouse-Server-Display-Name: stub\r\nContent-Length: 9\r\n\r\nCode',
        ),
    ],
  ])('at the deadline cuts the connection and kills the query: %s', async (_, shape) => {
    const closed = new Promise<void>(resolve => {
      stub.shape = request => {
        request.socket.once('close', resolve);
        shape(request);
      };
    });
    const result = await run('SELECT 1', { queryId: 'late', timeoutMs: 50 });
    expect(result).toMatchObject({
      ok: false,
      failure: { name: 'TIMEOUT', kind: 'permanent', neverStarted: false, serverGone: false },
    });
    expect(result.ok || result.failure.message).toBe('no result within 50 ms; it has ended on the server');
    expect(stub.killed).toContain('late');
    await closed;
  });

  it('by signal kills the statement that runs, and sends no further one', async () => {
    const stop = new AbortController();
    stub.shape = request => (request.sql === 'SELECT 1' ? rows(ROWS) : noHeaders('hang'))(request);
    const running = run('SELECT 1; SELECT 2; SELECT 3', { queryId: 'multi', signal: stop.signal });
    await stub.arrived(2);
    stop.abort();
    expect(await running).toMatchObject({ ok: false, failure: { name: 'ABORTED', kind: 'transient' } });
    expect(new Set(stub.killed)).toEqual(new Set(['multi-1']));
    expect(stub.requests.map(request => request.sql)).toEqual(['SELECT 1', 'SELECT 2']);
  });

  it('before the start sends nothing', async () => {
    const result = await run('SELECT 1', { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ ok: false, failure: { name: 'ABORTED', neverStarted: true } });
    expect(stub.requests).toHaveLength(0);
    expect(stub.killed).toHaveLength(0);
  });

  it('escapes the id', async () => {
    stub.shape = noHeaders('hang');
    await run('SELECT 1', { queryId: "a'b\\c", timeoutMs: 30 });
    expect(new Set(stub.killed)).toEqual(new Set(["a'b\\c"]));
  });

  it('goes on until the query answers, whether KILL meets it or not', async () => {
    stub.killShape = request => {
      rows(stub.killed.length < 3 ? '{"kill_status":"waiting","query_id":"slow"}\n' : '')(request);
      const [slow] = stub.requests;
      if (stub.killed.length >= 5 && slow !== undefined) endAsKilled(slow);
    };
    const late = await failure(noHeaders('hang'), 'SELECT 1', { queryId: 'slow', timeoutMs: 30 });
    expect(late.message).toContain('it has ended on the server');
    expect(stub.killed.length).toBeGreaterThanOrEqual(5);
  });

  it('does not say that a query has ended that no KILL meets and that does not answer', async () => {
    stub.killShape = rows('');
    const late = await failure(noHeaders('hang'), 'SELECT 1', { timeoutMs: 30 });
    expect(late).toMatchObject({ name: 'TIMEOUT', kind: 'permanent', serverGone: false });
    expect(late.message).toContain(
      'may still run on the server: its end could not be confirmed: KILL QUERY does',
    );
  });

  it('does not say so either when its connection breaks, and does not wait then', async () => {
    stub.killShape = request => {
      rows('')(request);
      if (request.sql.includes("'broken'")) stub.requests[0]?.socket.destroy();
    };
    const startMs = performance.now();
    const late = await failure(noHeaders('hang'), 'SELECT 1', { queryId: 'broken', timeoutMs: 30 });
    expect(late.message).toContain(
      'its end could not be confirmed: KILL QUERY does not find it, and its conn',
    );
    expect(performance.now() - startMs).toBeLessThan(2000);
  });

  it('does not take the page of a proxy for the end of a query', async () => {
    stub.killShape = request => {
      rows('')(request);
      const first = stub.requests.find(each => request.sql.includes(`'${each.url.get('query_id')}'`));
      if (first !== undefined && !first.response.headersSent) {
        first.response.removeHeader(MARK);
        first.response.writeHead(504, { 'content-type': 'text/html' });
        first.response.end('<html>Gateway Timeout</html>');
      }
    };
    const late = await failure(noHeaders('hang'), 'SELECT 1', { timeoutMs: 30 });
    expect(late.message).toContain('may still run on the server');
  });

  it('takes an answer to KILL of any length for one that met the query', async () => {
    stub.killShape = request => {
      rows(`${JSON.stringify({ query_id: 'x', query: 'x'.repeat(3_000_000) })}\n`)(request);
      const [first] = stub.requests;
      if (stub.killed.length >= 2 && first !== undefined) endAsKilled(first);
    };
    const late = await failure(noHeaders('hang'), 'SELECT 1', { queryId: 'x', timeoutMs: 30 });
    expect(late.message).toContain('it has ended on the server');
  });

  it.each<[string, Shape, object, string]>([
    [
      'the server refuses KILL',
      status(500, 'Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)'),
      { name: 'TIMEOUT', serverGone: false },
      'it may still run on the server: Code: 497',
    ],
    ['the server is gone', noHeaders('rst'), { name: 'TIMEOUT', serverGone: true }, 'ECONNRESET'],
  ])('says so when it cannot be known: %s', async (_, shape, expected, message) => {
    stub.killShape = shape;
    const late = await failure(noHeaders('hang'), 'SELECT 1', { timeoutMs: 30 });
    expect(late).toMatchObject(expected);
    expect(late.message).toContain(message);
    expect(stub.killed).toHaveLength(1);
  });

  it('close() cancels what runs, and later calls send nothing', async () => {
    const own = await openClickHouse(options({ concurrency: 1 }), new AbortController().signal);
    stub.shape = noHeaders('hang');
    const request = {
      query: parseQuery('SELECT 1'),
      parameters: {},
      settings: {},
      timeoutMs: 0,
      signal: new AbortController().signal,
    };
    const running = own.run({ ...request, queryId: 'open' });
    const queued = own.run({ ...request, queryId: 'queued' });
    await stub.arrived(1);
    let settled = 0;
    for (const each of [running, queued]) void each.then(() => (settled += 1));
    await Promise.all([own.close(), own.close()]);
    expect(settled).toBe(2);
    expect(await running).toMatchObject({ ok: false, failure: { name: 'ABORTED', neverStarted: false } });
    expect(await queued).toMatchObject({ ok: false, failure: { name: 'ABORTED', neverStarted: true } });
    expect(await own.run({ ...request, queryId: 'after' })).toMatchObject({ ok: false });
    expect(stub.requests).toHaveLength(1);
    expect(new Set(stub.killed)).toEqual(new Set(['open']));
  });
});

describe('permits', () => {
  it('keep more calls than `concurrency` inside qrun, in order', async () => {
    const held: StubServer['requests'] = [];
    stub.shape = request => void held.push(request);
    const all = Array.from({ length: 10 }, (_, index) => run(`SELECT ${index}`));
    for (let done = 0; done < 10; done += 1) {
      await stub.arrived(Math.min(10, done + 4));
      expect(stub.requests.length).toBeLessThanOrEqual(done + 4);
      const next = held.shift();
      if (next !== undefined) rows(ROWS)(next);
    }
    expect((await Promise.all(all)).every(result => result.ok)).toBe(true);
    expect(stub.requests.map(request => request.sql)).toEqual(
      Array.from({ length: 10 }, (_, index) => `SELECT ${index}`),
    );
  });
});

describe('a permit', () => {
  it('is not given to a call that was aborted while it waited', async () => {
    const own = await openClickHouse(options({ concurrency: 1 }), new AbortController().signal);
    const held: StubServer['requests'] = [];
    stub.shape = request => void held.push(request);
    const start = (queryId: string, signal: AbortSignal) =>
      own.run({ query: parseQuery('SELECT 1'), queryId, parameters: {}, settings: {}, timeoutMs: 0, signal });
    const { signal } = new AbortController();
    const stop = new AbortController();
    const first = start('first', signal);
    const left = start('left', stop.signal);
    const last = start('last', signal);
    await stub.arrived(1);
    stop.abort();
    expect(await left).toMatchObject({ ok: false, failure: { name: 'ABORTED', neverStarted: true } });
    stub.shape = rows(ROWS);
    for (const request of held) rows(ROWS)(request);
    expect(await text(await first)).toBe(ROWS);
    expect(await text(await last)).toBe(ROWS);
    await own.close();
  });
});

describe('what is sent', () => {
  afterEach(() => {
    stub.shape = rows(ROWS);
  });

  it('is the statement with the settings that the server knows, the id and a limit behind the deadline', async () => {
    stub.shape = rows(ROWS);
    await run('SELECT 1 FORMAT CSV;', { queryId: 'sent', timeoutMs: 1500, settings: { max_threads: '2' } });
    const sent = stub.requests[0];
    expect(sent?.sql).toBe('SELECT 1');
    expect(Object.fromEntries(sent?.url ?? [])).toEqual({
      query_id: 'sent',
      default_format: 'JSONEachRow',
      wait_end_of_query: '1',
      buffer_size: '2097152',
      output_format_json_quote_64bit_integers: '0',
      max_threads: '2',
      max_execution_time: '3',
    });
  });

  it('has no limit without a deadline, and leaves one of the user alone', async () => {
    stub.shape = rows(ROWS);
    await run('SELECT 1');
    await run('SELECT 1', { timeoutMs: 1500, settings: { max_execution_time: '9' } });
    expect(stub.requests.map(request => request.url.get('max_execution_time'))).toEqual([null, '9']);
  });

  it('drops the limit for a user who may not set it, once and for all', async () => {
    const own = await openClickHouse(options(), new AbortController().signal);
    const refusal = "Code: 452. DB::Exception: Setting max_execution_time shouldn't be greater than 60.";
    stub.shape = request =>
      (request.url.has('max_execution_time') ? status(500, refusal) : rows(ROWS))(request);
    const request = { parameters: {}, settings: {}, timeoutMs: 90_000, signal: new AbortController().signal };
    for (const queryId of ['limit1', 'limit2']) {
      expect(await text(await own.run({ ...request, query: parseQuery('SELECT 1'), queryId }))).toBe(ROWS);
    }
    expect(stub.requests.map(({ url }) => url.get('max_execution_time'))).toEqual(['91', null, null]);
    stub.shape = status(500, 'Code: 164. DB::Exception: Cannot modify max_threads in readonly mode.');
    expect(await failure(stub.shape)).toMatchObject({ code: 164 });
    await own.close();
  });

  it('carries parameters so that the server reads them as they are', async () => {
    stub.shape = rows(ROWS);
    await run('SELECT {s:String}, {a:Array(String)}, {n:Nullable(String)}', {
      parameters: { s: "tab\tline\n'q'\\\\N", a: "['a','b']", n: '\\N', unused: '1' },
    });
    const url = stub.requests[0]?.url;
    expect(url?.get('param_s')).toBe("tab\\tline\\n'q'\\\\N");
    expect(url?.get('param_a')).toBe("['a','b']");
    expect(url?.get('param_n')).toBe('\\N');
    expect(url?.has('param_unused')).toBe(false);
  });

  it('keeps inline data byte for byte in the body', async () => {
    stub.shape = rows('');
    await run('INSERT INTO t FORMAT TSV\na\t\nb;\t\n');
    expect(stub.requests[0]?.sql).toBe('INSERT INTO t FORMAT TSV\na\t\nb;\t\n');
    expect(stub.requests[0]?.url.has('query')).toBe(false);
    stub.requests.length = 0;
    await run("INSERT INTO t VALUES ('a'), ('b;')\n");
    expect(stub.requests[0]?.sql).toBe("INSERT INTO t VALUES\n('a'), ('b;')");
  });

  describe('parameters that are long', () => {
    const long = `tab\t${'x'.repeat(5_000)}ü`;
    const sent = `tab\\t${'x'.repeat(5_000)}ü`;
    const sql = 'SELECT {s:String} AS s, {n:UInt8} AS n';
    const parameters = { s: long, n: '1' };
    const fresh = (changes = {}) => openClickHouse(options(changes), new AbortController().signal);
    const request = (changes = {}) => ({
      query: parseQuery(sql),
      queryId: 'long',
      parameters,
      settings: {},
      timeoutMs: 0,
      signal: new AbortController().signal,
      ...changes,
    });

    it('travel in a form, with the SQL, when the server reads parameters from one; it is asked once', async () => {
      const own = await fresh();
      stub.shape = rows(ROWS);
      for (let i = 0; i < 3; i += 1) expect(await text(await own.run(request()))).toBe(ROWS);
      expect(stub.requests).toHaveLength(3);
      for (const { form, url } of stub.requests) {
        expect(form).toEqual({ query: sql, param_s: sent, param_n: '1' });
        expect(url.has('param_s')).toBe(false);
        expect(Object.fromEntries(url)).toMatchObject({
          query_id: 'long',
          wait_end_of_query: '1',
          default_format: 'JSONEachRow',
        });
      }
      await own.close();
    });

    it('stay in the URL when it does not, when a setting would be overlooked, and when one is no field', async () => {
      const old = status(
        500,
        'Code: 456. DB::Exception: Substitution `v` is not set (UNKNOWN_QUERY_PARAMETER)',
      );
      stub.openShape = asked => (asked.form === undefined ? rows(OPENING[asked.sql] ?? '') : old)(asked);
      const own = await fresh();
      stub.shape = rows(ROWS);
      await own.run(request());
      stub.openShape = undefined;
      await own.run(request());
      const modern = await fresh();
      await modern.run(request({ settings: { date_time_output_format: 'iso' } }));
      await modern.run(request({ parameters: { s: 'y'.repeat(140_000), n: '1' } }));
      expect(stub.requests.map(({ form }) => form)).toEqual([undefined, undefined, undefined, undefined]);
      expect(stub.requests.map(({ url }) => url.get('param_s')?.length)).toEqual([
        5_006, 5_006, 5_006, 140_000,
      ]);
      await Promise.all([own.close(), modern.close()]);
    });

    it('bring inline data along, byte for byte', async () => {
      stub.shape = rows('');
      const insert = 'INSERT INTO t SELECT {s:String}; INSERT INTO t VALUES ({n:UInt8}), ({n:UInt8})';
      await run(insert, { parameters });
      expect(stub.requests.map(({ form }) => form?.query)).toEqual([
        'INSERT INTO t SELECT {s:String}',
        undefined,
      ]);
      expect(stub.requests[1]?.sql).toBe('INSERT INTO t VALUES\n({n:UInt8}), ({n:UInt8})');
    });
  });

  describe('a request whose URL is too long', () => {
    const parameters = { ids: 'z'.repeat(140_000), n: '1' };
    const sql = 'SELECT {ids:String}, {n:UInt8}';

    it.each<[string, Shape]>([
      ['414', status(414, '<h1>414 Request-URI Too Large</h1>')],
      ['431', status(431, '')],
      ['400 without a word', status(400, '')],
    ])('is refused with %s: the failure names the longest parameter', async (_, shape) => {
      stub.shape = shape;
      const result = await run(sql, { parameters });
      expect(result).toMatchObject({
        ok: false,
        failure: { name: 'URL_TOO_LONG', kind: 'permanent', neverStarted: true, serverGone: false },
      });
      const message = result.ok ? '' : result.failure.message;
      expect(message).toContain('the parameter "ids" (140,000 bytes)');
      expect(message).toContain('22.8');
    });

    it('may be why a connection was cut', async () => {
      stub.shape = noHeaders('rst');
      const result = await run(sql, { parameters });
      expect(result).toMatchObject({ ok: false, failure: { name: 'CONNECTION_LOST', kind: 'unknown' } });
      expect(result.ok ? '' : result.failure.message).toContain('the parameter "ids"');
    });

    it('or has a value that is: as the server says', async () => {
      stub.shape = status(
        500,
        'Code: 1000. DB::Exception: HTML Form Exception: Field value too long. (POCO_EXCEPTION)',
      );
      const result = await run(sql, { parameters });
      expect(result.ok ? '' : result.failure.message).toContain('http_max_field_value_size');
    });

    it('is not, when it is short or the failure has another reason', async () => {
      stub.shape = status(400, '');
      expect(await failure(stub.shape)).toMatchObject({ name: 'HTTP_400' });
      stub.shape = status(404, '');
      const result = await run(sql, { parameters });
      expect(result).toMatchObject({ failure: { name: 'HTTP_404' } });
    });
  });

  it('uses one session for a file, checks that it still exists, and ends it with the last statement', async () => {
    stub.shape = rows('');
    await run('SET max_threads = 3; SELECT 1; SELECT 2', { queryId: 's', settings: { max_threads: '1' } });
    const inSession = stub.requests.filter(({ url }) => url.has('session_id'));
    const sent = inSession.map(({ url }) => ({
      session: url.get('session_id'),
      check: url.get('session_check'),
      close: url.get('close_session'),
      threads: url.get('max_threads'),
      id: url.get('query_id'),
    }));
    expect(sent).toEqual([
      { session: 's', check: null, close: null, threads: '1', id: 's' },
      { session: 's', check: '1', close: null, threads: null, id: 's-1' },
      { session: 's', check: '1', close: '1', threads: null, id: 's-2' },
    ]);
  });

  it('leaves out what a SET of the file has set by another name of the setting', async () => {
    const own = await openClickHouse(options(), new AbortController().signal);
    const aliases = '{"n":"enable_analyzer","a":"allow_experimental_analyzer"}\n{"n":"b","a":"c"}\n';
    stub.shape = request => rows(request.sql.includes('alias_for') ? aliases : ROWS)(request);
    const sent = async (sql: string, settings: Record<string, string>) => {
      stub.requests.length = 0;
      const query = parseQuery(`${sql}; SELECT 1`);
      ids += 1;
      const { signal } = new AbortController();
      await text(
        await own.run({ query, queryId: `q${ids}`, parameters: {}, settings, timeoutMs: 0, signal }),
      );
      const { url } = stub.requests.at(-1) ?? { url: new URLSearchParams() };
      return Object.keys(settings).filter(name => url.has(name));
    };
    const both = { allow_experimental_analyzer: '1', enable_analyzer: '1', c: '1' };
    expect(await sent('SET enable_analyzer = 0', both)).toEqual(['c']);
    expect(await sent('SET allow_experimental_analyzer = 0', both)).toEqual(['c']);
    expect(await sent('SET d = 0', both)).toEqual(Object.keys(both));
    // Asked once.
    expect(stub.requests.filter(({ sql }) => sql.includes('alias_for'))).toEqual([]);
    await own.close();
  });

  it('sets everything in the session before a SET that may forbid it, and sends nothing any more', async () => {
    stub.shape = rows(ROWS);
    await run('SET readonly = 1; SELECT 1; SELECT 2', {
      queryId: 'r',
      settings: { max_threads: '1', o: "it's" },
      timeoutMs: 9000,
    });
    const [first, ...others] = stub.requests.filter(({ url }) => url.has('session_id'));
    expect(first?.sql).toBe(
      "SET `output_format_json_quote_64bit_integers` = '0', `max_execution_time` = '10', `max_threads` = '1', `o` = 'it\\'s'",
    );
    expect(first?.url.get('query_id')).toBe('r-set');
    expect(others.map(({ sql }) => sql)).toEqual(['SET readonly = 1', 'SELECT 1', 'SELECT 2']);
    for (const { url } of others) expect(url.get('session_check')).toBe('1');
    for (const { url } of others.slice(1)) {
      const known = ['default_format', 'wait_end_of_query', 'buffer_size', 'session_id', 'session_check'];
      const own = [...known, 'session_timeout', 'close_session', 'query_id'];
      expect([...url.keys()].filter(name => !own.includes(name))).toEqual([]);
    }
  });

  it('sends no settings after a profile that forbids them', async () => {
    const refused = status(500, "Code: 164. DB::Exception: Cannot modify 'max_threads' setting (READONLY)");
    stub.shape = request => {
      const isRefused = request.sql.startsWith('SELECT') && request.url.has('max_threads');
      (isRefused ? refused : rows(ROWS))(request);
    };
    expect(
      await text(await run("SET profile = 'p'; SELECT 1; SELECT 2", { settings: { max_threads: '1' } })),
    ).toBe(ROWS);
    // Refused once.
    expect(stub.requests.filter(({ sql }) => sql === 'SELECT 1')).toHaveLength(2);
    expect(stub.requests.filter(({ sql }) => sql === 'SELECT 2')).toHaveLength(1);
  });

  it('takes no exception for a row where the file has set that it looks like one', async () => {
    const row = '{"exception": "Code: 395. DB::Exception: no (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"}\n';
    const setting = 'http_write_exception_in_output_format';
    const bad = await failure(rows(ROWS + row), `SELECT 1 SETTINGS ${setting} = 1`);
    expect(bad).toMatchObject({ code: 395 });
    expect(await failure(rows(row), `SET ${setting} = 1; SELECT 1`)).toMatchObject({ code: 395 });
    expect(await text(await run('SELECT 1'))).toBe(row);
  });

  it('gives the rows of statements that it does not know', async () => {
    const table = new Map([
      ['CALL p', rows('{"c":1}\n')],
      ['ALTER TABLE t FREEZE', rows('{"f":1}\n')],
    ]);
    stub.shape = request => (table.get(request.sql) ?? rows(request.sql === 'SELECT 1' ? ROWS : ''))(request);
    expect(await text(await run('SELECT 1; CALL p'))).toBe('{"c":1}\n');
    expect(await text(await run('CALL p; SELECT 1; OPTIMIZE TABLE t'))).toBe(ROWS);
    expect(await text(await run('CALL p; ALTER TABLE t FREEZE; SYSTEM FLUSH LOGS'))).toBe('{"f":1}\n');
  });

  it('needs no session for statements that share nothing', async () => {
    stub.shape = rows(ROWS);
    await run('SELECT 1; SELECT 2');
    expect(stub.requests.map(({ url }) => url.has('session_id'))).toEqual([false, false]);
  });

  it('ends the session of a file that failed', async () => {
    const bad = status(400, 'Code: 62. DB::Exception: Syntax error (SYNTAX_ERROR)');
    stub.shape = request => (request.sql === 'SELECT 2' ? bad : rows(ROWS))(request);
    await run('CREATE TEMPORARY TABLE t (a UInt8); SELECT 2; SELECT 3', { queryId: 'f' });
    const last = stub.requests.at(-1);
    expect(stub.requests).toHaveLength(3);
    expect(last?.sql).toBe('SELECT 1');
    expect(last?.url.get('session_id')).toBe('f');
    expect(last?.url.get('close_session')).toBe('1');
  });

  it('waits for a session that the server has not freed yet', async () => {
    let locked = 2;
    const busy = status(500, 'Code: 373. DB::Exception: Session is locked (SESSION_IS_LOCKED)');
    stub.shape = request => {
      const wait = request.sql === 'SELECT 1' && locked > 0;
      if (wait) locked -= 1;
      (wait ? busy : rows(ROWS))(request);
    };
    expect(await text(await run('SET max_threads = 1; SELECT 1'))).toBe(ROWS);
    expect(stub.requests).toHaveLength(4);
  });

  it('sends the database until USE names another', async () => {
    const own = await openClickHouse(options({ database: 'first' }), new AbortController().signal);
    stub.shape = rows(ROWS);
    const result = await own.run({
      query: parseQuery('SELECT 1; USE other; SELECT 2'),
      queryId: 'db',
      parameters: {},
      settings: {},
      timeoutMs: 0,
      signal: new AbortController().signal,
    });
    expect(result.ok).toBe(true);
    expect(stub.requests.map(({ url }) => url.get('database'))).toEqual(['first', 'first', null]);
    await own.close();
  });

  it('gives the rows of the last statement that returns some, and proves the others', async () => {
    stub.shape = request => rows(request.sql.startsWith('DROP') ? '' : `{"q":"${request.sql}"}\n`)(request);
    expect(await text(await run('SELECT 1; SELECT 2; DROP TABLE t'))).toBe('{"q":"SELECT 2"}\n');
    stub.shape = request => (request.sql === 'SELECT 1' ? cutChunks(ROWS, 'fin') : rows(ROWS))(request);
    expect(await run('SELECT 1; SELECT 2')).toMatchObject({ ok: false });
    stub.shape = request => (request.sql === 'SELECT 1' ? rows('1\n') : rows(ROWS))(request);
    expect(await run('SELECT 1; SELECT 2')).toMatchObject({ ok: false, failure: { name: 'RESULT_INVALID' } });
  });
});

describe('ping', () => {
  it('is good when the server answers, even with an error about load', async () => {
    const signal = new AbortController().signal;
    stub.shape = rows('{"1":1}\n');
    expect(await engine.ping(signal)).toBeUndefined();
    stub.shape = status(500, 'Code: 202. DB::Exception: Too many (TOO_MANY_SIMULTANEOUS_QUERIES)');
    expect(await engine.ping(signal)).toBeUndefined();
  });

  it('gives the reason when something else answers, the user is refused, or it is cancelled', async () => {
    const signal = new AbortController().signal;
    stub.shape = status(502, 'bad gateway');
    expect(await engine.ping(signal)).toMatchObject({ name: 'HTTP_502', serverGone: true });
    stub.shape = status(403, 'Code: 516. DB::Exception: no (AUTHENTICATION_FAILED)');
    expect(await engine.ping(signal)).toMatchObject({ code: 516 });
    stub.shape = status(
      500,
      'Code: 201. DB::Exception: Quota for user `u` for 20s has been exceeded (QUOTA_EXCEEDED)',
    );
    expect(await engine.ping(signal)).toMatchObject({ code: 201 });
    expect(await engine.ping(AbortSignal.abort())).toMatchObject({ name: 'ABORTED' });
  });
});

it('adds listeners to a shared signal without a warning, and takes them away', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  stub.shape = rows(ROWS);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 64 }, () => run('SELECT 1', { signal })));
  await new Promise(resolve => setImmediate(resolve));
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
});
