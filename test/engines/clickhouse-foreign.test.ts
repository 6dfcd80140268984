import { tmpdir } from 'node:os';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseQuery } from '../../src/core/sql/parse.js';
import { openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import type { Engine, EngineResult } from '../../src/io/engines/engine.js';
import { foreign, MARK, opening, rows, type Shape, type StubServer, startStubServer } from './stub-server.js';

const signal = new AbortController().signal;
const ID = 'X-ClickHouse-Query-Id';
let stub: StubServer;
/** Of 18.16: its answers bear its name. */
let old: Engine;
/** Of today: its answers bear the id of their query as well. */
let today: Engine;
let ids = 0;

const options = (url: string) => ({
  url,
  concurrency: 4,
  spool: { directory: tmpdir(), thresholdBytes: 1024 },
  settings: {},
});

const withId =
  (shape: Shape | undefined): Shape =>
  request => {
    request.response.setHeader(ID, request.url.get('query_id') ?? 'of-the-server');
    shape?.(request);
  };

beforeAll(async () => {
  stub = await startStubServer();
  old = await openClickHouse(options(stub.url), signal);
  stub.openShape = stub.inForceShape = request => withId(opening(request))(request);
  today = await openClickHouse(options(stub.url), signal);
  stub.openShape = stub.inForceShape = undefined;
});
afterAll(async () => {
  await Promise.all([old.close(), today.close()]);
  await stub.stop();
});
beforeEach(() => {
  stub.shape = rows('{"a":1}\n');
});

async function run(engine: Engine, sql = 'SELECT 1'): Promise<EngineResult> {
  ids += 1;
  const result = await engine.run({
    query: parseQuery(sql),
    queryId: `foreign-${ids}`,
    parameters: {},
    settings: {},
    timeoutMs: 0,
    signal,
  });
  if (result.ok) await result.body.dispose();
  return result;
}

async function failure(engine: Engine, shape: Shape, sql?: string) {
  stub.shape = shape;
  const result = await run(engine, sql);
  if (result.ok) throw new Error(`taken for a result of ${result.body.rows} rows`);
  return result.failure;
}

describe('an answer of something else', () => {
  it.each<[string, Shape]>([
    ['a login page', foreign(200, '<html>login</html>', { 'content-type': 'text/html' })],
    [
      'JSON that is one line',
      foreign(200, '{"error":"login required"}\n', { 'content-type': 'application/json' }),
    ],
    ['an empty object', foreign(200, '{}\n')],
    ['an array', foreign(200, '[{"a":1}]\n')],
    ['lines of JSON', foreign(200, '{"level":"info"}\n{"level":"warn"}\n')],
    ['nothing', foreign(200, '')],
    ['nothing, with a length', foreign(200, '', { 'content-length': '0' })],
    ['a text', foreign(200, 'Ok.\n')],
    ['204', foreign(204, '')],
    ['206', foreign(206, '{"a":1}\n')],
    ['a redirect to a login', foreign(302, '', { location: 'https://login/' })],
    ['a route that is gone', foreign(404, 'default backend - 404')],
    ['a portal', foreign(511, '<html>')],
  ])('is a passing fault of the way, whatever it says: %s', async (_, shape) => {
    for (const engine of [old, today]) {
      const shown = await failure(engine, shape);
      expect(shown.serverGone).toBe(true);
      const change = await failure(engine, shape, 'INSERT INTO t SELECT 1');
      // Whether it was executed is not known, unless it was led elsewhere.
      expect(change.neverStarted || change.kind !== 'transient').toBe(true);
    }
  });

  it('is told from its own, also when it is large', async () => {
    const shown = await failure(old, foreign(200, `{"a":"${'x'.repeat(8_000_000)}"}\n`));
    expect(shown).toMatchObject({ name: 'NOT_CLICKHOUSE', serverGone: true });
    expect(shown.message.length).toBeLessThan(1000);
    expect(shown.message).toContain('lacks the header X-ClickHouse-Server-Display-Name');
  });

  it('is told from the answer to another query', async () => {
    const other: Shape = request => {
      request.response.setHeader(ID, 'foreign-of-another');
      rows('{"a":1}\n')(request);
    };
    expect((await failure(today, other)).message).toContain(
      'it is the answer to the query "foreign-of-another"',
    );
    expect((await failure(today, rows('{"a":1}\n'))).message).toContain(
      'lacks the header X-ClickHouse-Query-Id',
    );
  });

  it('does not answer a ping', async () => {
    for (const shape of [foreign(200, '{"1":1}\n'), foreign(302, ''), foreign(404, '')]) {
      stub.shape = shape;
      expect(await old.ping(signal)).toMatchObject({ serverGone: true });
    }
    stub.shape = rows('{"1":1}\n');
    expect(await old.ping(signal)).toBeUndefined();
  });

  it('does not open, however it looks', async () => {
    stub.openShape = request => {
      request.response.removeHeader(MARK);
      opening(request)?.(request);
    };
    await expect(openClickHouse(options(stub.url), signal)).rejects.toMatchObject({
      code: 'ENGINE_UNREACHABLE',
      message: expect.stringContaining('X-ClickHouse-Server-Display-Name'),
      hint: expect.stringContaining('X-ClickHouse'),
    });
    stub.openShape = undefined;
  });

  it('is never a result: any status, headers, body and framing', async () => {
    const body = fc.oneof(
      fc.constantFrom(
        '',
        '{}\n',
        '[]\n',
        '{"a":1}\n',
        'null\n',
        '<html></html>',
        'Ok.\n',
        '{"a":1}\r\n{"b":2}\n',
      ),
      fc.json().map(text => `${text}\n`),
      fc
        .array(fc.dictionary(fc.string(), fc.jsonValue()))
        .map(all => all.map(each => `${JSON.stringify(each)}\n`).join('')),
      fc.string(),
    );
    const headers = fc.subarray<[string, string]>([
      ['content-type', 'text/html'],
      ['content-type', 'application/x-ndjson; charset=UTF-8'],
      ['X-ClickHouse-Format', 'JSONEachRow'],
      ['X-ClickHouse-Timezone', 'UTC'],
      ['X-ClickHouse-Summary', '{"read_rows":"1","result_rows":"1"}'],
      ['X-ClickHouse-Exception-Tag', 'abcdefghijklmnop'],
      [ID, 'of-another'],
      ['Retry-After', '1'],
      ['Location', 'http://elsewhere/'],
    ]);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          200,
          200,
          200,
          200,
          201,
          203,
          204,
          206,
          300,
          301,
          302,
          307,
          400,
          401,
          403,
          404,
          410,
          418,
          429,
          500,
          502,
          503,
        ),
        headers,
        body,
        fc.constantFrom('length', 'chunked', 'gzip'),
        fc.boolean(),
        async (code, some, text, framing, isMarked) => {
          const shape: Shape = ({ response }) => {
            // With its mark it is foreign to the server of today alone, whose answers bear the id.
            if (!isMarked || code !== 200) response.removeHeader(MARK);
            for (const [name, value] of some) response.setHeader(name, value);
            const bytes = framing === 'gzip' ? gzipSync(text) : Buffer.from(text);
            if (framing === 'gzip') response.setHeader('content-encoding', 'gzip');
            if (framing !== 'chunked') response.setHeader('content-length', bytes.length);
            response.writeHead(code);
            if (framing === 'chunked') response.write(bytes);
            response.end(framing === 'chunked' ? undefined : bytes);
          };
          const shown = await failure(isMarked ? today : old, shape);
          expect(shown.name).not.toBe('');
          if (code === 200) expect(shown).toMatchObject({ name: 'NOT_CLICKHOUSE', serverGone: true });
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('what the server says of its own answer', () => {
  const summary = (numbers: object, format = 'JSONEachRow') => ({
    'X-ClickHouse-Format': format,
    'X-ClickHouse-Summary': JSON.stringify(numbers),
  });

  it.each<[string, Shape]>([
    ['rows are missing', rows('{"a":1}\n', summary({ result_rows: '2' }))],
    ['all rows are missing', rows('', summary({ result_rows: '2', written_rows: '0' }))],
    ['rows are too many', rows('{"a":1}\n{"a":2}\n', summary({ result_rows: 1 }))],
  ])('is compared: %s', async (_, shape) => {
    const shown = await failure(old, shape);
    expect(shown).toMatchObject({ name: 'RESULT_CUT', kind: 'unknown', serverGone: false });
    expect(shown.message).toMatch(/the server counted \d rows, and \d came/);
  });

  it('is another format than was asked for', async () => {
    const shown = await failure(old, rows('{"a":"1"}\n', summary({}, 'JSONStringsEachRow')));
    expect(shown).toMatchObject({ name: 'RESULT_CUT' });
    expect(shown.message).toContain('"JSONStringsEachRow", not JSONEachRow');
  });

  it.each<[string, Shape, number]>([
    ['as many rows', rows('{"a":1}\n', summary({ result_rows: '1' })), 1],
    ['no rows', rows('', summary({ result_rows: '0' })), 0],
    ['no rows, without a summary', rows(''), 0],
    ['a summary that was written before the end', rows('{"a":1}\n', summary({ result_rows: '0' })), 1],
    ['an INSERT', rows('', summary({ result_rows: '5', written_rows: '5' })), 0],
    ['FORMAT Null', rows('', summary({ result_rows: '5' }, 'Null')), 0],
    ['a summary without counts', rows('{"a":1}\n', summary({ read_rows: '7' })), 1],
    [
      'a summary that is no JSON',
      rows('{"a":1}\n', { 'X-ClickHouse-Format': 'JSONEachRow', 'X-ClickHouse-Summary': '{' }),
      1,
    ],
    [
      'a summary that is no object',
      rows('{"a":1}\n', { 'X-ClickHouse-Format': 'JSONEachRow', 'X-ClickHouse-Summary': 'null' }),
      1,
    ],
  ])('fits: %s', async (_, shape, count) => {
    stub.shape = shape;
    const result = await run(old);
    expect(result.ok && result.body.rows).toBe(count);
  });
});

describe('texts that a hostile server chooses', () => {
  const long = 1_000_000;
  it.each<[string, Shape]>([
    ['a Location of letters', foreign(302, '', { Location: 'a'.repeat(long) })],
    ['a Location of slashes', foreign(302, '', { Location: '/'.repeat(long) })],
    ['a Location of users', foreign(302, '', { Location: '//a@'.repeat(long / 4) })],
    ['a Retry-After of digits', foreign(503, '', { 'Retry-After': '9'.repeat(long) })],
    ['a Retry-After of words', foreign(503, '', { 'Retry-After': 'Mon, '.repeat(long / 5) })],
    ['a name that never ends', foreign(500, `Code: 62. DB::Exception: x (AA) (version ${'a'.repeat(long)}`)],
    ['versions', foreign(500, `Code: 62. DB::Exception: x ${'(AA) (version '.repeat(long / 14)}`)],
    ['spaces', foreign(500, ' '.repeat(long))],
    ['exceptions', rows(`x\n${'\n__exception__\r\n1 '.repeat(long / 20)}`)],
    ['codes', rows(`x\n${'Code: 1\n'.repeat(long / 8)}`)],
    ['a server name', rows('', { [MARK]: 'n'.repeat(long / 2) })],
    ['a summary', rows('', { 'X-ClickHouse-Summary': '['.repeat(long / 2) })],
  ])('cost no time: %s', async (_, shape) => {
    stub.shape = shape;
    const startMs = performance.now();
    const result = await run(old);
    expect(performance.now() - startMs).toBeLessThan(1500);
    if (!result.ok) {
      expect(result.failure.message.length).toBeLessThan(70_000);
      expect(result.failure.retryAfterMs ?? 0).toBeLessThanOrEqual(3_600_000);
    }
  });

  it('do not fill memory or disk when it opens, or is watched', async () => {
    stub.openShape = rows(`${'{"v":"1"}\n'.repeat(400_000)}`);
    await expect(openClickHouse(options(stub.url), signal)).rejects.toMatchObject({
      message: expect.stringContaining('larger than 1048576 bytes'),
    });
    stub.openShape = undefined;
  });
});
