import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { requireBuild } from '../built.js';
import {
  type Ended,
  endAll,
  put,
  qrun,
  records,
  removeTree,
  startQrun,
  tree,
  watchQrun,
} from '../integration/qrun.js';
import { rows, startStubServer } from './stub-server.js';

requireBuild();

const KILLER = 'SYSTEM KILL';
// SYSTEM KILL ends the process by _exit(128 + SIGKILL); SQL that may use files may do that too.
const MAY_KILL = '--allow-files';
const DIED = 137;
// Ends in time, and is surely still running when somebody looks.
const SLOW = 'SELECT sleep(1.5) AS s';

let root = '';
beforeEach(() => {
  root = tree({});
});
afterEach(() => {
  endAll();
  removeTree(root);
});

function unit(count: number, killers: readonly number[], sql = (n: number) => `SELECT ${n} AS a`): void {
  for (let n = 1; n <= count; n += 1) put(root, `u/q${n}.sql`, killers.includes(n) ? KILLER : sql(n));
}

const run = (...args: string[]): Promise<Ended> => qrun(['unit', 'u', MAY_KILL, ...args], { cwd: root });
const log = (): Record<string, unknown>[] => records(readFileSync(join(root, 'results/u.ndjson')));
const journal = (): string => join(root, 'results/u.ndjson.inflight');

function outcomes(): Record<string, string> {
  return Object.fromEntries(log().map(({ query, outcome }) => [query as string, outcome as string]));
}

function errors(): string[] {
  return Object.entries(outcomes())
    .filter(([, outcome]) => outcome === 'error')
    .map(([query]) => query)
    .sort();
}

async function audit(): Promise<number | undefined> {
  return (await qrun(['audit', 'u'], { cwd: root })).code;
}

describe('a query that takes the process down', () => {
  test.each([1, 4, 16, 128])('ends as error at the third start, and all others are done (-P%i)', async p => {
    unit(9, [5]);
    const first = await run('-P', String(p));
    expect(first.code).toBe(DIED);
    const second = await run('-P', String(p));
    expect(second.code).toBe(DIED);
    expect(second.stderr).toMatch(/warning +a process of this unit died with .* in flight/);
    const third = await run('-P', String(p));
    expect(third, third.stderr).toMatchObject({ code: 20 });
    expect(errors()).toEqual(['q5']);
    expect(log()).toHaveLength(9);
    const error = log().find(({ query }) => query === 'q5')?.error as { name: string; message: string };
    expect(error.name).toBe('ENGINE_DIED');
    expect(error.message).toContain('the process died 2 times while this query was in flight');
    expect(await audit()).toBe(20);
  });

  test('is tried again, alone and last, and ends as error again after one more death', async () => {
    unit(9, [5]);
    for (let start = 1; start <= 3; start += 1) await run('-P4');
    put(root, 'u/r1.sql', 'SELECT 10 AS a');
    expect((await run('-P4')).code).toBe(DIED);
    expect(outcomes().r1).toBe('normal');
    expect(await run('-P4')).toMatchObject({ code: 20 });
    expect(log()).toHaveLength(11);
    expect(errors()).toEqual(['q5']);
    // Whoever does not want that says so.
    expect(await run('-P4', '--rerun', 'none')).toMatchObject({ code: 20 });
    expect(log()).toHaveLength(11);
  });

  test('costs two starts at most for each that does so, and one more each time all are tried again', async () => {
    unit(12, [2, 3, 9]);
    const untilDone = async (most: number): Promise<number> => {
      for (let start = 1; start <= most; start += 1) if ((await run('-P8')).code !== DIED) return start;
      throw new Error(`not done after ${most} starts`);
    };
    expect(await untilDone(7)).toBeGreaterThan(3);
    expect(errors()).toEqual(['q2', 'q3', 'q9']);
    expect(log()).toHaveLength(12);
    expect(await untilDone(4)).toBe(4);
    expect(errors()).toEqual(['q2', 'q3', 'q9']);
    expect(log()).toHaveLength(15);
  }, 60_000);

  test('is no suspect any more when its text changes', async () => {
    unit(6, [3]);
    await run('-P1');
    await run('-P1');
    put(root, 'u/q3.sql', 'SELECT 33 AS a');
    expect(await run('-P1')).toMatchObject({ code: 0 });
    expect(log()).toHaveLength(6);
    expect(existsSync(journal())).toBe(false);
    expect(await audit()).toBe(0);
  });

  test('is a query like any other on a server', async () => {
    unit(3, [2]);
    await run('-P4');
    await run('-P4');
    const stub = await startStubServer(rows('{"a":1}\n'));
    try {
      const left = readFileSync(journal());
      expect(await run('--url', stub.url)).toMatchObject({ code: 0 });
      expect(readFileSync(journal())).toEqual(left);
    } finally {
      await stub.stop();
    }
  });

  test('runs with the others when nobody can know, which is said', async () => {
    unit(4, [2]);
    put(root, 'results/u.ndjson.inflight', 'a file of mine\n');
    for (let start = 1; start <= 2; start += 1) {
      const ended = await run('-P4');
      expect(ended.code).toBe(DIED);
      expect(ended.stderr.match(/cannot be noted in/g)).toHaveLength(1);
    }
    expect(readFileSync(journal(), 'utf8')).toBe('a file of mine\n');
  });

  test('that is not selected stays a suspect for the run that selects it', async () => {
    unit(4, [2]);
    await run('-P4');
    expect(await run('-P4', '--exclude', 'q2')).toMatchObject({ code: 0 });
    put(root, 'u/q9.sql', 'SELECT 9 AS a');
    expect((await run('-P4')).code).toBe(DIED);
    expect(outcomes().q9).toBe('normal');
    expect(await run('-P4')).toMatchObject({ code: 20 });
    expect(errors()).toEqual(['q2']);
  });
});

