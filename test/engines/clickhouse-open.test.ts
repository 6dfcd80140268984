import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ENGINES } from '../../src/core/engines/facts.js';
import { QrunError } from '../../src/core/errors.js';
import { parseQuery } from '../../src/core/sql/parse.js';
import { type ClickHouseOptions, openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import {
  noHeaders,
  notHttp,
  opening,
  rows,
  type Shape,
  type StubRequest,
  type StubServer,
  startStubServer,
  status,
  untilClose,
} from './stub-server.js';

const PASSWORD = 'hunter2-secret';
const signal = new AbortController().signal;
let stub: StubServer;
let directory: string;

beforeAll(async () => {
  stub = await startStubServer();
  directory = await mkdtemp(join(tmpdir(), 'qrun-open-'));
});

afterEach(() => {
  stub.openShape = stub.inForceShape = undefined;
});

const otherwise: Shape = asked => opening(asked)?.(asked);

afterAll(async () => {
  await stub.stop();
  await rm(directory, { recursive: true });
});

async function refusal(changes: Partial<ClickHouseOptions>, openSignal = signal): Promise<QrunError> {
  const options: ClickHouseOptions = {
    url: stub.url,
    password: PASSWORD,
    concurrency: 1,
    spool: { directory: tmpdir(), thresholdBytes: 1024 },
    settings: {},
    ...changes,
  };
  const engine = await openClickHouse(options, openSignal).catch((error: unknown) => error);
  if (!(engine instanceof QrunError)) throw new Error(`no QrunError: ${String(engine)}`);
  const all = [engine.message, engine.hint, ...engine.details, String(engine.cause), engine.stack].join('\n');
  expect(all).not.toContain(PASSWORD);
  return engine;
}

it.each<[string, string, RegExp]>([
  ['localhost:8123', 'CONFIG', /"localhost:8123" must begin with http/],
  ['clickhouse://localhost', 'CONFIG', /must begin with http/],
  ['http://', 'CONFIG', /is not a URL/],
  ['', 'CONFIG', /is not a URL/],
  [`http://u:1/${PASSWORD}@127.0.0.1`, 'CONFIG', /"http:\/\/127\.0\.0\.1" has an @ after the host/],
  ['http://127.0.0.1:8123?max_threads=1', 'CONFIG', /has parameters/],
  [`http://u:${PASSWORD}@127.0.0.1:8123`, 'CONFIG', /"http:\/\/127\.0\.0\.1:8123" holds a password/],
  [`http://u:${PASSWORD}@127.0.0.1:notaport`, 'CONFIG', /"http:\/\/127\.0\.0\.1:notaport" is not a URL/],
  [`u:${PASSWORD}@127.0.0.1:8123`, 'CONFIG', /must begin with http/],
  [`http://u:a/b@${PASSWORD}@host`, 'CONFIG', /"http:\/\/host" is not a URL/],
  ['http://u%zz@host:1', 'CONFIG', /is not a URL/],
])('refuses the URL %s', async (url, code, message) => {
  const error = await refusal({ url });
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.hint).toBeDefined();
});

it('takes a user from the URL, and refuses two different ones', async () => {
  const url = stub.url.replace('//', '//us%C3%A9r@');
  const engine = await openClickHouse(
    { url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings: {} },
    signal,
  );
  expect(engine.info.target).toBe(stub.url);
  const sent = engine.ping(signal);
  await stub.arrived(1);
  const { authorization } = stub.requests[0]?.response.req.headers ?? {};
  expect(Buffer.from(authorization?.slice(6) ?? '', 'base64').toString()).toBe('usér:');
  await sent;
  await engine.close();
  expect((await refusal({ url, user: 'other' })).message).toMatch(/the user "usér", and the user "other"/);
});

it.each([
  ['/clickhouse', '/clickhouse', '/clickhouse'],
  ['/a/clickhouse/', '/a/clickhouse/', '/a/clickhouse/'],
  ['/gr%C3%BC%C3%9Fe/', '/gr%C3%BC%C3%9Fe/', '/gr%C3%BC%C3%9Fe/'],
  ['/', '/', ''],
  ['', '/', ''],
])('keeps the path %j, under which a proxy serves the server', async (given, sent, shown) => {
  const url = `${stub.url.replace('//', '//me@')}${given}`;
  const engine = await openClickHouse(
    { url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings: {} },
    signal,
  );
  expect(engine.info.target).toBe(`${stub.url}${shown}`);
  stub.requests.length = 0;
  await engine.ping(signal);
  expect(stub.requests.map(({ path }) => path)).toEqual([sent]);
  await engine.close();
});

