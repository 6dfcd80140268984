import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { writeSubmission } from '../../src/io/config/submission-config.js';
import { prepareTasks } from '../../src/local/sweep/tasks.js';
import { endAll, ordinaryUser, qrun, removeTree, tree } from '../integration/qrun.js';

const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

function place(files: Readonly<Record<string, string>>): string {
  const root = tree(files);
  roots.push(root);
  // What `umask 022` and a shared directory make of a tree: everybody may look.
  chmodSync(root, 0o755);
  return root;
}

const othersOf = (path: string): number => statSync(path).mode & 0o007;
const UNIT = { 'u/a.sql': 'SELECT 1 AS v' };

describe('another user of the machine', () => {
  it('cannot hold a lock or a lease, and so stops no run', async () => {
    const root = place(UNIT);
    expect((await qrun(['unit', 'u', '-q'], { cwd: root })).code).toBe(0);
    const files = ['u.ndjson.lease', 'u.ndjson.lock'].map(name => join(root, 'results', name));
    for (const file of files) expect(othersOf(file), file).toBe(0);
    const other = ordinaryUser();
    if (other === undefined) throw new Error('setpriv is needed, and root');
    for (const file of files) {
      const [program = '', ...args] = [...other, 'flock', '-n', file, 'true'];
      const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
      expect([status !== 0, stderr]).toEqual([true, expect.stringContaining('Permission denied')]);
    }
  });

  it('cannot hold those that an earlier version made for all to read, once they were used again', async () => {
    const root = place({ ...UNIT, 'results/u.ndjson.lease': '', 'results/u.ndjson.lock': '' });
    const files = ['u.ndjson.lease', 'u.ndjson.lock'].map(name => join(root, 'results', name));
    for (const file of files) chmodSync(file, 0o644);
    expect((await qrun(['unit', 'u', '-q'], { cwd: root })).code).toBe(0);
    for (const file of files) expect(statSync(file).mode & 0o777, file).toBe(0o640);
  });

  it('sees nothing of what qrun keeps: data, configuration of submissions', async () => {
    const root = place({ ...UNIT, 'u/_setup.sql': 'CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a' });
    expect((await qrun(['unit', 'u', '-q'], { cwd: root })).code).toBe(0);
    const kept = join(root, '.qrun');
    expect(readdirSync(kept)).toContain('data');
    expect(statSync(kept).mode & 0o777).toBe(0o700);
    const { path } = await writeSubmission(root, { url: 'http://h:8123' }, ['u']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe('a submission', () => {
  it.each([
    'http://h:8123/?user=sweep&password=PWINQUERY',
    'http://h:8123/#password=PWINQUERY',
    'http://sweep:PWINQUERY@h:8123',
    'http:sweep:PWINQUERY@h:8123',
    'http:/sweep:PWINQUERY@h:8123',
  ])('writes no file for a URL with a password: %s', async url => {
    const root = place({ 'qrun.toml': '' });
    const sweep = {
      root,
      start: root,
      units: [],
      config: { engine: 'clickhouse', url: [url] },
      given: { url: [url] },
      table: {},
      passwordSurvives: () => true,
    } as unknown as Parameters<typeof prepareTasks>[0];
    const failure = await prepareTasks(sweep).catch(error => error);
    expect(failure).toMatchObject({ code: 'CONFIG', exitCode: 2 });
    expect(String(failure.message)).not.toContain('PWINQUERY');
    expect(existsSync(join(root, '.qrun'))).toBe(false);
  });
});

it('the package holds only what is listed, whatever lies beside the sample', () => {
  const root = new URL('../..', import.meta.url).pathname;
  const stray = ['sql/.env', 'sql/stray.ndjson', 'docs/stray.json'].map(name => join(root, name));
  for (const path of stray) writeFileSync(path, 'CLICKHOUSE_PASSWORD=x\n');
  try {
    const listing = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    });
    const [{ files }] = JSON.parse(listing) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toContain('sql/_setup.sql');
    expect(paths.filter(path => /(^|\/)\.env|stray/.test(path))).toEqual([]);
  } finally {
    for (const path of stray) execFileSync('rm', ['-f', path]);
  }
});
