import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ENGINES } from '../../src/core/engines/facts.js';
import { decodeSql, parseQuery } from '../../src/core/sql/parse.js';
import { loadChdb } from '../../src/io/engines/embedded/chdb.js';
import { type EmbeddedOptions, embeddedPermits, openEmbedded } from '../../src/io/engines/embedded/engine.js';
import type { Engine, EngineRequest } from '../../src/io/engines/engine.js';

const root = join(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'qrun-embedded-'));
const dataDirectory = join(directory, 'data');
const endless = 'select sum(sipHash64(number)) as s from system.numbers';
let engine: Engine | undefined;

afterEach(async () => {
  await engine?.close();
  engine = undefined;
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function open(
  overrides: Partial<EmbeddedOptions> = {},
  signal = new AbortController().signal,
): Promise<Engine> {
  const spool = { directory, thresholdBytes: 1024 * 1024 };
  engine = await openEmbedded({ dataDirectory, concurrency: 4, spool, settings: {}, ...overrides }, signal);
  return engine;
}

async function run(on: Engine, sql: string, overrides: Partial<EngineRequest> = {}): Promise<string> {
  const result = await on.run({
    query: parseQuery(sql),
    queryId: 'test',
    parameters: {},
    settings: {},
    timeoutMs: 20_000,
    signal: new AbortController().signal,
    ...overrides,
  });
  if (!result.ok) return result.failure.name;
  const text = result.body.bytes()?.toString() ?? `${result.body.rows} rows in the spool`;
  await result.body.dispose();
  return text;
}

describe('opening', () => {
  test('tells what it has opened, and leaves nothing in the directory for temporary files', async () => {
    const { TMPDIR } = process.env;
    process.env.TMPDIR = join(directory, 'tmp');
    mkdirSync(process.env.TMPDIR);
    try {
      const { info } = await open({ permits: 2 });
      expect(info).toEqual({
        facts: ENGINES.embedded,
        version: expect.stringMatching(/^\d+\.\d+\.\d+\.\d+$/),
        target: dataDirectory,
        supportsParameters: true,
        permits: 2,
      });
      if (process.platform === 'linux') expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
      await engine?.close();
      expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    } finally {
      process.env.TMPDIR = TMPDIR;
      if (TMPDIR === undefined) delete process.env.TMPDIR;
    }
  });

  test('keeps tables from one time to the next', async () => {
    await run(
      await open(),
      'create table kept (a Int8) engine = MergeTree order by a; insert into kept values (7)',
    );
    await engine?.close();
    expect(await run(await open(), 'select a from kept; drop table kept')).toBe('{"a":7}\n');
  });

  test('goes from one directory to another after close', async () => {
    await run(await open({ dataDirectory: join(directory, 'first') }), 'select 1');
    await engine?.close();
    await expect(open({ dataDirectory: join(directory, 'second') })).resolves.toBeDefined();
  });

  test('refuses a second directory in the same process', async () => {
    const first = await open();
    await expect(open({ dataDirectory: join(directory, 'other') })).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining(join(directory, 'other')),
    });
    expect(await run(first, 'select 1 as a')).toBe('{"a":1}\n');
    await first.close();
  });

  test('names the process that has the directory open', async () => {
    const script = `require('chdb/connection').createChdbConnection({ path: ${JSON.stringify(dataDirectory)} });
      console.log('open'); setInterval(() => {}, 1000)`;
    const child = spawn(process.execPath, ['-e', script], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      await expect(open()).rejects.toMatchObject({
        code: 'DATA_LOCKED',
        exitCode: 24,
        message: expect.stringMatching(new RegExp(`${dataDirectory} .* process ${child.pid}, since \\d{4}-`)),
        hint: expect.stringContaining('--data-dir'),
      });
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    // The dead process has left its status file, and no lock.
    expect(await run(await open(), 'select 1 as a')).toBe('{"a":1}\n');
  });

  test('refuses a directory that cannot be made', async () => {
    writeFileSync(join(directory, 'file'), '');
    await expect(open({ dataDirectory: join(directory, 'file', 'data') })).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining(join(directory, 'file', 'data')),
    });
  });

  test('obeys no configuration of somebody else in the current directory', async () => {
    const before = process.cwd();
    const place = mkdtempSync(join(directory, 'place-'));
    const elsewhere = join(place, 'elsewhere');
    for (const name of ['config.xml', 'clickhouse-local.xml']) {
      writeFileSync(join(place, name), `<clickhouse><path>${elsewhere}/</path></clickhouse>`);
    }
    process.chdir(place);
    try {
      await expect(open()).resolves.toBeDefined();
    } finally {
      process.chdir(before);
    }
    expect(existsSync(elsewhere)).toBe(false);
  });

  test('lists all settings that the engine does not take', async () => {
    const settings = { max_thread: '2', max_block_size: 'many', default_format: 'CSV', max_threads: '1' };
    await expect(open({ settings })).rejects.toMatchObject({
      code: 'CONFIG',
      message: 'the engine knows no setting "max_thread"; did you mean "max_threads"?',
      details: [expect.stringContaining('max_block_size=many'), expect.stringContaining('"default_format"')],
    });
    // And the directory is free again.
    await expect(open()).resolves.toBeDefined();
  });

  test('can be interrupted', async () => {
    await expect(open({}, AbortSignal.abort())).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
  });

  test('says how to get chDB', async () => {
    const missing = Object.assign(new Error("Cannot find package 'chdb'"), { code: 'ERR_MODULE_NOT_FOUND' });
    await expect(loadChdb(undefined, () => Promise.reject(missing))).rejects.toMatchObject({
      code: 'ENGINE_MISSING',
      hint: expect.stringMatching(/npm install chdb.*--url/),
    });
    await expect(
      loadChdb(undefined, () => Promise.reject(new Error('no native binding for win32-x64'))),
    ).rejects.toMatchObject({
      code: 'ENGINE_MISSING',
      message: expect.stringContaining('no native binding for win32-x64'),
    });
  });
});

