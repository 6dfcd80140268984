import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../../services/clickhouse-server.js';
import { type Event, endAll, put, qrun, records, removeTree, type Start, tree, watchQrun } from '../qrun.js';

vi.setConfig({ testTimeout: 120_000 });

const NEXT_SIGNAL_MS = 150;

const isOurs = process.env.QRUN_TEST_URL === undefined;

// A unit on two real servers, by the command.
describe.runIf(isOurs && (clickHouseServerAvailable() || servicesRequired()))('a run on two servers', () => {
  let one: ClickHouseServer;
  let two: ClickHouseServer;
  let root = '';
  const start = (env: Readonly<Record<string, string>> = {}): Start => ({ cwd: root, env });
  const urls = (...servers: readonly ClickHouseServer[]): string[] =>
    servers.flatMap(({ url }) => ['--url', url]);
  const log = () => records(readFileSync(join(root, 'results/u.ndjson')));
  const runs = () => records(readFileSync(join(root, 'results/u.ndjson.runs')));
  const ask = async ({ url }: ClickHouseServer, body: string): Promise<string> =>
    (await (await fetch(url, { method: 'POST', body })).text()).trim();
  const many = (count: number, sql: (n: number) => string): void => {
    for (let n = 0; n < count; n += 1) put(root, `u/q${String(n).padStart(4, '0')}.sql`, sql(n));
  };
  const audited = async (): Promise<void> => {
    const audit = await qrun(['audit', 'u'], start());
    expect(audit, audit.stdout + audit.stderr).toMatchObject({ code: 0 });
  };

  beforeAll(async () => {
    one = await startClickHouseServer({ displayName: 'one' });
    two = await startClickHouseServer({ displayName: 'two', maxQueries: 4 });
  });
  afterAll(async () => {
    await one.stop();
    await two.stop();
  });
  beforeEach(() => {
    root = tree({ 'qrun.toml': '', 'u/q0000.sql': 'SELECT 1 AS a' });
  });
  afterEach(async () => {
    endAll();
    removeTree(root);
    for (const server of [one, two]) await ask(server, 'DROP TABLE IF EXISTS default.shared');
  });

  it('uses both evenly, and says everywhere which it was', async () => {
    // Of mixed lengths: most take a millisecond, each eighth 40.
    many(200, n => `SELECT ${n} AS n, sleep(${n % 8 === 0 ? 0.04 : 0}) AS s`);
    // A file of several statements stays where it began.
    put(
      root,
      'u/temporary.sql',
      'CREATE TEMPORARY TABLE t (a UInt8); INSERT INTO t VALUES (7); SELECT a FROM t',
    );
    const run = await qrun(['unit', 'u', '-P4', '--json', ...urls(one, two)], start());
    expect(run, run.stderr).toMatchObject({ code: 0 });
    const { servers } = JSON.parse(run.stdout) as { servers: { server: string; recorded: number }[] };
    expect(servers.map(({ server }) => server)).toEqual([one.url, two.url]);
    for (const { server, recorded } of servers) {
      expect(log().filter(record => record.server === server)).toHaveLength(recorded);
      // Few queries on a busy machine: how even it is with many, the bench measures (servers).
      expect(Math.abs(recorded - 100.5)).toBeLessThan(40);
    }
    const text = readFileSync(join(root, 'results/u.ndjson'), 'utf8');
    expect(text.split('\n')[0]).toMatch(
      /,"query_id":"[^"]+","server":"http:\/\/127\.0\.0\.1:\d+","started_at":/,
    );
    expect(runs()).toMatchObject([
      {
        target: `${one.url}, ${two.url}`,
        servers: [
          { target: one.url, version: '18.16.1' },
          { target: two.url, version: '18.16.1' },
        ],
      },
      { servers },
    ]);
    await audited();
    const shown = await qrun(['unit', 'u', '--rerun', 'all', ...urls(one, two)], start());
    expect(shown.stdout).toMatch(/^ *servers +\d+ {2}http:/m);
    // With one there is nothing to tell apart.
    const alone = await qrun(['unit', 'u', '--rerun', 'all', '--json', '--url', one.url], start());
    expect(alone.code, alone.stderr).toBe(0);
    expect(JSON.parse(alone.stdout)).toMatchObject({ servers: [] });
    expect(
      log()
        .slice(-201)
        .every(record => !('server' in record)),
    ).toBe(true);
    expect(runs().at(-2)).toMatchObject({ target: one.url, servers: null });
  });

  it('takes the list from the environment and from qrun.toml', async () => {
    const env = { CLICKHOUSE_URL: `${one.url}, ${two.url}` };
    const first = await qrun(['unit', 'u', '--json'], start(env));
    expect(JSON.parse(first.stdout).servers, first.stderr).toHaveLength(2);
    put(root, 'qrun.toml', `url = ["${one.url}", "${two.url}"]\n`);
    const second = await qrun(['unit', 'u', '--json', '--rerun', 'all'], start());
    expect(JSON.parse(second.stdout).servers, second.stderr).toHaveLength(2);
    expect((await qrun(['config', 'u'], start())).stdout).toContain(`${one.url}, ${two.url}`);
  });

  it('goes on when one is killed, and uses it again when it is back', async () => {
    many(240, n => `SELECT ${n} AS n, sleep(0.05) AS s`);
    const watched = watchQrun(['unit', 'u', '-P8', '--json', ...urls(one, two)], start());
    const isRecorded = ({ type }: Event): boolean => type === 'query_recorded';
    await watched.event(isRecorded, 40);
    await two.kill();
    await watched.event(isRecorded, 100);
    await two.restart();
    await watched.event(
      ({ type, message }) => type === 'warning' && String(message).startsWith(`${two.url} takes part again`),
    );
    const run = await watched.end();
    expect(run, run.stderr).toMatchObject({ code: 0 });
    expect(watched.events.some(({ type }) => type === 'engine_lost')).toBe(false);
    expect(JSON.parse(run.stdout)).toMatchObject({ recorded: { normal: 240, skipped: 0, error: 0 } });
    expect(new Set(log().map(({ query }) => query)).size).toBe(240);
    expect(log()).toHaveLength(240);
    // It was lost with at most its half in flight.
    expect(log().filter(({ attempt }) => Number(attempt) > 1).length).toBeLessThanOrEqual(4);
    const last = log().filter(({ server }) => server === two.url);
    expect(last.length).toBeGreaterThan(20);
    await audited();
  });

  it('waits only when both are away', async () => {
    many(80, n => `SELECT ${n} AS n, sleep(0.05) AS s`);
    const watched = watchQrun(['unit', 'u', '-P4', '--json', ...urls(one, two)], start());
    await watched.event(({ type }) => type === 'query_recorded', 10);
    await Promise.all([one.kill(), two.kill()]);
    const lost = await watched.event(({ type }) => type === 'engine_lost');
    expect(String(lost.reason)).not.toBe('');
    await two.restart();
    await watched.event(({ type }) => type === 'engine_back');
    await one.restart();
    const run = await watched.end();
    expect(run, run.stderr).toMatchObject({ code: 0 });
    expect(log()).toHaveLength(80);
    await audited();
  });

  it('ends with 24 when both stay away for too long, and the rest stays due', async () => {
    many(40, n => `SELECT ${n} AS n, sleep(0.05) AS s`);
    const args = ['unit', 'u', '-P4', '--max-outage', '1s', ...urls(one, two)];
    const watched = watchQrun(args, start());
    await watched.event(({ type }) => type === 'query_recorded', 4);
    await Promise.all([one.kill(), two.kill()]);
    const run = await watched.end();
    await Promise.all([one.restart(), two.restart()]);
    expect(run, run.stderr).toMatchObject({ code: 24 });
    const again = await qrun(args, start());
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(log()).toHaveLength(40);
  });

  it('is sized by both: probe, and -P auto', async () => {
    const probe = await qrun(['probe', '--json', ...urls(one, two)], start());
    const { engine, engines, alone } = JSON.parse(probe.stdout);
    expect(engines).toMatchObject([{ target: one.url }, { target: two.url }]);
    expect(engine).toEqual(engines[0]);
    const single = JSON.parse((await qrun(['probe', '--json', '--url', one.url], start())).stdout);
    expect(alone.concurrency).toBe(2 * single.alone.concurrency);
    const shown = await qrun(['probe', ...urls(one, two)], start());
    for (const { url } of [one, two]) expect(shown.stdout).toContain(`ClickHouse 18.16.1 at ${url}`);
    const run = await qrun(['unit', 'u', '-P', 'auto', ...urls(one, two)], start());
    expect(run, run.stderr).toMatchObject({ code: 0 });
    const each = single.alone.concurrency;
    expect(run.stderr).toContain(`-P auto: ${2 * each} queries at a time, ${each} + ${each} for the servers`);
  });

  it('costs no attempts where one of them is full', async () => {
    many(60, n => `SELECT ${n} AS n, sleep(0.05) AS s`);
    // It takes four at once, and gets eight.
    const run = await qrun(['unit', 'u', '-P16', '--retries', '0', '--json', ...urls(one, two)], start());
    expect(run, run.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(run.stdout)).toMatchObject({ recorded: { normal: 60, error: 0 } });
    expect(log().every(({ attempt }) => attempt === 1)).toBe(true);
    await audited();
  });

  it('refuses queries that change data, unless that is allowed', async () => {
    put(root, 'u/w.sql', 'INSERT INTO default.shared VALUES (1)');
    for (const server of [one, two])
      await ask(server, 'CREATE TABLE default.shared (a UInt8) ENGINE = Memory');
    const refused = await qrun(['unit', 'u', ...urls(one, two)], start());
    expect(refused, refused.stderr).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain('w.sql: changes data, on only one of the 2 servers (--allow-changes)');
    const plan = await qrun(['plan', 'u', '--json', ...urls(one, two)], start());
    expect(JSON.parse(plan.stdout)).toMatchObject({ due: 0, cannot_run: [{ query: 'w' }] });
    const run = await qrun(['unit', 'u', '--allow-changes', ...urls(one, two)], start());
    expect(run, run.stderr).toMatchObject({ code: 0 });
    const counts = await Promise.all(
      [one, two].map(server => ask(server, 'SELECT count() FROM default.shared')),
    );
    expect(counts.toSorted()).toEqual(['0', '1']);
  });

  it('runs the setup on each, and refuses a server that lacks a table that a query names', async () => {
    put(root, 'u/q0000.sql', 'SELECT a FROM shared');
    await ask(one, 'CREATE TABLE default.shared (a UInt8) ENGINE = Memory');
    await ask(one, 'INSERT INTO default.shared VALUES (5)');
    const refused = await qrun(['unit', 'u', ...urls(one, two)], start());
    expect(refused, refused.stderr).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain(`${two.url} lacks the table default.shared, which q0000.sql names`);
    put(
      root,
      'u/_setup.sql',
      'DROP TABLE IF EXISTS shared; CREATE TABLE shared (a UInt8) ENGINE = Memory; INSERT INTO shared VALUES (6)',
    );
    const run = await qrun(['unit', 'u', '--setup', ...urls(one, two)], start());
    expect(run, run.stderr).toMatchObject({ code: 0 });
    for (const server of [one, two]) {
      expect(run.stderr).toContain(`on ${server.url}, database default`);
      expect(await ask(server, 'SELECT a FROM default.shared')).toBe('6');
    }
  });

  it('is refused if two of them are one', async () => {
    const other = one.url.replace('127.0.0.1', 'localhost');
    for (const [given, what] of [
      [[one.url, one.url], 'is named twice'],
      [[one.url, other], `${other} is the same server as ${one.url}`],
    ] as const) {
      const run = await qrun(['unit', 'u', ...given.flatMap(url => ['--url', url])], start());
      expect(run, run.stderr).toMatchObject({ code: 2 });
      expect(run.stderr).toContain(what);
    }
  });

  it('is ended on both by a second signal', async () => {
    many(8, n => `SELECT sum(sipHash64(number)) AS s FROM system.numbers WHERE ${n} >= 0`);
    const watched = watchQrun(['unit', 'u', '-P4', ...urls(one, two)], start());
    await watched.event(({ type }) => type === 'query_started', 4);
    const running = (server: ClickHouseServer) =>
      ask(
        server,
        "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%LIKE%'",
      );
    await vi.waitFor(
      async () => expect([await running(one), await running(two)]).toEqual(['2', '2']),
      10_000,
    );
    watched.process.kill('SIGINT');
    await watched.event(({ type }) => type === 'stopping');
    // What comes sooner counts as the same signal.
    await delay(NEXT_SIGNAL_MS);
    watched.process.kill('SIGINT');
    expect((await watched.end()).code).toBe(130);
    expect([await running(one), await running(two)]).toEqual(['0', '0']);
  });
});