it('opens with what the server knows', async () => {
  const engine = await openClickHouse(
    { url: stub.url, concurrency: 3, spool: { directory, thresholdBytes: 1 }, settings: {} },
    signal,
  );
  expect(engine.info).toEqual({
    facts: ENGINES.clickhouse,
    version: '25.11.1.1',
    target: stub.url,
    user: 'default',
    supportsParameters: true,
    parametersLost: false,
    notices: [],
    permits: 3,
  });
  await engine.close();
});

it('finds out which settings exist when system.settings may not be read', async () => {
  const tried: string[][] = [];
  stub.openShape = ({ sql, url, response }) => {
    const answer = (shape: Shape) => shape({ sql, url, response } as Parameters<Shape>[0]);
    if (sql === 'SELECT name AS v FROM system.settings') {
      return answer(status(403, 'Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)'));
    }
    const names = [...url.keys()].filter(name => name.startsWith('output_format_'));
    if (sql === 'SELECT 1 AS v' && names.length > 0) tried.push(names);
    const unknown = names.find(name => !name.endsWith('64bit_integers'));
    if (unknown === undefined) return answer(opening({ sql, url }) ?? rows(''));
    answer(status(404, `Code: 115. DB::Exception: Unknown setting ${unknown}. (UNKNOWN_SETTING)`));
  };
  const engine = await openClickHouse(
    { url: stub.url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings: {} },
    signal,
  );
  await engine.close();
  expect(tried.at(-1)).toEqual(['output_format_json_quote_64bit_integers']);
});

it('refuses a CA file that is missing, holds no certificate, or belongs to no https URL', async () => {
  const empty = join(directory, 'empty.pem');
  await writeFile(empty, 'no certificate');
  const url = stub.url.replace('http:', 'https:');
  expect(await refusal({ url, caFile: '/nowhere/ca.pem' })).toMatchObject({
    code: 'CONFIG',
    message: expect.stringContaining('/nowhere/ca.pem: ENOENT'),
  });
  expect(await refusal({ url, caFile: empty })).toMatchObject({ code: 'CONFIG' });
  expect(await refusal({ caFile: empty })).toMatchObject({
    code: 'CONFIG',
    message: expect.stringContaining('of no use'),
  });
});

it('says which setting makes a URL too long', async () => {
  const longest: (others: Shape) => Shape = others => asked =>
    (asked.url.toString().length > 6_000 ? status(414, '') : others)(asked);
  stub.openShape = longest(rows('{"v":"max_threads"}\n'));
  stub.inForceShape = longest(otherwise);
  const error = await refusal({ settings: { additional_result_filter: 'x'.repeat(7_000) } });
  expect(error.code).toBe('CONFIG');
  expect(error.message).toContain('the setting "additional_result_filter" (7,000 bytes)');
});

