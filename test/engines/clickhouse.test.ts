import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QrunError } from '../../src/core/errors.js';
import { parseQuery } from '../../src/core/sql/parse.js';
import { type ClickHouseOptions, openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import type { Engine, EngineRequest, EngineResult } from '../../src/io/engines/engine.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { startStubServer } from './stub-server.js';

const signal = new AbortController().signal;
const EXTERNAL = process.env.QRUN_TEST_URL !== undefined;
const ENDLESS = 'SELECT sum(number) FROM system.numbers';
let server: ClickHouseServer;
let engine: Engine;
let directory: string;
let ids = 0;

function options(changes: Partial<ClickHouseOptions> = {}): ClickHouseOptions {
  return {
    url: server.url,
    ...server.admin,
    concurrency: 16,
    spool: { directory, thresholdBytes: 1024 * 1024 },
    settings: {},
    ...changes,
  };
}

function start(on: Engine, sql: string, changes: Partial<EngineRequest> = {}): Promise<EngineResult> {
  ids += 1;
  return on.run({
    query: parseQuery(sql),
    queryId: `qrun-test-${process.pid}-${ids}`,
    parameters: {},
    settings: {},
    timeoutMs: 20_000,
    signal,
    ...changes,
  });
}

async function rows(sql: string, changes: Partial<EngineRequest> = {}, on = engine): Promise<string> {
  const result = await start(on, sql, changes);
  if (!result.ok) throw new Error(result.failure.message);
  const text = result.body.bytes()?.toString('utf8') ?? '(spooled)';
  await result.body.dispose();
  return text;
}

async function failure(sql: string, changes: Partial<EngineRequest> = {}, on = engine) {
  const result = await start(on, sql, changes);
  if (result.ok) throw new Error(`not expected to work: ${sql}`);
  return result.failure;
}

async function refusal(changes: Partial<ClickHouseOptions>): Promise<QrunError> {
  const error = await openClickHouse(options(changes), signal).catch((thrown: unknown) => thrown);
  if (!(error instanceof QrunError)) throw new Error(`no QrunError: ${String(error)}`);
  return error;
}

/** Waits until the server runs the query, and gives up the attempt when it ends before. */
async function untilRunning(queryId: string): Promise<void> {
  while ((await rows(processesSql(queryId))) === '{"c":0}\n');
}

const processesSql = (queryId: string) =>
  `SELECT toUInt8(count()) AS c FROM system.processes WHERE query_id = '${queryId}'`;

/** Hands a request on, as a reverse proxy does. */
function forward(url: string, request: IncomingMessage, response: ServerResponse): void {
  const { method, headers } = request;
  const onward = httpRequest(url, { method: method ?? 'POST', headers }, answer => {
    response.writeHead(answer.statusCode ?? 0, answer.headers);
    answer.pipe(response);
  });
  request.pipe(onward);
}

if (servicesRequired()) {
  it('a ClickHouse server is there to test against', () => {
    const missing = 'clickhouse-server is not installed and QRUN_TEST_URL is not set';
    expect(clickHouseServerAvailable(), missing).toBe(true);
  });
}

describe.skipIf(!clickHouseServerAvailable())('on a real server', () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'qrun-engine-'));
    server = await startClickHouseServer();
    engine = await openClickHouse(options(), signal);
  });

  afterAll(async () => {
    await engine?.close();
    await server?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('tells its version and place', async () => {
    expect(engine.info).toMatchObject({ facts: { name: 'clickhouse' }, target: server.url, permits: 16 });
    expect(engine.info.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(await engine.ping(signal)).toBeUndefined();
  });

  it('writes rows the same way on every version', async () => {
    const sql = `SELECT toUInt64(18446744073709551615) AS u, 0 / 0 AS n, 1 / 0 AS i, NULL AS z, 'a/b"\\n' AS s FORMAT CSV`;
    expect(await rows(sql)).toBe('{"u":18446744073709551615,"n":null,"i":null,"z":null,"s":"a/b\\"\\n"}\n');
  });

  describe('failures', () => {
    it.each<[string, string, object]>([
      ['a syntax error', 'SELECT FROM WHERE', { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent' }],
      ['an unknown table', 'SELECT * FROM nosuch', { code: 60, kind: 'permanent' }],
      [
        'an exception before the first row',
        'SELECT throwIf(1)',
        { code: 395, name: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO', kind: 'permanent' },
      ],
      [
        'an exception behind 100 MB of rows',
        "SELECT throwIf(number = 2000000) AS t, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' AS x FROM system.numbers LIMIT 3000000",
        { code: 395, kind: 'permanent' },
      ],
    ])('%s', async (_, sql, expected) => {
      const shown = await failure(sql);
      expect(shown).toMatchObject({ serverGone: false, neverStarted: false, ...expected });
      expect(shown.message).toMatch(/^Code: \d+/);
    });

    it('memory: permanent for the limit of the query, transient for the limit of the user', async () => {
      const sql = 'SELECT groupArray(number) FROM (SELECT number FROM system.numbers LIMIT 10000000)';
      const query = await failure(sql, { settings: { max_memory_usage: '1000000' } });
      expect(query).toMatchObject({ code: 241, kind: 'permanent' });
      const user = await failure(sql, { settings: { max_memory_usage_for_user: '1000000' } });
      expect(user).toMatchObject({ code: 241, kind: 'transient' });
    });

    it('too many queries is transient and never started', async () => {
      const stop = new AbortController();
      const running = start(engine, ENDLESS, { queryId: 'qrun-test-many', signal: stop.signal });
      await untilRunning('qrun-test-many');
      const settings = { max_concurrent_queries_for_user: '1' };
      const full = await failure('SELECT 1', { settings });
      stop.abort();
      await running;
      expect(full).toMatchObject({ code: 202, kind: 'transient', neverStarted: true, serverGone: false });
    });

    it('a bad INSERT with 40 MB of data keeps its own message', async () => {
      const shown = await failure(`INSERT INTO nosuch FORMAT TSV\n${'a\tb\n'.repeat(10_000_000)}`);
      expect(shown).toMatchObject({ code: 60, kind: 'permanent' });
    });
  });

  describe('cancelling', () => {
    it('at the deadline ends the query on the server', async () => {
      const late = await failure(ENDLESS, { queryId: 'qrun-test-late', timeoutMs: 300 });
      expect(late).toMatchObject({
        name: 'TIMEOUT',
        kind: 'permanent',
        message: 'no result within 300 ms; it has ended on the server',
      });
      expect(await rows(processesSql('qrun-test-late'))).toBe('{"c":0}\n');
    });

    it('by signal ends the query on the server, with quotes in its id, while the others go on', async () => {
      const queryId = "qrun-test-it's\\1";
      const stop = new AbortController();
      const other = rows('SELECT sleep(0.5) AS s');
      const running = start(engine, ENDLESS, { queryId, signal: stop.signal });
      await untilRunning("qrun-test-it\\'s\\\\1");
      stop.abort();
      expect(await running).toMatchObject({ ok: false, failure: { name: 'ABORTED', neverStarted: false } });
      expect(await rows(processesSql("qrun-test-it\\'s\\\\1"))).toBe('{"c":0}\n');
      expect(await other).toBe('{"s":0}\n');
    });

    it('sixty at once', async () => {
      const own = await openClickHouse(options({ concurrency: 60 }), signal);
      const stop = new AbortController();
      const all = Array.from({ length: 60 }, (_, index) =>
        start(own, ENDLESS, { queryId: `qrun-test-crowd-${index}`, signal: stop.signal }),
      );
      const crowd =
        "SELECT toUInt8(count()) AS c FROM system.processes WHERE query_id LIKE 'qrun-test-crowd-%'";
      while ((await rows(crowd)) !== '{"c":60}\n');
      stop.abort();
      for (const result of await Promise.all(all)) {
        expect(result).toMatchObject({
          ok: false,
          failure: { name: 'ABORTED', message: expect.stringContaining('ended') },
        });
      }
      expect(await rows(crowd)).toBe('{"c":0}\n');
      await own.close();
    });

    it('close() ends what runs', async () => {
      const own = await openClickHouse(options(), signal);
      const running = start(own, ENDLESS, { queryId: 'qrun-test-close' });
      await untilRunning('qrun-test-close');
      await own.close();
      expect(await running).toMatchObject({ ok: false, failure: { name: 'ABORTED' } });
      expect(await rows(processesSql('qrun-test-close'))).toBe('{"c":0}\n');
    });
  });

  describe('files', () => {
    it('run 16 at once', async () => {
      const startedMs = performance.now();
      const all = await Promise.all(
        Array.from({ length: 16 }, (_, index) => rows(`SELECT ${index} AS i, sleep(0.4) AS s`)),
      );
      expect(all).toEqual(Array.from({ length: 16 }, (_, index) => `{"i":${index},"s":0}\n`));
      expect(performance.now() - startedMs).toBeLessThan(16 * 400 * 0.5);
    });

    it('keep SET, USE and temporary tables to themselves', async () => {
      await rows('CREATE DATABASE IF NOT EXISTS qrun_other');
      const files = Array.from({ length: 100 }, (_, index) =>
        rows(
          `SET max_block_size = ${1000 + index}; USE qrun_other; CREATE TEMPORARY TABLE mine (a UInt32);` +
            `INSERT INTO mine VALUES (${index}), (1); ` +
            `SELECT sum(a) AS s, currentDatabase() AS d, (SELECT value FROM system.settings WHERE name = 'max_block_size') AS v FROM mine`,
        ),
      );
      for (const [index, text] of (await Promise.all(files)).entries()) {
        expect(JSON.parse(text)).toEqual({ s: index + 1, d: 'qrun_other', v: String(1000 + index) });
      }
      expect(await failure('SELECT * FROM mine')).toMatchObject({ code: 60 });
      expect(await rows('SELECT currentDatabase() AS d')).toBe('{"d":"default"}\n');
      await rows('DROP DATABASE qrun_other');
    });

    it('use the database of the options until USE names another', async () => {
      const own = await openClickHouse(options({ database: 'system' }), signal);
      expect(await rows('SELECT currentDatabase() AS d', {}, own)).toBe('{"d":"system"}\n');
      expect(await rows('USE default; SELECT currentDatabase() AS d', {}, own)).toBe('{"d":"default"}\n');
      expect(await rows('SET max_threads = 1; SELECT currentDatabase() AS d', {}, own)).toBe(
        '{"d":"system"}\n',
      );
      await own.close();
    });

    it('let SET win over the settings of the request', async () => {
      const value = "SELECT value AS v FROM system.settings WHERE name = 'max_threads'";
      const settings = { max_threads: '3' };
      expect(await rows(value, { settings })).toBe('{"v":"3"}\n');
      expect(await rows(`SET max_threads = 2; ${value}`, { settings })).toBe('{"v":"2"}\n');
    });

    it('insert inline data byte for byte', async () => {
      const insert = `CREATE TABLE qrun_data (a String, b String) ENGINE = Memory;
INSERT INTO qrun_data FORMAT TSV
a\t
b;\té"'

INSERT INTO qrun_data VALUES ('c;', '\\n'), ('d', '--');
SELECT * FROM qrun_data ORDER BY a;
DROP TABLE qrun_data;`;
      expect(await rows(insert)).toBe(
        '{"a":"a","b":""}\n{"a":"b;","b":"é\\"\'"}\n{"a":"c;","b":"\\n"}\n{"a":"d","b":"--"}\n',
      );
    });

    it('give parameters unchanged, or say that the server has none', async () => {
      const sql = 'SELECT {s:String} AS s, {n:Nullable(String)} AS n, {a:Array(String)} AS a, {u:UInt8} AS u';
      const parameters = { s: 'tab\t line\n cr\r \'q\' "d" \\ \\N', n: '\\N', a: "['x','y\\'z']", u: '7' };
      if (!engine.info.supportsParameters) {
        expect(await failure(sql, { parameters })).toMatchObject({ name: 'PARAMETERS', neverStarted: true });
        return;
      }
      const row: unknown = JSON.parse(await rows(sql, { parameters }));
      expect(row).toEqual({ s: parameters.s, n: '\\N', a: ['x', "y'z"], u: 7 });
    });
  });

  it('spools 200 MB with bounded memory', async () => {
    const sql = `SELECT number, '${'x'.repeat(79)}' AS x FROM system.numbers LIMIT 2000000`;
    let peak = 0;
    const before = process.memoryUsage().arrayBuffers;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
    }, 5);
    const result = await start(engine, sql);
    clearInterval(watch);
    if (!result.ok) throw new Error(result.failure.message);
    expect(result.body).toMatchObject({ kind: 'spool', rows: 2_000_000, sizeBytes: 208_888_890 });
    // Measured 32 to 38 MB, which is what the garbage collector leaves lying about; unbounded it would be 209.
    expect(peak).toBeLessThan(100 * 1024 * 1024);
    let size = 0;
    for await (const chunk of result.body.chunks()) size += chunk.length;
    expect(size).toBe(result.body.sizeBytes);
    await result.body.dispose();
  });

  it('a spool that cannot be written is an error, not a failure of the query', async () => {
    const own = await openClickHouse(
      options({ spool: { directory: '/nowhere', thresholdBytes: 10 } }),
      signal,
    );
    await expect(start(own, 'SELECT number FROM system.numbers LIMIT 10')).rejects.toMatchObject({
      code: 'WRITE_FAILED',
    });
    await own.close();
  });

  describe('opening', () => {
    it('refuses an unknown setting and a bad value, all at once, with a suggestion', async () => {
      const error = await refusal({
        settings: { max_thread: '2', load_balancing: 'nope', max_threads: '1' },
      });
      expect(error.code).toBe('CONFIG');
      expect(error.message).toBe('the server knows no setting "max_thread"; did you mean "max_threads"?');
      expect(error.details).toEqual([
        expect.stringMatching(/^the server does not accept load_balancing=nope: Code/),
      ]);
    });

    it('refuses an unknown database', async () => {
      const error = await refusal({ database: 'nosuch' });
      expect(error.code).toBe('ENGINE_REFUSED');
      expect(error.message).toBe(`${server.url} has no database "nosuch"`);
    });

    it('takes a path that is no database, and asks which is meant when it is one', async () => {
      const own = await openClickHouse(options({ url: `${server.url}/clickhouse/` }), signal);
      expect(await rows('SELECT currentDatabase() AS d', {}, own)).toBe('{"d":"default"}\n');
      await own.close();
      const error = await refusal({ url: `${server.url}/system` });
      expect(error.code).toBe('CONFIG');
      expect(error.message).toContain('/system is also the name of a database');
      expect(error.hint).toContain('--database system');
      const named = await openClickHouse(
        options({ url: `${server.url}/system`, database: 'default' }),
        signal,
      );
      expect(await rows('SELECT currentDatabase() AS d', {}, named)).toBe('{"d":"default"}\n');
      await named.close();
    });

    it('refuses a wrong user, without showing the password', async () => {
      const error = await refusal({ user: 'nobody', password: 'hunter2' });
      expect(error).toMatchObject({ code: 'ENGINE_REFUSED', message: expect.stringContaining('"nobody"') });
      expect(`${error.message}${error.hint}${error.stack}`).not.toContain('hunter2');
    });

    it.skipIf(EXTERNAL)('knows a second user, and refuses a wrong password', async () => {
      const own = await openClickHouse(options({ ...server.second }), signal);
      const sql = "SELECT user FROM system.processes WHERE query_id = 'qrun-test-who'";
      expect(await rows(sql, { queryId: 'qrun-test-who' }, own)).toBe('{"user":"second"}\n');
      await own.close();
      const error = await refusal({ user: 'second', password: 'hunter2' });
      expect(error.code).toBe('ENGINE_REFUSED');
      expect(`${error.message}${error.stack}`).not.toContain('hunter2');
    });

    it.skipIf(EXTERNAL)('refuses a user who may not change settings', async () => {
      const error = await refusal({ ...server.readonly });
      expect(error).toMatchObject({
        code: 'ENGINE_REFUSED',
        message: expect.stringContaining('may not change settings'),
      });
      expect(error.hint).toContain('readonly');
    });
  });

  describe('over https', () => {
    let proxy: Server;
    let url: string;

    beforeAll(async () => {
      const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
      const kind = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'];
      await promisify(execFile)('openssl', [...kind, '-keyout', key, '-out', cert, ...subject]);
      const tls = { key: await readFile(key), cert: await readFile(cert) };
      proxy = createHttpsServer(tls, (request, response) => {
        forward(`${server.url}${request.url}`, request, response);
      });
      await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve));
      url = `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    });

    afterAll(async () => {
      proxy.closeAllConnections();
      await new Promise(resolve => proxy.close(resolve));
    });

    it('works with the CA file', async () => {
      const own = await openClickHouse(options({ url, caFile: join(directory, 'cert.pem') }), signal);
      expect(own.info.target).toBe(url);
      expect(await rows('SELECT 1 AS a', {}, own)).toBe('{"a":1}\n');
      expect(await own.ping(signal)).toBeUndefined();
      await own.close();
    });

    it('refuses a certificate that it does not know, and says what helps', async () => {
      const error = await refusal({ url });
      expect(error.code).toBe('ENGINE_UNREACHABLE');
      expect(error.message).toMatch(
        /certificate of https:\/\/127\.0\.0\.1:\d+ is not accepted: .*self.signed/,
      );
      expect(error.hint).toContain('--ca-file');
    });

    // One authority, and what it signed: for this name, for others, and for a time that is over.
    describe('with certificates of an authority', () => {
      const at = (name: string) => join(directory, name);
      const openssl = async (...args: string[]) => await promisify(execFile)('openssl', args);
      const sign = async (name: string, extension: string, ...dates: string[]) => {
        await writeFile(at(`${name}.ext`), extension);
        const request = ['req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}.example`];
        await openssl(...request, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`));
        const authority = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'];
        const files = ['-in', at(`${name}.csr`), '-out', at(`${name}.pem`), '-extfile', at(`${name}.ext`)];
        await openssl('x509', '-req', ...authority, ...files, ...dates);
      };

      beforeAll(async () => {
        const kind = [
          'req',
          '-x509',
          '-newkey',
          'rsa:2048',
          '-nodes',
          '-days',
          '2',
          '-subj',
          '/CN=authority',
        ];
        await openssl(...kind, '-keyout', at('ca.key'), '-out', at('ca.pem'));
        await sign('here', 'subjectAltName=IP:127.0.0.1', '-days', '2');
        await sign('there', 'subjectAltName=DNS:db.example.com,DNS:*.example.org', '-days', '2');
        await sign('plain', '', '-days', '2');
        await sign('over', 'subjectAltName=IP:127.0.0.1', '-days', '-1');
      });

      it.each([
        ['there', 'ca.pem', /it is for DNS:db\.example\.com, DNS:\*\.example\.org/],
        ['plain', 'ca.pem', /it is for plain\.example/],
        ['over', 'ca.pem', /renewed/],
        ['here', 'there.pem', /does not hold the certificate of its issuer/],
        ['here', undefined, /issuer is not known here.*--ca-file/],
      ])('the one %s with %s gets its own hint', async (name, ca, hint) => {
        const tls = { key: await readFile(at(`${name}.key`)), cert: await readFile(at(`${name}.pem`)) };
        const other = createHttpsServer(tls, (request, response) => {
          forward(`${server.url}${request.url}`, request, response);
        });
        await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve));
        const { port } = other.address() as AddressInfo;
        const error = await refusal({
          url: `https://127.0.0.1:${port}`,
          ...(ca === undefined ? {} : { caFile: at(ca) }),
        });
        expect(error.code).toBe('ENGINE_UNREACHABLE');
        expect(error.message).toContain('is not accepted');
        expect(error.hint).toMatch(hint);
        if (ca === 'ca.pem') expect(error.hint).not.toContain('--ca-file');
        await new Promise(resolve => other.close(resolve));
      });
    });

    it('says that http and https are mixed up', async () => {
      // 18.16 waits for more after a TLS greeting; newer servers and proxies answer it at once.
      const stub = await startStubServer();
      const plain = await refusal({ url: stub.url.replace('http:', 'https:') });
      expect(plain).toMatchObject({ code: 'ENGINE_UNREACHABLE', hint: expect.stringContaining('http://') });
      await stub.stop();
      const secure = await refusal({ url: url.replace('https:', 'http:') });
      expect(secure).toMatchObject({
        code: 'ENGINE_UNREACHABLE',
        hint: expect.stringContaining('https port'),
      });
    });
  });
});

