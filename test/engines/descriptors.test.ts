import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { requireBuild } from '../built.js';
import { type Ended, endAll, put, qrun, records, removeTree, tree } from '../integration/qrun.js';
import { rows, type StubServer, startStubServer } from './stub-server.js';

requireBuild();

const QUERIES = 60;
let root = '';
let stub: StubServer;
beforeAll(async () => {
  stub = await startStubServer();
});
afterAll(() => stub.stop());
beforeEach(() => {
  root = tree(
    Object.fromEntries(
      Array.from({ length: QUERIES }, (_, n) => [
        `u/q${n}.sql`,
        `SELECT count() AS c, ${n} AS n FROM numbers(100000)`,
      ]),
    ),
  );
  // Long enough for all permits to be taken.
  stub.shape = async request => {
    await sleep(20);
    rows('{"c":1}\n')(request);
  };
});
afterEach(() => {
  endAll();
  removeTree(root);
});

// Node raises its own limit up to the hard one, so both are set.
function limited(descriptors: number, args: readonly string[]): Promise<Ended> {
  const prefix = ['sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh'];
  return qrun(['unit', 'u', ...args], { cwd: root, prefix });
}

function expectDone({ code, stderr }: Ended): void {
  expect(code, stderr).toBe(0);
  const log = records(readFileSync(join(root, 'results/u.ndjson')));
  expect(log.filter(({ outcome }) => outcome === 'normal')).toHaveLength(QUERIES);
  expect(log).toHaveLength(QUERIES);
}

function expectRefused(ended: Ended, descriptors: number): void {
  expect(ended.code, ended.stderr).toBe(2);
  expect(ended.stderr).toContain(`may have ${descriptors} files open (ulimit -n)`);
  expect(ended.stderr).toMatch(/hint: raise the limit: ulimit -n \d+/);
  expect(ended.stderr).not.toMatch(/^ +at /m);
}

describe('on a server', () => {
  test.each([20, 25])('%i file descriptors are too few, and nothing is begun', async descriptors => {
    expectRefused(await limited(descriptors, ['-P1', '--url', stub.url]), descriptors);
    expect(() => readFileSync(join(root, 'results/u.ndjson'))).toThrow();
  });

  test.each([
    [36, 1],
    [36, 64],
    [40, 64],
    [50, 256],
    [100, 256],
  ])('%i are enough for some of -P%i: all is done', async (descriptors, p) => {
    const ended = await limited(descriptors, [`-P${p}`, '--url', stub.url]);
    expectDone(ended);
    if (p > 1) expect(ended.stderr).toMatch(new RegExp(`warning +\\d+ at once instead of ${p}: .*ulimit -n`));
    expect(ended.stderr).not.toContain('EMFILE');
  });

  test('nothing is said where there are enough', async () => {
    const ended = await limited(200, ['-P64', '--url', stub.url]);
    expectDone(ended);
    expect(ended.stderr).not.toContain('ulimit');
  });

  test('results that wait in files are waited for, and none becomes an error', async () => {
    const row = `{"pad":"${'x'.repeat(2_000_000)}"}\n`;
    stub.shape = rows(row);
    expectDone(await limited(40, ['-P64', '--url', stub.url]));
  });
});

describe('on the embedded engine', () => {
  test.each([24, 60, 110])('%i file descriptors are too few, and nothing is begun', async descriptors => {
    expectRefused(await limited(descriptors, ['-P16']), descriptors);
  });

  test.each([150, 180, 250])('%i are enough for some: all is done', async descriptors => {
    const ended = await limited(descriptors, ['-P64']);
    expectDone(ended);
    expect(ended.stderr).toMatch(/warning +\d+ at once instead of \d+: .*ulimit -n/);
  });

  test('a query that needs more than there are ends as error, and the others are done', async () => {
    for (let n = 0; n < 400; n += 1) put(root, `parts/${n}.tsv`, `${n}\n`);
    put(
      root,
      'u/q0.sql',
      `SELECT count() AS c FROM (${Array.from({ length: 400 }, (_, n) => `SELECT * FROM file('${root}/parts/${n}.tsv', TSV, 'a UInt64')`).join(' UNION ALL ')}) SETTINGS max_threads = 400`,
    );
    const ended = await limited(250, ['-P4', '--retries', '1', '--max-outage', '20s', '--allow-files']);
    const log = records(readFileSync(join(root, 'results/u.ndjson')));
    expect(log.filter(({ outcome }) => outcome === 'normal').length, ended.stderr).toBeGreaterThanOrEqual(
      QUERIES - 1,
    );
    expect(ended.stderr).not.toMatch(/^ +at /m);
    expect([0, 20]).toContain(ended.code);
  });
});