describe('a process that somebody else ends', () => {
  test.each(['SIGKILL', 'SIGSEGV'] as const)(
    '%s: what was in flight runs alone next, and nothing is recorded as error',
    async signal => {
      unit(2, [], () => SLOW);
      const first = watchQrun(['unit', 'u', '-P4'], { cwd: root });
      await first.event(({ type }) => type === 'query_started', 2);
      first.process.kill(signal);
      expect((await first.end()).signal).toBe(signal);
      const second = await run('-P4');
      expect(second, second.stderr).toMatchObject({ code: 0 });
      expect(second.stderr).toContain('2 queries in flight; each runs alone, after all others: q1, q2');
      expect(second.durationMs).toBeGreaterThan(3_000);
      expect(existsSync(journal())).toBe(false);
    },
  );

  test('twice, while one query ran alone: that is taken for its fault, until the next run', async () => {
    unit(2, [], n => (n === 1 ? SLOW : 'SELECT 2 AS a'));
    for (let start = 1; start <= 2; start += 1) {
      const watched = watchQrun(['unit', 'u', '-P1'], { cwd: root });
      await watched.event(({ type, query }) => type === 'query_started' && query === 'q1');
      watched.process.kill('SIGKILL');
      await watched.end();
    }
    expect(await run('-P1')).toMatchObject({ code: 20 });
    expect(errors()).toEqual(['q1']);
    expect(await run('-P1')).toMatchObject({ code: 0 });
    expect(errors()).toEqual([]);
    expect(existsSync(journal())).toBe(false);
  });

  test.each([
    ['a drain and kill -9', ['SIGTERM', 'SIGKILL']],
    ['Ctrl-C twice and kill -9', ['SIGINT', 'SIGINT', 'SIGKILL']],
    ['Ctrl-C three times', ['SIGINT', 'SIGINT', 'SIGINT']],
  ] as const)('%s, again and again, is nobody’s fault', async (_, signals) => {
    unit(1, [], () => 'SELECT sum(sipHash64(number)) AS s FROM system.numbers');
    for (let start = 1; start <= 2; start += 1) {
      const watched = watchQrun(['unit', 'u', '-P1'], { cwd: root });
      await watched.event(({ type }) => type === 'query_started');
      for (const signal of signals) {
        watched.process.kill(signal);
        // Signals that come together count once.
        await sleep(150);
      }
      await watched.end();
    }
    const last = watchQrun(['unit', 'u', '-P1'], { cwd: root });
    await last.event(({ type }) => type === 'query_started');
    last.process.kill('SIGINT');
    await sleep(150);
    last.process.kill('SIGINT');
    await last.end();
    expect(log()).toEqual([]);
  });
});

describe('the journal', () => {
  test('is there while a run goes on, and gone behind it, be it drained or failed', async () => {
    unit(2, [], () => SLOW);
    const watched = watchQrun(['unit', 'u', '-P2'], { cwd: root });
    await watched.event(({ type }) => type === 'query_started', 2);
    expect(readFileSync(journal(), 'utf8')).toContain('"query":"q2"');
    watched.process.kill('SIGINT');
    expect(await watched.end()).toMatchObject({ code: 0 });
    expect(existsSync(journal())).toBe(false);
  });

  test('of a killed run can be removed by anybody; then everything runs together', async () => {
    unit(4, [2]);
    await run('-P4');
    await run('-P4');
    unlinkSync(journal());
    const third = await run('-P4');
    expect(third.code).toBe(DIED);
    expect(third.stderr).not.toContain('in flight');
  });

  test('of two units that are killed at once are two', async () => {
    unit(3, [2]);
    for (const name of ['q1', 'q2', 'q3'])
      put(root, `v/${name}.sql`, name === 'q3' ? KILLER : 'SELECT 1 AS a');
    const start = (name: string) =>
      startQrun(['unit', name, '-P4', MAY_KILL, '--data-dir', join(root, `data-${name}`)], { cwd: root });
    for (let round = 1; round <= 2; round += 1) await Promise.all([start('u'), start('v')]);
    const [u, v] = await Promise.all([start('u'), start('v')]);
    expect([u.exitCode, v.exitCode]).toEqual([20, 20]);
    expect(errors()).toEqual(['q2']);
    const other = records(readFileSync(join(root, 'results/v.ndjson')));
    expect(other.filter(({ outcome }) => outcome === 'error').map(({ query }) => query)).toEqual(['q3']);
  });
});
