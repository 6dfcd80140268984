import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { requireBuild } from '../built.js';
import { type Ended, endAll, put, qrun, removeTree, tree, watchQrun } from '../integration/qrun.js';

requireBuild();

const UNITS = ['a', 'b', 'c', 'd'];
let root = '';
beforeEach(() => {
  root = tree(Object.fromEntries(UNITS.map(unit => [`${unit}/q.sql`, 'SELECT 1 AS a'])));
});
afterEach(() => {
  endAll();
  removeTree(root);
});

const DATA = (): string[] => ['--data-dir', join(root, 'data')];

function expectLocked(ended: Ended, pid: number | undefined): void {
  expect(ended, ended.stderr).toMatchObject({ code: 24 });
  expect(ended.stderr).toContain(`is in use by process ${pid}`);
}

describe('of several that start at once on one data directory', () => {
  test('one runs, and each other one ends with 24 and names it, whatever the moment', async () => {
    for (let round = 0; round < 3; round += 1) {
      rmSync(join(root, 'data'), { recursive: true, force: true });
      rmSync(join(root, 'results'), { recursive: true, force: true });
      // Long enough that none of them comes behind its end.
      for (const unit of UNITS) put(root, `${unit}/q.sql`, `SELECT ${round} AS r, sleep(1.5)`);
      const started = UNITS.map(unit =>
        watchQrun(['unit', unit, ...DATA()], { cwd: root, env: { TZ: 'UTC' } }),
      );
      const ends = await Promise.all(started.map(each => each.end()));
      const winner = ends.findIndex(({ code }) => code === 0);
      expect(winner, ends.map(({ code, stderr }) => `${code}: ${stderr}`).join('\n')).toBeGreaterThanOrEqual(
        0,
      );
      for (const [n, ended] of ends.entries()) {
        if (n === winner) continue;
        expectLocked(ended, started[winner]?.process.pid);
        expect(ended.stderr).toMatch(/since \d{4}-\d\d-\d\d/);
        expect(ended.stderr).not.toContain('DB::Exception');
      }
    }
  }, 120_000);

  test('none of them is refused as misuse while units that end at once come and go', async () => {
    for (let round = 0; round < 4; round += 1) {
      rmSync(join(root, 'results'), { recursive: true, force: true });
      const ends = await Promise.all(UNITS.map(unit => qrun(['unit', unit, ...DATA()], { cwd: root })));
      const codes = ends.map(({ code }) => code);
      expect(codes, ends.map(({ stderr }) => stderr).join('\n')).toContain(0);
      for (const code of codes) expect([0, 24]).toContain(code);
    }
  }, 120_000);
});

describe('a program that knows only the lock of the engine', () => {
  async function holding(content: string, work: (pid: number | undefined) => Promise<void>): Promise<void> {
    for (const name of ['store', 'metadata']) mkdirSync(join(root, 'data', name), { recursive: true });
    const status = join(root, 'data', 'status');
    writeFileSync(status, content);
    const holder = spawn('flock', ['--no-fork', '-x', status, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(holder.stdout, 'data');
    try {
      await work(holder.pid);
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'close');
    }
  }

  test('is named although it has not yet said who it is', async () => {
    await holding('', async pid => {
      const ended = await qrun(['unit', 'a', ...DATA()], { cwd: root });
      expectLocked(ended, pid);
      expect(ended.stderr).not.toContain('DB::Exception');
    });
  });

  test('is named, and not the dead one before it', async () => {
    await holding('PID: 4194303\nStarted at: 2020-01-01 00:00:00\nRevision: 1\n', async pid => {
      const ended = await qrun(['unit', 'a', ...DATA()], { cwd: root });
      expectLocked(ended, pid);
      expect(ended.stderr).not.toContain('2020-01-01');
    });
  });

  test('is no hindrance once it has died', async () => {
    await holding('PID: 4194303\n', async () => {});
    expect(await qrun(['unit', 'a', ...DATA()], { cwd: root })).toMatchObject({ code: 0 });
  });
});

test('a directory that was open in a killed process is free at once', async () => {
  put(root, 'a/q.sql', 'SELECT sleep(2.9)');
  const first = watchQrun(['unit', 'a', ...DATA()], { cwd: root });
  await first.event(({ type }) => type === 'query_started');
  first.process.kill('SIGKILL');
  await first.end();
  expect(readFileSync(join(root, 'data/qrun.lock'), 'utf8')).toContain(`"pid":${first.process.pid}`);
  expect(await qrun(['unit', 'b', ...DATA()], { cwd: root })).toMatchObject({ code: 0 });
});
