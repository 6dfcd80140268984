import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { writeSubmission } from '../../src/io/config/submission-config.js';
import { endAll, put, qrun, records, removeTree, tree } from '../integration/qrun.js';

const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

function reading(files: Readonly<Record<string, string>> = {}): string {
  const root = tree({ 'data/n.csv': '7\n', 'qrun.toml': '', ...files });
  put(root, 'u/q.sql', "SELECT c1 AS n FROM file('data/n.csv', CSV)");
  roots.push(root);
  return root;
}

const rowOf = (root: string): unknown => records(readFileSync(join(root, 'results/u.ndjson'))).at(-1)?.row;

test('a query that reads a file is an error with a hint, and runs again when files are allowed', async () => {
  const root = reading();
  const refused = await qrun(['unit', 'u', '-q'], { cwd: root });
  expect(refused.code).toBe(20);
  const [record] = records(readFileSync(join(root, 'results/u.ndjson')));
  expect(record?.error).toMatchObject({
    code: 497,
    name: 'ACCESS_DENIED',
    kind: 'permanent',
    message: expect.stringMatching(/^reading from a file is not allowed here: .+ --allow-files$/),
  });
  expect((await qrun(['unit', 'u', '-q', '--allow-files'], { cwd: root })).code).toBe(0);
  expect(rowOf(root)).toEqual({ n: 7 });
  // What a query may reach is no part of what it is.
  const settled = await qrun(['unit', 'u', '--dry-run'], { cwd: root });
  expect(settled.stdout).toMatch(/1 settled/);
});

test('the environment allows, as a flag does', async () => {
  const root = reading();
  const env = { QRUN_ALLOW_FILES: '1' };
  expect((await qrun(['unit', 'u', '-q'], { cwd: root, env })).code).toBe(0);
  expect(rowOf(root)).toEqual({ n: 7 });
});

test('a setup works under the same rule', async () => {
  const root = reading({
    '_setup.sql': "CREATE TABLE t ENGINE = Memory AS SELECT * FROM file('data/n.csv', CSV)",
  });
  const refused = await qrun(['unit', 'u', '-q'], { cwd: root });
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/_setup.+--allow-files/s);
  expect((await qrun(['unit', 'u', '-q', '--allow-files'], { cwd: root })).code).toBe(0);
});

test.each([
  ['qrun.toml', 'allow_files = true\n', 'qrun.toml: allow_files'],
  ['qrun.toml', 'allow_network = true\n', 'qrun.toml: allow_network'],
  ['.env', 'QRUN_ALLOW_FILES=1\n', '.env: QRUN_ALLOW_FILES'],
  ['.env', 'QRUN_ALLOW_NETWORK=true\n', '.env: QRUN_ALLOW_NETWORK'],
])('a tree does not allow itself: %s with %s', async (name, content, told) => {
  const root = reading({ [name]: content });
  for (const command of [
    ['unit', 'u'],
    ['submit-all', '.', '--dry-run'],
    ['unit', 'u', '--dry-run'],
  ]) {
    const { code, stderr, stdout } = await qrun(command, { cwd: root });
    expect(code, command.join(' ')).toBe(2);
    expect(stderr).toContain(told);
    expect(stderr).toContain('--allow-files');
    expect(stdout).toBe('');
  }
});

test('what the tree says is nothing beside what the user says', async () => {
  const root = reading({ 'qrun.toml': 'allow_files = true\n' });
  expect((await qrun(['unit', 'u', '-q', '--allow-files'], { cwd: root })).code).toBe(0);
  expect(rowOf(root)).toEqual({ n: 7 });
});

test('on a server the keys mean nothing, and a tree may hold them set to false', async () => {
  const root = reading({ 'qrun.toml': 'allow_files = false\nallow_network = false\n' });
  expect((await qrun(['unit', 'u', '--dry-run'], { cwd: root })).code).toBe(0);
  const other = reading({ 'qrun.toml': 'allow_files = true\nurl = "http://127.0.0.1:1"\n' });
  expect((await qrun(['unit', 'u', '--dry-run'], { cwd: other })).code).toBe(0);
});

test('a task of a sweep has what its submission allowed', async () => {
  const root = reading();
  const { path, digest } = await writeSubmission(root, { allow_files: true }, ['u']);
  const task = ['unit', 'u', '-q', `--config=${path}`];
  expect((await qrun(task, { cwd: root })).stderr).toContain('allows itself');
  expect((await qrun([...task, `--config-digest=${digest}`], { cwd: root })).code).toBe(0);
  expect(rowOf(root)).toEqual({ n: 7 });
});
