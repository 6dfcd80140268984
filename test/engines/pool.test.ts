import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import type { QrunError } from '../../src/core/errors.js';
import type { Engine } from '../../src/io/engines/engine.js';
import { systemClock } from '../../src/io/machine/clock.js';
import { freePort } from '../services/clickhouse-server.js';
import { ContractClient } from './contract-client.js';
import { openServers, type TestPool } from './open-pool.js';
import { noHeaders, rows, type Shape, type StubServer, startStubServer, status } from './stub-server.js';

vi.setConfig({ testTimeout: 30_000 });

const FULL = status(
  503,
  'Code: 202. DB::Exception: Too many simultaneous queries. Maximum: 1. (TOO_MANY_SIMULTANEOUS_QUERIES)',
);
const never = new AbortController().signal;

/** A stub that says who it is, as the members of a pool are asked. */
interface MemberStub extends StubServer {
  version: string;
  database: string;
  zone: string;
  /** Seconds by which its replicas lag. */
  delay: number;
  tables: readonly string[];
  /** What is done with queries. */
  query: Shape;
  /** The queries that came, without questions about itself. */
  readonly queries: string[];
}

const stubs: StubServer[] = [];
const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
  for (const stub of stubs.splice(0)) await stub.stop();
});

async function member(): Promise<MemberStub> {
  const stub = (await startStubServer()) as MemberStub;
  stubs.push(stub);
  Object.assign(stub, { version: '25.11.1.1', database: 'default', zone: 'UTC', delay: 0, tables: ['t'] });
  Object.assign(stub, { query: rows('{"a":1}\n'), queries: [] });
  stub.openShape = request => {
    const version = request.sql.startsWith('SELECT version()');
    const body = version ? `{"v":"${stub.version}"}\n` : '{"v":"default"}\n';
    const known = request.sql.startsWith('SELECT name AS v') ? '{"v":"max_threads"}\n' : body;
    rows(known)(request);
  };
  stub.shape = request => {
    const { sql, url } = request;
    const line = (row: object): Shape => rows(`${JSON.stringify(row)}\n`);
    if (sql === 'SELECT 1' && url.get('session_check') === '1') {
      status(404, 'Code: 372. DB::Exception: Session not found. (SESSION_NOT_FOUND)')(request);
    } else if (sql === 'SELECT 1') line({ 1: 1 })(request);
    else if (sql.startsWith('SELECT version() AS version')) {
      line({ version: stub.version, database: stub.database, zone: stub.zone })(request);
    } else if (sql.includes('cityHash64')) line({ v: stub.tables.join() })(request);
    else if (sql.startsWith('SELECT database, name')) {
      rows(stub.tables.map(name => `${JSON.stringify({ database: 'default', name })}\n`).join(''))(request);
    } else if (sql.includes('max_concurrent_queries')) rows('')(request);
    else if (sql.includes('system.replicas')) line({ v: String(stub.delay) })(request);
    else {
      stub.queries.push(sql);
      stub.query(request);
    }
  };
  return stub;
}

async function members(count = 2): Promise<[MemberStub, MemberStub, ...MemberStub[]]> {
  const all: MemberStub[] = [];
  for (let n = 0; n < count; n += 1) all.push(await member());
  return all as [MemberStub, MemberStub];
}

async function pool(servers: readonly { url: string }[], options: TestPool = {}): Promise<ContractClient> {
  const client = new ContractClient();
  client.engine = await openServers(
    servers.map(({ url }) => url),
    options,
  );
  engines.push(client.engine);
  return client;
}

async function refusal(servers: readonly { url: string }[], options: TestPool = {}): Promise<QrunError> {
  const opened = await pool(servers, options).catch((error: unknown) => error);
  if (!(opened instanceof Error)) throw new Error('was opened');
  return opened as QrunError;
}

/** A clock whose waits take a hundredth of their time. */
const FAST: Clock = { ...systemClock, delay: (ms, signal) => systemClock.delay(ms / 100, signal) };

