import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startStubServer } from '../../engines/stub-server.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../../services/clickhouse-server.js';
import {
  type Event,
  endAll,
  put,
  qrun,
  records,
  removeTree,
  type Start,
  slowness,
  startQrun,
  tree,
  watchQrun,
} from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

// Longer than qrun takes two signals for one.
const NEXT_SIGNAL_MS = 150;

const started = (event: Event): boolean => event.type === 'query_started';
const recorded = (event: Event): boolean => event.type === 'query_recorded';
const stopping =
  (how: string) =>
  (event: Event): boolean =>
    event.type === 'stopping' && event.how === how;

describe.runIf(clickHouseServerAvailable() || servicesRequired())('on a real server', () => {
  let server: ClickHouseServer;
  let root = '';
  const log = (): string => join(root, 'results/u.ndjson');
  const run = (...args: string[]): string[] => ['unit', 'u', '--url', server.url, ...args];
  const inRoot = (): Start => ({
    cwd: root,
    env: {
      ...(server.admin.user === undefined ? {} : { CLICKHOUSE_USER: server.admin.user }),
      ...(server.admin.password === undefined ? {} : { CLICKHOUSE_PASSWORD: server.admin.password }),
    },
  });

  /** Query ids of a run that the server still executes. */
  async function running(of: readonly Event[]): Promise<string[]> {
    const url = new URL(server.url);
    url.searchParams.set('query', "SELECT query_id FROM system.processes WHERE query_id LIKE 'qrun-%'");
    const { user = 'default', password = '' } = server.admin;
    const answer = await fetch(url, { headers: { 'X-ClickHouse-User': user, 'X-ClickHouse-Key': password } });
    const ids = new Set(of.filter(started).map(event => event.query_id));
    return (await answer.text()).split('\n').filter(id => ids.has(id));
  }

  async function complete(count: number): Promise<void> {
    const audit = await qrun(['audit', 'u', '--rows-per-query', '1', '--json'], { cwd: root });
    expect(audit, audit.stderr + audit.stdout).toMatchObject({ code: 0 });
    const lines = records(readFileSync(log()));
    expect(lines).toHaveLength(count);
    expect(new Set(lines.map(line => line.query)).size).toBe(count);
  }

  beforeAll(async () => {
    server = await startClickHouseServer({ maxQueries: 100 });
  });
  afterAll(async () => await server.stop());
  beforeEach(() => {
    root = tree({});
  });
  afterEach(async () => {
    endAll();
    removeTree(root);
  });

  function fill(count: number, sql: (n: number) => string): void {
    removeTree(root);
    root = tree(Object.fromEntries(Array.from({ length: count }, (_, n) => [`u/q${n}.sql`, sql(n)])));
  }
  const naps = (count: number, seconds: number): void =>
    fill(count, n => `SELECT ${n} AS n, sleep(${seconds}) AS s`);
  const forever = (count: number): void => fill(count, n => `SELECT count() + ${n} AS n FROM system.numbers`);

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)(
    '%s drains: what runs ends, all is recorded, the next run does the rest: exit %i',
    async (signal, code) => {
      naps(14, 0.3);
      const first = watchQrun(run('-P2', '--json'), inRoot());
      await first.event(recorded, 2);
      first.process.kill(signal);
      const end = await first.end();
      expect(end, end.stderr).toMatchObject({ code, signal: undefined });
      // Everything that was told as recorded is in the log, and nothing was begun after the signal.
      const told = first.events.filter(recorded).map(event => event.query);
      const inLog = records(readFileSync(log())).map(record => record.query);
      expect(inLog.sort()).toEqual(told.sort());
      const stopAt = first.events.findIndex(stopping('drain'));
      expect(first.events.slice(stopAt).some(started)).toBe(false);
      expect(first.events.filter(started)).toHaveLength(told.length);
      const summary = JSON.parse(end.stdout) as Record<string, unknown>;
      expect(summary).toMatchObject({ exit_code: code, not_run: 14 - told.length });
      const sidecar = records(readFileSync(`${log()}.runs`));
      expect(sidecar.at(-1)).toMatchObject({ event: 'end', exit_code: code, not_run: 14 - told.length });

      const second = watchQrun(run('-P4'), inRoot());
      expect(await second.end()).toMatchObject({ code: 0 });
      const again = second.events.filter(started).map(event => event.query);
      expect(again.filter(query => told.includes(query))).toEqual([]);
      await complete(14);
    },
  );

  it('SIGINT twice cancels: nothing runs on the server any more, nothing of it is recorded', async () => {
    forever(6);
    const first = watchQrun(run('-P3'), inRoot());
    await first.event(started, 3);
    expect(await until(async () => (await running(first.events)).length === 3)).toBe(true);
    first.process.kill('SIGINT');
    await first.event(stopping('drain'));
    await delay(NEXT_SIGNAL_MS);
    expect(await running(first.events)).toHaveLength(3);
    first.process.kill('SIGINT');
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 130 });
    expect(await running(first.events)).toEqual([]);
    expect(readFileSync(log(), 'utf8')).toBe('');
  });

  it('the same signal from two senders at once is one', async () => {
    naps(4, 0.5);
    const first = watchQrun(run('-P1'), inRoot());
    await first.event(started);
    first.process.kill('SIGINT');
    await first.event(stopping('drain'));
    first.process.kill('SIGINT');
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 130 });
    expect(first.events.some(stopping('abort'))).toBe(false);
    expect(records(readFileSync(log()))).toHaveLength(1);
  });

  it('SIGTERM cancels by itself after 7 s', async () => {
    forever(2);
    const first = watchQrun(run('-P2'), inRoot());
    await first.event(started, 2);
    const since = performance.now();
    first.process.kill('SIGTERM');
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 143 });
    expect(performance.now() - since).toBeGreaterThan(6_900);
    // docker stop sends SIGKILL after 10 s.
    expect(performance.now() - since).toBeLessThan(7_000 + 2_500 * (await slowness()));
    expect(await running(first.events)).toEqual([]);
  });

  it('SIGINT three times ends at once, whatever the server does', async context => {
    if (server.external) context.skip('the server of QRUN_TEST_URL is not ours to stop');
    forever(2);
    const first = watchQrun(run('-P2'), inRoot());
    await first.event(started, 2);
    expect(await until(async () => (await running(first.events)).length === 2)).toBe(true);
    process.kill(server.pid, 'SIGSTOP');
    try {
      first.process.kill('SIGINT');
      await first.event(stopping('drain'));
      await delay(NEXT_SIGNAL_MS);
      first.process.kill('SIGINT');
      await first.event(stopping('abort'));
      await delay(NEXT_SIGNAL_MS);
      const since = performance.now();
      first.process.kill('SIGINT');
      expect((await first.end()).code).toBe(130);
      const tookMs = performance.now() - since;
      expect(tookMs).toBeLessThan(1_000 * (await slowness()));
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await qrun(run('-P2', '--timeout', '1s', '--retries', '0'), inRoot());
    await stopAll();
  });

  // What a process that ended at once has left behind.
  async function stopAll(): Promise<void> {
    await fetch(server.url, { method: 'POST', body: "KILL QUERY WHERE query LIKE '%system.numbers%' SYNC" });
  }

  it('a signal while it connects: nothing was run, exit 130', async () => {
    naps(3, 0.1);
    const stub = await startStubServer();
    const asked = new Promise<void>(resolve => {
      stub.openShape = () => resolve();
    });
    try {
      const first = startQrun(['unit', 'u', '--url', stub.url], inRoot());
      await asked;
      first.kill('SIGINT');
      const end = await first;
      expect(end.exitCode, end.stderr).toBe(130);
      expect(end.stderr).not.toContain('qrun:');
      expect(end.stdout).toContain('3 queries not run');
      expect(stub.requests).toEqual([]);
    } finally {
      await stub.stop();
    }
  });

  it('a second run of the same unit is refused with who runs it, exit 22', async () => {
    // Six seconds, because three processes must start and end meanwhile, on a busy machine too.
    naps(3, 2);
    const first = watchQrun(run('-P1'), inRoot());
    await first.event(started);
    const [second, plan, audit] = await Promise.all([
      qrun(run('-P1'), inRoot()),
      qrun(['plan', 'u'], inRoot()),
      qrun(['audit', 'u'], inRoot()),
    ]);
    expect(second).toMatchObject({ code: 22, stdout: '' });
    expect(second.stderr).toContain(`pid ${first.process.pid} on ${hostname()} since 20`);
    expect(second.stderr).toContain('hint: wait for it');
    // Looking is allowed.
    expect(plan).toMatchObject({ code: 0 });
    expect(audit).toMatchObject({ code: 21 });
    expect(await first.end()).toMatchObject({ code: 0 });
    await complete(3);
  });

  it('after kill -9 the next run starts at once and completes', async () => {
    naps(12, 0.2);
    const first = watchQrun(run('-P3'), inRoot());
    await first.event(recorded, 4);
    first.process.kill('SIGKILL');
    expect((await first.end()).signal).toBe('SIGKILL');
    const kept = first.events.filter(recorded).map(event => event.query);
    const second = watchQrun(run('-P3'), inRoot());
    const end = await second.end();
    expect(end, end.stderr).toMatchObject({ code: 0 });
    const again = second.events.filter(started).map(event => event.query);
    expect(again.filter(query => kept.includes(query))).toEqual([]);
    await complete(12);
  });

  it('kill -9 at 20 random moments: each result is there once', async () => {
    // So many that they do not run out before the last kill, however late a busy machine delivers one.
    naps(400, 0.01);
    let kills = 0;
    for (let round = 0; kills < 20; round += 1) {
      expect(round).toBeLessThan(60);
      const child = watchQrun(run('-P4', '-q'), inRoot());
      const after = 1 + Math.floor(Math.random() * 6);
      // Anywhere: before the first result, between a write and its acknowledgement, at the end.
      await child.event(recorded, after).catch(() => undefined);
      await delay(Math.random() * 15);
      child.process.kill('SIGKILL');
      const { signal } = await child.end();
      if (signal === 'SIGKILL') kills += 1;
      const told = child.events.filter(recorded).map(event => event.query);
      const inLog = new Set(
        readFileSync(log(), 'utf8')
          .split('\n')
          .slice(0, -1)
          .map(line => JSON.parse(line).query as string),
      );
      for (const query of told) expect(inLog.has(query as string)).toBe(true);
    }
    const last = await qrun(run('-P8'), inRoot());
    expect(last, last.stderr).toMatchObject({ code: 0 });
    await complete(400);
  });

  it('-P 64: 64 at a time, and nothing else on stderr', async () => {
    naps(200, 0.2);
    const first = watchQrun(run('-P64', '-q'), inRoot());
    const end = await first.end();
    expect(end).toMatchObject({ code: 0, stderr: '' });
    // By when they ran, because a slot takes its next query before the last is recorded. The records are exact to a
    // millisecond, which must not make neighbours overlap.
    const changes = records(readFileSync(log())).flatMap(({ started_at: at, duration_ms: durationMs }) => {
      const startMs = Date.parse(String(at)) + 1;
      return [
        { atMs: startMs, by: 1 },
        { atMs: startMs + Number(durationMs) - 2, by: -1 },
      ];
    });
    changes.sort((a, b) => a.atMs - b.atMs || a.by - b.by);
    let now = 0;
    let most = 0;
    for (const { by } of changes) {
      now += by;
      most = Math.max(most, now);
    }
    expect(most).toBe(64);
    await complete(200);
  });

  it.each(['stdout', 'stderr'] as const)('a reader of %s that leaves stops nothing', async stream => {
    naps(6, 0.1);
    const first = watchQrun(run('-P2', '--why'), inRoot());
    first.process[stream].destroy();
    const end = await first.end();
    expect(end.code).toBe(0);
    await complete(6);
  });

  it('stdout on a full disk: all is recorded, and the exit code is not 0', async () => {
    naps(3, 0);
    const prefix = ['bash', '-c', 'exec "$@" > /dev/full', 'full'];
    const end = await qrun(run(), { ...inRoot(), prefix });
    expect(end.code).toBe(1);
    expect(end.stderr).toContain('cannot write to stdout: ENOSPC');
    expect(end.stderr).not.toContain('bug');
    await complete(3);
  });

  it('stderr on a full disk stops nothing', async () => {
    naps(3, 0);
    const prefix = ['bash', '-c', 'exec "$@" 2> /dev/full', 'full'];
    expect(await qrun(run(), { ...inRoot(), prefix })).toMatchObject({ code: 0 });
    await complete(3);
  });

  it('events on a full disk: said once, and all is recorded', async () => {
    naps(3, 0);
    const end = await qrun(run('-q', '--events', '/dev/full'), inRoot());
    expect(end).toMatchObject({ code: 0 });
    expect(end.stderr.match(/no more events/g)).toHaveLength(1);
    await complete(3);
  });

  it('the server dies and comes back: the run waits and completes', async context => {
    if (server.external) context.skip('the server of QRUN_TEST_URL is not ours to stop');
    naps(20, 0.2);
    const first = watchQrun(run('-P4'), inRoot());
    await first.event(recorded, 4);
    await server.kill();
    await first.event(event => event.type === 'engine_lost');
    await server.restart();
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 0 });
    expect(first.events.some(event => event.type === 'engine_back')).toBe(true);
    await complete(20);
  });

  it('a query that kills the server each time is one error, and all others complete', async context => {
    if (server.external) context.skip('the server of QRUN_TEST_URL is not ours to stop');
    // 18.16 ends with a segmentation fault; later versions answer with an error.
    const deadly = `SELECT ${Array.from({ length: 50_000 }, () => '1').join('+')}`;
    naps(24, 0.3);
    put(root, 'u/deadly.sql', deadly);
    const first = watchQrun(run('-P6', '--retries', '2', '--json'), inRoot());
    let deaths = 0;
    const ending = first.end();
    for (;;) {
      const lost = first.event(event => event.type === 'engine_lost', deaths + 1).catch(() => undefined);
      if ((await lost) === undefined) break;
      deaths += 1;
      await server.restart();
    }
    const end = await ending;
    expect(end, end.stderr).toMatchObject({ code: 20 });
    expect(JSON.parse(end.stdout)).toMatchObject({
      recorded: { normal: 24, skipped: 0, error: 1 },
      errors: [{ example: 'deadly' }],
      not_run: 0,
    });
    if (end.stderr.includes('clickhouse 18.')) expect(deaths).toBe(3);
    const lines = records(readFileSync(log()));
    expect(lines).toHaveLength(25);
    // The others lost two attempts at most: from the second loss on, what may be deadly runs alone.
    const others = lines.filter(line => line.query !== 'deadly').map(line => Number(line.attempt));
    const most = Math.max(...others);
    expect(most).toBeGreaterThanOrEqual(deaths > 0 ? 2 : 1);
    expect(most).toBeLessThanOrEqual(deaths > 0 ? 3 : 1);
  });

  it('the server dies and stays away: exit 24, nothing lost, and the next run completes', async context => {
    if (server.external) context.skip('the server of QRUN_TEST_URL is not ours to stop');
    naps(12, 0.2);
    const first = watchQrun(run('-P2', '--max-outage', '1s'), inRoot());
    await first.event(recorded, 2);
    await server.kill();
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 24 });
    expect(end.stdout).toContain('when the engine answers again');
    const told = first.events.filter(recorded).map(event => event.query);
    expect(
      first.events.filter(event => event.type === 'query_recorded' && event.outcome === 'error'),
    ).toEqual([]);
    await server.restart();
    const second = watchQrun(run('-P4'), inRoot());
    expect(await second.end()).toMatchObject({ code: 0 });
    expect(second.events.filter(started)).toHaveLength(12 - told.length);
    await complete(12);
  });
});

