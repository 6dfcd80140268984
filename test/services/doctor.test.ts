import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { HostsCheck } from '../../src/core/hosts/check.js';
import { put, qrun, removeTree, tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';

const AVAILABLE = pueueAvailable() && clickHouseServerAvailable();

interface Finding {
  readonly what: string;
  readonly state: string;
  readonly says: string;
  readonly mend?: string;
}

describe.skipIf(!AVAILABLE && !servicesRequired())('doctor, on a real daemon and server', () => {
  let daemon: PueueDaemon;
  let server: ClickHouseServer;
  let root = '';
  beforeAll(async () => {
    [daemon, server] = await Promise.all([startPueueDaemon(), startClickHouseServer()]);
  });
  afterAll(() => Promise.all([daemon.stop(), server.stop()]));
  afterEach(() => removeTree(root));

  async function doctor(
    env: Readonly<Record<string, string>>,
    ...args: string[]
  ): Promise<{
    code: number | undefined;
    all: readonly Finding[];
    by: (what: string) => Finding | undefined;
    stderr: string;
  }> {
    const { code, stdout, stderr } = await qrun(['doctor', '--json', ...args], { cwd: root, env });
    const { findings, exit_code } = JSON.parse(stdout) as { findings: Finding[]; exit_code: number };
    expect(exit_code).toBe(code);
    return { code, stderr, all: findings, by: what => findings.find(finding => finding.what === what) };
  }

  it('ends with 0 where everything is there, and changes nothing', async () => {
    root = tree({ 'qrun.toml': `url = "${server.url}"\n` });
    const env = {
      ...daemon.env,
      CLICKHOUSE_USER: server.admin.user ?? 'default',
      CLICKHOUSE_PASSWORD: server.admin.password ?? '',
    };
    const { code, by, stderr } = await doctor(env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(by('engine')?.says).toMatch(/^ClickHouse \d+\.\d+.* at http:\/\/127\.0\.0\.1:\d+$/);
    expect(by('limits')?.says).toContain('max_memory_usage=');
    expect(by('pueue')?.says).toMatch(/^4\./);
    expect(by('pueued')?.state).toBe('ok');
    expect(by('logs')).toMatchObject({ state: 'ok', says: join(root, 'results') });
    expect(readdirSync(root)).toEqual(['qrun.toml']);
  });

  it('names a paused group and the server that is away, with the command that mends each', async () => {
    root = tree({ 'qrun.toml': 'url = "http://127.0.0.1:1"\n' });
    await daemon.pueue('group', 'add', 'qrun-x');
    await daemon.pueue('pause', '-g', 'qrun-x');
    const { code, by } = await doctor(daemon.env);
    expect(code).toBe(26);
    expect(by('group')).toMatchObject({ state: 'problem', mend: 'pueue start --group=qrun-x' });
    expect(by('engine')?.state).toBe('problem');
    await daemon.pueue('start', '-g', 'qrun-x');
    const after = await doctor(daemon.env);
    expect(after.code).toBe(24);
    expect(after.by('group')).toBeUndefined();
  });

  it('looks at each of several servers: which is away, and which lacks tables', async () => {
    const other = await startClickHouseServer();
    try {
      root = tree({ 'u/a.sql': 'SELECT 1' });
      await qrun(['unit', 'u', '--url', other.url, '--allow-changes'], {
        cwd: tree({ 'u/a.sql': 'CREATE TABLE only_here (n UInt8) ENGINE = Memory' }),
        env: daemon.env,
      });
      const urls = [server.url, other.url].flatMap(url => ['--url', url]);
      const { code, all, stderr } = await doctor(daemon.env, ...urls, '--url', 'http://127.0.0.1:1');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const [first, second, third] = all.filter(({ what }) => what === 'server');
      expect([first, second, third].map(one => one?.state)).toEqual(['ok', 'ok', 'note']);
      expect(first?.says).toMatch(/^http:\S+: ClickHouse \d+\.\d+/);
      expect(third?.mend).toContain('curl -sS http://127.0.0.1:1/ping');
      expect(all.filter(({ says }) => says.includes('127.0.0.1:1 '))).toHaveLength(1);
      expect(all.find(({ what }) => what === 'tables')).toMatchObject({
        state: 'note',
        says: expect.stringContaining(`${server.url} lacks default.only_here`),
      });
      const twice = await doctor(daemon.env, '--url', server.url, '--url', `${server.url}/`);
      expect(twice.code).toBe(2);
      expect(twice.by('engine')?.says).toMatch(/named twice|is the same server as/);
    } finally {
      await other.stop();
    }
  });

  it('works where everything is missing, as text and without a stack', async () => {
    root = tree({ 'qrun.toml': 'nonsense = 1\n', results: 'a file in the place of the directory' });
    const { code, stdout, stderr } = await qrun(['doctor'], {
      cwd: root,
      env: { PATH: '/nonexistent', HOME: root },
    });
    expect({ code, stderr }).toEqual({ code: 26, stderr: '' });
    expect(stdout).toMatch(/^problem +pueue +there is no program pueue in PATH/m);
    expect(stdout).toMatch(/^problem +configuration +.*nonsense: unknown key/m);
    expect(stdout).toMatch(/^note +memory caps/m);
    expect(stdout).toMatch(/^note +mise/m);
    expect(stdout).not.toMatch(/^ +at /m);
    put(root, 'qrun.toml', '');
    const { code: next, by } = await doctor({ ...daemon.env });
    expect(next).toBe(23);
    expect(by('logs')?.says).toContain('results is not a directory');
  });
});

describe.skipIf(!sshHostsAvailable())('doctor, with two real hosts', () => {
  let all: SshHosts;
  let root = '';
  beforeAll(async () => {
    all = await startSshHosts('alpha', 'beta');
    root = tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': all.toml(host => join(host.directory, 'sweep')) });
  });
  afterAll(async () => {
    await all?.stop();
  });

  const doctor = async (args: readonly string[], env = all.env) => {
    const { code, stdout } = await qrun(['doctor', '--json', ...args], { cwd: root, env: { ...env } });
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    return { code, findings, ofHosts: findings.filter(({ what }) => what.startsWith('host')) };
  };
  const logins = (): number[] => all.hosts.map(host => host.logins());

  it('connects to no host that an untrusted tree names, nor with --here', { timeout: 120_000 }, async () => {
    const before = logins();
    const { code, ofHosts } = await doctor([]);
    expect(ofHosts).toEqual([
      expect.objectContaining({
        state: 'problem',
        says: expect.stringContaining('no host is connected to'),
        mend: expect.stringContaining('qrun trust '),
      }),
    ]);
    expect(code).toBe(2);
    expect((await doctor(['--here', '--trust'])).ofHosts).toEqual([]);
    expect(logins()).toEqual(before);
  });

  it('finds what hosts check finds, of a host that is away too', { timeout: 120_000 }, async () => {
    const checked = await qrun(['hosts', 'check', '--trust', '--json'], { cwd: root, env: { ...all.env } });
    const bad = (JSON.parse(checked.stdout) as HostsCheck).hosts.flatMap(({ findings }) =>
      findings.map(({ what, says }) => `${what}: ${says}`),
    );
    const whole = await doctor(['--trust']);
    expect(whole.ofHosts.filter(({ state }) => state !== 'ok').map(({ says }) => says)).toEqual(bad);
    expect(whole.code).toBe(checked.code);
    all.hosts[1]?.link('down');
    try {
      const { code, ofHosts } = await doctor(['--trust']);
      expect(code).toBe(26);
      expect(ofHosts.at(-1)).toMatchObject({
        what: 'host beta',
        state: 'problem',
        mend: 'look whether it is alive: ssh beta',
      });
      expect((await doctor(['--trust', '--host', 'alpha'])).code).toBe(checked.code);
    } finally {
      all.hosts[1]?.link('up');
    }
  });

  it('names the programs that reach hosts where they are missing here', { timeout: 120_000 }, async () => {
    const { code, findings } = await doctor(['--trust'], { ...all.env, PATH: '/nonexistent' });
    expect(code).toBe(26);
    expect(findings.filter(({ what }) => what === 'ssh' || what === 'rsync').map(({ mend }) => mend)).toEqual(
      ['apt-get install openssh-client', 'apt-get install rsync'],
    );
  });
});