test.each([
  [16, 2, 24, 16],
  [64, 2, 24, 16],
  [16, 2, 4, 2],
  [3, 8, 72, 3],
  [64, 8, 20, 18],
  [16, 4, 1, 1],
])('%i queries on %i cores with %i threads run in %i permits', (concurrency, cores, threads, permits) => {
  expect(embeddedPermits(concurrency, cores, threads)).toBe(permits);
});

describe('settings', () => {
  const read = (...names: string[]) =>
    `select ${names.map(name => `getSetting('${name}') as ${name}`).join(', ')}`;

  test('of the engine, of the request and of the deadline follow each other in one session', async () => {
    const sql = read('max_block_size', 'max_execution_time');
    const on = await open({ permits: 1, settings: { max_block_size: '1000' } });
    expect(await run(on, sql)).toBe('{"max_block_size":1000,"max_execution_time":21}\n');
    expect(await run(on, sql, { timeoutMs: 0 })).toBe('{"max_block_size":1000,"max_execution_time":0}\n');
    const settings = { max_block_size: '2000', max_execution_time: '9' };
    expect(await run(on, sql, { settings })).toBe('{"max_block_size":2000,"max_execution_time":9}\n');
    expect(await run(on, sql, { timeoutMs: 4001 })).toBe('{"max_block_size":1000,"max_execution_time":6}\n');
  });

  test('with quotes and backslashes are values, not SQL', async () => {
    const value = "a'; drop table x; --\\' \\";
    const on = await open({ permits: 1 });
    const settings = { query_cache_tag: value };
    const expected = `{"query_cache_tag":${JSON.stringify(value)}}\n`;
    expect(await run(on, read('query_cache_tag'), { settings })).toBe(expected);
    expect(await run(on, read('query_cache_tag'))).toBe('{"query_cache_tag":""}\n');
    expect(await run(on, 'select 1', { settings: { 'a`b': '1' } })).toBe('UNKNOWN_SETTING');
  });

  test('may make the session read-only', async () => {
    const on = await open({ permits: 1, settings: { readonly: '1' } });
    for (const timeoutMs of [5000, 6000, 0]) {
      const sql = 'select {a:UInt8} as a';
      expect(await run(on, sql, { timeoutMs, parameters: { a: `${timeoutMs % 7}` } })).toBe(
        `{"a":${timeoutMs % 7}}\n`,
      );
    }
    expect(await run(on, 'create table t (a Int8) engine = Memory')).toBe('READONLY');
  });

  test('are those of chDB: an expression is a query, where the user does not say otherwise', async () => {
    const on = await open();
    expect(await run(on, "upper('Hello') as u")).toBe('{"u":"HELLO"}\n');
    expect(await run(on, 'number from numbers(2)')).toBe('{"number":0}\n{"number":1}\n');
    expect(await run(on, 'select 1 as a; number from numbers(2) where number > 5')).toBe('');
    expect(await run(on, 'nonsense')).toBe('UNKNOWN_IDENTIFIER');
    expect(await run(on, 'selec 1 from t')).toBe('SYNTAX_ERROR');
    expect(await run(await open({ settings: { implicit_select: '0' } }), '1 + 2')).toBe('SYNTAX_ERROR');
  });

  test('inline data that is not UTF-8 is refused where it cannot be escaped', async () => {
    const data = decodeSql(Buffer.from('insert into t format CSV\n\xe9', 'latin1'));
    expect(await run(await open(), `create temporary table t (a String); ${data}`)).toBe('SQL_INVALID');
  });

  test('of the file win, the comment by which qrun finds a query among them', async () => {
    const sql = "set log_comment = 'own'; select getSetting('log_comment') as c";
    expect(await run(await open(), sql)).toBe('{"c":"own"}\n');
  });

  test.each([
    "set log_comment = 'own', max_execution_time = 9; sum(sipHash64(number)) from system.numbers",
    "set log_comment = 'own', max_execution_time = 9; create temporary table t as select sum(sipHash64(number)) as s from system.numbers",
    "set log_comment = 'own', max_execution_time = 9; select sum(sipHash64(number)) as s from system.numbers",
    "sum(sipHash64(number)) from system.numbers settings log_comment = 'own', max_execution_time = 9",
  ])('a query with a comment of its own can be cancelled: %s', async sql => {
    const on = await open();
    const startMs = performance.now();
    expect(await run(on, sql, { timeoutMs: 300 })).toBe('TIMEOUT');
    expect(performance.now() - startMs).toBeLessThan(4500);
  });
});

