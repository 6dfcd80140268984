import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { withSetupLock } from '../../../src/io/engines/setup-state.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../../services/clickhouse-server.js';
import { type Event, endAll, put, qrun, records, removeTree, type Start, tree, watchQrun } from '../qrun.js';

vi.setConfig({ testTimeout: 120_000 });

const setup =
  (how: 'started' | 'done', file: string) =>
  (event: Event): boolean =>
    event.type === `setup_${how}` && event.file === file;

describe.runIf(clickHouseServerAvailable() || servicesRequired())('--setup on a server', () => {
  let server: ClickHouseServer;
  let root = '';
  const inRoot = (): Start => {
    const { user, password } = server.admin;
    return {
      cwd: root,
      env: {
        ...(user === undefined ? {} : { CLICKHOUSE_USER: user }),
        ...(password === undefined ? {} : { CLICKHOUSE_PASSWORD: password }),
      },
    };
  };
  const unit = (...args: string[]): string[] => ['unit', 'u', '--url', server.url, '--setup', ...args];
  const query = (sql: string): Promise<string> => {
    const { user = 'default', password = '' } = server.admin;
    const headers = { 'X-ClickHouse-User': user, 'X-ClickHouse-Key': password };
    return fetch(server.url, { method: 'POST', body: sql, headers }).then(answer => answer.text());
  };

  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterAll(async () => await server.stop());
  beforeEach(() => {
    root = tree({ 'qrun.toml': '', 'u/q.sql': 'SELECT 1 AS a' });
  });
  afterEach(async () => {
    endAll();
    removeTree(root);
    await query('DROP DATABASE IF EXISTS qrun_setup');
  });

  it('says what it ran, and where: in the progress, the events and the sidecar', async () => {
    put(root, '_setup.sql', 'CREATE DATABASE IF NOT EXISTS qrun_setup');
    put(root, 'u/_setup.sql', 'CREATE TABLE IF NOT EXISTS qrun_setup.t (a UInt8) ENGINE = Memory');
    const watched = watchQrun(unit(), inRoot());
    const end = await watched.end();
    expect(end, end.stderr).toMatchObject({ code: 0 });
    for (const file of ['_setup.sql', 'u/_setup.sql']) {
      expect(end.stderr).toMatch(new RegExp(` ${file} done in .* on ${server.url}/?, database default`));
      expect(await watched.event(setup('done', file))).toMatchObject({ database: 'default' });
    }
    const [start] = records(readFileSync(join(root, 'results/u.ndjson.runs')));
    expect(start?.setup).toMatchObject({
      files: [{ file: '_setup.sql' }, { file: 'u/_setup.sql' }],
      database: 'default',
    });
  });

  it('names the database that was given', async () => {
    put(root, 'u/_setup.sql', 'SELECT 1');
    const ended = await qrun(unit('--database', 'system'), inRoot());
    expect(ended.stderr).toMatch(/u\/_setup\.sql done in .*, database system/);
  });

  it('a setup that is not asked for does not run, and is not noted', async () => {
    put(root, 'u/_setup.sql', "CREATE TABLE nosuch.t AS SELECT '__X__'");
    const ended = await qrun(['unit', 'u', '--url', server.url], inRoot());
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    const [start = ''] = readFileSync(join(root, 'results/u.ndjson.runs'), 'utf8').split('\n');
    expect(JSON.parse(start)).toMatchObject({ event: 'start', setup: null });
  });

  it('a placeholder in it is refused, and nothing of it runs', async () => {
    put(root, '_setup.sql', 'CREATE DATABASE qrun_setup');
    put(root, 'u/_setup.sql', "CREATE TABLE qrun_setup.t ENGINE = Memory AS SELECT '__X__' AS x");
    expect(await qrun(unit(), inRoot())).toMatchObject({ code: 2, stderr: expect.stringContaining('__X__') });
    expect(await query('EXISTS TABLE qrun_setup.t')).not.toBe('1\n');
  });

  it('Ctrl-C ends the wait for another setup', async () => {
    put(root, 'u/_setup.sql', 'CREATE DATABASE qrun_setup');
    await withSetupLock(
      root,
      async () => {
        const watched = watchQrun(unit(), inRoot());
        await watched.event(({ type, message }) => type === 'warning' && String(message).includes('waiting'));
        watched.process.kill('SIGINT');
        const end = await watched.end();
        expect(end, end.stderr).toMatchObject({ code: 130 });
        expect(watched.events.some(setup('started', 'u/_setup.sql'))).toBe(false);
      },
      { signal: new AbortController().signal },
    );
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s stops it between two statements, and between two files', async (signal, code) => {
    put(
      root,
      '_setup.sql',
      `CREATE DATABASE IF NOT EXISTS qrun_setup; CREATE TABLE qrun_setup.one ENGINE = Memory AS SELECT sleep(1.5) AS n;
       CREATE TABLE qrun_setup.two ENGINE = Memory AS SELECT 1 AS n`,
    );
    put(root, 'u/_setup.sql', 'CREATE TABLE qrun_setup.three ENGINE = Memory AS SELECT 1 AS n');
    const watched = watchQrun(unit(), inRoot());
    await watched.event(setup('started', '_setup.sql'));
    while ((await query("SELECT count() FROM system.processes WHERE query LIKE '%sleep(1.5)%'")) < '2');
    watched.process.kill(signal);
    const end = await watched.end();
    expect(end, end.stderr).toMatchObject({ code });
    expect(watched.events.filter(({ type }) => type === 'setup_started')).toHaveLength(1);
    expect(await query('SHOW TABLES FROM qrun_setup')).toBe('one\n');
  });
});
