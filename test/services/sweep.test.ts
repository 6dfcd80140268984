import { existsSync, readdirSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { put, qrun, records, tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { quick, slow, TestSweep, until } from './sweep-harness.js';

const AVAILABLE = pueueAvailable() && clickHouseServerAvailable() && process.env.QRUN_TEST_URL === undefined;

describe.skipIf(!AVAILABLE && !servicesRequired())('a sweep, on a real pueue and a real server', () => {
  let server: ClickHouseServer;
  let daemon: PueueDaemon;
  beforeAll(async () => {
    [server, daemon] = await Promise.all([startClickHouseServer(), startPueueDaemon()]);
  });
  afterAll(async () => {
    await daemon.stop();
    await server.stop();
  });

  const sweep = (
    name: string,
    files: Record<string, string>,
    options?: { toml?: string; settings?: string },
  ) => new TestSweep(name, daemon, server, files, options);

  it('runs every unit, audits them, and then the commands of --then, in a directory that pueue was told', async () => {
    const all = sweep('whole', {
      ...quick('a/x', 3),
      ...quick('a/y', 2),
      ...quick('b', 1),
      'b/_x.sql': 'no',
    });
    const first = await all.submitted(
      '--parallel',
      '2',
      '--then',
      'pwd > first.txt',
      '--then',
      'cat first.txt > second.txt',
    );
    expect(first).toMatchObject({
      submitted: ['a/x', 'a/y', 'b'],
      queued: [],
      running: [],
      audit: 'submitted',
    });
    const audit = await all.ended();
    expect(audit.end).toEqual({ kind: 'success' });
    expect(readFileSync(join(all.root, 'second.txt'), 'utf8')).toBe(`${all.root}\n`);
    const report = JSON.parse(readFileSync(join(all.root, 'results', 'whole.audit.json'), 'utf8'));
    expect(report).toMatchObject({ sweep: 'whole', verdict: 'complete' });
    expect(
      report.units.map(({ unit, expected_lines, found_lines }: Record<string, unknown>) => [
        unit,
        expected_lines,
        found_lines,
      ]),
    ).toEqual([
      ['a/x', 3, 3],
      ['a/y', 2, 2],
      ['b', 1, 1],
    ]);
    const status = await all.status();
    expect(status.units.map(({ state }) => state)).toEqual(['complete', 'complete', 'complete']);
    expect(status.audit).toMatchObject({ state: 'done', verdict: 'complete' });
    const shown = await all.qrun('status', '.');
    expect(shown.stdout).toMatch(/6 of 6 queries {3}6 of 6 lines/);
    expect(shown.stdout).toContain('audit: complete');
    // Everything is there: nothing is added, not even an audit.
    const again = await all.submitted();
    expect(again).toMatchObject({ submitted: [], complete: ['a/x', 'a/y', 'b'], audit: 'not due' });
    put(all.root, 'b/new.sql', 'SELECT 1');
    expect(await all.submitted()).toMatchObject({ submitted: ['b'], complete: ['a/x', 'a/y'] });
    expect((await all.ended()).end).toEqual({ kind: 'success' });
  });

  it('keeps the password out of the state of pueue, of its files and of the command lines', async () => {
    const all = sweep('secret', quick('u', 2));
    await all.submitted();
    await all.ended();
    const secret = server.second.password;
    expect((await all.status()).units[0]).toMatchObject({ state: 'complete', settled: 2 });
    expect(daemon.savedState()).not.toContain(secret.slice(0, 6));
    const jobs = join(all.root, '.qrun', 'jobs');
    for (const file of readdirSync(jobs))
      expect(readFileSync(join(jobs, file), 'utf8')).not.toContain(secret.slice(0, 6));
  });

  it('refuses a password that only the environment of the submitter has, because jobs would not find it', async () => {
    const all = sweep('lost', quick('u', 1));
    put(all.root, '.env', '');
    const { code, stderr } = await qrun(['submit-all', '.'], {
      cwd: all.root,
      env: { ...daemon.env, CLICKHOUSE_PASSWORD: server.second.password },
    });
    expect(code).toBe(2);
    expect(stderr).toContain('the tasks could not find the password');
    expect(stderr).not.toContain(server.second.password);
    expect(await all.tasks()).toEqual([]);
  });

  it('submits nothing when one unit cannot run, and says what is wrong in all of them', async () => {
    const all = sweep('bad', {
      ...quick('a', 1),
      'b/x.sql': "SELECT 'open",
      'c/y.sql': 'SELECT __HOLE__',
      'd/z.sql': 'SELECT {p:UInt8}',
    });
    const { code, stderr } = await all.submit();
    expect(code).toBe(2);
    expect(stderr).toContain('3 of 4 units cannot run; nothing was submitted');
    for (const part of [
      'b: x.sql:',
      'c: y.sql: unreplaced placeholder __HOLE__',
      'd: z.sql: {p:UInt8} has no value',
    ]) {
      expect(stderr).toContain(part);
    }
    expect(await all.tasks()).toEqual([]);
  });

  it('leaves out what cannot run with --skip-bad, says so, and its jobs and its audit know it', async () => {
    const all = sweep('partly', {
      ...quick('a', 1),
      ...quick('b', 1),
      'b/x.sql': "SELECT 'open",
      'c/y.sql': 'SELECT __HOLE__',
      'd/later.sql': '-- nothing yet',
    });
    const submission = await all.submit('--json', '--skip-bad');
    expect(submission).toMatchObject({ code: 0 });
    expect(JSON.parse(submission.stdout)).toMatchObject({
      submitted: ['a', 'b'],
      complete: [],
      cannot_run: [
        { unit: 'b', queries: 1, problem: null },
        { unit: 'c', queries: 0, problem: expect.stringContaining('__HOLE__') },
        { unit: 'd', queries: 0, problem: expect.stringContaining('holds no query') },
      ],
    });
    expect((await all.ended()).end).toEqual({ kind: 'failed', exitCode: 21 });
    expect((await all.task('a')).end).toEqual({ kind: 'success' });
    expect((await all.task('b')).end).toEqual({ kind: 'failed', exitCode: 20 });
    const text = await all.submit('--dry-run', '--skip-bad');
    expect(text.stdout).toMatch(/complete\s+1\n/);
    expect(text.stdout).toContain('cannot run  b: 1 query left out');
    // Mended, they are due; what was done is not.
    put(all.root, 'b/x.sql', 'SELECT 1 AS n');
    put(all.root, 'c/y.sql', 'SELECT 1 AS n');
    put(all.root, 'd/later.sql', 'SELECT 1 AS n');
    expect(await all.submitted()).toMatchObject({ submitted: ['b', 'c', 'd'], complete: ['a'] });
    expect((await all.ended()).end).toEqual({ kind: 'success' });
  });

  it('asks the server before it submits anything', async () => {
    const all = sweep('away', quick('u', 1));
    const { code, stderr } = await all.submit('--url', 'http://127.0.0.1:1');
    expect(code, stderr).toBe(24);
    expect(await all.tasks()).toEqual([]);
  });

  it('makes a unit of each directory, epoch and combination, with all of it in label and log', async () => {
    const toml = [
      'units = ["2*"]',
      'epochs = [{from = 1, to = 2}, {from = 3, to = 4}]',
      'matrix = {threshold = [250, 500]}',
    ].join('\n');
    const files = { '2up/q.sql': 'SELECT __FROM__;', '3up/q.sql': 'SELECT 1' };
    const all = sweep('matrix', files, { toml });
    // The old server knows no parameters, which the jobs say themselves; the names are what counts here.
    put(all.root, '2up/q.sql', 'SELECT {from:UInt8}, {to:UInt8}, {threshold:UInt16}');
    const names = [
      '1,threshold=250,to=2',
      '1,threshold=500,to=2',
      '3,threshold=250,to=4',
      '3,threshold=500,to=4',
    ].map(rest => `2up@from=${rest}`);
    expect((await all.submitted()).submitted).toEqual(names);
    await all.ended();
    const status = await all.status();
    expect(status.units.map(({ unit }) => unit)).toEqual(names);
    for (const name of names) {
      const task = await all.task(name);
      expect(task.end).toEqual({ kind: 'failed', exitCode: 2 });
      expect(daemon.taskLog(task.id)).toContain('does not know {name:Type} parameters');
      expect(existsSync(join(all.root, 'results', `${name}.ndjson.lease`))).toBe(true);
    }
    expect(status.units.every(({ state, note }) => state === 'failed' && note === 'configuration (2)')).toBe(
      true,
    );
  });

  it('chooses units by their ids, and the audit then judges just those', async () => {
    const all = sweep('chosen', { ...quick('a/x', 1), ...quick('a/y', 1), ...quick('b/x', 1) });
    expect((await all.submitted('--include', 'a/*', '--exclude', 'y')).submitted).toEqual(['a/x']);
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    expect((await all.qrun('audit-all', '.')).code).toBe(21);
    expect((await all.qrun('audit-all', '.', '--include', 'a/x')).code).toBe(0);
  });

  it('queues with a delay, shows that, and changes nothing with --dry-run', async () => {
    const all = sweep('later', quick('u', 1));
    const dry = await all.submit('--dry-run');
    expect(dry.stdout).toMatch(/to submit\s+1\s+1/);
    expect(await all.tasks()).toEqual([]);
    await all.submitted('--delay', '3600');
    expect((await all.tasks()).map(({ phase }) => phase)).toEqual(['delayed', 'delayed']);
    expect((await all.status()).units[0]?.state).toBe('delayed');
    expect(await all.submitted()).toMatchObject({ submitted: [], queued: ['u'], audit: 'waiting' });
  });

  it('skips a unit that runs outside pueue, and says who has it', async () => {
    const all = sweep('beside', { ...slow('u', 3), ...quick('v', 1) });
    const own = all.qrun('unit', 'u', '-P1');
    await until('the unit to run', async () =>
      (await all.status()).units[0]?.state === 'running' ? true : undefined,
    );
    expect((await all.status()).units[0]?.note).toMatch(/^outside the queue: pid \d+ on /);
    expect(await all.submitted()).toMatchObject({ submitted: ['v'], elsewhere: ['u'] });
    expect((await own).code).toBe(0);
    // The audit waited for it.
    expect((await all.ended()).end).toEqual({ kind: 'success' });
  });

  it('takes as many slots as the machine has room for, with --parallel auto and a memory cap', async () => {
    const all = sweep('sized', quick('u', 1));
    const { code, stdout, stderr } = await all.submit(
      '--parallel',
      'auto',
      '--memory-max',
      '1000T',
      '--dry-run',
      '--json',
    );
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ slots: 1 });
    expect(stderr).toMatch(
      /^--parallel auto: 1 = min\(.* x 0\.8 \/ 1000T = 0, .* x 0\.8 \/ .*\), at least 1$/m,
    );
    expect((await all.submit('--parallel', '0')).code).toBe(2);
  });

  it('refuses a second sweep of the same name in another directory', async () => {
    const one = sweep('namesake', quick('u', 1));
    await one.submitted('--delay', '3600');
    const two = sweep('namesake', quick('u', 1));
    const { code, stderr } = await two.submit();
    expect(code).toBe(2);
    expect(stderr).toContain(`another sweep is also called namesake: ${one.root}`);
  });

  it('says how a paused group is started, and starts it when asked to', async () => {
    const all = sweep('held', quick('u', 1));
    await daemon.pueue('group', 'add', all.group);
    await daemon.pueue('pause', '--group', all.group);
    const { stdout } = await all.submit();
    expect(stdout).toContain(`the group is paused: pueue start --group=${all.group}`);
    expect((await all.status()).paused_groups).toEqual([all.group]);
    expect((await all.qrun('status', '.')).stdout).toContain(`pueue start --group=${all.group}`);
    await all.submitted('--resume-group');
    expect((await all.ended()).end).toEqual({ kind: 'success' });
  });

  it('judges what was submitted: a unit that is gone or spoilt since is missing, and hides no other', async () => {
    const all = sweep('gone', { ...quick('a', 1), ...quick('b', 1), ...quick('c', 1) });
    await daemon.pueue('group', 'add', all.group);
    await daemon.pueue('pause', '--group', all.group);
    await all.submitted('--then', 'touch never');
    renameSync(join(all.root, 'b'), join(all.root, '_b'));
    put(all.root, 'c/q0.sql', "SELECT 1 INTO OUTFILE 'x'");
    put(all.root, 'd/new.sql', 'SELECT 1');
    await daemon.pueue('start', '--group', all.group);
    const audit = await all.ended();
    expect(audit.end).toEqual({ kind: 'failed', exitCode: 21 });
    const report = JSON.parse(readFileSync(join(all.root, 'results', 'gone.audit.json'), 'utf8')) as {
      units: { unit: string; verdict: string; problem?: string }[];
    };
    expect(report.units.map(({ unit, verdict }) => [unit, verdict])).toEqual([
      ['a', 'complete'],
      ['b', 'incomplete'],
      ['c', 'incomplete'],
    ]);
    expect(report.units[1]?.problem).toBe('its directory is gone');
    expect(report.units[2]?.problem).toContain('INTO OUTFILE');
    expect(existsSync(join(all.root, 'never'))).toBe(false);
  });

  it('does not take results of other settings for complete', async () => {
    const all = sweep('settings', quick('u', 1));
    await all.submitted();
    await all.ended();
    expect((await all.qrun('audit-all', '.')).code).toBe(0);
    const changed = await all.qrun('audit-all', '.', '--set', 'max_rows_to_read=1000');
    expect(changed.code).toBe(21);
    expect(changed.stdout).toMatch(/u\s+incomplete\s+0\s+0\s+1/);
    expect(await all.submitted('--dry-run', '--set', 'max_rows_to_read=1000')).toMatchObject({
      submitted: ['u'],
    });
  });

  it('waits for the sweep when it is asked to by hand, and submits nothing for it', async () => {
    const all = sweep('byhand', slow('u', 2, 1));
    await all.submitted('-P', '1');
    const { code, stdout } = await all.qrun('audit-all', '.', '--when-ended');
    expect(code).toBe(0);
    expect(stdout).toContain('complete: every query');
    expect((await all.tasks()).filter(({ label }) => label.endsWith('#audit'))).toHaveLength(1);
  });

  it('runs the commands of --then once behind units that two submissions shared', async () => {
    const all = sweep('once', { ...slow('a', 3), ...quick('b', 1) });
    const options = ['--parallel', '3', '-P', '1', '--then', 'echo ran >> then.txt'];
    await all.submitted(...options);
    await all.running('#audit');
    await until('b to be done', async () => ((await all.task('b')).phase === 'done' ? true : undefined));
    put(all.root, 'b/q0.sql', 'SELECT 2 AS n');
    expect(await all.submitted(...options)).toMatchObject({ submitted: ['b'], audit: 'submitted' });
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    expect(readFileSync(join(all.root, 'then.txt'), 'utf8')).toBe('ran\n');
  });

  it('prepares nothing on the server in a dry run', async () => {
    const all = sweep('dry', {
      ...quick('u', 1),
      '_setup.sql': 'CREATE TABLE dry_run_made_this (x UInt8) ENGINE = Memory',
    });
    expect((await all.submit('--setup', '--dry-run')).code).toBe(0);
    expect((await all.submit('--setup', '--delay', '3600')).stderr).toContain('setup  _setup.sql');
    // A second time it would fail, had the dry run made it.
    const again = await all.submit('--setup', '--delay', '3600');
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('_setup.sql failed');
  });

  it.each([
    ['a password in the URL', 'url = "http://u:s3cr3t@127.0.0.1:1"', 'holds a password'],
    [
      'a priority that pueue does not take',
      '[sweep]\npriority = 3000000000',
      'sweep.priority: must be a whole number',
    ],
  ])('refuses %s before anything is written', async (_what, toml, message) => {
    const all = sweep('refused', quick('u', 1));
    put(all.root, 'qrun.toml', toml);
    const { code, stderr } = await all.submit('--delay', '3600');
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('s3cr3t');
    expect(existsSync(join(all.root, '.qrun', 'jobs'))).toBe(false);
  });

  it('refuses a log that a run would refuse', async () => {
    const all = sweep('damaged', { ...quick('u', 1), ...quick('v', 1) });
    put(all.root, 'results/u.ndjson', 'no json\n{"also":"foreign"}\n');
    const { code, stderr } = await all.submit();
    expect(code).toBe(23);
    expect(stderr).toContain('results/u.ndjson is damaged: the line at byte 0');
    expect(await all.tasks()).toEqual([]);
  });

  it('takes links for what they lead to, and none in a circle', async () => {
    const all = sweep('links', quick('real', 1));
    symlinkSync('real', join(all.root, 'alias'));
    symlinkSync('loop', join(all.root, 'loop'));
    symlinkSync('..', join(all.root, 'real', 'up'));
    expect(await all.submitted('--dry-run')).toMatchObject({ submitted: ['alias', 'real'] });
    const outside = tree({});
    symlinkSync(all.root, join(outside, 'way'));
    const through = await qrun(['submit-all', 'way', '--dry-run', '--json'], {
      cwd: outside,
      env: { ...daemon.env },
    });
    expect(JSON.parse(through.stdout), through.stderr).toMatchObject({
      sweep: 'links',
      submitted: ['alias', 'real'],
    });
  });

  it('records the same as one qrun for each unit, each result once', async () => {
    const all = sweep('same', { ...quick('a', 20), ...quick('b', 20) });
    await all.submitted('--parallel', '2', '-P', '4');
    await all.ended();
    for (const unit of ['a', 'b']) {
      const lines = records(readFileSync(join(all.root, 'results', `${unit}.ndjson`)));
      expect(lines.map(({ row }) => (row as { n: number }).n).sort((x, y) => x - y)).toEqual(
        Array.from({ length: 20 }, (_, n) => n),
      );
    }
  });
});