describe('where an attempt runs', () => {
  it('is the server with less to do, in turn between equals, and the result says which', async () => {
    const [one, two] = await members();
    const { run } = await pool([one, two]);
    const used: (string | undefined)[] = [];
    for (let n = 0; n < 6; n += 1) used.push((await run('select 1 as a')).server);
    expect(used).toEqual([one.url, two.url, one.url, two.url, one.url, two.url]);
    // One that does not come back holds its server busy.
    let answer = (): void => {};
    one.query = request => {
      answer = () => rows('{"a":1}\n')(request);
    };
    const held = run('select 2 as a');
    for (let n = 0; n < 4; n += 1) expect((await run('select 3 as a')).server).toBe(two.url);
    answer();
    expect((await held).server).toBe(one.url);
  });

  it('waits in order when all are at their limit', async () => {
    const [one, two] = await members();
    const held: (() => void)[] = [];
    for (const stub of [one, two]) stub.query = request => held.push(() => rows('{"a":1}\n')(request));
    const { run } = await pool([one, two], { concurrency: 2 });
    const order: number[] = [];
    const all = [1, 2, 3, 4].map(n => run(`select ${n} as a`).then(() => order.push(n)));
    await vi.waitFor(() => expect(held).toHaveLength(2));
    for (let n = 0; n < 4; n += 1) {
      await vi.waitFor(() => expect(held.length).toBeGreaterThan(0));
      held.shift()?.();
    }
    await Promise.all(all);
    expect(order.toSorted()).toEqual([1, 2, 3, 4]);
    expect(order.slice(0, 2).toSorted()).toEqual([1, 2]);
  });
});

describe('a server that is full', () => {
  it('costs no attempt: the query goes to another at once, begins once, and the full one rests', async () => {
    const [one, two] = await members();
    one.query = FULL;
    const { run } = await pool([one, two]);
    let begun = 0;
    const begin = (): boolean => {
      begun += 1;
      return true;
    };
    for (let n = 0; n < 50; n += 1) {
      expect(await run('select 1 as a', { begin })).toMatchObject({ ok: true, server: two.url });
    }
    expect(begun).toBe(50);
    expect(two.queries).toHaveLength(50);
    // Without a rest, half of all.
    expect(one.queries.length).toBeLessThan(10);
  });

  it('is what the caller hears if all are', async () => {
    const [one, two] = await members();
    one.query = FULL;
    two.query = FULL;
    const { failure, engine } = await pool([one, two]);
    expect(await failure('select 1')).toMatchObject({ code: 202, neverStarted: true, serverGone: false });
    expect([one.queries.length, two.queries.length]).toEqual([1, 1]);
    expect(await engine.ping(never)).toBeUndefined();
  });
});

describe('a server that goes away', () => {
  it('loses what it had, for the caller to decide; what never started goes elsewhere', async () => {
    const notices: string[] = [];
    const [one, two] = await members();
    const { run, failure, engine } = await pool([one, two], { onNotice: text => notices.push(text) });
    one.query = request => {
      noHeaders('rst')(request);
      void one.stop();
    };
    expect(await failure('select 1')).toMatchObject({
      name: 'CONNECTION_LOST',
      kind: 'unknown',
      serverGone: true,
      neverStarted: false,
    });
    for (let n = 0; n < 5; n += 1) expect((await run('select 2 as a')).server).toBe(two.url);
    expect(await engine.ping(never)).toBeUndefined();
    expect(notices).toEqual([expect.stringMatching(`^${one.url} gets no queries until it answers again: `)]);
    await two.stop();
    // The first may have been sent over a connection that was still open.
    expect(await failure('select 3')).toMatchObject({ serverGone: true });
    expect(await failure('select 4')).toMatchObject({ neverStarted: true, serverGone: true });
    const away = await engine.ping(never);
    expect(away?.message).toContain(`no server takes queries: ${one.url}: `);
    expect(away?.message).toContain(`; ${two.url}: `);
  });

  it('stays in if only a connection was lost', async () => {
    const notices: string[] = [];
    const [one, two] = await members();
    const { run, failure } = await pool([one, two], { onNotice: text => notices.push(text) });
    one.query = noHeaders('rst');
    expect(await failure('select 1')).toMatchObject({ kind: 'unknown', neverStarted: false });
    one.query = rows('{"a":1}\n');
    const used = [(await run('select 2 as a')).server, (await run('select 2 as a')).server];
    expect(used.toSorted()).toEqual([one.url, two.url].toSorted());
    expect(notices).toEqual([]);
  });

  it('has no say about what it kills when it ends: that is unknown, not a result', async () => {
    const [one, two] = await members();
    const { failure } = await pool([one, two]);
    one.query = request => {
      status(500, 'Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)')(request);
      request.response.once('close', () => void one.stop());
      void one.stop();
    };
    expect(await failure('select 1')).toMatchObject({ code: 394, kind: 'unknown', serverGone: true });
  });

  it('is waited for in the background if it is away from the beginning', async () => {
    const [one] = await members(1);
    const url = `http://127.0.0.1:${await freePort()}`;
    const { run, engine } = await pool([one, { url }]);
    expect(engine.info.servers).toEqual([
      { target: one.url, version: '25.11.1.1' },
      { target: url, version: undefined, away: expect.stringMatching(/./) },
    ]);
    expect(engine.info.notices).toEqual([expect.stringMatching(`^${url} gets no queries yet: `)]);
    for (let n = 0; n < 3; n += 1) expect((await run('select 1 as a')).server).toBe(one.url);
    expect(engine.members?.()).toHaveLength(1);
  });

  it('must not be the only one that there is', async () => {
    const urls = [await freePort(), await freePort()].map(port => ({ url: `http://127.0.0.1:${port}` }));
    const error = await refusal(urls);
    expect(error).toMatchObject({ code: 'ENGINE_UNREACHABLE', exitCode: 24 });
    expect([error.message, ...error.details].join()).toMatch(
      new RegExp(urls.map(({ url }) => url).join('.*')),
    );
  });
});

