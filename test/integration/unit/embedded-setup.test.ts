import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { servicesRequired } from '../../services/clickhouse-server.js';
import {
  type Ended,
  type Event,
  endAll,
  ordinaryUser,
  put,
  qrun,
  records,
  removeTree,
  tree,
  watchQrun,
} from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

const GOOD = `DROP TABLE IF EXISTS t;
CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a;
INSERT INTO t VALUES (1), (2), (3)`;
const BASE = 'CREATE OR REPLACE TABLE base (a UInt8) ENGINE = MergeTree ORDER BY a; INSERT INTO base VALUES';
const DERIVED = 'CREATE OR REPLACE TABLE d ENGINE = MergeTree ORDER BY a AS SELECT * FROM base';
// A few seconds, in more than one block.
const SLOW =
  'CREATE TABLE slow ENGINE = MergeTree ORDER BY n AS SELECT sleepEachRow(0.1) AS n FROM numbers(40) SETTINGS max_block_size = 1';

let root = '';
beforeEach(() => {
  root = tree({ 'qrun.toml': '', 'u/q.sql': 'SELECT count() AS c FROM t' });
});
afterEach(() => {
  endAll();
  removeTree(root);
});

const run = (...args: string[]): Promise<Ended> => qrun(args, { cwd: root });
const unit = (...args: string[]): Promise<Ended> => run('unit', 'u', ...args);
const rowsOf = (name: string): unknown[] => {
  const path = join(root, 'results', `${name}.ndjson`);
  return existsSync(path) ? records(readFileSync(path)).map(({ row, error }) => row ?? error) : [];
};
const inStore = (): string[] => {
  const store = join(root, '.qrun/data');
  return existsSync(store) ? readdirSync(store) : [];
};
const identities = (): string[] => inStore().filter(name => /^[0-9a-f]{16}$/.test(name));
const halves = (): string[] => inStore().filter(name => name.includes('.new-') || name.includes('.old-'));
const setupsOf = (events: readonly Event[]): unknown[] =>
  events.filter(({ type }) => type === 'setup_started').map(({ file }) => file);

async function ok(ended: Promise<Ended>): Promise<Ended> {
  const end = await ended;
  expect(end, end.stderr).toMatchObject({ code: 0 });
  return end;
}

async function eventsOf(...args: string[]): Promise<readonly Event[]> {
  const watched = watchQrun(args, { cwd: root });
  await ok(watched.end());
  return watched.events;
}

const embedded = describe.runIf(available() || servicesRequired());