describe('a quota that is used up', () => {
  const quota = (seconds: number, end: string) =>
    status(
      500,
      `Code: 201. DB::Exception: Quota for user \`u\` for ${seconds}s has been exceeded: queries = 13/12. Interval will end at ${end}.`,
    );

  it('is told at once when its interval ends later', async () => {
    // Longer than a day ahead in every time zone.
    const end = new Date(Date.now() + 100 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
    stub.openShape = quota(1_000_000, end);
    const startedMs = performance.now();
    expect(await refusal({})).toMatchObject({
      code: 'ENGINE_REFUSED',
      message: expect.stringContaining('the quota of the user "default"'),
      hint: expect.stringContaining('interval'),
    });
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  it('is waited for when its interval ends soon', async () => {
    const end = new Date(Date.now() + 1_000).toISOString().slice(0, 19).replace('T', ' ');
    let refused = 1;
    stub.openShape = request => {
      refused -= 1;
      (refused >= 0 ? quota(5, end) : rows('{"v":"1"}\n'))(request);
    };
    const options = { url: stub.url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings: {} };
    await (await openClickHouse(options, signal)).close();
    expect(refused).toBeLessThan(-1);
  });
});

describe('a user who may not change settings', () => {
  // As servers of 20.x and later have it: a setting that has the value already may be set.
  const inForce: Record<string, string> = {
    output_format_json_quote_64bit_integers: '0',
    output_format_json_escape_forward_slashes: '1',
    max_execution_time: '0',
    max_threads: '8',
  };
  const readonly: Shape = asked => refusing(asked, rows('{"v":1}\n'));
  const refusing = (asked: StubRequest, others: Shape): void => {
    const known = Object.keys(inForce).map(name => JSON.stringify({ v: name }));
    if (asked.sql === 'SELECT name AS v FROM system.settings') {
      rows(`${known.join('\n')}\n`)(asked);
      return;
    }
    const name = [...asked.url.keys()].find(
      key => inForce[key] !== undefined && inForce[key] !== asked.url.get(key),
    );
    const refused = `Code: 164. DB::Exception: Cannot modify '${name}' setting in readonly mode. (READONLY)`;
    (name === undefined ? others : status(500, refused))(asked);
  };
  const values: Shape = asked => {
    const name = /WHERE name = '(\w+)'$/.exec(asked.sql)?.[1];
    (name === undefined ? rows('{"a":1}\n') : rows(`{"v":"${inForce[name]}"}\n`))(asked);
  };

  beforeEach(() => {
    stub.inForceShape = asked => refusing(asked, otherwise);
  });

  afterEach(() => {
    inForce.output_format_json_quote_64bit_integers = '0';
    stub.shape = rows('{"a":1}\n');
  });

  it('works where what is in force is as it must be; the rest is left out and told', async () => {
    stub.openShape = readonly;
    const engine = await openClickHouse(
      { url: stub.url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings: {} },
      signal,
    );
    expect(engine.info.notices).toEqual([
      expect.stringContaining('output_format_json_escape_forward_slashes'),
      expect.stringContaining('max_execution_time'),
    ]);
    stub.requests.length = 0;
    await engine.run({
      query: parseQuery('SELECT 1'),
      queryId: 'q',
      parameters: {},
      settings: {},
      timeoutMs: 5_000,
      signal,
    });
    const sent = stub.requests.map(({ url }) => [...url.keys()].sort());
    expect(sent).toEqual([
      [
        'buffer_size',
        'default_format',
        'output_format_json_quote_64bit_integers',
        'query_id',
        'wait_end_of_query',
      ],
    ]);
    await engine.close();
  });

  it('is refused by the name of what would be recorded otherwise, with the way out', async () => {
    inForce.output_format_json_quote_64bit_integers = '1';
    stub.openShape = readonly;
    stub.shape = values;
    const error = await refusal({});
    expect(error.code).toBe('ENGINE_REFUSED');
    expect(error.message).toContain('output_format_json_quote_64bit_integers must be 0, and is 1');
    expect(error.hint).toContain('readonly = 2');
    expect(error.hint).toContain('--set output_format_json_quote_64bit_integers=1');
  });

  it('hears of an unknown database all the same', async () => {
    stub.openShape = asked =>
      (asked.url.get('database') === 'nosuch'
        ? asked.url.has('output_format_json_escape_forward_slashes')
          ? readonly
          : status(404, "Code: 81. DB::Exception: Database nosuch doesn't exist")
        : readonly)(asked);
    expect(await refusal({ database: 'nosuch' })).toMatchObject({
      code: 'ENGINE_REFUSED',
      message: expect.stringContaining('no database "nosuch"'),
    });
  });

  it('may say that he takes it as it is', async () => {
    inForce.output_format_json_quote_64bit_integers = '1';
    stub.openShape = readonly;
    const settings = { output_format_json_quote_64bit_integers: '1' };
    const engine = await openClickHouse(
      { url: stub.url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings },
      signal,
    );
    await engine.close();
  });

  it('is told the value in force of a setting of his own', async () => {
    stub.openShape = readonly;
    stub.shape = values;
    const error = await refusal({ settings: { max_threads: '2' } });
    expect(error.code).toBe('ENGINE_REFUSED');
    expect(error.message).toContain('max_threads=2 (8 is in force)');
  });
});

it('refuses the names that are not settings, all at once', async () => {
  const error = await refusal({
    settings: { query: 'x', wait_end_of_query: '0', param_a: '1', max_threads: '1' },
  });
  expect(error.code).toBe('CONFIG');
  expect(error.message).toContain('"query"');
  expect(error.details).toHaveLength(2);
});

it('says that nothing listens', async () => {
  const closed = await startStubServer();
  await closed.stop();
  for (const url of [closed.url, closed.url.replace('127.0.0.1', 'localhost')]) {
    const error = await refusal({ url });
    expect(error).toMatchObject({
      code: 'ENGINE_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    expect(error.message).toContain(String(closed.port));
    expect(error.hint).toContain('8123');
  }
});

it('says that a name is not known', async () => {
  // Longer than a label may be, so that no name server is asked.
  const error = await refusal({ url: `http://${'a'.repeat(64)}.invalid:8123` });
  expect(error).toMatchObject({ code: 'ENGINE_UNREACHABLE', hint: expect.stringContaining('not known') });
});

it.each<[string, Shape, string, RegExp]>([
  [
    'an HTML page with 200',
    rows('<html><title>Welcome to nginx!</title></html>', { 'content-type': 'text/html' }),
    'ENGINE_UNREACHABLE',
    /is not ClickHouse: HTTP 200 with an HTML page.*Welcome to nginx/,
  ],
  ['a text with 200', rows('Ok.\n'), 'ENGINE_UNREACHABLE', /is not ClickHouse: .*"Ok\."/],
  ['rows that are no JSON', rows('{nope}\n'), 'ENGINE_UNREACHABLE', /is not ClickHouse/],
  ['a 404 page', status(404, 'not here'), 'ENGINE_UNREACHABLE', /is not ClickHouse: HTTP 404.*not here/],
  [
    'a redirect',
    status(301, '', { location: 'https://there/' }),
    'ENGINE_UNREACHABLE',
    /HTTP 301 \(to https:\/\/there\/\)/,
  ],
  [
    'a proxy that refuses',
    status(401, 'who are you'),
    'ENGINE_REFUSED',
    /refuses the user "default": HTTP 401/,
  ],
  [
    'a server that refuses',
    status(403, 'Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)'),
    'ENGINE_REFUSED',
    /refuses the user "default": Code: 516/,
  ],
  [
    'the port of clickhouse-client',
    status(400, 'Port 9000 is for clickhouse-client program.\r\nYou must use port 8123 for HTTP.\r\n'),
    'ENGINE_UNREACHABLE',
    /Port 9000 is for/,
  ],
  ['no HTTP', notHttp(), 'ENGINE_UNREACHABLE', /no ClickHouse server answers.*: Parse Error: /],
  ['a closed connection', noHeaders('rst'), 'ENGINE_UNREACHABLE', /ECONNRESET/],
  [
    'a proxy that hides the length',
    untilClose('{"v":"25.11.1.1"}\n'),
    'ENGINE_UNREACHABLE',
    /neither a length nor chunks/,
  ],
])('says what answers: %s', async (_, shape, code, message) => {
  stub.openShape = shape;
  const error = await refusal({});
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});

it('gives up in time when nothing comes back', async () => {
  stub.openShape = noHeaders('hang');
  const error = await refusal({ openTimeoutMs: 100 });
  expect(error).toMatchObject({
    code: 'ENGINE_UNREACHABLE',
    message: expect.stringContaining('within 100 ms'),
  });
});

it('can be interrupted', async () => {
  const stop = new AbortController();
  stub.openShape = () => stop.abort();
  expect(await refusal({}, stop.signal)).toMatchObject({ message: expect.stringContaining('interrupted') });
  expect(await refusal({}, AbortSignal.abort())).toMatchObject({ code: 'ENGINE_UNREACHABLE' });
});

it('waits for a server that is overloaded, and says so when it stays so', async () => {
  const busy = status(
    500,
    'Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)',
  );
  let refused = 1;
  stub.openShape = request => {
    if (refused > 0) busy(request);
    else opening(request)?.(request);
    refused -= 1;
  };
  const options = { url: stub.url, concurrency: 1, spool: { directory, thresholdBytes: 1 }, settings: {} };
  await (await openClickHouse(options, signal)).close();
  stub.openShape = busy;
  expect(await refusal({ openTimeoutMs: 100 })).toMatchObject({
    code: 'ENGINE_REFUSED',
    message: expect.stringContaining('Code: 202'),
  });
});
