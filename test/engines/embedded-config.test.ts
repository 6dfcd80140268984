import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { endAll, removeTree, startQrun, tree } from '../integration/qrun.js';

const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

// Where libchdb looks of its own accord, below the current directory and below HOME.
const HERE = ['config.xml', 'clickhouse-local.xml', 'clickhouse-local.yaml', 'clickhouse-local.yml'];
const AT_HOME = ['config.xml', 'config.yaml', 'config.yml'].map(name => join('.clickhouse-local', name));

function planted(): { readonly root: string; readonly elsewhere: string; readonly home: string } {
  const root = tree({
    'u/a.sql': "SELECT value AS v FROM system.server_settings WHERE name = 'path'",
    'u/b.sql': "SELECT * FROM executable('sh -c id', 'LineAsString', 'line String')",
  });
  roots.push(root);
  const elsewhere = join(root, 'elsewhere');
  const home = join(root, 'home');
  mkdirSync(join(home, '.clickhouse-local'), { recursive: true });
  const xml = `<clickhouse><path>${elsewhere}/</path><user_scripts_path>/bin/</user_scripts_path><logger><log>${elsewhere}.log</log><level>trace</level></logger></clickhouse>`;
  const yaml = `path: ${elsewhere}/\nuser_scripts_path: /bin/\nlogger:\n  log: ${elsewhere}.log\n  level: trace\n`;
  for (const path of [...HERE.map(name => join(root, name)), ...AT_HOME.map(name => join(home, name))]) {
    writeFileSync(path, path.endsWith('.xml') ? xml : yaml);
  }
  return { root, elsewhere, home };
}

it('obeys no configuration of the current directory or the home directory, and SQL starts no program', async () => {
  const { root, elsewhere, home } = planted();
  const { exitCode } = await startQrun(['unit', 'u', '-q'], { cwd: root, env: { HOME: home } });
  expect(exitCode).toBe(20);
  const records = readFileSync(join(root, 'results', 'u.ndjson'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { query: string; row?: { v: string }; error?: { message: string } });
  expect(records.find(({ query }) => query === 'a')?.row?.v).toContain(join(root, '.qrun', 'data'));
  expect(records.find(({ query }) => query === 'b')?.error?.message).toMatch(
    /does not exist inside user scripts/,
  );
  expect(existsSync(elsewhere)).toBe(false);
  expect(existsSync(`${elsewhere}.log`)).toBe(false);
});

it('does not even look for one', async () => {
  const { root, home } = planted();
  const trace = join(root, 'trace');
  const calls = 'trace=open,openat,stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink';
  const prefix = ['strace', '-f', '-e', calls, '-o', trace];
  await startQrun(['unit', 'u', '-q', '--exclude', 'b'], { cwd: root, env: { HOME: home }, prefix });
  const text = readFileSync(trace, 'utf8');
  // What is traced is the engine as well.
  expect(text).toContain('.qrun/data');
  const names = [...text.matchAll(/"([^"]*)"/g)].map(match => match[1] ?? '');
  const looked = names.filter(name =>
    /(^|\/)(config|clickhouse-local)\.(xml|ya?ml)$|\.clickhouse-local/.test(name),
  );
  expect(looked).toEqual([]);
});