describe.skipIf(!clickHouseServerAvailable() || EXTERNAL)('a server that dies', () => {
  it('leaves running queries unknown, later ones never started, and is found again', async () => {
    directory = await mkdtemp(join(tmpdir(), 'qrun-engine-'));
    server = await startClickHouseServer();
    const own = await openClickHouse(options(), signal);
    engine = own;
    const running = start(own, ENDLESS, { queryId: 'qrun-test-dies' });
    await untilRunning('qrun-test-dies');
    await server.kill();
    expect(await running).toMatchObject({
      ok: false,
      failure: { name: 'CONNECTION_LOST', kind: 'unknown', neverStarted: false, serverGone: true },
    });
    expect(await failure('SELECT 1')).toMatchObject({
      name: 'CONNECTION_FAILED',
      kind: 'transient',
      neverStarted: true,
      serverGone: true,
    });
    expect(await own.ping(signal)).toMatchObject({ name: 'CONNECTION_FAILED', serverGone: true });
    const error = await refusal({});
    expect(error).toMatchObject({
      code: 'ENGINE_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    await server.restart();
    expect(await own.ping(signal)).toBeUndefined();
    expect(await rows('SELECT 1 AS a')).toBe('{"a":1}\n');
    await own.close();
    await server.stop();
    await rm(directory, { recursive: true });
  });
});

describe.skipIf(!clickHouseServerAvailable() || EXTERNAL)('two servers behind a load balancer', () => {
  it('keep the session of a file, whatever server each request meets', async () => {
    directory = await mkdtemp(join(tmpdir(), 'qrun-engine-'));
    const servers = await Promise.all([startClickHouseServer(), startClickHouseServer()]);
    let turn = 0;
    const balancer = createHttpServer((request, response) => {
      turn += 1;
      forward(`${servers[turn % 2]?.url}${request.url}`, request, response);
    });
    await new Promise<void>(resolve => balancer.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(balancer.address() as AddressInfo).port}`;
    const own = await openClickHouse(
      { url, concurrency: 1, spool: { directory, thresholdBytes: 1024 }, settings: {} },
      signal,
    );
    const sql = "SET max_threads = 1; SELECT value FROM system.settings WHERE name = 'max_threads'";
    expect(await rows(sql, {}, own)).toBe('{"value":"1"}\n');
    await own.close();
    balancer.closeAllConnections();
    await new Promise(resolve => balancer.close(resolve));
    await Promise.all(servers.map(each => each.stop()));
    await rm(directory, { recursive: true });
  });
});
