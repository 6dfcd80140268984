import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { QrunError } from '../../src/core/errors.js';
import { type ClickHouseOptions, openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { haProxyAvailable, startHaProxy } from '../services/haproxy.js';
import { opening, rows, type StubServer, startStubServer, status } from './stub-server.js';

const signal = new AbortController().signal;
const EXTERNAL = process.env.QRUN_TEST_URL !== undefined;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'qrun-in-force-'));
});
afterAll(async () => await rm(directory, { recursive: true, force: true }));

const options = (url: string, changes: Partial<ClickHouseOptions> = {}): ClickHouseOptions => ({
  url,
  concurrency: 2,
  spool: { directory, thresholdBytes: 1024 },
  settings: {},
  ...changes,
});

/** Why it is refused; `undefined` when it opens. */
async function refusal(
  url: string,
  changes: Partial<ClickHouseOptions> = {},
): Promise<QrunError | undefined> {
  try {
    await (await openClickHouse(options(url, changes), signal)).close();
    return undefined;
  } catch (error) {
    if (error instanceof QrunError) return error;
    throw error;
  }
}

describe.skipIf(!clickHouseServerAvailable() || EXTERNAL)(
  'a proxy that changes the URL, before a real server',
  () => {
    let server: ClickHouseServer;
    let proxy: Server;
    let url: string;
    let rewrite: (query: URLSearchParams) => void = () => undefined;

    beforeAll(async () => {
      server = await startClickHouseServer();
      proxy = createServer((request, response) => {
        const target = new URL(request.url ?? '/', server.url);
        rewrite(target.searchParams);
        const { method, headers } = request;
        const onward = httpRequest(target, { method: method ?? 'POST', headers }, answer => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        });
        onward.on('error', () => response.destroy());
        request.pipe(onward);
      });
      await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve));
      url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      await fetch(server.url, { method: 'POST', body: 'CREATE DATABASE other' });
    });

    afterAll(async () => {
      proxy.closeAllConnections();
      proxy.close();
      await server.stop();
    });

    const asked = { settings: { join_use_nulls: '1' }, database: 'other' };

    it.each([
      'join_use_nulls',
      'database',
      'query_id',
      'session_id',
      'session_check',
      'default_format',
      'wait_end_of_query',
      'output_format_json_quote_64bit_integers',
      'output_format_json_escape_forward_slashes',
    ])('is refused when it drops %s, which is named', async name => {
      rewrite = query => query.delete(name);
      const error = await refusal(url, asked);
      expect(error?.code).toBe('ENGINE_REFUSED');
      expect(error?.exitCode).toBe(24);
      expect(error?.message).toMatch(
        new RegExp(`drops or replaces what qrun asks for in the URL: ${name} does not reach`),
      );
      expect(error?.hint).toContain("the server's own address");
    });

    it.each([
      ['join_use_nulls', '0'],
      ['database', 'default'],
      ['query_id', 'theirs'],
      ['output_format_json_quote_64bit_integers', '1'],
    ])('is refused when it replaces %s', async (name, value) => {
      rewrite = query => query.has(name) && query.set(name, value);
      expect((await refusal(url, asked))?.message).toContain(`${name} does not reach ClickHouse`);
    });

    it('is refused with all that it drops when it keeps a list, as chproxy does', async () => {
      const kept = ['query', 'database', 'default_format', 'compress', 'session_id', 'session_timeout'];
      rewrite = query => {
        for (const name of [...query.keys()]) if (!kept.includes(name)) query.delete(name);
        query.set('query_id', 'AF0DB1BD');
      };
      const message = (await refusal(url, asked))?.message;
      for (const name of ['join_use_nulls', 'query_id', 'session_check']) {
        expect(message).toContain(name);
      }
      expect(message).not.toContain('database');
      expect(message).not.toContain('session_id');
    });

    it.each<[string, Partial<ClickHouseOptions>]>([
      ['join_use_nulls', { settings: { join_use_nulls: '0' } }],
      ['database', { database: 'default' }],
      ['buffer_size', {}],
      ['close_session', {}],
    ])('is no loss where %s is in force anyway, or decides nothing', async (name, changes) => {
      rewrite = query => query.delete(name);
      expect(await refusal(url, changes)).toBeUndefined();
    });

    it.each<[string, Record<string, string>]>([
      ['nothing', {}],
      ['a number with zeros', { totals_auto_threshold: '0.500' }],
      ['a word', { timeout_overflow_mode: 'break', max_execution_time: '7' }],
      ['large numbers', { max_memory_usage: '10000000000', max_result_bytes: '18446744073709551615' }],
      ['what limits reading', { max_rows_to_read: '5' }],
      ['what cuts results', { max_result_rows: '1', result_overflow_mode: 'break' }],
      ['what refuses results', { max_result_rows: '1', join_use_nulls: '1' }],
      ['what restricts', { readonly: '2', join_use_nulls: '1' }],
      ['one thread and small blocks', { max_threads: '1', max_block_size: '1' }],
      ['the default, said', { join_use_nulls: '0', extremes: '0' }],
    ])('raises no false alarm: %s', async (_, settings) => {
      rewrite = () => undefined;
      expect(await refusal(url, { settings, database: 'other' })).toBeUndefined();
    });

    it.each<[string, Record<string, string>]>([
      ['max_rows_to_read', { max_rows_to_read: '5' }],
      ['join_use_nulls', { max_rows_to_read: '5', join_use_nulls: '1' }],
      ['readonly', { readonly: '2' }],
    ])('is found out beside settings that change the look itself: %s', async (name, settings) => {
      rewrite = query => query.delete(name);
      expect((await refusal(url, { settings }))?.message).toContain(`${name} does not reach ClickHouse`);
    });

    it.skipIf(!haProxyAvailable())('is found when HAProxy rewrites the query', async () => {
      const own = await startHaProxy('http', [server.port], {
        lines: ['http-request set-query %[query,regsub(join_use_nulls=[^&]*&?,,g)]'],
      });
      try {
        expect(await refusal(own.url, { settings: { join_use_nulls: '0' } })).toBeUndefined();
        expect((await refusal(own.url, asked))?.message).toContain(
          'join_use_nulls does not reach ClickHouse',
        );
      } finally {
        await own.stop();
      }
    });
  },
);

