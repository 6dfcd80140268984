import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { EXIT_TABLE } from '../../../src/core/errors.js';
import { ROOT } from '../../built.js';
import { rows, type StubServer, startStubServer } from '../../engines/stub-server.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../../services/clickhouse-server.js';
import { endAll, put, qrun, records, removeTree, slowness, tree } from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

let root = '';
afterEach(() => {
  endAll();
  if (root !== '') removeTree(root);
  root = '';
});

describe.runIf(clickHouseServerAvailable() || servicesRequired())('the sample on a real server', () => {
  let server: ClickHouseServer;
  let env: Record<string, string> = {};

  beforeAll(async () => {
    server = await startClickHouseServer();
    const { user, password } = server.admin;
    env = {
      ...(user === undefined ? {} : { CLICKHOUSE_USER: user }),
      ...(password === undefined ? {} : { CLICKHOUSE_PASSWORD: password }),
    };
  });
  afterAll(async () => await server.stop());

  it('two commands: 290 records, and a complete audit with the formula; again: nothing to do', async () => {
    root = tree({});
    cpSync(join(ROOT, 'sql'), join(root, 'sql'), { recursive: true });
    const unit = ['unit', './sql', '-P16', '--url', server.url, '--setup'];
    const first = await qrun(unit, { cwd: root, env });
    expect(first, first.stderr).toMatchObject({ code: 0 });
    expect(first.stderr).not.toContain('Warning');
    expect(first.stdout).toContain('all 100 queries are settled');
    expect(first.stdout).toContain('290 lines appended');
    const log = readFileSync(join(root, 'results/sql.ndjson'));
    expect(records(log)).toHaveLength(290);

    const audit = await qrun(['audit', './sql', '--rows-per-query', '3'], { cwd: root });
    expect(audit).toMatchObject({ code: 0, stderr: '' });
    expect(audit.stdout).toContain('290 = 95 x 3 + 5 x 1 + 0 x 1');
    expect(audit.stdout).toContain('complete');

    // The server is not even asked: it could be down.
    const second = await qrun([...unit.slice(0, 4), 'http://127.0.0.1:1'], { cwd: root });
    expect(second, second.stderr).toMatchObject({ code: 0 });
    expect(second.stdout).toContain('nothing to do, all 100 queries are settled');
    expect(second.durationMs).toBeLessThan(1_000 * (await slowness()));
    expect(readFileSync(join(root, 'results/sql.ndjson'))).toEqual(log);

    // One edited file: exactly this one runs again, and the audit says so before and after.
    const name = '2up/BTCUSDT_500/2up__ofi_gt_p50';
    put(root, `sql/${name}.sql`, `${readFileSync(join(root, `sql/${name}.sql`), 'utf8')}\n-- edited\n`);
    const stale = await qrun(['audit', 'sql', '--json'], { cwd: root });
    expect(stale.code).toBe(21);
    expect(JSON.parse(stale.stdout)).toMatchObject({ verdict: 'incomplete', stale: [name] });
    const third = await qrun([...unit, '--json', '-q'], { cwd: root, env });
    expect(JSON.parse(third.stdout)).toMatchObject({
      selected: 100,
      settled_before: 99,
      recorded: { normal: 1, skipped: 0, error: 0 },
      records: 3,
    });
    expect(await qrun(['audit', 'sql', '--rows-per-query', '3'], { cwd: root })).toMatchObject({ code: 0 });
  });

  it('a unit has its own log, and finds the setup file above it', async () => {
    root = tree({ 'qrun.toml': '' });
    cpSync(join(ROOT, 'sql'), join(root, 'sql'), { recursive: true });
    const args = ['--url', server.url, '--setup', '-q', '--json'];
    const leaf = 'sql/3down/ETHUSDT_500';
    const ended = await qrun(['unit', leaf, ...args], { cwd: root, env });
    expect(JSON.parse(ended.stdout)).toMatchObject({ unit: leaf, selected: 5, exit_code: 0 });
    // With a qrun.toml the unit has one id, wherever it is started.
    const inside = await qrun(['unit', '.', ...args], { cwd: join(root, leaf), env });
    expect(JSON.parse(inside.stdout)).toMatchObject({ unit: leaf, settled_before: 5 });
    expect(readdirSync(join(root, 'results')).filter(name => name.endsWith('.ndjson'))).toEqual([
      'sql__3down__ETHUSDT_500.ndjson',
    ]);
  });

  it('errors stand, are told with their code and name, and run again', async () => {
    root = tree({
      'u/good.sql': 'SELECT 1 AS a',
      'u/bad.sql': 'SELECT nope',
      'u/none.sql': 'SELECT 1 AS a WHERE 0',
    });
    const args = ['unit', 'u', '--url', server.url, '-q'];
    const first = await qrun([...args, '--json'], { cwd: root, env });
    expect(first.code).toBe(20);
    expect(JSON.parse(first.stdout)).toMatchObject({
      recorded: { normal: 1, skipped: 1, error: 1 },
      errors: [{ code: 47, name: 'UNKNOWN_IDENTIFIER', count: 1, example: 'bad' }],
      exit_code: 20,
    });
    expect((await qrun(['audit', 'u'], { cwd: root })).code).toBe(20);
    const plan = await qrun(['plan', 'u', '--json'], { cwd: root });
    expect(JSON.parse(plan.stdout)).toMatchObject({
      due: 1,
      queries: [
        { query: 'bad', reason: 'failed', runs: true },
        { query: 'good', reason: 'settled', runs: false },
        { query: 'none', reason: 'settled', runs: false },
      ],
    });
    const kept = await qrun([...args, '--rerun', 'none', '--json'], { cwd: root, env });
    expect(JSON.parse(kept.stdout)).toMatchObject({ recorded: { error: 0 }, exit_code: 20 });
    put(root, 'u/bad.sql', 'SELECT 2 AS a');
    expect(await qrun(args, { cwd: root, env })).toMatchObject({ code: 0 });
    expect(await qrun(['audit', 'u', '--rows-per-query', '1'], { cwd: root })).toMatchObject({ code: 0 });
  });

  it('--timeout ends a query on the server, and its error says so', async () => {
    root = tree({
      'u/a.sql': 'SELECT count() AS a FROM system.numbers',
      'u/b.sql': '-- qrun: timeout=200ms\nSELECT count() AS b FROM system.numbers',
    });
    const args = ['unit', 'u', '--url', server.url, '-q', '--json', '--timeout', '500ms', '--events', 'ev'];
    const ended = await qrun(args, { cwd: root, env });
    expect(ended).toMatchObject({ code: 20, stderr: '' });
    expect(JSON.parse(ended.stdout)).toMatchObject({ recorded: { error: 2 }, retries: 0 });
    const messages = records(readFileSync(join(root, 'results/u.ndjson'))).map(record => record.error);
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'TIMEOUT', message: expect.stringContaining('within 500 ms') }),
        expect.objectContaining({ name: 'TIMEOUT', message: expect.stringContaining('within 200 ms') }),
      ]),
    );
    const left = await fetch(
      `${server.url}/?query=${encodeURIComponent("SELECT count() FROM system.processes WHERE query LIKE '%FROM system.numbers%' AND query NOT LIKE '%processes%'")}`,
      {
        headers: {
          'X-ClickHouse-User': env.CLICKHOUSE_USER ?? 'default',
          'X-ClickHouse-Key': env.CLICKHOUSE_PASSWORD ?? '',
        },
      },
    );
    expect((await left.text()).trim()).toBe('0');
  });

  it('--halt stops early: exit 25, and the next run goes on', async () => {
    root = tree(
      Object.fromEntries(
        Array.from({ length: 30 }, (_, n) => [`u/q${n}.sql`, n < 15 ? 'SELECT nope' : `SELECT ${n} AS n`]),
      ),
    );
    const args = ['unit', 'u', '--url', server.url, '-q', '--json', '-P1'];
    const ended = await qrun([...args, '--halt', 'errors=3'], { cwd: root, env });
    expect(ended.code).toBe(25);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      recorded: { error: 3 },
      exit_code: 25,
      stopped: expect.stringContaining('--halt'),
    });
    const rest = await qrun(args, { cwd: root, env });
    expect(rest.code).toBe(20);
    expect(JSON.parse(rest.stdout)).toMatchObject({ recorded: { normal: 15, error: 15 }, not_run: 0 });
  });

  it('settings and database reach the server, and are part of what is settled', async () => {
    root = tree({
      'u/a.sql': "SELECT currentDatabase() AS db, value AS v FROM system.settings WHERE name = 'max_threads'",
    });
    const args = ['unit', 'u', '--url', server.url, '-q'];
    const last = () => records(readFileSync(join(root, 'results/u.ndjson'))).at(-1)?.row;
    expect(await qrun([...args, '--set', 'max_threads=3'], { cwd: root, env })).toMatchObject({
      code: 0,
    });
    expect(last()).toEqual({ db: 'default', v: '3' });
    // A limit changes no result: nothing runs again.
    await qrun([...args, '--set', 'max_threads=4'], { cwd: root, env });
    expect(last()).toEqual({ db: 'default', v: '3' });
    await qrun([...args, '--database', 'system'], { cwd: root, env });
    expect(last()).toMatchObject({ db: 'system' });
    // The audit takes the same configuration as a run, and no other.
    const audit = ['audit', 'u', '--rows-per-query', '1'];
    expect(await qrun(audit, { cwd: root })).toMatchObject({ code: 21 });
    expect(await qrun([...audit, '--database', 'system'], { cwd: root })).toMatchObject({ code: 0 });
  });

  it('clickhouse-client is not needed, and a file written for it runs as it is', async () => {
    root = tree({
      'u/a.sql': [
        '-- three statements',
        'CREATE TEMPORARY TABLE t (a UInt64);',
        'INSERT INTO t VALUES (18446744073709551615), (2);',
        'SELECT a FROM t ORDER BY a FORMAT TabSeparatedWithNames;',
      ].join('\n'),
    });
    const ended = await qrun(['unit', 'u', '--url', server.url, '-q'], { cwd: root, env });
    expect(ended, ended.stderr + ended.stdout).toMatchObject({ code: 0 });
    const log = readFileSync(join(root, 'results/u.ndjson'), 'utf8');
    expect(log.match(/"row":.*(?=\}$)/gm)).toEqual(['"row":{"a":2}', '"row":{"a":18446744073709551615}']);
  });
});