embedded('data of the embedded engine', () => {
  it('runs the chain once for all units that have it, each on a copy of its own', async () => {
    put(root, '_setup.sql', GOOD);
    put(root, 'v/q.sql', 'SELECT count() AS c FROM t');
    put(root, 'v/writes.sql', 'INSERT INTO t VALUES (9); SELECT 1 AS one');
    const first = await eventsOf('unit', 'v', '-P1');
    expect(setupsOf(first)).toEqual(['_setup.sql']);
    const second = await eventsOf('unit', 'u');
    expect(setupsOf(second)).toEqual([]);
    expect(rowsOf('u')).toEqual([{ c: 3 }]);
    // What the queries of a unit have written they find again, also after the log was moved away.
    rmSync(join(root, 'results'), { recursive: true });
    await ok(run('unit', 'v', '--include', 'q'));
    expect(rowsOf('v')).toEqual([{ c: 4 }]);
    expect(identities()).toHaveLength(1);
  });

  it('units with other chains never share', async () => {
    put(root, 'u/_setup.sql', GOOD);
    put(root, 'v/_setup.sql', `${GOOD}, (4)`);
    put(root, 'v/q.sql', 'SELECT count() AS c FROM t');
    await ok(unit());
    await ok(run('unit', 'v'));
    put(root, 'u/q2.sql', 'SELECT count() AS c FROM t');
    await ok(unit());
    expect([rowsOf('u'), rowsOf('v')]).toEqual([[{ c: 3 }, { c: 3 }], [{ c: 4 }]]);
    expect(identities()).toHaveLength(2);
  });

  it('units without a setup do not see what others make', async () => {
    put(root, 'v/a.sql', 'CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a; SELECT 1 AS a');
    await ok(run('unit', 'v'));
    expect((await unit()).code).toBe(20);
    expect(rowsOf('u')).toEqual([expect.objectContaining({ name: 'UNKNOWN_TABLE' })]);
  });

  it('a setup that failed leaves nothing; the good one of before is as it was', async () => {
    put(root, 'u/_setup.sql', GOOD);
    await ok(unit());
    put(root, 'u/_setup.sql', `${GOOD}, (four)`);
    expect(await unit('--rerun', 'all')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/u\/_setup\.sql failed/),
    });
    expect(halves()).toEqual([]);
    put(root, 'u/_setup.sql', GOOD);
    await ok(unit('--rerun', 'all'));
    expect(rowsOf('u')).toEqual([{ c: 3 }, { c: 3 }]);
  });

  it('the second file of a chain fails: the first one has not run for anybody', async () => {
    put(root, '_setup.sql', GOOD);
    put(root, 'u/_setup.sql', 'INSERT INTO nosuch VALUES (1)');
    expect(await unit()).toMatchObject({ code: 2 });
    expect([identities(), halves()]).toEqual([[], []]);
    put(root, 'u/_setup.sql', 'INSERT INTO t VALUES (7)');
    expect(setupsOf(await eventsOf('unit', 'u'))).toEqual(['_setup.sql', 'u/_setup.sql']);
    expect(rowsOf('u')).toEqual([{ c: 4 }]);
  });

  it('an outer setup that changed makes the inner ones run on its new data, and says so', async () => {
    put(root, 'u/q.sql', 'SELECT count() AS c FROM d');
    put(root, '_setup.sql', `${BASE} (1)`);
    put(root, 'u/_setup.sql', DERIVED);
    await ok(unit());
    put(root, '_setup.sql', `${BASE} (1), (2)`);
    put(root, 'u/q2.sql', 'SELECT count() AS c FROM d');
    const events = await eventsOf('unit', 'u');
    expect(setupsOf(events)).toEqual(['_setup.sql', 'u/_setup.sql']);
    expect(rowsOf('u')).toEqual([{ c: 1 }, { c: 2 }]);
    expect(events.filter(({ type }) => type === 'warning')).toMatchObject([
      { message: expect.stringMatching(/setup changed.*--rerun all/) },
    ]);
    // Only once; and back again the old data is found.
    put(root, '_setup.sql', `${BASE} (1)`);
    expect(setupsOf(await eventsOf('unit', 'u', '--rerun', 'all'))).toEqual([]);
    expect(rowsOf('u').slice(2)).toEqual([{ c: 1 }, { c: 1 }]);
  });

  it.each([
    ['a setting', ['--set', 'join_use_nulls=1'], {}],
    ['the time zone', [], { TZ: 'Asia/Tokyo' }],
  ])('%s that decides the data gives other data', async (_, args, env) => {
    put(root, 'u/q.sql', 'SELECT * FROM t');
    put(
      root,
      'u/_setup.sql',
      `CREATE TABLE t ENGINE = MergeTree ORDER BY tuple() AS
       SELECT toString(toDateTime(1700000000)) AS d, b FROM (SELECT 1 AS k) AS x
       LEFT JOIN (SELECT 2 AS k, 3 AS b) AS y USING k`,
    );
    await ok(unit());
    await ok(qrun(['unit', 'u', ...args], { cwd: root, env }));
    const [first, second] = rowsOf('u');
    expect(first).toEqual({ d: '2023-11-14 22:13:20', b: 0 });
    expect(second).not.toEqual(first);
    expect(identities()).toHaveLength(2);
  });

  it('a parameter that the setup uses gives other data, and counts as used', async () => {
    put(root, 'u/_setup.sql', `${GOOD}; INSERT INTO t SELECT {extra:UInt8}`);
    expect(await unit()).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/u\/_setup\.sql: \{extra:UInt8\} has no value/),
    });
    expect(existsSync(join(root, '.qrun'))).toBe(false);
    put(root, 'u/q.sql', 'SELECT max(a) AS m FROM t');
    for (const extra of ['7', '8']) {
      await ok(unit('--param', `extra=${extra}`));
      await ok(run('audit', 'u', '--param', `extra=${extra}`));
      expect(rowsOf(`u@extra=${extra}`)).toEqual([{ m: Number(extra) }]);
    }
    expect((await run('plan', 'u', '--param', 'extra=9')).code).toBe(0);
    expect((await run('plan', 'u', '--param', 'other=9')).code).toBe(2);
  });

  it('a placeholder in a setup is refused before anything runs', async () => {
    put(root, 'u/_setup.sql', `${GOOD}; INSERT INTO t SELECT toUInt8('__A_NUMBER__')`);
    for (const command of ['unit', 'plan']) {
      expect(await run(command, 'u')).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/u\/_setup\.sql: unreplaced placeholder __A_NUMBER__/),
      });
    }
    expect(existsSync(join(root, '.qrun'))).toBe(false);
  });

  it('tables in memory are there in every run, not only in the one that made them', async () => {
    put(root, 'u/_setup.sql', 'CREATE TABLE t (a UInt8) ENGINE = Memory; INSERT INTO t VALUES (1), (2), (3)');
    const events = await eventsOf('unit', 'u');
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'warning', message: expect.stringContaining('default.t (Memory)') }),
    );
    const again = await eventsOf('unit', 'u', '--rerun', 'all');
    expect(setupsOf(again)).toEqual(['u/_setup.sql']);
    expect(rowsOf('u')).toEqual([{ c: 3 }, { c: 3 }]);
    expect(halves()).toEqual([]);
  });

  it('a change that its statement only began has ended before the first query', async () => {
    put(
      root,
      'u/_setup.sql',
      `CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a;
       INSERT INTO t SELECT number, 0 FROM numbers(20);
       ALTER TABLE t UPDATE b = 1 + sleepEachRow(0.05) WHERE 1
       SETTINGS mutations_sync = 0, allow_nondeterministic_mutations = 1`,
    );
    put(root, 'u/q.sql', 'SELECT sum(b) AS c FROM t');
    await ok(unit());
    expect(rowsOf('u')).toEqual([{ c: 20 }]);
  });

  it('a change that cannot be made is a failed setup', async () => {
    put(
      root,
      'u/_setup.sql',
      `CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a;
       INSERT INTO t SELECT number, 0 FROM numbers(10);
       ALTER TABLE t UPDATE b = throwIf(a = 3, 'not three') WHERE 1 SETTINGS mutations_sync = 0`,
    );
    expect(await unit()).toMatchObject({ code: 2, stderr: expect.stringContaining('not three') });
    expect(identities()).toEqual([]);
  });

  it('kill -9 in the middle of a setup: the next run begins it anew', async () => {
    put(root, '_setup.sql', GOOD);
    put(root, 'u/_setup.sql', `INSERT INTO t VALUES (4); ${SLOW}`);
    put(
      root,
      'u/q.sql',
      'SELECT count() AS c FROM t CROSS JOIN (SELECT count() AS n FROM slow) AS s WHERE s.n = 40',
    );
    const first = watchQrun(['unit', 'u'], { cwd: root });
    await first.event(({ type, file }) => type === 'setup_started' && file === 'u/_setup.sql');
    first.process.kill('SIGKILL');
    await first.end();
    expect(identities()).toEqual([]);
    expect(halves()).toHaveLength(1);
    expect(setupsOf(await eventsOf('unit', 'u'))).toEqual(['_setup.sql', 'u/_setup.sql']);
    expect(rowsOf('u')).toEqual([{ c: 4 }]);
    expect(halves()).toEqual([]);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s stops it before its next statement, and leaves nothing', async (signal, code) => {
    put(
      root,
      '_setup.sql',
      `CREATE TABLE one ENGINE = MergeTree ORDER BY n AS SELECT sleep(1.5) AS n;
       CREATE TABLE two ENGINE = MergeTree ORDER BY n AS SELECT 1 AS n`,
    );
    put(root, 'u/_setup.sql', 'SELECT 1');
    for (const args of [[], ['--data-dir', 'd']]) {
      const first = watchQrun(['unit', 'u', ...args], { cwd: root });
      await first.event(({ type }) => type === 'setup_started');
      first.process.kill(signal);
      expect(await first.end()).toMatchObject({ code });
      expect(setupsOf(first.events)).toEqual(['_setup.sql']);
    }
    expect([identities(), halves(), rowsOf('u')]).toEqual([[], [], []]);
    // What the user manages stays as it was left: the statement that ran has ended.
    expect(readdirSync(join(root, 'd/data/default'))).toEqual(['one']);
  });

  it('one that waits for the setup of another is told for whom, uses what that one made, and can be stopped', async () => {
    put(root, '_setup.sql', `${GOOD}; ${SLOW}`);
    put(root, 'v/q.sql', 'SELECT count() AS c FROM t');
    put(root, 'w/q.sql', 'SELECT count() AS c FROM t');
    const first = watchQrun(['unit', 'u'], { cwd: root });
    await first.event(({ type }) => type === 'setup_started');
    const [second, third] = ['v', 'w'].map(name => watchQrun(['unit', name], { cwd: root }));
    const waits = ({ type, message }: Event): boolean =>
      type === 'warning' && String(message).includes(`pid ${first.process.pid} `);
    await second?.event(waits);
    await third?.event(waits);
    third?.process.kill('SIGINT');
    expect(await third?.end()).toMatchObject({ code: 130 });
    expect(first.events.some(({ type }) => type === 'setup_done')).toBe(false);
    await ok(first.end());
    if (second !== undefined) await ok(second.end());
    expect(setupsOf(second?.events ?? [])).toEqual([]);
    expect([rowsOf('u'), rowsOf('v'), rowsOf('w')]).toEqual([[{ c: 3 }], [{ c: 3 }], []]);
  });

  it('one that waits takes over when the other dies', async () => {
    put(root, '_setup.sql', `${GOOD}; ${SLOW}`);
    put(root, 'v/q.sql', 'SELECT count() AS c FROM t');
    const first = watchQrun(['unit', 'u'], { cwd: root });
    await first.event(({ type }) => type === 'setup_started');
    const second = watchQrun(['unit', 'v'], { cwd: root });
    await second.event(({ type }) => type === 'warning');
    first.process.kill('SIGKILL');
    await ok(second.end());
    expect(rowsOf('v')).toEqual([{ c: 3 }]);
    expect(halves()).toEqual([]);
  });

  it('data of an earlier version is neither used nor touched', async () => {
    put(root, 'u/_setup.sql', GOOD);
    const old = ['metadata', 'store', 'data', 'tmp', 'qrun-setup.json'];
    await ok(unit('--data-dir', 'made'));
    cpSync(join(root, 'made'), join(root, '.qrun/data'), { recursive: true, verbatimSymlinks: true });
    put(root, '.qrun/data/qrun-setup.json', '{"u/_setup.sql":"0000000000000000"}');
    expect(setupsOf(await eventsOf('unit', 'u', '--rerun', 'all'))).toEqual(['u/_setup.sql']);
    for (const name of old) expect(inStore()).toContain(name);
    const listed = await ok(run('prune'));
    expect(listed.stdout).toMatch(/old data .*would be removed/);
    expect(listed.stdout).toMatch(/data .*u\/_setup\.sql for u .*kept/);
    for (const name of old) expect(inStore()).toContain(name);
    await ok(run('prune', '--remove'));
    for (const name of old) expect(inStore()).not.toContain(name);
    expect(setupsOf(await eventsOf('unit', 'u', '--rerun', 'all'))).toEqual([]);
  });

  it('a root that cannot be written is said, with what to do', async () => {
    const prefix = ordinaryUser();
    if (prefix === undefined) return;
    put(root, 'u/_setup.sql', GOOD);
    mkdirSync(join(root, 'results'));
    mkdirSync(join(root, 'mine'));
    for (const name of ['results', 'mine']) chmodSync(join(root, name), 0o1777);
    chmodSync(root, 0o555);
    const ended = await qrun(['unit', 'u'], { cwd: root, prefix });
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/\.qrun\/data.*EACCES.*\n.*--data-dir/),
    });
    await ok(qrun(['unit', 'u', '--data-dir', 'mine'], { cwd: root, prefix }));
    chmodSync(root, 0o777);
  });

  it('a full disk in a setup is a failed setup that leaves nothing, and the next run does it', async context => {
    const small = mkdtempSync(join(tmpdir(), 'qrun-small-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small], { stdio: 'ignore' });
    } catch {
      context.skip('only root may mount');
    }
    try {
      put(small, 'qrun.toml', '');
      put(small, 'u/q.sql', 'SELECT count() AS c FROM t');
      const size = (mib: number): string =>
        `CREATE TABLE t ENGINE = MergeTree ORDER BY tuple() AS SELECT randomString(1048576) AS s FROM numbers(${mib})`;
      put(small, 'u/_setup.sql', size(40));
      expect(await qrun(['unit', 'u'], { cwd: small })).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/space/i),
      });
      expect(readdirSync(join(small, '.qrun/data')).filter(name => name.includes('.new-'))).toEqual([]);
      put(small, 'u/_setup.sql', size(4));
      await ok(qrun(['unit', 'u'], { cwd: small }));
    } finally {
      execFileSync('umount', ['-l', small]);
      rmSync(small, { recursive: true, force: true });
    }
  });
});

