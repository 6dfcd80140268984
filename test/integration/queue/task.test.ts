import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { put, qrun, records, removeTree, startQrun, tree } from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

// Five rows a second.
const sleeping = (seconds: number): string =>
  `SELECT sleepEachRow(0.2) AS s FROM numbers(${seconds * 5}) SETTINGS max_block_size = 1`;

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) removeTree(root);
});

function sweep(files: Record<string, string>): string {
  const root = tree({ 'qrun.toml': 'engine = "embedded"\n', ...files });
  roots.push(root);
  return root;
}

const NODE = { SLURMD_NODENAME: 'node 1/..' };
const logOf = (root: string, unit: string, host = 'node-1-..'): string =>
  join(root, 'results', '.from', host, `${unit}.ndjson`);
const count = (path: string): number => (existsSync(path) ? records(readFileSync(path)).length : 0);

async function until(what: string, look: () => boolean): Promise<void> {
  for (const from = performance.now(); !look(); ) {
    if (performance.now() - from > 60_000) throw new Error(`${what}: not within 60 s`);
    await delay(20);
  }
}

/** Runs `qrun task --list` on a list of these tasks. */
function listed(root: string, tasks: readonly object[], args: readonly string[], content?: string) {
  const text = content ?? `${JSON.stringify({ version: 1, group: 'g', slots: null, tasks })}\n`;
  put(root, 'list.json', text);
  const digest = createHash('sha256').update(text).digest('hex');
  return qrun(['task', `--list=${join(root, 'list.json')}`, `--list-digest=${digest}`, ...args], {
    cwd: root,
  });
}

