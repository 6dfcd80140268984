import { readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { endAll, endOf, put, qrun, records, removeTree, startQrun, tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';

vi.setConfig({ testTimeout: 120_000 });

const EXTERNAL = process.env.QRUN_TEST_URL !== undefined;
const available = clickHouseServerAvailable() && !EXTERNAL;

if (servicesRequired()) {
  it('a ClickHouse server is there to test against', () => {
    expect(clickHouseServerAvailable()).toBe(true);
  });
}

describe.skipIf(!available)('a run against a server', () => {
  let server: ClickHouseServer;
  let root: string;

  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterAll(async () => {
    await server?.stop();
  });
  beforeEach(() => {
    root = tree({});
  });
  afterEach(() => {
    endAll();
    removeTree(root);
  });

  const as = ({ user, password }: { user: string; password: string }) => ({
    CLICKHOUSE_URL: server.url,
    CLICKHOUSE_USER: user,
    CLICKHOUSE_PASSWORD: password,
  });
  const log = () => records(readFileSync(join(root, 'results', 'u.ndjson')));
  const outcomes = () => log().map(({ outcome }) => outcome);

  it('ends with 24 when the password changes in the middle, records nothing of it, and goes on with the new one', async () => {
    for (let i = 0; i < 100; i += 1) put(root, `u/q${i}.sql`, `SELECT sleep(0.2), ${i} AS a`);
    const child = startQrun(['unit', 'u', '-P2', '--json'], { cwd: root, env: as(server.second) });
    await vi.waitFor(() => expect(outcomes()).toContain('normal'), { timeout: 30_000, interval: 20 });
    await server.changePassword('another');
    const ended = endOf(await child);
    expect(ended.code, ended.stderr).toBe(24);
    const summary = JSON.parse(ended.stdout);
    expect(summary.stopped).toContain('refuses the user "second" in the middle of the run');
    expect(`${ended.stdout}${ended.stderr}`).not.toContain(server.second.password);
    expect(summary.recorded.error).toBe(0);
    expect(summary.not_run).toBeGreaterThan(0);
    expect(new Set(outcomes())).toEqual(new Set(['normal']));
    const next = { ...as(server.second), CLICKHOUSE_PASSWORD: 'another' };
    const again = await qrun(['unit', 'u', '-P16'], { cwd: root, env: next });
    expect(again.code, again.stderr).toBe(0);
    expect(outcomes()).toHaveLength(100);
  });

  it('waits together for the end of a quota, or says when the run can go on', async () => {
    for (let i = 0; i < 20; i += 1) put(root, `u/q${i}.sql`, `SELECT ${i} AS a`);
    const env = as(server.limited);
    // One that was used up by others already refuses the opening.
    const run = async (...args: string[]) => {
      for (;;) {
        const ended = await qrun(['unit', 'u', '--rerun', 'all', ...args], { cwd: root, env });
        if (!ended.stderr.includes('interval has ended')) return ended;
        expect(ended).toMatchObject({ code: 24 });
      }
    };
    const waited = await run();
    expect(waited.code, waited.stderr).toBe(0);
    expect(outcomes()).toEqual(Array.from({ length: 20 }, () => 'normal'));
    const stopped = await run('--max-outage', '0s', '--json');
    expect(stopped.code, stopped.stderr).toBe(24);
    const summary = JSON.parse(stopped.stdout);
    expect(summary.recorded.error).toBe(0);
    expect(summary.stopped).toMatch(
      /the quota of the user "limited" .*Interval will end at .* can go on in \d+ s/s,
    );
  });

  it('of a user with readonly=1 works where the values in force are as they must be', async () => {
    put(root, 'u/q.sql', 'SELECT toUInt64(5) AS a');
    const ended = await qrun(['unit', 'u'], { cwd: root, env: as(server.careful) });
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain('"careful" may not set output_format_json_escape_forward_slashes');
    expect(log()[0]?.row).toEqual({ a: 5 });
  });

  it('of a user with readonly=1 is refused by the name of the setting, or takes the value in force', async () => {
    put(root, 'u/q.sql', 'SELECT toUInt64(5) AS a');
    const env = as(server.readonly);
    const refused = await qrun(['unit', 'u'], { cwd: root, env });
    expect(refused.code).toBe(24);
    expect(refused.stderr).toContain('output_format_json_quote_64bit_integers must be 0, and is 1');
    const accept = ['--set', 'output_format_json_quote_64bit_integers=1'];
    for (const arg of accept.slice(1)) expect(refused.stderr).toContain(arg);
    const taken = await qrun(['unit', 'u', ...accept], { cwd: root, env });
    expect(taken.code, taken.stderr).toBe(0);
    expect(log()[0]?.row).toEqual({ a: '5' });
  });

  it('stops when its first queries all fail alike, with the setup among the reasons', async () => {
    put(root, 'u/_setup.sql', 'CREATE TABLE IF NOT EXISTS prices (p Float64) ENGINE = Memory');
    for (let i = 0; i < 100; i += 1) put(root, `u/q${i}.sql`, `SELECT ${i}, p FROM prices`);
    const env = { CLICKHOUSE_URL: server.url };
    const halted = await qrun(['unit', 'u', '-P2'], { cwd: root, env });
    expect(halted.code, halted.stderr).toBe(25);
    expect(halted.stderr).toContain('u/_setup.sql did not run');
    expect(outcomes().length).toBeLessThan(30);
    const whole = await qrun(['unit', 'u', '--halt', 'same=off'], { cwd: root, env });
    expect(whole.code).toBe(20);
    const done = await qrun(['unit', 'u', '--setup'], { cwd: root, env });
    expect(done.code, done.stderr).toBe(0);
  });

  describe('behind a proxy with a path and a limit of 8 KiB', () => {
    let proxy: Server;

    beforeAll(async () => {
      proxy = createServer({ maxHeaderSize: 8 * 1024 }, (request, response) => {
        const { pathname } = new URL(request.url ?? '/', 'http://proxy');
        if (pathname !== '/db/clickhouse/') {
          response.writeHead(404).end('<h1>nothing here</h1>');
          return;
        }
        const path = `/${(request.url ?? '').slice(pathname.length)}`;
        const { method, headers } = request;
        const onward = httpRequest(`${server.url}${path}`, { method, headers }, answer => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        });
        request.pipe(onward);
      });
      await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve));
    });
    afterAll(async () => {
      proxy.closeAllConnections();
      await new Promise(resolve => proxy.close(resolve));
    });

    it('finds the server, and says so without credentials', async () => {
      put(root, 'u/q.sql', 'SELECT 1 AS a');
      const { port } = proxy.address() as AddressInfo;
      const shown = `http://127.0.0.1:${port}/db/clickhouse/`;
      const url = shown.replace('//', '//second@');
      const password = { CLICKHOUSE_PASSWORD: 'another' };
      const ended = await qrun(['unit', 'u', '--url', url], { cwd: root, env: password });
      expect(ended.code, ended.stderr).toBe(0);
      expect(ended.stderr).toContain(` at ${shown}`);
      const wrong = await qrun(['unit', 'u', '--rerun', 'all', '--url', shown.replace('db', 'nope')], {
        cwd: root,
      });
      expect(wrong.code).toBe(24);
      expect(wrong.stderr).toContain('/nope/clickhouse/ is not ClickHouse: HTTP 404');
    });

    it('sends an INSERT with 900 columns and exact data in the body', async () => {
      const columns = Array.from({ length: 900 }, (_, n) => `column_with_a_long_name_${n}`);
      put(
        root,
        'u/q.sql',
        `DROP TABLE IF EXISTS wide;
CREATE TABLE wide (${columns.map(name => `${name} UInt8`).join(', ')}, s String) ENGINE = Memory;
INSERT INTO wide (${columns.join(', ')}, s) VALUES (${columns.map(() => 1).join(', ')}, 'a;'), (${columns.map(() => 2).join(', ')}, ' -- b\t');
SELECT count() AS v, sum(${columns[899]}) AS sum, groupArray(hex(s)) AS s FROM wide`,
      );
      put(
        root,
        'u/r.sql',
        `CREATE TEMPORARY TABLE tsv (${columns.map(name => `${name} String`).join(', ')});
INSERT INTO tsv (${columns.join(', ')}) FORMAT TSV
\t${columns
          .slice(2)
          .map((_, n) => n)
          .join('\t')}\t

SELECT count() AS v, any(${columns[0]}) AS first, any(${columns[899]}) AS last, any(${columns[1]}) AS second FROM tsv`,
      );
      for (const url of [
        server.url,
        `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/db/clickhouse/`,
      ]) {
        const ended = await qrun(['unit', 'u', '-P1', '--rerun', 'all', '--url', url], { cwd: root });
        expect(ended.code, ended.stderr).toBe(0);
        expect(
          log()
            .slice(-2)
            .map(({ row }) => row),
        ).toEqual([
          { v: 2, sum: 3, s: ['613B', '202D2D206209'] },
          { v: 1, first: '', last: '', second: '0' },
        ]);
      }
    });
  });
});