embedded('a data directory of the user', () => {
  it('a setup that failed is not remembered as the good one before it', async () => {
    put(root, 'u/_setup.sql', GOOD);
    await ok(unit('--data-dir', 'd'));
    put(root, 'u/_setup.sql', `${GOOD}, (four)`);
    expect((await unit('--data-dir', 'd', '--rerun', 'all')).code).toBe(2);
    put(root, 'u/_setup.sql', GOOD);
    const events = await eventsOf('unit', 'u', '--data-dir', 'd', '--rerun', 'all');
    expect(setupsOf(events)).toEqual(['u/_setup.sql']);
    expect(rowsOf('u')).toEqual([{ c: 3 }, { c: 3 }]);
    expect(setupsOf(await eventsOf('unit', 'u', '--data-dir', 'd', '--rerun', 'all'))).toEqual([]);
  });

  it('the whole chain runs again when any file of it changed', async () => {
    put(root, 'u/q.sql', 'SELECT count() AS c FROM d');
    put(root, '_setup.sql', `${BASE} (1)`);
    put(root, 'u/_setup.sql', DERIVED);
    await ok(unit('--data-dir', 'd'));
    put(root, '_setup.sql', `${BASE} (1), (2)`);
    expect(setupsOf(await eventsOf('unit', 'u', '--data-dir', 'd', '--rerun', 'all'))).toEqual([
      '_setup.sql',
      'u/_setup.sql',
    ]);
    expect(rowsOf('u')).toEqual([{ c: 1 }, { c: 2 }]);
  });

  it('units that share one do not believe that theirs was the last setup', async () => {
    put(root, 'u/_setup.sql', GOOD);
    put(root, 'v/_setup.sql', `${GOOD}, (4)`);
    put(root, 'v/q.sql', 'SELECT count() AS c FROM t');
    await ok(unit('--data-dir', 'd'));
    await ok(run('unit', 'v', '--data-dir', 'd'));
    put(root, 'u/q2.sql', 'SELECT count() AS c FROM t');
    await ok(unit('--data-dir', 'd'));
    expect(rowsOf('u')).toEqual([{ c: 3 }, { c: 3 }]);
  });

  it.each(['SIGKILL', 'SIGINT'] as const)(
    '%s in the middle of a setup: the next run does all of it',
    async signal => {
      put(root, '_setup.sql', GOOD);
      await ok(unit('--data-dir', 'd'));
      put(
        root,
        '_setup.sql',
        `TRUNCATE TABLE t; CREATE OR REPLACE TABLE s ENGINE = MergeTree ORDER BY n AS SELECT sleep(1) AS n; INSERT INTO t VALUES (9)`,
      );
      const first = watchQrun(['unit', 'u', '--data-dir', 'd', '--rerun', 'all'], { cwd: root });
      await first.event(({ type }) => type === 'setup_started');
      first.process.kill(signal);
      await first.end();
      put(root, '_setup.sql', GOOD);
      await ok(unit('--data-dir', 'd', '--rerun', 'all'));
      expect(rowsOf('u')).toEqual([{ c: 3 }, { c: 3 }]);
    },
  );

  it('tables in memory are made in every run', async () => {
    put(
      root,
      'u/_setup.sql',
      'CREATE OR REPLACE TABLE t (a UInt8) ENGINE = Memory; INSERT INTO t VALUES (1), (2), (3)',
    );
    await ok(unit('--data-dir', 'd'));
    await ok(unit('--data-dir', 'd', '--rerun', 'all'));
    expect(rowsOf('u')).toEqual([{ c: 3 }, { c: 3 }]);
  });
});