describe.runIf(embeddedAvailable() || servicesRequired())('on the embedded engine', () => {
  let root = '';
  afterEach(() => {
    endAll();
    removeTree(root);
  });
  const fill = (count: number, sql: (n: number) => string): void => {
    root = tree(Object.fromEntries(Array.from({ length: count }, (_, n) => [`u/q${n}.sql`, sql(n)])));
  };
  const complete = async (count: number): Promise<void> => {
    const audit = await qrun(['audit', 'u', '--rows-per-query', '1'], { cwd: root });
    expect(audit, audit.stdout).toMatchObject({ code: 0 });
    expect(records(readFileSync(join(root, 'results/u.ndjson')))).toHaveLength(count);
  };

  it('SIGINT drains, and the next run does the rest', async () => {
    fill(10, n => `SELECT ${n} AS n, sleep(0.3) AS s`);
    const first = watchQrun(['unit', 'u', '-P2'], { cwd: root });
    await first.event(recorded, 2);
    first.process.kill('SIGINT');
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 130 });
    const told = first.events.filter(recorded);
    expect(first.events.filter(started)).toHaveLength(told.length);
    const second = watchQrun(['unit', 'u', '-P2'], { cwd: root });
    expect(await second.end()).toMatchObject({ code: 0 });
    expect(second.events.filter(started)).toHaveLength(10 - told.length);
    await complete(10);
  });

  it('SIGINT twice cancels what runs', async () => {
    fill(4, n => `SELECT count() + ${n} AS n FROM system.numbers`);
    const first = watchQrun(['unit', 'u', '-P2'], { cwd: root });
    await first.event(started, 2);
    first.process.kill('SIGINT');
    await first.event(stopping('drain'));
    await delay(NEXT_SIGNAL_MS);
    first.process.kill('SIGINT');
    const end = await first.end();
    expect(end, end.stderr).toMatchObject({ code: 130, signal: undefined });
    expect(end.durationMs).toBeLessThan(15_000);
    expect(readFileSync(join(root, 'results/u.ndjson'), 'utf8')).toBe('');
  });

  it('after kill -9 the next run starts at once and completes', async () => {
    fill(12, n => `SELECT ${n} AS n, sleep(0.1) AS s`);
    const first = watchQrun(['unit', 'u', '-P2'], { cwd: root });
    await first.event(recorded, 3);
    first.process.kill('SIGKILL');
    await first.end();
    const end = await qrun(['unit', 'u', '-P4'], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 0 });
    await complete(12);
  });

  it('a data directory that another process has open: who, and what to do; exit 24', async () => {
    fill(2, n => `SELECT ${n} AS n, sleep(2) AS s`);
    put(root, 'v/a.sql', 'SELECT 1 AS n');
    const first = watchQrun(['unit', 'u', '-P2', '--data-dir', 'own'], { cwd: root });
    await first.event(started, 2);
    const second = await qrun(['unit', 'v', '--data-dir', 'own'], { cwd: root });
    expect(second).toMatchObject({ code: 24, stdout: '' });
    expect(second.stderr).toMatch(/^qrun: .*\/own .*\nhint: .*--data-dir/s);
    expect(second.stderr).toContain(String(first.process.pid));
    expect(second.stderr).not.toMatch(/bug|\n\s+at /);
    // Without one each unit has its own.
    expect(await qrun(['unit', 'v'], { cwd: root })).toMatchObject({ code: 0 });
    expect(await first.end()).toMatchObject({ code: 0 });
  });
});

function embeddedAvailable(): boolean {
  try {
    import.meta.resolve('chdb');
    return true;
  } catch {
    return false;
  }
}

// The server's list of queries has no event: it is asked until the answer is yes.
async function until(holds: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await holds()) return true;
    await delay(10);
  }
  return false;
}
