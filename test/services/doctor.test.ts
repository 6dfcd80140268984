import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { put, qrun, removeTree, tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

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
  ): Promise<{ code: number | undefined; by: (what: string) => Finding | undefined; stderr: string }> {
    const { code, stdout, stderr } = await qrun(['doctor', '--json', ...args], { cwd: root, env });
    const { findings, exit_code } = JSON.parse(stdout) as { findings: Finding[]; exit_code: number };
    expect(exit_code).toBe(code);
    return { code, stderr, by: what => findings.find(finding => finding.what === what) };
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