embedded('the time zone of the embedded engine', () => {
  const inZone = (TZ: string, ...args: string[]): Promise<Ended> => qrun(args, { cwd: root, env: { TZ } });
  beforeEach(() => put(root, 'u/q.sql', 'SELECT toDate(toDateTime(1700000000)) AS d'));

  it('is a part of what a result is of: another one makes it due', async () => {
    await ok(inZone('Asia/Tokyo', 'unit', 'u'));
    expect((await inZone('Asia/Tokyo', 'plan', 'u')).stdout).toMatch(/^settled /m);
    expect((await inZone('UTC', 'plan', 'u')).stdout).toMatch(/^changed /m);
    put(root, 'u/q2.sql', 'SELECT toDate(toDateTime(1700000000)) AS d');
    await ok(inZone('UTC', 'unit', 'u'));
    expect(rowsOf('u')).toEqual([{ d: '2023-11-15' }, { d: '2023-11-14' }, { d: '2023-11-14' }]);
    await ok(inZone('UTC', 'audit', 'u'));
    // All names of UTC are one, and logs of before stay settled in it.
    for (const name of ['', 'Etc/UTC', ':UTC', 'GMT']) {
      expect((await inZone(name, 'plan', 'u')).stdout).toMatch(/0 of 2 queries/);
    }
  });

  it('that the user sets for the queries decides alone', async () => {
    await ok(inZone('Asia/Tokyo', 'unit', 'u', '--set', 'session_timezone=America/New_York'));
    const plan = await inZone('UTC', 'plan', 'u', '--set', 'session_timezone=America/New_York');
    expect(plan.stdout).toMatch(/^settled /m);
  });

  it.each(['Nowhere/Land', 'JST-9', 'asia/tokyo'])('%s is refused, and why', async name => {
    const ended = await inZone(name, 'unit', 'u');
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^qrun: the time zone .*\nhint: set TZ/),
    });
    expect(ended.stderr).toContain(name);
  });

  it('is no part of anything on a server', async () => {
    const plan = await inZone('Asia/Tokyo', 'plan', 'u', '--url', 'http://127.0.0.1:1', '--json');
    const other = await inZone('UTC', 'plan', 'u', '--url', 'http://127.0.0.1:1', '--json');
    expect(plan.stdout).toBe(other.stdout);
  });
});