describe('a server of today, of which this is only a likeness', () => {
  let stub: StubServer;
  beforeAll(async () => {
    stub = await startStubServer();
  });
  afterEach(() => {
    stub.openShape = undefined;
    stub.inForceShape = undefined;
  });
  afterAll(async () => await stub.stop());

  const DENIED = status(403, 'Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)');

  it('knows parameters, and a proxy drops their values', async () => {
    stub.openShape = stub.inForceShape = request => {
      const lost = status(
        400,
        'Code: 456. DB::Exception: Substitution `v` is not set. (UNKNOWN_QUERY_PARAMETER)',
      );
      (request.sql.startsWith('SELECT {v') ? lost : opening(request))?.(request);
    };
    const engine = await openClickHouse(options(stub.url), signal);
    expect(engine.info).toMatchObject({ supportsParameters: false, parametersLost: true });
    await engine.close();
  });

  it('lets a user who may not read system.settings see by getSetting', async () => {
    const answers = (value: string) => {
      stub.openShape = stub.inForceShape = request => {
        const { sql, url } = request;
        if (sql.includes('getSetting')) {
          const said = /SETTINGS max_threads = (\d+)/.exec(sql)?.[1];
          rows(
            `${JSON.stringify({ v: `max_threads\t1\t${said ?? (url.has('max_threads') ? value : '8')}` })}\n`,
          )(request);
        } else if (sql.includes('FROM system.settings')) DENIED(request);
        else if (url.has('output_format_json_array_of_rows')) {
          const names = [...url.keys()].filter(name => /^(output_format|http_write|wait_for)/.test(name));
          status(
            404,
            `Code: 115. DB::Exception: Unknown settings ${names.join(' ')}. (UNKNOWN_SETTING)`,
          )(request);
        } else opening(request)?.(request);
      };
    };
    answers('2');
    expect(await refusal(stub.url, { settings: { max_threads: '2' } })).toBeUndefined();
    answers('8');
    expect((await refusal(stub.url, { settings: { max_threads: '2' } }))?.message).toContain(
      'max_threads does not',
    );
  });

  it('says what could not be verified', async () => {
    stub.openShape = stub.inForceShape = request => {
      const isAbout = request.sql.includes('system.settings') || request.sql.includes('getSetting');
      (isAbout ? DENIED : opening(request))?.(request);
    };
    const engine = await openClickHouse(options(stub.url, { settings: { max_threads: '2' } }), signal);
    expect(engine.info.notices?.join()).toMatch(
      /whether .*max_threads reach the server could not be verified/,
    );
    await engine.close();
  });

  it('shows the id of a query to a user who may not read system.processes', async () => {
    const answers = (id: (sent: string) => string) => {
      stub.openShape = stub.inForceShape = request => {
        const { sql, url } = request;
        if (sql.includes('system.processes')) DENIED(request);
        else if (sql === 'SELECT queryID() AS v') rows(`{"v":"${id(url.get('query_id') ?? '')}"}\n`)(request);
        else opening(request)?.(request);
      };
    };
    answers(sent => sent);
    expect(await refusal(stub.url)).toBeUndefined();
    answers(() => 'theirs');
    expect((await refusal(stub.url))?.message).toContain('query_id does not reach ClickHouse');
  });
});
