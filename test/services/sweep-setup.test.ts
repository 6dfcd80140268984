import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { put, qrun, records } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { quick, TestSweep } from './sweep-harness.js';

const AVAILABLE = pueueAvailable() && clickHouseServerAvailable() && process.env.QRUN_TEST_URL === undefined;

describe.skipIf(!AVAILABLE && !servicesRequired())('the setup of a sweep', () => {
  let server: ClickHouseServer;
  let daemon: PueueDaemon;
  beforeAll(async () => {
    [server, daemon] = await Promise.all([startClickHouseServer(), startPueueDaemon()]);
  });
  afterAll(async () => {
    await daemon.stop();
    await server.stop();
  });

  it('on the embedded engine: once for all units at once, in the time zone of the submission', async () => {
    const query = 'SELECT count() AS n, min(toDate(at)) AS d FROM t';
    const units = ['a', 'b', 'c', 'd'];
    const all = new TestSweep('own', daemon, server, {
      '_setup.sql':
        'CREATE TABLE t (at DateTime) ENGINE = MergeTree ORDER BY at; INSERT INTO t SELECT 1700000000 + sleep(1)',
      ...Object.fromEntries(units.map(unit => [`${unit}/q.sql`, query])),
    });
    put(all.root, 'qrun.toml', '[sweep]\nname = "own"\n');
    const env = { ...daemon.env, TZ: 'Asia/Tokyo' };
    const submitted = await qrun(['submit-all', '.', '--parallel', '4'], { cwd: all.root, env });
    expect(submitted, submitted.stderr).toMatchObject({ code: 0 });
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    for (const unit of units) {
      const log = join(all.root, 'results', `${unit}.ndjson`);
      expect(records(readFileSync(log)).map(({ row }) => row)).toEqual([{ n: 1, d: '2023-11-15' }]);
    }
    const data = readdirSync(join(all.root, '.qrun/data')).filter(name => !name.includes('.'));
    expect(data).toHaveLength(1);
    // Each has run on a copy of what one of them has made.
    const builds = units.map(unit => {
      const [start] = records(readFileSync(join(all.root, 'results', `${unit}.ndjson.runs`)));
      return JSON.parse(readFileSync(join(String(start?.target), 'qrun-data.json'), 'utf8')).build;
    });
    expect(new Set(builds).size).toBe(1);
  });

  it('one bad setup and nothing is submitted: all of them are listed', async () => {
    const all = new TestSweep('bad', daemon, server, {
      ...quick('a', 1),
      ...quick('b', 1),
      ...quick('c', 1),
      'a/_setup.sql': "SELECT '__SYMBOL__'",
      'b/_setup.sql': 'SELECT {symbol:String}',
    });
    put(all.root, 'qrun.toml', '[sweep]\nname = "bad"\n');
    const ended = await all.submit();
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(/a: a\/_setup\.sql: unreplaced placeholder __SYMBOL__/);
    expect(ended.stderr).toMatch(/b: b\/_setup\.sql: \{symbol:String\} has no value/);
    expect(await all.tasks()).toEqual([]);
  });

  it('on a server: says which files, how long and where', async () => {
    const all = new TestSweep('told', daemon, server, { ...quick('a', 1), '_setup.sql': 'SELECT 1' });
    const ended = await all.submit('--setup', '--delay', '3600');
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(ended.stderr).toMatch(/^setup {2}_setup\.sql {2}in .*, on http.*, database default$/m);
  });

  it('on a server: parameters of it that differ between units are refused', async () => {
    const matrix = { toml: '[sweep.matrix]\nthreshold = [250, 500]\n' };
    const files = { 'a/q.sql': 'SELECT {threshold:UInt16} AS t', '_setup.sql': 'SELECT {threshold:UInt16}' };
    const all = new TestSweep('differ', daemon, server, files, matrix);
    const ended = await all.submit('--setup', '--delay', '3600');
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--param threshold: .*differs between units/),
    });
  });
});