describe('queries', () => {
  test('that compute while they are analysed leave the event loop free', async () => {
    const on = await open();
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 10);
    expect(await run(on, 'with (select sleep(0.5)) as s select s')).toBe('{"s":0}\n');
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(20);
  });

  test.each([
    `${endless} settings log_comment = 'mine'`,
    "set log_comment = 'mine'; insert into function null('a UInt64') select number from system.numbers",
    `with (${endless}) as s select s`,
  ])('are cancelled whatever their log_comment: %s', async sql => {
    const on = await open({ permits: 1 });
    const startMs = performance.now();
    expect(await run(on, sql, { timeoutMs: 200 })).toBe('TIMEOUT');
    expect(performance.now() - startMs).toBeLessThan(1200);
    expect(await run(on, 'select count() as n from system.processes')).toBe('{"n":1}\n');
  });

  test('that cannot be cancelled in time keep their permit until they end', async () => {
    const on = await open({ permits: 1, cancelLimitMs: 50 });
    const startMs = performance.now();
    const failed = await on.run({
      query: parseQuery(
        "select number, sleep(1.5), 'x' from system.numbers limit 3 settings max_block_size = 3",
      ),
      queryId: 'lost',
      parameters: {},
      settings: {},
      timeoutMs: 100,
      signal: new AbortController().signal,
    });
    expect(failed).toMatchObject({
      ok: false,
      failure: { name: 'TIMEOUT', message: expect.stringContaining('may still run') },
    });
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(await run(on, 'select 1 as a')).toBe('{"a":1}\n');
    expect(performance.now() - startMs).toBeGreaterThan(1000);
  });

  test('whose result cannot be spooled are cancelled and reject, and the next one is clean', async () => {
    const spool = { directory: join(directory, 'gone'), thresholdBytes: 1000 };
    const on = await open({ permits: 1, spool });
    await expect(run(on, 'select number from system.numbers', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'WRITE_FAILED',
      message: expect.stringContaining(join(directory, 'gone')),
    });
    expect(await run(on, 'select count() as n from system.processes')).toBe('{"n":1}\n');
  });

  if (process.platform === 'linux')
    test('whose rows are not as many as the engine counts are refused', async () => {
      const on = await open({ permits: 2 });
      const paths = readdirSync('/proc/self/fd').map(fd => `/proc/self/fd/${fd}`);
      const pipes = paths.filter(path => existsSync(path) && readlinkSync(path).includes('qrun-pipes-'));
      const result = run(on, 'select sleep(0.5) as s');
      const running = "select count() as n from system.processes where startsWith(query, 'select sleep')";
      while ((await run(on, running)) === '{"n":0}\n');
      for (const pipe of pipes) appendFileSync(pipe, '{"s":1}\n');
      expect(await result).toBe('RESULT_CUT');
      expect(await run(on, 'select 1 as a')).toBe('{"a":1}\n');
    });

  test('that give rows without SELECT may follow each other', async () => {
    const on = await open({ permits: 1 });
    expect(await run(on, 'exists table system.one')).toBe('{"result":1}\n');
    expect(await run(on, "kill query where query_id = 'no such query' async")).not.toContain('ERROR');
    expect(await run(on, 'show tables from nowhere')).toBe('UNKNOWN_DATABASE');
    expect(await run(on, 'check table system.one')).not.toContain('{"a"');
    expect(await run(on, 'select 1 as a')).toBe('{"a":1}\n');
  });
});
