import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { arch, platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../built.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../services/clickhouse-server.js';

// The package as a user gets it: packed, installed into an empty directory, with the embedded engine and without
// optional dependencies, and run by each Node that is supported.

const INSTALL_LIMIT_MS = 300_000;
const directory = mkdtempSync(join(tmpdir(), 'qrun-e2e-'));
const nodes: Record<string, string> = { 'Node 20': process.execPath };
let server: ClickHouseServer | undefined;

beforeAll(async () => {
  const npm = (...args: string[]) => execa('npm', [...args, '--no-audit', '--no-fund'], { cwd: directory });
  await execa('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: ROOT });
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const tarball = join(directory, `qrun-${version}.tgz`);
  for (const name of ['full', 'lean', 'nodes']) mkdirSync(join(directory, name));
  const binaries = `node-${platform()}-${arch()}`;
  await Promise.all([
    npm('install', '--prefix', join(directory, 'full'), tarball),
    npm('install', '--prefix', join(directory, 'lean'), '--omit=optional', tarball),
    npm(
      'install',
      '--prefix',
      join(directory, 'nodes'),
      ...[24, 26].map(n => `node${n}@npm:${binaries}@${n}`),
    ),
  ]);
  if (clickHouseServerAvailable()) server = await startClickHouseServer();
}, INSTALL_LIMIT_MS);

afterAll(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

for (const n of [24, 26])
  nodes[`Node ${n}`] = join(directory, 'nodes', 'node_modules', `node${n}`, 'bin', 'node');

describe.each(Object.entries(nodes))('%s', (name, node) => {
  const start = async (install: 'full' | 'lean', place: string, ...args: string[]) => {
    const cwd = join(directory, `${place}-${name.replace(' ', '')}`);
    cpSync(join(directory, install, 'node_modules', 'qrun', 'sql'), join(cwd, 'sql'), { recursive: true });
    const bin = join(directory, install, 'node_modules', 'qrun', 'bin', 'qrun.cjs');
    const run = (...words: string[]) =>
      execa(node, [bin, ...words], {
        cwd,
        reject: false,
        env: { CLICKHOUSE_URL: undefined },
        timeout: 120_000,
      });
    return { cwd, run, result: await run('unit', './sql', '-P16', ...args) };
  };

  const expectSample = async ({ cwd, run, result }: Awaited<ReturnType<typeof start>>) => {
    expect(result).toMatchObject({ exitCode: 0 });
    const lines = readFileSync(join(cwd, 'results', 'sql.ndjson'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(290);
    const audit = await run('audit', './sql', '--rows-per-query', '3');
    expect(audit).toMatchObject({ exitCode: 0 });
    expect(audit.stdout).toContain('290 = 95 x 3 + 5 x 1 + 0 x 1');
  };

  test('is the Node that it should be', async () => {
    const { stdout } = await execa(node, ['--version']);
    // Whatever runs the tests stands for the oldest.
    if (name !== 'Node 20') expect(stdout).toMatch(new RegExp(`^v${name.slice(-2)}\\.`));
  });

  test('runs the sample on the embedded engine', { timeout: 180_000 }, async () => {
    await expectSample(await start('full', 'embedded'));
  });

  test('says what to do when the embedded engine is not installed', { timeout: 60_000 }, async () => {
    const { result } = await start('lean', 'missing');
    expect(result.exitCode).toBe(24);
    expect(result.stderr).toMatch(/chdb/);
    expect(result.stderr).toMatch(/npm install chdb/);
    expect(result.stderr).toMatch(/--url/);
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });

  test.skipIf(!clickHouseServerAvailable() && !servicesRequired())(
    'runs the sample on a server without optional dependencies',
    { timeout: 180_000 },
    async () => {
      await expectSample(
        await start('lean', 'server', '--url', server?.url ?? 'no clickhouse-server', '--setup'),
      );
    },
  );
});