describe('qrun prune', () => {
  it('says that there is nothing', async () => {
    expect((await ok(run('prune'))).stdout).toMatch(/^nothing is kept/);
    expect(JSON.parse((await ok(run('prune', '--json'))).stdout)).toEqual({ root, leftovers: [] });
  });

  it('refuses to list and to remove at once', async () => {
    expect(await run('prune', '--remove', '--dry-run')).toMatchObject({ code: 2 });
  });

  it.runIf(available() || servicesRequired())('never removes what is in use', async () => {
    put(root, 'u/_setup.sql', GOOD);
    put(root, 'u/q.sql', 'SELECT sleep(2.5) AS s, count() AS c FROM t');
    const first = watchQrun(['unit', 'u'], { cwd: root });
    await first.event(({ type }) => type === 'query_started');
    // Also when its setup is another one now.
    writeFileSync(join(root, 'u/_setup.sql'), `${GOOD}, (4)`);
    const { leftovers } = JSON.parse((await ok(run('prune', '--remove', '--all', '--json'))).stdout);
    expect(leftovers).toMatchObject([
      { fate: 'in use', why: expect.stringContaining(`pid ${first.process.pid} `) },
    ]);
    await ok(first.end());
    expect(rowsOf('u')).toEqual([{ s: 0, c: 3 }]);
    expect((await ok(run('prune'))).stdout).toMatch(/would be removed/);
    expect(identities()).toHaveLength(1);
    await ok(run('prune', '--remove'));
    expect(inStore()).toEqual([]);
  });
});

function available(): boolean {
  try {
    import.meta.resolve('chdb');
    return true;
  } catch {
    return false;
  }
}
