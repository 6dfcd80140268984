import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AuditReport } from '../../../src/core/log/audit.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../../services/clickhouse-server.js';
import { type Ended, endAll, put, qrun, records, removeTree, tree, watchQrun } from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

const GOOD = { 'u/a.sql': 'SELECT 1 AS a', 'u/z.sql': 'SELECT 2 AS a' };

interface Plan {
  readonly due: number;
  readonly queries: readonly { readonly query: string; readonly reason: string; readonly runs: boolean }[];
  readonly cannot_run: AuditReport['cannot_run'];
  readonly no_statement: readonly string[];
}

describe.runIf(clickHouseServerAvailable() || servicesRequired())('on a real server', () => {
  let server: ClickHouseServer;
  let root = '';

  const start = () => ({
    cwd: root,
    env: {
      CLICKHOUSE_URL: server.url,
      ...(server.admin.user === undefined ? {} : { CLICKHOUSE_USER: server.admin.user }),
      ...(server.admin.password === undefined ? {} : { CLICKHOUSE_PASSWORD: server.admin.password }),
    },
  });
  const run = (...args: string[]): Promise<Ended> => qrun(args, start());
  const unit = (...args: string[]): Promise<Ended> => run('unit', 'u', '-q', '--json', ...args);
  const log = (name = 'u') => records(readFileSync(join(root, `results/${name}.ndjson`)));

  /** What plan, audit and the audit of the sweep say with the same arguments; whether a unit is done, they must agree. */
  async function judged(...args: string[]) {
    const [plan, audit, all] = await Promise.all([
      run('plan', 'u', '--json', ...args),
      run('audit', 'u', '--json', ...args),
      run('audit-all', '.', '--json', ...args),
    ]);
    const said = {
      plan: JSON.parse(plan.stdout) as Plan,
      audit: JSON.parse(audit.stdout) as AuditReport,
      all: JSON.parse(all.stdout) as { verdict: string; units: readonly Record<string, unknown>[] },
    };
    expect(said.all.units).toHaveLength(1);
    expect([audit.code, said.audit.verdict]).toEqual([all.code, said.all.verdict]);
    const isDone = plan.code === 0 && said.plan.due === 0;
    expect(isDone, `${plan.stdout}\n${audit.stdout}`).toBe(audit.code === 0);
    expect(said.audit.cannot_run).toEqual(said.plan.cannot_run);
    expect(said.audit.no_statement).toEqual(said.plan.no_statement);
    return { code: audit.code, ...said };
  }

  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterEach(() => {
    endAll();
    if (root !== '') removeTree(root);
    root = '';
  });
  afterAll(async () => {
    await server.stop();
  });

  describe('settings', () => {
    it.each([
      ['[settings] of qrun.toml', '[settings]\njoin_use_nulls = 1\n', {}],
      ['the database of qrun.toml', 'database = "system"\n', {}],
      ['the database of the environment', '', { CLICKHOUSE_DATABASE: 'system' }],
      ['the database of .env', '', undefined],
    ])('changed after the run, by %s: two audits and the plan say so', async (_, toml, env) => {
      root = tree({ 'qrun.toml': '', 'u/a.sql': 'SELECT 1 AS a', 'u/b.sql': 'SELECT 2 AS a' });
      expect(await unit()).toMatchObject({ code: 0 });
      expect(await judged()).toMatchObject({ code: 0 });
      put(root, 'qrun.toml', toml);
      if (env === undefined) put(root, '.env', 'CLICKHOUSE_DATABASE=system\n');
      const named = { ...start(), env: { ...start().env, ...env } };
      const [plan, audit, all] = await Promise.all([
        qrun(['plan', 'u', '--json'], named),
        qrun(['audit', 'u', '--json'], named),
        qrun(['audit-all', '.', '--json'], named),
      ]);
      expect(JSON.parse(plan.stdout)).toMatchObject({ due: 2 });
      expect(audit).toMatchObject({ code: 21 });
      expect(all).toMatchObject({ code: 21 });
      expect(JSON.parse(audit.stdout)).toMatchObject({ verdict: 'incomplete', stale: ['a', 'b'] });
    });

    it('given to the run alone are told to the audit that lacks them, and given to it make it complete', async () => {
      root = tree({ 'qrun.toml': '', 'u/a.sql': 'SELECT 1 AS a' });
      const flags = ['--set', 'join_use_nulls=1', '--database', 'system'];
      const ended = await run('unit', 'u', '-q', ...flags);
      expect(ended).toMatchObject({ code: 0 });
      const without = await judged();
      expect(without).toMatchObject({ code: 21, audit: { stale: ['a'] }, plan: { due: 1 } });
      expect(without.audit.settings).toEqual({});
      const { run: id } = log()[0] as { run: string };
      expect(without.audit.last_run).toEqual({
        run: id,
        settings: { join_use_nulls: '1', database: 'system' },
      });
      const text = await run('audit', 'u');
      expect(text.stdout).toContain(
        `judged with no settings; the last run (${id}) had join_use_nulls=1, database=system`,
      );
      const same = await judged(...flags);
      expect(same).toMatchObject({ code: 0 });
      expect(same.audit.last_run).toBeNull();
      // What the run says comes next finds the same.
      const next = /qrun (audit .*?)(?: {2}|\n)/.exec(ended.stdout)?.[1]?.split(' ') ?? [];
      expect(await run(...next)).toMatchObject({ code: 0 });
    });

    it.each([
      ['a limit of time', 'timeout_overflow_mode', 'max_execution_time'],
      ['a limit of time, by way of the threads', 'timeout_overflow_mode', 'max_threads'],
      ['a limit of rows', 'result_overflow_mode', 'priority'],
    ])('%s that cuts results is part of them', async (_, mode, limit) => {
      root = tree({ 'qrun.toml': '', 'u/a.sql': 'SELECT 1 AS a', 'u/b.sql': `SELECT 1 AS a -- ${mode}` });
      const cut = (value: number) => ['--set', `${mode}=break`, '--set', `${limit}=${value}`];
      expect(await unit(...cut(10))).toMatchObject({ code: 0 });
      expect(await judged(...cut(10))).toMatchObject({ code: 0 });
      expect(await judged(...cut(30))).toMatchObject({ code: 21, plan: { due: 2 } });
      // By throw, the default, it only fails queries, but for one whose own text may say otherwise.
      expect(await unit('--set', `${limit}=30`, '--rerun', 'all')).toMatchObject({ code: 0 });
      expect(await judged('--set', `${limit}=40`)).toMatchObject({ code: 21, audit: { stale: ['b'] } });
    });
  });

  describe('a file that changes during the run', () => {
    const sleeps = (hit: string) => `SELECT sleep(0.3) AS s, 'BTCUSDT' = '${hit}' AS hit`;

    it.each([
      ['a placeholder', sleeps('__SYMBOL__'), 'unreplaced placeholder __SYMBOL__'],
      ['a parameter without a value', "SELECT {day:String} AS d, '' AS hit", '{day:String} has no value'],
      ['INTO OUTFILE', "SELECT 1 INTO OUTFILE 'x'", 'OUTFILE'],
      ['UTF-16', Buffer.from('\ufeffSELECT 1', 'utf16le'), 'UTF-16'],
    ])('to %s is not sent; the audit, the plan and the next run agree on it', async (_, sql, problem) => {
      root = tree({
        'qrun.toml': '',
        'u/q1.sql': sleeps('BTCUSDT'),
        'u/q2.sql': sleeps('x'),
        'u/q4.sql': sleeps('y'),
      });
      const watched = watchQrun(['unit', 'u', '-P1', '-q'], start());
      await watched.event(({ type }) => type === 'query_started');
      put(root, 'u/q4.sql', sql);
      expect(await watched.end()).toMatchObject({ code: 20 });
      expect(log().map(({ query, outcome }) => [query, outcome])).toEqual([
        ['q1', 'normal'],
        ['q2', 'normal'],
        ['q4', 'error'],
      ]);
      expect(JSON.stringify(log().at(-1)?.error)).toContain(problem);
      const { code, audit } = await judged();
      expect(code).toBe(21);
      expect(audit.cannot_run).toEqual([{ query: 'q4', problem: expect.stringContaining(problem) }]);
      expect((await run('audit', 'u')).stdout).toContain(`cannot run  1: q4.sql: `);
      const again = await unit();
      expect(again).toMatchObject({ code: 2, stdout: '' });
      expect(again.stderr).toContain(problem);
      put(root, 'u/q4.sql', sleeps('z'));
      expect(await unit()).toMatchObject({ code: 0 });
      expect(await judged()).toMatchObject({ code: 0 });
    });

    it('to nothing but comments is no query any more', async () => {
      root = tree({ 'qrun.toml': '', 'u/q1.sql': sleeps('x'), 'u/q2.sql': sleeps('y') });
      const watched = watchQrun(['unit', 'u', '-P1', '-q', '--json'], start());
      await watched.event(({ type }) => type === 'query_started');
      put(root, 'u/q2.sql', '-- not today\n');
      const ended = await watched.end();
      expect(ended).toMatchObject({ code: 0 });
      expect(ended.stderr).toContain('q2.sql holds no statement any more');
      expect(JSON.parse(ended.stdout)).toMatchObject({ selected: 1, not_run: 0, no_statement: ['q2'] });
      expect(await judged()).toMatchObject({ code: 0 });
    });
  });

  describe('files that cannot run', () => {
    const BAD = {
      'u/bad.sql': "SELECT 'open",
      'u/hole.sql': "SELECT 'BTCUSDT' = '__SYMBOL__' AS hit",
      'u/param.sql': 'SELECT {p:UInt8} AS p',
      'u/wide.sql': Buffer.from('\ufeffSELECT 1', 'utf16le'),
    };
    it('are all in the plan and in the audit, which end with 2 and 21', async () => {
      root = tree({ 'qrun.toml': '', ...GOOD, ...BAD });
      const { plan, audit, all } = await judged();
      expect(plan.cannot_run.map(({ query }) => query)).toEqual(['bad', 'hole', 'param', 'wide']);
      expect(plan).toMatchObject({ due: 0 });
      expect(plan.queries.map(({ query, runs }) => [query, runs])).toEqual([
        ['a', false],
        ['z', false],
      ]);
      expect(audit).toMatchObject({ verdict: 'incomplete', queries: 6, missing: ['a', 'z'] });
      expect(all.units[0]).toMatchObject({ cannot_run: 4, missing: 2 });
      expect(await run('plan', 'u')).toMatchObject({ code: 2, stdout: '' });
      expect(await unit()).toMatchObject({ code: 2 });
    });

    it.each([['--skip-bad'], ['skip_bad']])(
      'are left out by %s: the others run, and the exit code says so',
      async how => {
        const toml = how === 'skip_bad' ? 'skip_bad = true\n' : '';
        const flag = how === 'skip_bad' ? [] : [how];
        root = tree({ 'qrun.toml': toml, ...GOOD, ...BAD });
        const ended = await run('unit', 'u', ...flag);
        expect(ended.code).toBe(20);
        for (const text of [
          '4 queries left out because they cannot run',
          'unreplaced placeholder __SYMBOL__',
          'UTF-16',
        ]) {
          expect(ended.stdout).toContain(text);
        }
        expect(ended.stderr).toContain('4 files left out (--skip-bad)');
        expect(
          log()
            .map(({ query }) => query)
            .sort(),
        ).toEqual(['a', 'z']);
        const again = await unit(...flag);
        expect(again.code).toBe(20);
        expect(JSON.parse(again.stdout)).toMatchObject({ selected: 6, settled_before: 2, exit_code: 20 });
        expect(JSON.parse(again.stdout).cannot_run).toHaveLength(4);
        const plan = await run('plan', 'u', ...flag);
        expect(plan).toMatchObject({ code: 0 });
        expect(plan.stdout).toContain('left out  param.sql: {p:UInt8} has no value');
        // The audit does not forget them.
        const audit = await run('audit', 'u', '--json', ...flag);
        expect(audit.code).toBe(21);
        expect(JSON.parse(audit.stdout).cannot_run).toHaveLength(4);
        for (const name of Object.keys(BAD)) put(root, name, 'SELECT 3 AS a');
        expect(await unit(...flag)).toMatchObject({ code: 0 });
        expect(await judged(...flag)).toMatchObject({ code: 0 });
      },
    );

    it('alone are refused, --skip-bad or not', async () => {
      root = tree({ 'qrun.toml': '', ...BAD });
      const ended = await unit('--skip-bad');
      expect(ended).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toContain('4 query files cannot run');
      expect(readdirSync(join(root, 'results')).filter(name => name.endsWith('.ndjson.runs'))).toEqual([]);
    });

    it('because one became so during the run are left out as well', async () => {
      root = tree({ 'qrun.toml': '', 'u/q1.sql': 'SELECT sleep(0.3) AS s', 'u/q2.sql': 'SELECT 2 AS s' });
      const watched = watchQrun(['unit', 'u', '-P1', '-q', '--json', '--skip-bad'], start());
      await watched.event(({ type }) => type === 'query_started');
      put(root, 'u/q2.sql', "SELECT '__SYMBOL__' AS s");
      const ended = await watched.end();
      expect(ended).toMatchObject({ code: 20 });
      expect(JSON.parse(ended.stdout)).toMatchObject({
        selected: 2,
        not_run: 0,
        cannot_run: [{ query: 'q2', problem: 'unreplaced placeholder __SYMBOL__' }],
      });
      expect(log().map(({ query }) => query)).toEqual(['q1']);
    });

    it('by the hundred share their lines, and the JSON has all', async () => {
      const uses = Array.from({ length: 10 }, () => 'SELECT {day:String} AS d;').join('\n');
      root = tree({
        'qrun.toml': '',
        ...Object.fromEntries(
          Array.from({ length: 80 }, (_, n) => [`u/q${String(n).padStart(2, '0')}.sql`, uses]),
        ),
      });
      const ended = await run('plan', 'u');
      expect(ended.code).toBe(2);
      expect(ended.stderr.match(/\{day:String\} has no value/g)).toHaveLength(1);
      expect(ended.stderr).toContain('q00.sql, q01.sql, q02.sql and 77 more: {day:String} has no value');
      const json = await run('plan', 'u', '--json');
      expect(json.code).toBe(2);
      const { cannot_run } = JSON.parse(json.stdout) as Plan;
      expect(cannot_run).toHaveLength(80);
      expect(new Set(cannot_run.map(({ query }) => query)).size).toBe(80);
    });

    it('for a superfluous parameter: refused by the run, not complete in both audits', async () => {
      root = tree({ 'qrun.toml': '[parameters]\nspare = "1"\n', ...GOOD });
      const { code, audit } = await judged();
      expect(code).toBe(21);
      expect(audit.cannot_run).toEqual([{ query: null, problem: '--param spare: no query uses it' }]);
      expect(await unit('--skip-bad')).toMatchObject({ code: 2 });
    });
  });

  describe('a setup file that a run refuses', () => {
    const embedded = ['--engine', 'embedded'];
    const audits = () =>
      Promise.all([run('audit', 'u', '--json', ...embedded), run('audit-all', '.', '--json', ...embedded)]);

    it.each([
      ['with a placeholder', "SELECT '__SYMBOL__'", 'u/_setup.sql: unreplaced placeholder __SYMBOL__'],
      ['with a parameter that has no value', 'SELECT {day:Date}', 'u/_setup.sql: {day:Date} has no value'],
      ['with a string that is not closed', "SELECT 'a", 'u/_setup.sql: 1:8: the string'],
      ['that is not there', undefined, 'cannot read the setup file'],
    ])('%s leaves no audit complete, although every query is settled', async (_, sql, problem) => {
      root = tree({ 'qrun.toml': '', ...GOOD });
      expect(await unit(...embedded)).toMatchObject({ code: 0 });
      expect((await audits()).map(({ code }) => code)).toEqual([0, 0]);
      if (sql === undefined) symlinkSync('nothing', join(root, 'u/_setup.sql'));
      else put(root, 'u/_setup.sql', sql);
      expect((await unit(...embedded)).code).toBe(2);
      expect(await run('plan', 'u', ...embedded)).toMatchObject({ code: 2, stdout: '' });
      const plan = await run('plan', 'u', '--json', ...embedded);
      expect(plan.code).toBe(2);
      const [one, all] = await audits();
      expect([one.code, all.code]).toEqual([21, 21]);
      const report = JSON.parse(one.stdout) as AuditReport;
      expect(report).toMatchObject({ verdict: 'incomplete', missing: [], stale: [] });
      expect(report.cannot_run).toEqual([{ query: null, problem: expect.stringContaining(problem) }]);
      expect(JSON.parse(plan.stdout)).toMatchObject({ due: 0, cannot_run: report.cannot_run });
      expect(all.stdout).toContain('_setup.sql');
    });

    it('says nothing of a server, on which it is not to run', async () => {
      root = tree({ 'qrun.toml': '', ...GOOD, 'u/_setup.sql': "SELECT '__SYMBOL__'" });
      expect(await unit()).toMatchObject({ code: 0 });
      expect((await judged()).code).toBe(0);
    });
  });

  describe('a word that looks like a placeholder', () => {
    const PARTITION = "SELECT '__HIVE_DEFAULT_PARTITION__' AS p";

    it.each([
      ['--allow-placeholder', ['--allow-placeholder', '__HIVE_DEFAULT_PARTITION__'], ''],
      ['a list in qrun.toml', [], 'allow_placeholders = ["__HIVE_DEFAULT_PARTITION__"]\n'],
      ['a text in qrun.toml', [], 'allow_placeholders = "__HIVE_DEFAULT_PARTITION__"\n'],
    ])('is allowed by name, and no other: %s', async (_, flags, toml) => {
      root = tree({ 'qrun.toml': toml, 'u/a.sql': PARTITION });
      expect(await unit(...flags)).toMatchObject({ code: 0 });
      expect(await judged(...flags)).toMatchObject({ code: 0 });
      put(root, 'u/b.sql', "SELECT '__SYMBOL__' AS p");
      const { audit } = await judged(...flags);
      expect(audit.cannot_run).toEqual([{ query: 'b', problem: 'unreplaced placeholder __SYMBOL__' }]);
      expect(await unit(...flags)).toMatchObject({ code: 2 });
      // All of them, as before; it wins where both are given.
      expect(await unit(...flags, '--allow-placeholders')).toMatchObject({ code: 0 });
      expect(await judged(...flags, '--allow-placeholders')).toMatchObject({ code: 0 });
    });
  });

  describe('files without a statement', () => {
    it('are no queries: told by plan, run and audit, and counted by none', async () => {
      root = tree({
        'qrun.toml': '',
        'u/a.sql': 'SELECT 1 AS a',
        'u/later.sql': '-- SELECT 2;\n/* and more */ ;;\n',
        'u/header.sql': '-- qrun: rows=3\n',
        'u/nothing.sql': '',
      });
      const ended = await run('unit', 'u', '-q');
      expect(ended).toMatchObject({ code: 0 });
      expect(ended.stderr).toContain(
        '3 files without a statement left out: header.sql, later.sql, nothing.sql',
      );
      const { code, plan, audit, all } = await judged();
      expect(code).toBe(0);
      expect(plan.no_statement).toEqual(['header', 'later', 'nothing']);
      expect(audit).toMatchObject({ queries: 1, no_statement: ['header', 'later', 'nothing'] });
      expect(all.units[0]).toMatchObject({ queries: 1, verdict: 'complete' });
      expect((await run('audit', 'u')).stdout).toContain(
        'not queries, because they hold no statement: header.sql',
      );
      expect((await run('plan', 'u')).stdout).toContain('without a statement, so not queries: header.sql');
      const status = await run('status', '.', '--json');
      expect(JSON.parse(status.stdout).units[0]).toMatchObject({ state: 'complete', queries: 1, settled: 1 });
      // One that becomes a query is due at once.
      put(root, 'u/later.sql', 'SELECT 2 AS a');
      expect(await judged()).toMatchObject({ code: 21, plan: { due: 1 }, audit: { missing: ['later'] } });
    });

    it('alone are no unit', async () => {
      root = tree({ 'qrun.toml': '', 'u/a.sql': '-- a\n', 'u/b.sql': '\n' });
      for (const command of ['unit', 'plan', 'audit']) {
        const ended = await run(command, 'u');
        expect(ended, command).toMatchObject({ code: 2, stdout: '' });
        expect(ended.stderr).toContain('each of the 2 selected files is empty or holds only comments');
      }
    });
  });

  describe('the logs of shards', () => {
    const FILES = Object.fromEntries(
      Array.from({ length: 8 }, (_, n) => [`u/q${n}.sql`, `SELECT ${n} AS n`]),
    );
    const both = ['--log', 'a.ndjson', '--log', 'b.ndjson'];

    async function shards(): Promise<void> {
      root = tree({ 'qrun.toml': '', ...FILES });
      expect(await unit('--shard', '1/2', '--log', 'a.ndjson')).toMatchObject({ code: 0 });
      expect(await unit('--shard', '2/2', '--log', 'b.ndjson')).toMatchObject({ code: 0 });
    }
    const audit = async (...args: string[]) => {
      const ended = await run('audit', 'u', '--json', ...args);
      return { code: ended.code, report: JSON.parse(ended.stdout) as AuditReport };
    };

    it('are complete together, and each with its --shard', async () => {
      await shards();
      const { code, report } = await audit(...both);
      expect(code).toBe(0);
      expect(report).toMatchObject({ verdict: 'complete', queries: 8, found_lines: 8, total_lines: 8 });
      expect(report.logs.map(({ lines }) => lines).reduce((sum, lines) => (sum ?? 0) + (lines ?? 0), 0)).toBe(
        8,
      );
      expect((await audit('--log', 'a.ndjson')).code).toBe(21);
      for (const [shard, name] of [
        ['1/2', 'a.ndjson'],
        ['2/2', 'b.ndjson'],
      ] as const) {
        const one = await audit('--shard', shard, '--log', name);
        expect(one.code).toBe(0);
        expect(one.report.queries + one.report.left_out).toBe(8);
        expect(one.report.left_out).toBeGreaterThan(0);
      }
      expect((await audit('--shard', '1/2', '--log', 'b.ndjson')).code).toBe(21);
    });

    it('with a query in two of them are inconsistent, in whatever order they are named', async () => {
      await shards();
      expect(await unit('--include', 'q0', '--log', 'a.ndjson')).toMatchObject({ code: 0 });
      expect(await unit('--include', 'q0', '--log', 'b.ndjson')).toMatchObject({ code: 0 });
      for (const names of [
        ['a', 'b'],
        ['b', 'a'],
      ]) {
        const { code, report } = await audit(...names.flatMap(name => ['--log', `${name}.ndjson`]));
        expect(code).toBe(21);
        expect(report).toMatchObject({
          verdict: 'inconsistent',
          duplicate: [{ query: 'q0', times: 2, lines: 1 }],
        });
      }
    });

    it('are judged by the newest result of each query, wherever it stands', async () => {
      await shards();
      const where = readFileSync(join(root, 'a.ndjson'), 'utf8').includes('"query":"q0"') ? 'a' : 'b';
      const other = where === 'a' ? 'b' : 'a';
      // Another split: the query moves, with a new text.
      put(root, 'u/q0.sql', 'SELECT 100 AS n');
      expect(await audit(...both)).toMatchObject({ code: 21, report: { stale: ['q0'] } });
      expect(await unit('--include', 'q0', '--log', `${other}.ndjson`)).toMatchObject({ code: 0 });
      for (const names of [
        [where, other],
        [other, where],
      ]) {
        const { code, report } = await audit(...names.flatMap(name => ['--log', `${name}.ndjson`]));
        expect(code, JSON.stringify(report)).toBe(0);
        expect(report).toMatchObject({ superseded: { groups: 1, lines: 1 }, duplicate: [], stale: [] });
      }
    });

    it('of which one does not exist, or is named twice, are told', async () => {
      await shards();
      const gone = await audit('--log', 'a.ndjson', '--log', 'c.ndjson');
      expect(gone.code).toBe(21);
      expect(gone.report.logs).toContainEqual({ log: join(root, 'c.ndjson'), lines: null });
      symlinkSync('a.ndjson', join(root, 'same.ndjson'));
      const twice = await run('audit', 'u', '--log', 'a.ndjson', '--log', 'same.ndjson');
      expect(twice).toMatchObject({ code: 2, stdout: '' });
      expect(twice.stderr).toContain('are the same file');
    });
  });

  describe('a log with two names', () => {
    const FILES = { 'qrun.toml': '', 'u/a.sql': 'SELECT sleep(2) AS s', 'u/b.sql': 'SELECT 1 AS s' };

    it.each([
      ['a link to it', () => symlinkSync('real.ndjson', join(root, 'link.ndjson'))],
      [
        'a link to what is not there yet, through a linked directory',
        () => {
          rmSync(join(root, 'real.ndjson'));
          mkdirSync(join(root, 'logs'));
          symlinkSync('..', join(root, 'logs/up'));
          symlinkSync('logs/up/real.ndjson', join(root, 'link.ndjson'));
        },
      ],
      ['another way to the same directory', () => symlinkSync('.', join(root, 'here'))],
    ])('by %s has one lease and one lock', async (title, link) => {
      root = tree({ ...FILES, 'real.ndjson': '' });
      link();
      const name = title.startsWith('another') ? 'here/real.ndjson' : 'link.ndjson';
      const first = watchQrun(['unit', 'u', '-q', '--log', 'real.ndjson'], start());
      await first.event(({ type }) => type === 'query_started');
      const second = await unit('--log', name);
      expect(second).toMatchObject({ code: 22 });
      expect(await first.end()).toMatchObject({ code: 0 });
      const files = readdirSync(root);
      expect(files.filter(file => file.endsWith('.lock') || file.endsWith('.lease')).sort()).toEqual([
        'real.ndjson.lease',
        'real.ndjson.lock',
      ]);
      expect(await unit('--log', name)).toMatchObject({ code: 0 });
      expect(await run('audit', 'u', '--log', name)).toMatchObject({ code: 0 });
      expect(records(readFileSync(join(root, 'real.ndjson')))).toHaveLength(2);
    });

    it('as a hard link is refused', async () => {
      root = tree({ ...FILES, 'u/a.sql': 'SELECT 2 AS s' });
      expect(await unit('--log', 'real.ndjson')).toMatchObject({ code: 0 });
      linkSync(join(root, 'real.ndjson'), join(root, 'hard.ndjson'));
      put(root, 'u/c.sql', 'SELECT 3 AS s');
      for (const name of ['real.ndjson', 'hard.ndjson']) {
        const ended = await unit('--log', name);
        expect(ended).toMatchObject({ code: 23, stdout: '' });
        expect(ended.stderr).toContain('2 names (hard links)');
      }
      expect(await run('audit', 'u', '--log', 'real.ndjson')).toMatchObject({ code: 21 });
    });

    it('in a sweep: the log that another disk holds is found by audit, status and plan', async () => {
      root = tree({ 'qrun.toml': '', 'u/a.sql': 'SELECT 1 AS a', 'disk/.keep': '' });
      expect(await unit()).toMatchObject({ code: 0 });
      renameSync(join(root, 'results'), join(root, 'disk/results'));
      symlinkSync('disk/results', join(root, 'results'));
      expect(await judged()).toMatchObject({ code: 0 });
      const status = await run('status', '.', '--json');
      expect(JSON.parse(status.stdout).units[0]).toMatchObject({ state: 'complete' });
    });
  });

  describe('the report of a sweep', () => {
    const report = () =>
      JSON.parse(
        readFileSync(
          join(
            root,
            'results',
            readdirSync(join(root, 'results')).find(name => name.endsWith('.audit.json')) as string,
          ),
          'utf8',
        ),
      ) as { verdict: string; units: readonly { unit: string; verdict: string }[] };
    const verdicts = () => Object.fromEntries(report().units.map(({ unit: id, verdict }) => [id, verdict]));

    it('keeps what is known of the units that a later audit is not about', async () => {
      root = tree({
        'qrun.toml': '',
        'x/one/a.sql': 'SELECT 1 AS a',
        'x/two/a.sql': 'SELECT 1 AS a',
        'y/a.sql': 'SELECT 1 AS a',
      });
      for (const id of ['x/one', 'y']) expect(await run('unit', id, '-q')).toMatchObject({ code: 0 });
      expect(await run('audit-all', '.')).toMatchObject({ code: 21 });
      const all = { 'x/one': 'complete', 'x/two': 'incomplete', y: 'complete' };
      expect(verdicts()).toEqual(all);
      // By a glob, by a glob that leaves out, and by a directory.
      for (const part of [['.', '--include', 'y'], ['.', '--exclude', 'x/two'], ['y']]) {
        const ended = await run('audit-all', ...part);
        expect(ended, part.join(' ')).toMatchObject({ code: 0 });
        expect(verdicts()).toEqual(all);
        expect(report().verdict).toBe('incomplete');
      }
      const status = async (...args: string[]) =>
        JSON.parse((await run('status', '.', '--json', ...args)).stdout).audit;
      expect(await status()).toMatchObject({ state: 'done', verdict: 'incomplete' });
      expect(await status('--include', 'y')).toMatchObject({ state: 'done', verdict: 'complete' });
      // A part that was audited anew is known anew, and a unit that is gone is forgotten by who looks for it.
      expect(await run('unit', 'x/two', '-q')).toMatchObject({ code: 0 });
      expect(await status()).toMatchObject({ state: 'none' });
      expect(await run('audit-all', '.', '--include', 'x/two')).toMatchObject({ code: 0 });
      expect(report().verdict).toBe('complete');
      rmSync(join(root, 'x/one'), { recursive: true });
      expect(await run('audit-all', 'x')).toMatchObject({ code: 0 });
      expect(verdicts()).toEqual({ 'x/two': 'complete', y: 'complete' });
    });
  });

  it('the command line of a run is taken by plan and audit, which resolve the same from it', async () => {
    root = tree({
      'qrun.toml': '',
      'u/a.sql': 'SELECT {p:UInt8} AS a'.replace('{p:UInt8}', '1'),
      'u/b.sql': 'SELECT 2 AS a',
    });
    const args = [
      ...['-P4', '--timeout', '30s', '--retries', '1', '--max-outage', '1m', '--halt', 'errors=5'],
      ...['--engine', 'clickhouse', '--url', server.url, '--set', 'join_use_nulls=1', '--rerun', 'errors'],
      ...[
        '--include',
        'a',
        '--shuffle',
        'x',
        '--rows-per-query',
        '1',
        '--quiet',
        '--events',
        'events.ndjson',
      ],
    ];
    expect(await qrun(['unit', 'u', ...args], start())).toMatchObject({ code: 0 });
    expect(await qrun(['audit', 'u', ...args], { cwd: root })).toMatchObject({ code: 0 });
    const plan = await qrun(['plan', 'u', ...args, '--json'], { cwd: root });
    expect(JSON.parse(plan.stdout)).toMatchObject({ due: 0 });
    const refused = await qrun(['audit', 'u', '--password', 'hush'], { cwd: root });
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).not.toContain('hush');
  });
});
