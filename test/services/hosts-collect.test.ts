import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CollectReport, FetchedHost } from '../../src/core/sweep/collect.js';
import { openSweep } from '../../src/index.js';
import { type Ended, endAll, put, qrun, removeTree, startQrun, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import { normalGroup } from '../unit/log/log-samples.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';

// Each test runs several processes on hosts of its own, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe.skipIf(!sshHostsAvailable())('qrun collect, from two real hosts', () => {
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
    endAll();
    for (const root of roots.splice(0)) removeTree(root);
  });

  const [ALPHA, BETA] = [0, 1] as const;
  const hostAt = (index: number): SshHost => all.hosts[index] as SshHost;
  const QUERIES = ['a', 'b', 'c'];

  /** A sweep of two units, here and with logs of some queries on each host. */
  function sweepOf(logs: readonly Readonly<Record<string, readonly string[]>>[] = []) {
    count += 1;
    const name = `collected ${count}`;
    const files = ['one', 'two'].flatMap(unit =>
      QUERIES.map(query => [`${unit}/${query}.sql`, `SELECT number FROM numbers(2)`]),
    );
    const root = tree({
      ...Object.fromEntries(files),
      'qrun.toml': `engine = "embedded"\n${all.toml(host => join(host.directory, name))}`,
    });
    roots.push(root);
    const at = (host: number, path = ''): string => join(hostAt(host).directory, name, path);
    for (const [index, units] of logs.entries()) {
      cpSync(root, at(index), { recursive: true });
      for (const [unit, queries] of Object.entries(units)) {
        put(
          at(index),
          `results/${unit}.ndjson`,
          Buffer.concat(queries.map(query => group(unit, query, index))),
        );
      }
    }
    const copy = (host: number, name: string): string => join(root, 'results/.from', hostAt(host).name, name);
    return { root, at, copy };
  }

  function group(unit: string, query: string, host = 0, rows = ['{"n":1}', '{"n":2}']): Buffer {
    return normalGroup({ unit, query, run: `run${host}` }, rows);
  }

  const run = async (root: string, ...args: readonly string[]): Promise<Ended> =>
    await qrun(['collect', '--trust', ...args], { cwd: root, env: { ...all.env } });

  interface Collected extends CollectReport {
    readonly alpha: FetchedHost;
    readonly beta: FetchedHost;
  }

  async function collected(root: string, ...args: readonly string[]): Promise<Collected> {
    const { stdout, stderr, code } = await run(root, '--json', ...args);
    expect(stderr).toBe('');
    const report = JSON.parse(stdout) as CollectReport;
    expect(faultsOf('collect', report)).toBe('');
    expect(report.exit_code).toBe(code);
    const [alpha, beta] = report.hosts;
    return { ...report, alpha: alpha as FetchedHost, beta: beta as FetchedHost };
  }

  const appended = ({ logs }: CollectReport): string[] =>
    logs.map(({ unit, from, appended: { groups } }) => `${basename(join(from, '..'))} ${unit} ${groups}`);

  it('brings what real runs have recorded there, and the audit is content', async () => {
    const { root, at } = sweepOf();
    const pushed = await qrun(['hosts', 'push', '--trust'], { cwd: root, env: { ...all.env } });
    expect([pushed.code, pushed.stderr]).toEqual([0, '']);
    for (const [host, units] of [
      [ALPHA, ['one']],
      [BETA, ['one', 'two']],
    ] as const) {
      for (const unit of units) {
        const { code, stderr } = await qrun(['unit', unit, '--quiet'], { cwd: at(host) });
        expect([code, stderr]).toEqual([0, '']);
      }
    }
    const before = all.hosts.map(host => host.logins());
    const { stdout, code } = await run(root);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^.* {2}3 logs of other hosts, \d[^ ]* fetched from 2 hosts\n[\s\S]*6 results appended \(12 lines\)\n {2}next: qrun audit-all \.\n$/,
    );
    expect(all.hosts.map((host, n) => host.logins() - (before[n] ?? 0))).toEqual([1, 1]);
    // No lock, no lease, no report.
    expect(readdirSync(join(root, 'results/.from/beta')).sort()).toEqual(
      ['one', 'two'].flatMap(unit => [`${unit}.ndjson`, `${unit}.ndjson.runs`]),
    );
    const audit = await qrun(['audit-all', '--here', '--trust'], { cwd: root });
    expect([audit.code, audit.stderr]).toEqual([0, '']);
    const again = await collected(root);
    expect([again.exit_code, again.alpha.fetched, again.beta.fetched]).toEqual([
      0,
      { files: 0, bytes: 0 },
      { files: 0, bytes: 0 },
    ]);
    expect(again.logs.every(({ appended: { groups } }) => groups === 0)).toBe(true);
  });

  it('copies a log that is being written as it is, and brings the rest the next time', async () => {
    const { root, at, copy } = sweepOf([{ one: ['a'] }, {}]);
    const source = at(ALPHA, 'results/one.ndjson');
    const next = group('one', 'b');
    appendFileSync(source, next.subarray(0, 100));
    const first = await collected(root);
    expect(appended(first)).toEqual(['alpha one 1']);
    expect(first.logs[0]?.torn_bytes).toBe(100);
    // Beta has no log yet, nor a directory for them.
    expect([first.exit_code, first.beta]).toMatchObject([0, { fetched: { files: 0 }, problem: null }]);
    appendFileSync(source, next.subarray(100));
    expect(appended(await collected(root))).toEqual(['alpha one 1']);
    expect(readFileSync(copy(ALPHA, 'one.ndjson'))).toEqual(readFileSync(source));
  });

  it('never glues a log that was cut back there to what it held before', async () => {
    const { root, at, copy } = sweepOf([{ one: ['a', 'b'] }, {}]);
    const source = at(ALPHA, 'results/one.ndjson');
    const whole = group('one', 'a').length;
    await collected(root);
    const same = async (): Promise<void> => {
      const { exit_code: code } = await collected(root);
      expect(code).toBe(0);
      expect(readFileSync(copy(ALPHA, 'one.ndjson'))).toEqual(readFileSync(source));
    };
    // Shorter.
    truncateSync(source, whole);
    await same();
    // As long as it was, with other bytes, and the time that it had.
    const time = 1_700_000_000;
    appendFileSync(source, group('one', 'b'));
    utimesSync(source, time, time + 0.25);
    await same();
    truncateSync(source, whole);
    appendFileSync(source, group('one', 'c'));
    utimesSync(source, time, time + 0.5);
    await same();
    // Longer, with other bytes where the copy has some.
    truncateSync(source, whole);
    appendFileSync(source, group('one', 'b', 1, ['{"n":77777}', '{"n":88888888888}', '{"n":9}']));
    await same();
    const read = JSON.parse(readFileSync(join(root, 'results/one.ndjson'), 'utf8').split('\n')[0] ?? '');
    expect(read.unit).toBe('one');
  });

  it('a fetch that is killed leaves the earlier copy whole, and the next one does the rest', async () => {
    const { root, at, copy } = sweepOf([{ one: ['a'] }, {}]);
    const source = at(ALPHA, 'results/one.ndjson');
    await collected(root);
    const earlier = readFileSync(copy(ALPHA, 'one.ndjson'));
    const row = JSON.stringify({ text: 'x'.repeat(1_000_000) });
    for (const query of ['b', 'c']) appendFileSync(source, group('one', query, 0, Array(60).fill(row)));
    const child = startQrun(['collect', '--trust'], { cwd: root, env: { ...all.env } });
    const isCopying = (): boolean => readdirSync(copy(ALPHA, '')).some(name => name.startsWith('.one.'));
    await vi.waitUntil(isCopying, { timeout: 60_000, interval: 2 });
    child.kill('SIGKILL');
    await child;
    const now = readFileSync(copy(ALPHA, 'one.ndjson'));
    expect(now.equals(earlier) || now.equals(readFileSync(source))).toBe(true);
    expect(appended(await collected(root))).toContain('alpha one 2');
    expect(readFileSync(copy(ALPHA, 'one.ndjson')).equals(readFileSync(source))).toBe(true);
  });

  it('says which host does not answer, and imports what was copied from it before', async () => {
    const { root, at, copy } = sweepOf([{ one: ['a'] }, { two: ['a'] }]);
    await collected(root);
    appendFileSync(at(ALPHA, 'results/one.ndjson'), group('one', 'b'));
    appendFileSync(at(BETA, 'results/two.ndjson'), group('two', 'b', 1));
    // As if the import had been broken off.
    rmSync(join(root, 'results/one.ndjson'));
    hostAt(ALPHA).link('down');
    const dead = await collected(root);
    const shown = await run(root);
    hostAt(ALPHA).link('up');
    expect(dead.exit_code).toBe(26);
    expect(dead.alpha).toMatchObject({
      reached: false,
      fetched: null,
      problem: { code: 'HOST_UNREACHABLE', exit_code: 26 },
    });
    expect(dead.beta).toMatchObject({ reached: true, problem: null });
    expect(appended(dead)).toEqual(['alpha one 1', 'beta two 1']);
    expect(shown.stdout).toMatch(
      /alpha {2}.*timed out.*; what was copied before counts\n {4}mend: look whether/,
    );
    expect(shown.stdout).not.toContain('next:');
    expect(existsSync(copy(ALPHA, 'one.ndjson'))).toBe(true);
    expect(appended(await collected(root))).toEqual(['alpha one 1', 'beta two 0']);
  });

  it('takes the hosts that are named, or none, and refuses what contradicts itself', async () => {
    const { root, copy } = sweepOf([{ one: ['a'] }, { two: ['a'] }]);
    const some = await collected(root, '--host', 'beta');
    expect([some.hosts.map(({ name }) => name), appended(some)]).toEqual([['beta'], ['beta two 1']]);
    expect(existsSync(copy(ALPHA, 'one.ndjson'))).toBe(false);
    mkdirSync(join(root, 'results/.from/by-hand'));
    writeFileSync(join(root, 'results/.from/by-hand/one.ndjson'), group('one', 'c'));
    const before = all.hosts.map(host => host.logins());
    const here = await collected(root, '--here');
    expect([here.hosts, appended(here)]).toEqual([[], ['by-hand one 1', 'beta two 0']]);
    const named = await collected(root, '--from', 'results/.from/by-hand');
    expect([named.hosts, appended(named)]).toEqual([[], ['by-hand one 0']]);
    expect(all.hosts.map(host => host.logins())).toEqual(before);
    for (const [args, says] of [
      [['--host', 'gamma'], /there is no host gamma/],
      [['--host', 'alpha', '--from', 'x'], /--from names logs that are here/],
      [['--host', 'alpha', '--here'], /cannot be used with/],
    ] as const) {
      const refused = await run(root, ...args);
      expect([refused.code, refused.stdout, refused.stderr]).toEqual([2, '', expect.stringMatching(says)]);
    }
    const untrusted = await qrun(['collect'], { cwd: root, env: { ...all.env } });
    expect([untrusted.code, untrusted.stderr]).toEqual([
      2,
      expect.stringContaining('no host is connected to'),
    ]);
    // Everything that is there.
    expect(appended(await collected(root))).toEqual(['alpha one 1', 'by-hand one 0', 'beta two 0']);
  });

  it('fetches from another version of qrun, and follows a log that is a link', async () => {
    const { root, at } = sweepOf([{ one: ['a'] }, { two: ['a'] }]);
    const report = {
      ...{ version: '0.0.9', node: '18.0.0', queue: { name: 'pueue' }, tasks: [], root: at(ALPHA) },
      sweep: { name: 'old', log_directory: at(ALPHA, 'elsewhere'), directories: [], held: [] },
      problem: null,
    };
    mkdirSync(at(ALPHA, 'elsewhere'));
    symlinkSync('../results/one.ndjson', at(ALPHA, 'elsewhere/one.ndjson'));
    writeFileSync(
      at(ALPHA, 'qrun'),
      `#!/bin/sh\necho Welcome\ncat <<'END'\n${JSON.stringify(report)}\nEND\n`,
      {
        mode: 0o755,
      },
    );
    const toml = readFileSync(join(root, 'qrun.toml'), 'utf8');
    put(root, 'qrun.toml', toml.replace(/qrun = .*/, `qrun = "${at(ALPHA, 'qrun')}"`));
    expect(appended(await collected(root))).toEqual(['alpha one 1', 'beta two 1']);
  });

  it('says where there is no sweep, no qrun and no rsync, and imports from the other host', async () => {
    const { root, at } = sweepOf([{}, { two: ['a'] }]);
    const toml = readFileSync(join(root, 'qrun.toml'), 'utf8');
    const problemOf = async (found = collected(root)): Promise<FetchedHost['problem']> => {
      const { alpha, exit_code: code, logs } = await found;
      expect([code, logs.length]).toEqual([26, 1]);
      return alpha.problem;
    };
    await hostAt(ALPHA).here('mount', '--bind', '/dev/null', '/usr/bin/rsync');
    const without = await collected(root).finally(() => hostAt(ALPHA).here('umount', '/usr/bin/rsync'));
    expect(await problemOf(Promise.resolve(without))).toMatchObject({
      code: 'HOST_FAILED',
      hint: expect.stringContaining('install -y rsync'),
    });
    put(root, 'qrun.toml', toml.replace(/qrun = .*/, 'qrun = "/no/qrun"'));
    expect((await problemOf())?.message).toBe('there is no /no/qrun there');
    put(root, 'qrun.toml', toml);
    rmSync(at(ALPHA), { recursive: true });
    expect(await problemOf()).toMatchObject({
      message: `there is no sweep at ${at(ALPHA)} there`,
      hint: 'qrun hosts push --host alpha',
    });
  });

  it('says that the disk here is full, and takes nothing from the source', async () => {
    const { root, at } = sweepOf([{ one: ['a'] }, { two: ['a'] }]);
    const source = at(ALPHA, 'results/one.ndjson');
    const rows = Array(3).fill(JSON.stringify({ text: 'x'.repeat(1_000_000) }));
    appendFileSync(source, group('one', 'b', 0, rows));
    const before = readFileSync(source);
    mkdirSync(join(root, 'results'));
    // A disk of two megabytes, for this process alone.
    const script = 'mount -t tmpfs -o size=2m none "$1" && shift && exec "$@"';
    const prefix = ['unshare', '--mount', 'sh', '-c', script, 'sh', join(root, 'results')];
    const { stdout, code } = await qrun(['collect', '--trust', '--json'], {
      cwd: root,
      env: { ...all.env },
      prefix,
    });
    const report = JSON.parse(stdout) as CollectReport;
    expect(code).toBe(23);
    expect(report.hosts[0]?.problem).toMatchObject({
      code: 'WRITE_FAILED',
      message: expect.stringMatching(/the disk of .*results\/\.from\/alpha here is full/),
    });
    expect(appended(report)).toContain('beta two 1');
    expect(readFileSync(source).equals(before)).toBe(true);
    expect(appended(await collected(root))).toEqual(['alpha one 2', 'beta two 1']);
  });

  it('does the same for a program', async () => {
    const { root, copy } = sweepOf([{ one: ['a'] }, { two: ['a'] }]);
    const sweep = openSweep(root, { trust: true, env: all.env });
    const from = async (options: Parameters<typeof sweep.collect>[0]): Promise<unknown> => {
      const { hosts, logs } = await sweep.collect(options);
      return [hosts.map(({ name }) => name), logs.length];
    };
    expect(await from({ hosts: ['beta'] })).toEqual([['beta'], 1]);
    expect(await from({})).toEqual([['alpha', 'beta'], 2]);
    expect(await from({ here: true })).toEqual([[], 2]);
    // What a fetch that was killed has left goes once it cannot be of one that runs.
    const left = copy(ALPHA, '.one.ndjson.aB3dEf');
    writeFileSync(left, 'x');
    await from({});
    expect(existsSync(left)).toBe(true);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 25 * 3600_000 });
    await from({}).finally(() => vi.useRealTimers());
    expect(existsSync(left)).toBe(false);
    await expect(sweep.collect({ hosts: ['gamma'] })).rejects.toMatchObject({ code: 'USAGE' });
    const stopped = AbortSignal.abort(new Error('enough'));
    await expect(sweep.collect({ signal: stopped })).rejects.toThrow('enough');
  });
});