describe('without a real server', () => {
  let stub: StubServer;
  beforeAll(async () => {
    stub = await startStubServer();
  });
  afterAll(async () => await stub.stop());
  beforeEach(() => {
    stub.requests.length = 0;
    stub.shape = rows('{"a":1}\n');
    root = tree({ 'u/a.sql': 'SELECT 1', 'u/sub/b.sql': 'SELECT 2', 'u/sub/_c.sql': 'SELECT 3' });
  });
  const unit = (...args: string[]): string[] => ['unit', 'u', '--url', stub.url, ...args];

  it('--json: one line on stdout, and nothing else', async () => {
    for (const extra of [[], ['--why'], ['-q']]) {
      const ended = await qrun(unit('--json', ...extra, '--rerun', 'all'), { cwd: root });
      expect(ended.stdout.endsWith('\n')).toBe(true);
      expect(ended.stdout.trimEnd().split('\n')).toHaveLength(1);
      expect(JSON.parse(ended.stdout)).toMatchObject({
        unit: 'u',
        log: join(root, 'results/u.ndjson'),
        selected: 2,
        recorded: { normal: 2, skipped: 0, error: 0 },
        records: 2,
        not_run: 0,
        retries: 0,
        exit_code: 0,
      });
    }
  });

  it('--events: each line JSON with time and type, in order', async () => {
    await qrun(unit('--events', 'ev', '-P1', '-q'), { cwd: root });
    const events = records(readFileSync(join(root, 'ev')));
    expect(events.map(event => event.type)).toEqual([
      'run_started',
      'query_started',
      'query_recorded',
      'query_started',
      'query_recorded',
      'run_ended',
    ]);
    for (const event of events) expect(event.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(events[0]).toMatchObject({ unit: 'u', due: 2, settled: 0, engine: 'clickhouse', concurrency: 1 });
    expect(events.at(-1)).toMatchObject({ exit_code: 0, records: 2 });
    // A second run is appended.
    await qrun(unit('--events', 'ev', '-q'), { cwd: root });
    expect(records(readFileSync(join(root, 'ev')))).toHaveLength(7);
  });

  it('--why says for each query why it runs, and then runs', async () => {
    await qrun(unit('-q'), { cwd: root });
    put(root, 'u/a.sql', 'SELECT 1 + 1');
    put(root, 'u/new.sql', 'SELECT 4');
    stub.requests.length = 0;
    const ended = await qrun(unit('--why', '-q'), { cwd: root });
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toMatch(/changed +yes +a\b/);
    expect(ended.stdout).toMatch(/new +yes +new\b/);
    expect(ended.stdout).toMatch(/settled +no +sub\/b\b/);
    expect(ended.stdout).toMatch(
      /2 of 3 queries of u would run: 1 changed \(.*\), 1 new \(.*\), 1 settled$/m,
    );
    expect(stub.requests.map(request => request.sql).sort()).toEqual(['SELECT 1 + 1', 'SELECT 4']);
  });

  it('--dry-run and plan print the same, start nothing and write nothing', async () => {
    const dry = await qrun(unit('--dry-run', '--limit', '1'), { cwd: root });
    const plan = await qrun(['plan', 'u', '--limit', '1'], { cwd: root });
    expect(dry).toMatchObject({ code: 0, stderr: '' });
    expect(plan.stdout).toBe(dry.stdout);
    expect(dry.stdout).toMatch(/new +yes +a\b/);
    expect(dry.stdout).toMatch(/new +no \(--limit\) +sub\/b\b/);
    expect(stub.requests).toEqual([]);
    expect(readdirSync(root)).toEqual(['u']);
  });

  it('plan of 20,000 queries: quick, and every name whole', async () => {
    const name = (n: number): string => `a_directory_with_a_long_name/${'x'.repeat(80)}_${n}`;
    for (let n = 0; n < 20_000; n += 1) put(root, `big/${name(n)}.sql`, 'SELECT 1');
    const plan = await qrun(['plan', 'big'], { cwd: root });
    expect(plan).toMatchObject({ code: 0, stderr: '' });
    expect(plan.stdout).toContain(`${name(19_999)}\n`);
    expect(plan.stdout).toContain('20,000 of 20,000 queries of big would run');
    // About 1 s; a layout that looks at all rows for each of them takes more than 10.
    expect(plan.durationMs).toBeLessThan(5_000 * (await slowness()));
  });

  it('selection: include, exclude, shards that are disjoint and complete, shuffle, limit', async () => {
    const names = async (...args: string[]): Promise<string[]> => {
      const { stdout, stderr, code } = await qrun(['plan', 'u', '--json', ...args], { cwd: root });
      if (code !== 0) throw new Error(stderr);
      return (JSON.parse(stdout) as { queries: { query: string }[] }).queries.map(({ query }) => query);
    };
    for (let n = 0; n < 40; n += 1) put(root, `u/s${n}.sql`, 'SELECT 1');
    const all = await names();
    expect(all).toHaveLength(42);
    expect(await names('--include', 'sub/**')).toEqual(['sub/b']);
    expect(await names('--include', 'b.sql')).toEqual(['sub/b']);
    expect(await names('--exclude', 's*', '--exclude', 'b')).toEqual(['a']);
    const shards = await Promise.all(['1/3', '2/3', '3/3'].map(shard => names('--shard', shard)));
    expect(shards.flat().sort()).toEqual([...all].sort());
    expect(Math.min(...shards.map(shard => shard.length))).toBeGreaterThan(4);
    const shuffled = await names('--shuffle', '7');
    expect(shuffled).not.toEqual(all);
    expect(await names('--shuffle', '7')).toEqual(shuffled);
    expect([...shuffled].sort()).toEqual([...all].sort());
  });

  it('parameters give a unit its own id, log and values', async () => {
    put(root, 'u/a.sql', 'SELECT {symbol:String}');
    const ended = await qrun(unit('--param', 'symbol=BTC/USDT', '--json', '-q'), { cwd: root });
    expect(JSON.parse(ended.stdout)).toMatchObject({ unit: 'u@symbol=BTC/USDT' });
    const [log] = readdirSync(join(root, 'results'));
    expect(log).toMatch(/^u@symbol=BTC.*USDT\.ndjson$/);
    const [record] = records(readFileSync(join(root, 'results', log ?? '')));
    expect(record).toMatchObject({ unit: 'u@symbol=BTC/USDT', params: { symbol: 'BTC/USDT' } });
    const audit = await qrun(['audit', 'u', '--param', 'symbol=BTC/USDT'], { cwd: root });
    expect(audit).toMatchObject({ code: 0 });
  });

  it('--log names one file, --log-dir the place of all, relative to where qrun was started', async () => {
    mkdirSync(join(root, 'elsewhere'));
    await qrun(['unit', '../u', '--url', stub.url, '-q', '--log', 'x.ndjson'], {
      cwd: join(root, 'elsewhere'),
    });
    await qrun(unit('-q', '--log-dir', 'logs/deep'), { cwd: root });
    expect(existsSync(join(root, 'elsewhere/x.ndjson'))).toBe(true);
    expect(existsSync(join(root, 'logs/deep/u.ndjson'))).toBe(true);
    expect(existsSync(join(root, 'results'))).toBe(false);
  });

  it('one log cannot be the log of two units', async () => {
    const args = ['audit', 'u', 'u/sub', '--log', 'x.ndjson'];
    const ended = await qrun(args, { cwd: root });
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('--log names the log of one unit');
  });

  it('queries that qrun.toml excludes are not due: not in a run, not in an audit', async () => {
    put(root, 'u/draft.sql', "SELECT 'not yet");
    const before = await qrun(['audit', 'u'], { cwd: root });
    expect(before).toMatchObject({ code: 21 });
    put(root, 'qrun.toml', 'exclude = ["draft*"]\n');
    expect(await qrun(unit('-q'), { cwd: root })).toMatchObject({ code: 0 });
    expect(await qrun(['audit', 'u', '--rows-per-query', '1'], { cwd: root })).toMatchObject({ code: 0 });
    // One that was recorded before it was excluded is no foreign one.
    put(root, 'qrun.toml', 'exclude = ["draft*", "a"]\n');
    const audit = await qrun(['audit', 'u', '--json'], { cwd: root });
    expect(JSON.parse(audit.stdout)).toMatchObject({ verdict: 'complete', foreign: [], queries: 2 });
    // One that is due and was not run is missing.
    put(root, 'u/e.sql', 'SELECT 5');
    expect(await qrun(['audit', 'u'], { cwd: root })).toMatchObject({ code: 21 });
  });

  it('an audit of several units: an array, and the worst exit code', async () => {
    put(root, 'v/a.sql', 'SELECT 1');
    await qrun(unit('-q'), { cwd: root });
    const both = await qrun(['audit', 'u', 'v', '--json'], { cwd: root });
    expect(both.code).toBe(21);
    expect(JSON.parse(both.stdout)).toMatchObject([{ verdict: 'complete' }, { verdict: 'incomplete' }]);
  });

  it('the sidecar tells who ran what, and how it ended', async () => {
    await qrun(unit('-q', '--rows-per-query', '1'), { cwd: root });
    const [start, end] = records(readFileSync(join(root, 'results/u.ndjson.runs')));
    expect(start).toMatchObject({
      event: 'start',
      unit: 'u',
      arguments: ['unit', 'u', '--url', stub.url, '-q', '--rows-per-query', '1'],
      server_version: '25.11.1.1',
      target: stub.url,
      rows_per_query: 1,
    });
    expect(end).toMatchObject({ event: 'end', run: start?.run, exit_code: 0, not_run: 0 });
  });
});

describe('config', () => {
  const config = async (args: string[], env: Record<string, string> = {}) => {
    const ended = await qrun(['config', 'u', '--json', ...args], { cwd: root, env });
    expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(ended.stdout) as {
      config: Record<string, unknown>;
      sources: Record<string, string>;
      password_set: boolean;
      log: string;
      config_file: string;
    };
  };

  it('default < qrun.toml < environment < flags, each named; settings merge key by key', async () => {
    root = tree({
      'u/a.sql': 'SELECT 1',
      'qrun.toml':
        'concurrency = 3\ntimeout = "5m"\nretries = 1\nlog_dir = "logs"\n[settings]\na = 1\nb = true\n',
      '.env': 'QRUN_RETRIES=2\nCLICKHOUSE_USER=dotenv\nQRUN_CONCURRENCY=9\n',
    });
    const env = { QRUN_CONCURRENCY: '4', QRUN_TIMEOUT: '6m' };
    const {
      config: values,
      sources,
      log,
      config_file,
    } = await config(['--timeout', '7m', '--set', 'a=2'], env);
    expect(values).toMatchObject({
      concurrency: 4,
      timeout: 420_000,
      retries: 2,
      user: 'dotenv',
      max_outage: 600_000,
      settings: { a: '2', b: '1' },
      engine: 'embedded',
    });
    expect(sources).toMatchObject({
      concurrency: 'environment',
      timeout: 'flag',
      retries: '.env',
      user: '.env',
      settings: 'flag',
    });
    expect(sources.max_outage).toBe('default');
    // A path in qrun.toml is relative to it.
    expect(log).toBe(join(root, 'logs/u.ndjson'));
    expect(config_file).toBe(join(root, 'qrun.toml'));
  });

  it('the table shows every key with its source', async () => {
    root = tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': 'url = "http://ch.example:8123"\n' });
    const ended = await qrun(['config', 'u'], {
      cwd: root,
      env: { CLICKHOUSE_USER: 'sweep', COLUMNS: '200' },
    });
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toMatch(/url +http:\/\/ch\.example:8123 +qrun\.toml +CLICKHOUSE_URL/);
    expect(ended.stdout).toMatch(/user +sweep +environment +CLICKHOUSE_USER/);
    expect(ended.stdout).toMatch(/concurrency +16 +default +QRUN_CONCURRENCY/);
    expect(ended.stdout).toMatch(/engine +clickhouse +/);
    expect(ended.stdout).toMatch(/timeout +1h 00m +default/);
  });

  it('a password is shown in no form, wherever it comes from', async () => {
    const secret = 'Tr0ub4dor&3';
    root = tree({ 'u/a.sql': 'SELECT 1', 'pw.txt': `${secret}\n` });
    const forms = [
      secret,
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('hex'),
      encodeURIComponent(secret),
    ];
    const ways: [string[], Record<string, string>][] = [
      [[], { CLICKHOUSE_PASSWORD: secret }],
      [['--password-file', 'pw.txt'], {}],
      [[], { CLICKHOUSE_PASSWORD_FILE: 'pw.txt' }],
    ];
    for (const [args, env] of ways) {
      const json = await config(args, env);
      expect(json.password_set).toBe(true);
      const table = await qrun(['config', 'u', ...args], { cwd: root, env });
      expect(table.stdout).toContain('(set, not shown)');
      for (const form of forms) expect(JSON.stringify(json) + table.stdout).not.toContain(form);
    }
    expect((await config([])).password_set).toBe(false);
  });

  it('CLICKHOUSE_PASSWORD wins over a password_file of qrun.toml', async () => {
    root = tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': 'password_file = "gone"\n' });
    expect((await config([], { CLICKHOUSE_PASSWORD: 'x' })).password_set).toBe(true);
  });
});

describe('help and completion', () => {
  beforeEach(() => {
    root = tree({});
  });

  it('--help and --version go to stdout, exit 0; the exit codes are those of the table', async () => {
    const help = await qrun(['--help'], { cwd: root });
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const { code, meaning } of EXIT_TABLE)
      expect(help.stdout).toContain(`${String(code).padStart(5)}  ${meaning}`);
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect((await qrun(['--version'], { cwd: root })).stdout).toBe(`${version}\n`);
    for (const command of ['unit', 'plan', 'audit', 'config', 'completion']) {
      expect(await qrun([command, '--help'], { cwd: root })).toMatchObject({ code: 0, stderr: '' });
      expect(await qrun(['help', command], { cwd: root })).toMatchObject({ code: 0, stderr: '' });
    }
  });

  it('an option that --help shows is one that config knows', async () => {
    const { stdout } = await qrun(['unit', '--help'], { cwd: root });
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?--([a-z-]+)/gm)].map(match => match[1]);
    expect(options).toContain('max-outage');
    expect(options).not.toContain('password');
    expect(new Set(options).size).toBe(options.length);
  });

  it.each(['bash', 'zsh', 'fish'])('the completion script of %s is one its shell can read', async shell => {
    const { stdout, code } = await qrun(['completion', shell], { cwd: root });
    expect(code).toBe(0);
    put(root, 'script', stdout);
    expect(stdout).toContain('rows-per-query');
    if (!has(shell)) return;
    execFileSync(shell, ['-n', join(root, 'script')]);
  });

  it('an unknown shell is refused', async () => {
    const ended = await qrun(['completion', 'tcsh'], { cwd: root });
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('bash, zsh, fish');
  });

  it('starts quickly', async () => {
    const times: number[] = [];
    for (let n = 0; n < 5; n += 1) times.push((await qrun(['--version'], { cwd: root })).durationMs);
    // 90 ms on an idle machine, 45 of them Node's own.
    expect(Math.min(...times)).toBeLessThan(200 * (await slowness()));
  });

  it('a Node that is too old is told so', () => {
    const source = readFileSync(join(ROOT, 'bin/qrun.cjs'), 'utf8');
    const start = (version: string) => {
      const versions = `Object.defineProperty(process, 'versions', { value: { node: '${version}' } });`;
      put(root, 'old.cjs', `${versions}\n${source.replace(/^#!.*\n/, '')}`);
      const { status, stderr } = spawnSync(process.execPath, [join(root, 'old.cjs')], { encoding: 'utf8' });
      return { status, stderr };
    };
    const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      engines: { node: string };
    };
    const floor = engines.node.replace('>=', '');
    expect(readFileSync(join(ROOT, 'README.md'), 'utf8')).toContain(`Node.js ${floor} or later`);
    for (const old of ['18.20.0', '20.18.0']) {
      const stderr = `qrun: Node.js ${old} is too old: ${floor} or later is needed\n`;
      expect(start(old)).toEqual({ status: 2, stderr });
    }
    // This one is new enough, and finds no bundle where it lies.
    for (const usable of [floor, '21.0.0', '24.0.0']) {
      expect(start(usable).stderr).toMatch(/^qrun: cannot start: .*Cannot find module/);
    }
  });
});

function has(program: string): boolean {
  try {
    execFileSync(program, ['-c', ':'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