describe('servers that differ', () => {
  it('in version run all the same, by the lowest, and it is said', async () => {
    const [one, two] = await members();
    two.version = '18.16.1';
    const { engine } = await pool([one, two]);
    expect(engine.info).toMatchObject({ version: '18.16.1', target: `${one.url}, ${two.url}` });
    expect(engine.info.notices?.join()).toContain(`25.11.1.1 at ${one.url}, 18.16.1 at ${two.url}`);
  });

  it.each([
    ['database', 'other'],
    ['zone', 'Asia/Tokyo'],
  ] as const)('in what a query means there are refused: %s', async (what, value) => {
    const [one, two] = await members();
    two[what] = value;
    const error = await refusal([one, two]);
    expect(error).toMatchObject({ code: 'CONFIG', exitCode: 2 });
    expect(error.message).toContain(`${two.url}: its ${what === 'zone' ? 'time zone' : what} is "${value}"`);
    expect(error.message).toContain(one.url);
  });

  it('in the user are refused', async () => {
    const [one, two] = await members();
    const as = (user: string, { url }: MemberStub) => ({ url: url.replace('//', `//${user}@`) });
    expect((await refusal([as('me', one), as('you', two)])).message).toContain('its user is "you", not "me"');
  });

  it('by nothing but their name are refused', async () => {
    const [one] = await members(1);
    expect(await refusal([one, one])).toMatchObject({ code: 'CONFIG', message: `${one.url} is named twice` });
  });

  it('in their tables say which', async () => {
    const [one, two] = await members();
    two.tables = ['t', 'u'];
    const { engine } = await pool([one, two]);
    expect(await engine.uneven?.(never)).toEqual([
      { database: 'default', name: 'u', isCurrent: true, lacking: one.url },
    ]);
    one.tables = two.tables;
    const same = await pool([one, two]);
    expect(await same.engine.uneven?.(never)).toEqual([]);
  });
});

describe('replicas that lag', () => {
  it('take their server out, before the first query and later, until they have caught up', async () => {
    const notices: string[] = [];
    const [one, two] = await members();
    two.delay = 30;
    const { run, engine } = await pool([one, two], {
      maxReplicaDelayMs: 5_000,
      clock: FAST,
      onNotice: text => notices.push(text),
    });
    expect(engine.info.notices?.join()).toContain(
      `${two.url} gets no queries yet: its replicas lag by 30 s, more than --max-replica-delay 5s`,
    );
    for (let n = 0; n < 3; n += 1) expect((await run('select 1 as a')).server).toBe(one.url);
    two.delay = 0;
    await vi.waitFor(() => expect(notices.join()).toContain(`${two.url} takes part again`), 10_000);
    one.delay = 6;
    await vi.waitFor(() => expect(notices.join()).toContain(`${one.url} gets no queries until`), 10_000);
    for (let n = 0; n < 3; n += 1) expect((await run('select 1 as a')).server).toBe(two.url);
    two.delay = 6;
    await vi.waitFor(() => expect(notices.join()).toContain(`${two.url} gets no queries until`), 10_000);
    expect((await engine.ping(never))?.message).toContain('its replicas lag by 6 s');
    one.delay = 0;
    two.delay = 0;
    const isBack = (text: string): boolean => text.includes('takes part again');
    await vi.waitFor(() => expect(notices.filter(isBack)).toHaveLength(3), 10_000);
    expect((await run('select 1 as a')).ok).toBe(true);
  });
});

it('a pool that is closed ends what waits and what runs', async () => {
  const [one, two] = await members();
  for (const stub of [one, two]) stub.query = noHeaders('hang');
  const { run, engine } = await pool([one, two], { concurrency: 2 });
  const all = [1, 2, 3, 4].map(n => run(`select ${n}`));
  await Promise.all([one.arrived(1), two.arrived(1)]);
  await engine.close();
  for (const result of await Promise.all(all)) expect(result).toMatchObject({ failure: { name: 'ABORTED' } });
});
