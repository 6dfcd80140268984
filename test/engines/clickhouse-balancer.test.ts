import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseQuery } from '../../src/core/sql/parse.js';
import { openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import type { Engine, EngineRequest, EngineResult } from '../../src/io/engines/engine.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { type HaProxy, haProxyAvailable, startHaProxy } from '../services/haproxy.js';

const signal = new AbortController().signal;
const ENDLESS = 'SELECT sum(number) FROM system.numbers';
const EXTERNAL = process.env.QRUN_TEST_URL !== undefined;
let ids = 0;

if (servicesRequired()) {
  it('HAProxy is there to test against', () => expect(haProxyAvailable()).toBe(true));
}

async function on(server: ClickHouseServer, sql: string): Promise<string> {
  const answer = await fetch(server.url, { method: 'POST', body: sql });
  return (await answer.text()).trim();
}

const modes = [
  ['tcp', 'roundrobin', true],
  ['tcp', 'leastconn', true],
  ['tcp', 'roundrobin', false],
  ['http', 'roundrobin', true],
  ['http', 'random', true],
  ['http', 'roundrobin', false],
] as const;

const cannotRun = !haProxyAvailable() || !clickHouseServerAvailable() || EXTERNAL;
describe.skipIf(cannotRun).each(modes)(
  'HAProxy in mode %s, balance %s, servers with names of their own: %s',
  (mode, balance, named) => {
    let servers: ClickHouseServer[];
    let proxy: HaProxy;
    let engine: Engine;
    let directory: string;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'qrun-balancer-'));
      servers = await Promise.all(
        ['left', 'right'].map(displayName => startClickHouseServer(named ? { displayName } : {})),
      );
      proxy = await startHaProxy(
        mode,
        servers.map(server => server.port),
        { balance },
      );
      engine = await openClickHouse(
        { url: proxy.url, concurrency: 6, spool: { directory, thresholdBytes: 1 << 20 }, settings: {} },
        signal,
      );
    });

    afterAll(async () => {
      await engine?.close();
      await proxy?.stop();
      await Promise.all((servers ?? []).map(server => server.stop()));
      await rm(directory, { recursive: true, force: true });
    });

    function start(sql: string, changes: Partial<EngineRequest> = {}): Promise<EngineResult> {
      ids += 1;
      return engine.run({
        query: parseQuery(sql),
        queryId: `qrun-balancer-${process.pid}-${ids}`,
        parameters: {},
        settings: {},
        timeoutMs: 20_000,
        signal,
        ...changes,
      });
    }

    const running = async () => {
      const sql = `SELECT count() FROM system.processes WHERE query_id LIKE 'qrun-balancer-%' AND query NOT LIKE 'KILL%'`;
      const counts = await Promise.all(servers.map(server => on(server, sql)));
      return counts.map(Number);
    };

    it('says that several servers answer, as far as their names tell', () => {
      const notices = engine.info.notices?.join() ?? '';
      const says = /several servers answer at this URL \((left, right|right, left)\)/;
      expect(says.test(notices)).toBe(named);
    });

    it('ends queries at their deadline on the server where they run', async () => {
      const startMs = performance.now();
      const all = Array.from({ length: 6 }, () => start(ENDLESS, { timeoutMs: 400 }));
      // Both have some, or nothing would be shown.
      while (Math.min(...(await running())) === 0);
      for (const result of await Promise.all(all)) {
        if (result.ok) throw new Error('an endless query has a result');
        expect(result.failure).toMatchObject({ name: 'TIMEOUT', serverGone: false });
        expect(result.failure.message).toBe('no result within 400 ms; it has ended on the server');
      }
      expect(await running()).toEqual([0, 0]);
      expect(performance.now() - startMs).toBeLessThan(4000);
    });

    it('keeps the session of each file', async () => {
      const files = Array.from({ length: 24 }, (_, index) =>
        start(
          `SET max_threads = ${index + 1};
         CREATE TEMPORARY TABLE t (a UInt32);
         INSERT INTO t VALUES (${index}), (1000);
         SELECT sum(a) AS s, (SELECT value FROM system.settings WHERE name = 'max_threads') AS m FROM t`,
        ),
      );
      for (const [index, result] of (await Promise.all(files)).entries()) {
        if (!result.ok) throw new Error(result.failure.message);
        expect(result.body.bytes()?.toString()).toBe(`{"s":${index + 1000},"m":"${index + 1}"}\n`);
        await result.body.dispose();
      }
    });
  },
);