describe('qrun task', () => {
  it('runs the unit of its index into a log of its own host, and collect imports it', async () => {
    const root = sweep({
      'a/q.sql': 'SELECT 1 AS n',
      'b/q.sql': 'SELECT 2 AS n',
      'b/bad.sql': 'SELECT nothing',
    });
    const first = await qrun(['task', '.', '--index'], {
      cwd: root,
      env: { ...NODE, SLURM_ARRAY_TASK_ID: '0' },
    });
    expect(first).toMatchObject({ code: 0 });
    expect(readdirSync(join(root, 'results'))).toEqual(['.from']);
    expect(count(logOf(root, 'a'))).toBe(1);
    // Errors of queries are in the log, and are no failure of the task.
    const second = await qrun(['task', '.', '--index'], { cwd: root, env: { ...NODE, LSB_JOBINDEX: '2' } });
    expect(second).toMatchObject({ code: 0 });
    expect((await qrun(['collect', '.'], { cwd: root })).code).toBe(0);
    expect((await qrun(['audit-all', '.'], { cwd: root })).code).toBe(20);
    // Another host has what is known, and runs only the rest.
    put(root, 'a/new.sql', 'SELECT 3 AS n');
    const third = await qrun(['task', '--index=0'], { cwd: root, env: { SLURMD_NODENAME: 'node2' } });
    expect(third).toMatchObject({ code: 0 });
    const log = records(readFileSync(logOf(root, 'a', 'node2')));
    expect(log.map(({ query }) => query)).toEqual(['q', 'new']);
    expect(log[0]?.run).toBe(records(readFileSync(logOf(root, 'a')))[0]?.run);
    expect((await qrun(['collect', '.'], { cwd: root })).code).toBe(0);
    expect(count(join(root, 'results', 'a.ndjson'))).toBe(2);
  });

  it('refuses a number that is none, is missing or is too large, before anything is written', async () => {
    const root = sweep({ 'a/q.sql': 'SELECT 1' });
    for (const [args, env, says] of [
      [['task'], {}, '--index is missing'],
      [['task', '--index'], {}, 'not set: SLURM_ARRAY_TASK_ID (Slurm)'],
      [['task', '--index=1'], {}, 'there is no task 1'],
      [['task', '--index=x'], {}, '"x" is not the number of a task'],
      [['task', '--index'], { SGE_TASK_ID: '7' }, 'SGE_TASK_ID: there is no task 6'],
      [['unit', 'a', '--host-logs', '--log=x.ndjson'], {}, 'the log is named by --log'],
    ] as const) {
      const { code, stderr } = await qrun(args, { cwd: root, env });
      expect(code, stderr).toBe(2);
      expect(stderr).toContain(says);
      expect(stderr).not.toMatch(/^\s+at /m);
    }
    expect(existsSync(join(root, 'results'))).toBe(false);
  });

  it('refuses a list that is not the one that was submitted', async () => {
    const root = sweep({});
    const says = async (given: Promise<{ code: number | undefined; stderr: string }>) => {
      const { code, stderr } = await given;
      expect(code).toBe(2);
      return stderr;
    };
    expect(await says(qrun(['task', '--list=none.json', '--index=0'], { cwd: root }))).toContain(
      'cannot read the list',
    );
    put(root, 'other.json', '{}');
    expect(await says(qrun(['task', '--list=other.json', '--index=0'], { cwd: root }))).toContain(
      'has changed since',
    );
    expect(await says(listed(root, [], ['--index=0'], '{"version":2,"tasks":[]}'))).toContain(
      'that this qrun knows',
    );
    expect(await says(listed(root, [], ['--index=0'], 'null'))).toContain('that this qrun knows');
    expect(await says(listed(root, [], ['--index=0'], '{'))).toContain('cannot read the list');
  });

  it('ends as a command ends that is no qrun, with its signal too', async () => {
    const root = sweep({});
    const task = (script: string) => ({
      label: 'qrun:s:u',
      argv: ['/bin/sh', '-c', script],
      directory: root,
    });
    const tasks = [
      task('exit 20'),
      task('kill -9 $$'),
      task('env > env; exit 0'),
      { ...task(''), argv: ['/none'] },
    ];
    expect(await listed(root, tasks, ['--index=0'])).toMatchObject({ code: 20 });
    expect(await listed(root, tasks, ['--index=1'])).toMatchObject({ signal: 'SIGKILL' });
    expect(await listed(root, tasks, ['--index=2'])).toMatchObject({ code: 0 });
    expect(readFileSync(join(root, 'env'), 'utf8')).toContain('QRUN_TASK_GROUP=g\n');
    const missing = await listed(root, tasks, ['--index=3']);
    expect(missing).toMatchObject({ code: 127 });
    expect(missing.stderr).toContain('/none cannot be started: ENOENT');
  });

  it('drains its unit when it is asked to end', async () => {
    const root = sweep(Object.fromEntries([0, 1, 2, 3, 4, 5, 6, 7].map(n => [`a/q${n}.sql`, sleeping(1)])));
    put(root, 'qrun.toml', 'engine = "embedded"\nconcurrency = 1\n');
    const task = startQrun(['task', '--index=0'], { cwd: root, env: NODE });
    await until('a record', () => count(logOf(root, 'a')) >= 1);
    task.kill('SIGTERM');
    expect(await task).toMatchObject({ exitCode: 143 });
    const recorded = count(logOf(root, 'a'));
    expect(recorded).toBeGreaterThanOrEqual(1);
    expect(recorded).toBeLessThan(40);
  });

  it('leaves no unit behind when it is killed', async () => {
    const root = sweep(Object.fromEntries([0, 1, 2, 3, 4, 5, 6, 7].map(n => [`a/q${n}.sql`, sleeping(1)])));
    put(root, 'qrun.toml', 'engine = "embedded"\nconcurrency = 1\n');
    const task = startQrun(['task', '--index=0'], { cwd: root, env: NODE });
    await until('a record', () => count(logOf(root, 'a')) >= 1);
    task.kill('SIGKILL');
    await task;
    // The next one waits for nobody as soon as the orphan has drained.
    let next = await qrun(['task', '--index=0'], { cwd: root, env: NODE });
    for (let tries = 0; next.code === 22 && tries < 100; tries += 1) {
      await delay(200);
      next = await qrun(['task', '--index=0'], { cwd: root, env: NODE });
    }
    expect(next).toMatchObject({ code: 0 });
    expect(count(logOf(root, 'a'))).toBe(40);
  });
});
