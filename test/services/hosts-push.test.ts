import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PushedHost, PushReport } from '../../src/core/hosts/push.js';
import { takeLease } from '../../src/io/log/lease.js';
import { type Ended, put, qrun, removeTree, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';

// Each test runs several processes on hosts of its own, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe.skipIf(!sshHostsAvailable())('qrun hosts push, to two real hosts', () => {
  let all: SshHosts;
  let count = 0;
  const roots: string[] = [];

  beforeAll(async () => {
    all = await startSshHosts('alpha', 'beta');
  });
  afterAll(async () => {
    await all?.stop();
  });
  afterEach(() => {
    for (const root of roots.splice(0)) removeTree(root);
  });

  const [ALPHA, BETA] = [0, 1] as const;
  const hostAt = (index: number): SshHost => all.hosts[index] as SshHost;

  interface OwnTree {
    /** Here. */
    readonly root: string;
    /** The root on a host, or a path in it. */
    at(host: number, path?: string): string;
  }

  /** A sweep with a root of its own on each host. */
  function sweepOf(files: Readonly<Record<string, string>>, toml = ''): OwnTree {
    count += 1;
    const name = `sweep ${count}`;
    const root = tree(files);
    roots.push(root);
    put(root, 'qrun.toml', `${toml}\n${all.toml(host => join(host.directory, name))}`);
    return { root, at: (host, path = '') => join(hostAt(host).directory, name, path) };
  }

  const run = async (root: string, ...args: readonly string[]): Promise<Ended> =>
    await qrun(['hosts', 'push', '--trust', ...args], { cwd: root, env: { ...all.env } });

  async function pushed(
    root: string,
    ...args: readonly string[]
  ): Promise<PushReport & { readonly alpha: PushedHost; readonly beta: PushedHost }> {
    const { stdout, stderr, code } = await run(root, '--json', ...args);
    expect(stderr).toBe('');
    const report = JSON.parse(stdout) as PushReport;
    expect(faultsOf('hosts-push', report)).toBe('');
    expect(report.exit_code).toBe(code);
    const [alpha, beta = alpha] = report.hosts;
    return { ...report, alpha: alpha as PushedHost, beta: beta as PushedHost };
  }

  const fileList = (directory: string): string[] =>
    (readdirSync(directory, { recursive: true }) as string[])
      .filter(path => !statSync(join(directory, path)).isDirectory())
      .sort();

  const ODD = ['-rf.sql', 'a b.sql', 'é✓.sql', 'line\nend.sql', "it's [x]*?.sql", '$(id).sql', '\\x.sql'];
  const FILES = {
    ...Object.fromEntries(ODD.map(name => [`2down/odd [*] é/${name}`, 'SELECT 1'])),
    '2down/u/a.sql': 'SELECT 1',
    '2down/u/_setup.sql': 'CREATE TABLE t (x Int8) ENGINE = Memory',
    '2down/_setup.sql': 'SELECT 2',
    '_setup.sql': 'SELECT 3',
  };
  const KEPT_HERE = {
    '.env': 'CLICKHOUSE_PASSWORD=hunter2',
    'results/u.ndjson': '',
    '2down/u/.hidden.sql': 'SELECT 1',
    '2down/u/id_ed25519': 'secret',
    '2down/u/_old/b.sql': 'SELECT 1',
    'pw.txt': 'hunter2',
    'README.md': 'x',
  };

  it('sends the SQL of the units, the setup files and qrun.toml to all, and nothing else', async () => {
    const { root, at } = sweepOf({ ...FILES, ...KEPT_HERE }, 'password_file = "pw.txt"');
    const dry = await pushed(root, '--dry-run');
    const count = Object.keys(FILES).length + 1;
    expect([dry.exit_code, dry.alpha.sent.files, dry.alpha.changes.length]).toEqual([0, count, count]);
    expect(existsSync(at(ALPHA))).toBe(false);
    const before = all.hosts.map(host => host.logins());
    const { alpha, beta, units, exit_code: code } = await pushed(root);
    expect(code).toBe(0);
    expect(units).toBe(2);
    expect(all.hosts.map((host, n) => host.logins() - (before[n] ?? 0))).toEqual([1, 1]);
    const sent = [...Object.keys(FILES), 'qrun.toml'].sort();
    for (const [index, host] of [alpha, beta].entries()) {
      expect(fileList(at(index))).toEqual(sent);
      expect(host).toMatchObject({ reached: true, units: 2, removed: 0, left_out: [], problem: null });
      expect(host.sent.files).toBe(sent.length);
    }
    // The second time there is nothing to do.
    const again = await pushed(root);
    expect([again.alpha.sent, again.beta.sent]).toEqual([
      { files: 0, bytes: 0 },
      { files: 0, bytes: 0 },
    ]);
    expect((await run(root)).stdout).toMatch(/the sweep is on 2 hosts\n {2}next: qrun submit-all \.\n$/);
  });

  it('notices a change of the same length in the same second; at the same time in what decides, and with --checksum', async () => {
    const { root, at } = sweepOf({
      'u/a.sql': 'SELECT 1',
      'u/_setup.sql': 'SET a=1',
      '_setup.sql': 'SET a=1',
    });
    const write = (path: string, text: string, nanoseconds: number): void => {
      put(root, path, text);
      utimesSync(join(root, path), 1_700_000_000, 1_700_000_000 + nanoseconds / 1e9);
    };
    const all3 = (text: string, setup: string, nanoseconds: number): void => {
      write('u/a.sql', text, nanoseconds);
      for (const path of ['u/_setup.sql', '_setup.sql']) write(path, setup, nanoseconds);
    };
    all3('SELECT 1', 'SET a=1', 1e8);
    await pushed(root);
    all3('SELECT 2', 'SET a=1', 2e8);
    expect((await pushed(root)).alpha.sent.files).toBe(1);
    expect(readFileSync(at(ALPHA, 'u/a.sql'), 'utf8')).toBe('SELECT 2');
    all3('SELECT 3', 'SET a=2', 2e8);
    expect((await pushed(root, '--dry-run')).alpha.changes).toEqual(['send _setup.sql', 'send u/_setup.sql']);
    expect((await pushed(root)).alpha.sent.files).toBe(2);
    expect(readFileSync(at(ALPHA, 'u/_setup.sql'), 'utf8')).toBe('SET a=2');
    expect((await pushed(root, '--checksum')).alpha.sent.files).toBe(1);
    expect(readFileSync(at(BETA, 'u/a.sql'), 'utf8')).toBe('SELECT 3');
  });

  it('removes SQL that is not here any more, also of units that are gone, and nothing else there', async () => {
    const { root, at } = sweepOf({
      'u/a.sql': 'SELECT 1',
      'u/b.sql': 'SELECT 1',
      'gone/x/a.sql': 'SELECT 1',
      'gone/_setup.sql': 'SELECT 1',
      'leaf/a.sql': 'SELECT 1',
      'deep/x/a.sql': 'SELECT 1',
      '_setup.sql': 'SELECT 1',
    });
    await pushed(root);
    const there = {
      'u/data.csv': 'x',
      'u/.env': 'x',
      'results/u.ndjson': '',
      '.env': 'x',
      '.qrun/jobs/1.json': '{}',
      'gone/x/keep.txt': 'x',
      'mine/notes.txt': 'x',
      'run.sh': 'x',
    };
    for (const [path, content] of Object.entries(there)) put(at(ALPHA), path, content);
    for (const path of ['u/b.sql', 'gone', '_setup.sql', 'leaf/a.sql', 'deep']) {
      rmSync(join(root, path), { recursive: true });
    }
    // A unit has become a directory of units, and the other way round.
    put(root, 'leaf/x/a.sql', 'SELECT 1');
    put(root, 'deep/a.sql', 'SELECT 1');

    const dry = await pushed(root, '--dry-run');
    expect([...dry.alpha.changes].sort()).toEqual(
      [
        ...['_setup.sql', 'deep/x/a.sql', 'gone/_setup.sql', 'gone/x/a.sql', 'leaf/a.sql', 'u/b.sql'].map(
          path => `remove ${path}`,
        ),
        ...['deep/a.sql', 'leaf/x/a.sql'].map(path => `send ${path}`),
      ].sort(),
    );
    expect(existsSync(at(ALPHA, 'u/b.sql'))).toBe(true);
    expect(existsSync(at(ALPHA, 'leaf/x'))).toBe(false);

    const { alpha, exit_code: code } = await pushed(root);
    expect([code, alpha.removed, alpha.sent.files]).toEqual([0, 6, 2]);
    expect(fileList(at(ALPHA))).toEqual(
      [...Object.keys(there), 'qrun.toml', 'u/a.sql', 'leaf/x/a.sql', 'deep/a.sql'].sort(),
    );
    expect(fileList(at(BETA))).toEqual(['deep/a.sql', 'leaf/x/a.sql', 'qrun.toml', 'u/a.sql']);
  });

  it('leaves out a unit that runs there, and sends the others', async () => {
    const { root, at } = sweepOf({ 'slow/a.sql': 'SELECT 1', 'u/a.sql': 'SELECT 1' });
    await pushed(root);
    mkdirSync(at(ALPHA, 'results'));
    const owner = { pid: process.pid, host: 'alpha', run: 'r', since: '2026-01-31T12:00:00.000Z' };
    const lease = await takeLease(at(ALPHA, 'results/slow.ndjson'), 'slow', owner);
    for (const unit of ['slow', 'u']) put(root, `${unit}/a.sql`, 'SELECT 2222');
    rmSync(join(root, 'slow'), { recursive: true });
    put(root, 'slow/b.sql', 'SELECT 2222');
    const { alpha, beta, exit_code: code } = await pushed(root);
    expect(code).toBe(22);
    expect(alpha.left_out).toEqual([
      { unit: 'slow', state: 'running', holder: expect.stringContaining(String(process.pid)) },
    ]);
    expect([alpha.units, beta.units, beta.left_out]).toEqual([1, 2, []]);
    expect(readdirSync(at(ALPHA, 'slow'))).toEqual(['a.sql']);
    expect(readFileSync(at(ALPHA, 'u/a.sql'), 'utf8')).toBe('SELECT 2222');
    expect(readdirSync(at(BETA, 'slow'))).toEqual(['b.sql']);
    expect((await run(root)).stdout).toMatch(/alpha {2}slow is running there \(.*\): left out\n/);
    lease.release();
    expect((await pushed(root)).exit_code).toBe(0);
    expect(readdirSync(at(ALPHA, 'slow'))).toEqual(['b.sql']);
  });

  it('leaves out a unit that is queued there, whatever the sweep is called there', async ({ skip }) => {
    if (!hostAt(ALPHA).hasQueue) skip('pueue is not installed');
    const { root, at } = sweepOf({ 'u/a.sql': 'SELECT 1', 'v/a.sql': 'SELECT 1', 'w/a.sql': 'SELECT 1' });
    await pushed(root);
    const { sweep } = await pushed(root, '--dry-run');
    const add = async (label: string): Promise<string> =>
      await hostAt(ALPHA).here(
        'pueue',
        'add',
        '--print-task-id',
        '--stashed',
        `--label=${label}`,
        '--',
        'true',
      );
    const ids = [
      await add(`qrun:${sweep}:u@k=1`),
      await add(`qrun:${at(ALPHA).split('/').pop()?.replace(' ', '-')}:v`),
      await add('qrun:other:w'),
      await add(`qrun:${sweep}:#audit`),
    ];
    for (const unit of ['u', 'v', 'w']) put(root, `${unit}/b.sql`, 'SELECT 1');
    rmSync(join(root, 'v'), { recursive: true });
    const { alpha, beta, exit_code: code } = await pushed(root);
    await hostAt(ALPHA).here('pueue', 'remove', ...ids);
    expect(code).toBe(22);
    expect(alpha.left_out).toEqual([
      { unit: 'u', state: 'queued', holder: null },
      { unit: 'v', state: 'queued', holder: null },
    ]);
    expect(beta.left_out).toEqual([]);
    expect(readdirSync(at(ALPHA, 'u'))).toEqual(['a.sql']);
    expect(readdirSync(at(ALPHA, 'v'))).toEqual(['a.sql']);
    expect(readdirSync(at(ALPHA, 'w'))).toEqual(['a.sql', 'b.sql']);
    expect((await pushed(root)).exit_code).toBe(0);
  });

  it('follows links as a run does: what they hold is there, and what leaves the tree is not', async () => {
    const outside = tree({ 'secret.sql': 'SELECT 42' });
    roots.push(outside);
    const { root, at } = sweepOf({
      'u/a.sql': 'SELECT 1',
      'shared/x.sql': 'SELECT 7',
      '.git/config': 'token',
    });
    const toml = readFileSync(join(root, 'qrun.toml'), 'utf8');
    put(root, 'qrun.toml', `${toml}\n[sweep]\nunits = ["u"]\n`);
    symlinkSync('../shared/x.sql', join(root, 'u/inside.sql'));
    symlinkSync(join(outside, 'secret.sql'), join(root, 'u/outside.sql'));
    symlinkSync('../.git/config', join(root, 'u/token.sql'));
    symlinkSync('nowhere', join(root, 'u/nowhere.sql'));
    symlinkSync('.', join(root, 'u/circle'));
    symlinkSync('../shared', join(root, 'u/more'));
    // Was a file before.
    put(at(ALPHA), 'u/outside.sql', 'SELECT 1');
    put(at(ALPHA), 'qrun.toml', '');
    const { alpha, refused_links: refused } = await pushed(root);
    expect(alpha.problem).toBe(null);
    expect(refused.map(({ path }) => path)).toEqual(['u/nowhere.sql', 'u/outside.sql', 'u/token.sql']);
    for (const host of [ALPHA, BETA]) {
      expect(fileList(at(host))).toEqual(['qrun.toml', 'u/a.sql', 'u/inside.sql', 'u/more/x.sql']);
    }
    expect(readFileSync(at(ALPHA, 'u/inside.sql'), 'utf8')).toBe('SELECT 7');
    const followed = await qrun(['hosts', 'push', '--trust'], {
      cwd: root,
      env: { ...all.env, QRUN_FOLLOW_LINKS: '1' },
    });
    expect(followed.stdout).toMatch(/u\/nowhere\.sql is not sent: it is a symbolic link that leads nowhere/);
    expect(readFileSync(at(BETA, 'u/outside.sql'), 'utf8')).toBe('SELECT 42');
  });

  it('says what is wrong with a root there, and sends to the other host', async () => {
    const { root, at } = sweepOf({ 'u/a.sql': 'SELECT 1' });
    const wrong = async (): Promise<PushedHost> => {
      const { alpha, beta } = await pushed(root);
      expect([beta.problem, beta.units]).toEqual([null, 1]);
      expect(alpha.units).toBe(0);
      return alpha;
    };
    writeFileSync(at(ALPHA), 'x');
    expect((await wrong()).problem).toMatchObject({ code: 'WRITE_FAILED', exit_code: 23 });
    rmSync(at(ALPHA));
    put(at(ALPHA), 'else/x', 'x');
    expect((await wrong()).problem?.message).toMatch(/is not the root of a sweep/);
    rmSync(at(ALPHA), { recursive: true });
    put(at(ALPHA), 'qrun.toml', '[sweep]\nname = "another"\n');
    put(at(ALPHA), 'v/a.sql', 'SELECT 1');
    expect((await wrong()).problem).toMatchObject({
      code: 'WRITE_FAILED',
      message: expect.stringMatching(/is the root of another sweep, another, which has no unit of this one/),
    });
    expect(fileList(at(ALPHA))).toEqual(['qrun.toml', 'v/a.sql']);
    rmSync(at(ALPHA), { recursive: true });
    mkdirSync(at(ALPHA));
    await hostAt(ALPHA).here('mount', '-t', 'tmpfs', '-o', 'ro', 'none', at(ALPHA));
    const readOnly = await wrong().finally(() => hostAt(ALPHA).here('umount', at(ALPHA)));
    expect(readOnly.problem?.message).toBe(`nothing can be written in ${at(ALPHA)}`);
    // Broken SQL or a broken qrun.toml there is what a push mends.
    put(at(ALPHA), 'qrun.toml', 'no toml at all');
    expect((await pushed(root)).exit_code).toBe(0);
  });

  it('says that the disk there is full, before and in the middle', async () => {
    const { root, at } = sweepOf({ 'u/a.sql': `SELECT '${'x'.repeat(900_000)}'` });
    for (let n = 0; n < 100; n += 1) put(root, `u/${n}.sql`, `SELECT '${'x'.repeat(900_000)}'`);
    mkdirSync(at(ALPHA));
    for (const size of ['1m', '80m']) {
      await hostAt(ALPHA).here('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'none', at(ALPHA));
      const report = pushed(root).finally(() => hostAt(ALPHA).here('umount', at(ALPHA)));
      const { alpha, beta, exit_code: code } = await report;
      expect([code, beta.problem]).toEqual([23, null]);
      expect(alpha.problem).toMatchObject({
        code: 'WRITE_FAILED',
        message: expect.stringMatching(
          size === '1m' ? /free on the disk of/ : /the disk of .* there is full/,
        ),
      });
    }
  });

  it('says where rsync or qrun is missing or another one, and which host is dead or unknown', async () => {
    const { root, at } = sweepOf({ 'u/a.sql': 'SELECT 1' });
    await hostAt(ALPHA).here('mount', '--bind', '/dev/null', '/usr/bin/rsync');
    const without = await pushed(root).finally(() => hostAt(ALPHA).here('umount', '/usr/bin/rsync'));
    expect(without.alpha.problem).toMatchObject({ exit_code: 26, hint: expect.stringContaining('rsync') });
    expect([without.exit_code, without.beta.problem]).toEqual([26, null]);

    const other = join(hostAt(ALPHA).directory, 'old-qrun');
    writeFileSync(other, '#!/bin/sh\n[ "$1" = --version ] && echo 0.0.9\n', { mode: 0o755 });
    const toml = readFileSync(join(root, 'qrun.toml'), 'utf8');
    put(root, 'qrun.toml', toml.replace(/qrun = .*/, `qrun = "${other}"`));
    expect((await pushed(root)).alpha.problem).toMatchObject({
      message: expect.stringContaining('version 0.0.9 there'),
      hint: 'qrun hosts deploy --host alpha',
    });
    put(root, 'qrun.toml', toml);

    hostAt(ALPHA).link('down');
    const dead = await pushed(root).finally(() => hostAt(ALPHA).link('up'));
    expect(dead.alpha).toMatchObject({
      reached: false,
      problem: { code: 'HOST_UNREACHABLE', exit_code: 26 },
    });
    expect([dead.exit_code, dead.beta.problem]).toEqual([26, null]);

    const unknown = await run(root, '--host', 'gamma');
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('there is no host gamma')]);
    expect((await pushed(root, '--host', 'beta')).hosts.map(({ name }) => name)).toEqual(['beta']);
    expect(existsSync(at(ALPHA))).toBe(false);
    const untrusted = await qrun(['hosts', 'push'], { cwd: root, env: { ...all.env } });
    expect([untrusted.code, untrusted.stderr]).toEqual([
      2,
      expect.stringContaining('no host is connected to'),
    ]);
  });

  it('leaves a root alone that is the one here', async () => {
    const { root } = sweepOf({ 'u/a.sql': 'SELECT 1', 'shared/b.sql': 'SELECT 2', '_x/c.sql': 'SELECT 3' });
    put(root, 'qrun.toml', `[sweep]\nunits = ["u"]\n${all.toml(() => root)}`);
    symlinkSync('../shared/b.sql', join(root, 'u/b.sql'));
    symlinkSync('nowhere', join(root, 'u/c.sql'));
    const { alpha, beta } = await pushed(root);
    expect([alpha, beta].map(({ units, sent, problem }) => [units, sent.files, problem])).toEqual([
      [1, 0, null],
      [1, 0, null],
    ]);
    expect(['b', 'c'].map(name => lstatSync(join(root, `u/${name}.sql`)).isSymbolicLink())).toEqual([
      true,
      true,
    ]);
    expect(readdirSync(join(root, '.qrun'))).toEqual([]);
  });

  it('says that a host is gone in the middle, and does the rest the next time', async () => {
    const { root, at } = sweepOf({ 'u/a.sql': 'SELECT 1' });
    writeFileSync(join(root, 'u/large.sql'), '');
    truncateSync(join(root, 'u/large.sql'), 400_000_000);
    const report = pushed(root);
    const isComing = (): boolean =>
      existsSync(at(ALPHA, 'u')) && readdirSync(at(ALPHA, 'u')).some(name => name.startsWith('.large'));
    await vi.waitUntil(isComing, { timeout: 60_000, interval: 2 });
    hostAt(ALPHA).link('down');
    const { alpha, beta, exit_code: code } = await report.finally(() => hostAt(ALPHA).link('up'));
    expect([code, beta.problem]).toEqual([26, null]);
    expect(alpha).toMatchObject({ reached: false, units: 0, problem: { code: 'HOST_UNREACHABLE' } });
    writeFileSync(join(root, 'u/large.sql'), 'SELECT 1');
    expect((await pushed(root)).exit_code).toBe(0);
    expect(readFileSync(at(ALPHA, 'u/large.sql'), 'utf8')).toBe('SELECT 1');
  });

  it('sends a unit that is the root itself without what is in its directories', async () => {
    const { root, at } = sweepOf({ 'a.sql': 'SELECT 1', 'results/x.sql.ndjson': '', '_more/b.sql': 'x' });
    expect((await pushed(root)).exit_code).toBe(0);
    put(at(ALPHA), 'results/a.ndjson', '');
    put(at(ALPHA), '_x/mine.sql', '');
    rmSync(join(root, 'a.sql'));
    put(root, 'b.sql', 'SELECT 1');
    expect((await pushed(root)).exit_code).toBe(0);
    expect(fileList(at(ALPHA))).toEqual(['_x/mine.sql', 'b.sql', 'qrun.toml', 'results/a.ndjson']);
  });
});
