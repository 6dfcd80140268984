import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostCheck, HostsCheck } from '../../src/core/hosts/check.js';
import { type Ended, put, qrun, slowness, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';

const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

describe.skipIf(!sshHostsAvailable())('qrun hosts check, on two real hosts', () => {
  let all: SshHosts;
  let root = '';
  const rootOf = (host: SshHost): string => join(host.directory, 'sweep');

  beforeAll(async () => {
    all = await startSshHosts('alpha', 'beta');
    root = tree({ 'u/a.sql': 'SELECT 1 AS v', 'qrun.toml': all.toml(rootOf) });
  });
  afterAll(async () => {
    await all?.stop();
  });

  const run = async (args: readonly string[], at = root, env = all.env): Promise<Ended> =>
    await qrun(['hosts', 'check', '.', ...args], { cwd: at, env: { ...env } });

  async function checked(args: readonly string[] = [], at = root): Promise<HostsCheck> {
    const { stdout, stderr } = await run(['--trust', '--json', ...args], at);
    expect(stderr).toBe('');
    const report = JSON.parse(stdout) as HostsCheck;
    expect(faultsOf('hosts-check', report)).toBe('');
    return report;
  }

  /** What is wrong with one host, as it is in this tree. */
  async function wrongWith(
    name: string,
    toml: string,
    args: readonly string[] = [],
  ): Promise<HostCheck['findings']> {
    const report = await checked(
      ['--host', name, ...args],
      tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': toml }),
    );
    return (report.hosts[0]?.findings ?? []).filter(({ what }) => all.hosts[0]?.hasQueue || what !== 'pueue');
  }

  const hostNamed = (name: string): SshHost => all.hosts.find(host => host.name === name) as SshHost;
  const tomlOf = (name: string, more: Record<string, unknown>): string => {
    const lines = { name, root: rootOf(hostNamed(name)), qrun: [process.execPath, 'bin'], ...more };
    return `[[hosts]]\n${Object.entries(lines)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
      .join('')}`;
  };
  const own = (): string[] => {
    const [first = ''] = all
      .toml(rootOf)
      .split('\n')
      .filter(line => line.startsWith('qrun ='));
    return JSON.parse(first.slice('qrun = '.length)) as string[];
  };

  it('connects to nothing that an untrusted tree names, and to all that a trusted one does', async () => {
    const before = hostNamed('alpha').logins();
    const { code, stderr, stdout } = await run([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/no host is connected to: .*qrun\.toml names them, and the tree is not trusted/);
    expect(stderr).toMatch(/qrun trust /);
    expect(hostNamed('alpha').logins()).toBe(before);

    const env = { ...all.env, XDG_STATE_HOME: mkdtempSync(join(tmpdir(), 'qrun-state-')) };
    expect((await qrun(['trust', root], { cwd: root, env })).stdout).toMatch(
      /\n {2}hosts +\[\{"name":"alpha"/,
    );
    await run([], root, env);
    expect(hostNamed('alpha').logins()).toBe(before + 1);

    put(root, 'qrun.toml', all.toml(rootOf).replace('name = "alpha"', 'name = "alpha"\nslots = 2'));
    const changed = await run([], root, env);
    put(root, 'qrun.toml', all.toml(rootOf));
    expect([changed.code, changed.stderr]).toEqual([
      2,
      expect.stringContaining('has changed since it was trusted (hosts)'),
    ]);
    expect(hostNamed('alpha').logins()).toBe(before + 1);
  });

  it('tells of each host what it has, from one login each', async () => {
    const before = all.hosts.map(host => host.logins());
    const { hosts, version } = await checked();
    expect(all.hosts.map((host, n) => host.logins() - (before[n] ?? 0))).toEqual([1, 1]);
    expect(version).toBe(VERSION);
    for (const [index, host] of hosts.entries()) {
      expect(host).toMatchObject({
        name: all.hosts[index]?.name,
        reached: true,
        node: process.versions.node,
        qrun: VERSION,
        clock_ahead_s: 0,
        locks: 'koffi',
        sweeps: [],
      });
      expect(host.free_bytes).toBeGreaterThan(0);
    }
    const { stdout } = await run(['--trust']);
    expect(stdout).toMatch(
      /^ {2}host +ssh {2}node +qrun +pueue +disk {2}clock {2}locks {2}running {2}queued\n/,
    );
    expect(stdout).toMatch(/\n {2}alpha +[\d,]+ ms {2}\d+\.\d+\.\d+ +\d+\.\d+\.\d+ /);
  });

  it.skipIf(!sshHostsAvailable())('takes less than half a second for both', async () => {
    const times: number[] = [];
    for (let n = 0; n < 3; n += 1) times.push((await run(['--trust', '--json'])).durationMs);
    expect(Math.min(...times)).toBeLessThan(500 * (await slowness()));
  });

  it('tells a dead host from one that lives, and waits for it no longer than its limit', async () => {
    hostNamed('beta').link('down');
    try {
      const { code, stdout, durationMs } = await run(['--trust']);
      expect(code).toBe(26);
      expect(stdout).toMatch(/\n {2}alpha +[\d,]+ ms /);
      expect(stdout).toMatch(/\n {2}beta +no\n/);
      expect(stdout).toMatch(
        /beta {2}ssh: .*(timed out|No route)[^\n]*\n +mend: look whether it is alive: ssh beta\n/,
      );
      expect(durationMs).toBeLessThan(7_000 * (await slowness()));
    } finally {
      hostNamed('beta').link('up');
    }
  });

  it('refuses a host whose key is unknown or has changed, and says what to do', async () => {
    all.forgetKeys();
    const [unknown] = await wrongWith('alpha', all.toml(rootOf));
    expect(unknown).toMatchObject({
      what: 'ssh',
      state: 'problem',
      says: 'its host key is not known here',
      mend: 'compare and accept it once: ssh alpha   (or take it as it is: qrun hosts check --accept-new --host alpha)',
      exit_code: 26,
    });
    expect(await wrongWith('alpha', all.toml(rootOf), ['--accept-new'])).toEqual([]);
    expect(await wrongWith('alpha', all.toml(rootOf))).toEqual([]);
    all.knowKeys();
    await hostNamed('alpha').newKey();
    const [changed] = await wrongWith('alpha', all.toml(rootOf), ['--accept-new']);
    all.knowKeys();
    expect(changed).toMatchObject({
      what: 'ssh',
      says: expect.stringContaining('its host key is not the one that is known for alpha'),
      mend: expect.stringContaining('ssh-keygen -R alpha'),
    });
  });

  it('says which name leads nowhere, and which user may not log in', async () => {
    expect(await wrongWith('alpha', tomlOf('alpha', { ssh: 'no-such-host.invalid' }))).toEqual([
      expect.objectContaining({
        says: 'there is no host called no-such-host.invalid',
        mend: expect.stringContaining('correct ssh = "..."'),
      }),
    ]);
    expect(await wrongWith('alpha', tomlOf('alpha', { ssh: 'nobody@alpha' }))).toEqual([
      expect.objectContaining({ mend: 'ssh-copy-id nobody@alpha, or load the key: ssh-add' }),
    ]);
  });

  it('says where qrun is missing, is another version, or does not start', async () => {
    const missing = await wrongWith('alpha', tomlOf('alpha', { qrun: '/no/such qrun' }));
    expect(missing).toEqual([
      expect.objectContaining({
        what: 'qrun',
        says: 'there is no /no/such qrun there',
        mend: expect.stringContaining(`npm install --global qrun@${VERSION}`),
      }),
    ]);
    const other = join(hostNamed('alpha').directory, 'old-qrun');
    writeFileSync(other, '#!/bin/sh\n[ "$1" = --version ] && echo 0.0.9\n', { mode: 0o755 });
    expect(await wrongWith('alpha', tomlOf('alpha', { qrun: other }))).toEqual([
      expect.objectContaining({
        what: 'qrun',
        says: `version 0.0.9 there, ${VERSION} here: both must be the same`,
        mend: `qrun hosts deploy --host alpha   (or ssh alpha npm install --global qrun@${VERSION})`,
      }),
    ]);
    writeFileSync(other, '#!/bin/sh\necho out of cheese >&2; exit 3\n', { mode: 0o755 });
    expect(await wrongWith('alpha', tomlOf('alpha', { qrun: other }))).toEqual([
      expect.objectContaining({ says: `${other} --version ended with 3: out of cheese` }),
    ]);
  });

  it('says where nothing can be written, what is no directory, and what is no sweep', async () => {
    const host = hostNamed('alpha');
    const at = join(host.directory, 'read-only');
    mkdirSync(at);
    await host.here('mount', '-t', 'tmpfs', '-o', 'ro,size=1m', 'none', at);
    const [unwritable, ...rest] = await wrongWith('alpha', tomlOf('alpha', { root: at, qrun: own() }));
    expect(unwritable).toMatchObject({
      what: 'root',
      says: `nothing can be written in ${at}`,
      mend: expect.stringContaining('sudo install -d'),
      exit_code: 23,
    });
    // A disk of a megabyte.
    expect(rest).toEqual([expect.objectContaining({ what: 'disk', exit_code: 23 })]);
    expect((await wrongWith('alpha', tomlOf('alpha', { root: `${at}/x`, qrun: own() })))[0]).toMatchObject({
      says: `${at}/x cannot be made in ${at}`,
    });
    put(host.directory, 'file', 'x');
    expect(
      (await wrongWith('alpha', tomlOf('alpha', { root: `${host.directory}/file`, qrun: own() })))[0],
    ).toMatchObject({
      says: `${host.directory}/file is no directory`,
    });
    put(host.directory, 'else/x', 'x');
    expect(
      (await wrongWith('alpha', tomlOf('alpha', { root: `${host.directory}/else`, qrun: own() })))[0],
    ).toMatchObject({
      says: expect.stringContaining('is not the root of a sweep'),
    });
  });

  it('says where rsync is missing, and where there is no command line', async () => {
    const host = hostNamed('beta');
    // In the mount namespace of that host alone.
    await host.here('mount', '--bind', '/dev/null', '/usr/bin/rsync');
    expect(await wrongWith('beta', all.toml(rootOf))).toEqual([
      expect.objectContaining({ what: 'rsync', mend: 'ssh beta sudo apt-get install -y rsync' }),
    ]);
    await host.here('umount', '/usr/bin/rsync');
    await host.here('mount', '--bind', '/bin/true', '/bin/bash');
    await host.here('mount', '--bind', '/bin/true', '/usr/bin/dash');
    const found = await wrongWith('beta', all.toml(rootOf));
    await host.here('umount', '/bin/bash');
    await host.here('umount', '/usr/bin/dash');
    expect(found).toEqual([
      expect.objectContaining({
        what: 'ssh',
        says: expect.stringContaining('lets us in, but runs no command'),
      }),
    ]);
    expect(await wrongWith('beta', all.toml(rootOf))).toEqual([]);
  });

  it('refuses a host that nobody knows, hosts that nobody named, and a machine without ssh', async () => {
    const { code, stderr } = await run(['--trust', '--host', 'gamma']);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/there is no host gamma in .*qrun\.toml[\s\S]*known are alpha, beta/),
    ]);
    const none = await run(['--trust'], tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': '' }));
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('names no hosts')]);
    const without = await run(['--trust'], root, { ...all.env, PATH: '/nonexistent' });
    expect([without.code, without.stderr]).toEqual([
      26,
      expect.stringMatching(/no program ssh[\s\S]*openssh-client/),
    ]);
  });

  it.runIf(sshHostsAvailable())('shows what runs and is queued there, by sweep', async ({ skip }) => {
    const host = hostNamed('alpha');
    if (!host.hasQueue) skip('pueue is not installed');
    const add = async (label: string): Promise<string> =>
      await host.here('pueue', 'add', `--label=${label}`, '--', 'sleep', '600');
    for (const label of ['qrun:demo:u1', 'qrun:demo:u2', 'qrun:other:#audit', 'somebody else'])
      await add(label);
    const { hosts } = await checked(['--host', 'alpha']);
    const demo = hosts[0]?.sweeps.find(({ sweep }) => sweep === 'demo');
    expect((demo?.running ?? 0) + (demo?.queued ?? 0)).toBe(2);
    expect(hosts[0]?.sweeps.map(({ sweep }) => sweep)).toEqual(['demo', 'other']);
    const { stdout } = await run(['--trust', '--host', 'alpha']);
    expect(stdout).toMatch(/\n {2}alpha {2}sweep demo: \d running, \d queued\n/);
  });
});
