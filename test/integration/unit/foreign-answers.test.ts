import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { foreign, rows, type Shape, type StubServer, startStubServer } from '../../engines/stub-server.js';
import { qrun, records, removeTree, tree } from '../qrun.js';

vi.setConfig({ testTimeout: 60_000 });

const LOGIN: Shape = foreign(200, '{"error":"login required"}\n', { 'content-type': 'application/json' });
const QUERIES = 12;
let stub: StubServer;
let root: string;

beforeAll(async () => {
  stub = await startStubServer();
});
afterAll(async () => await stub.stop());
beforeEach(() => {
  const files = Array.from({ length: QUERIES }, (_, index) => [`u/q${index}.sql`, `SELECT ${index} AS a\n`]);
  root = tree(Object.fromEntries(files));
});
afterEach(() => removeTree(root));

const log = () => records(readFileSync(join(root, 'results/u.ndjson')));

/** The first queries are answered, then the way to the server ends at a login page until `until` says so. */
function loginAfter(good: number, until: (asked: number) => boolean): Shape {
  let asked = 0;
  let pages = 0;
  return request => {
    asked += 1;
    const isPage = asked > good && !until(pages);
    if (isPage) pages += 1;
    (isPage ? LOGIN : rows('{"a":1}\n'))(request);
  };
}

it('a login page in mid-run stops the run like an outage: nothing of it is recorded', async () => {
  stub.shape = loginAfter(3, () => false);
  const ended = await qrun(['unit', 'u', '--url', stub.url, '-P2', '-q', '--max-outage', '1s'], {
    cwd: root,
  });
  expect(ended, ended.stderr).toMatchObject({ code: 24 });
  expect(ended.stderr).toContain('which is not an answer of ClickHouse');
  expect(ended.stderr).toContain('login required');
  const kept = log();
  expect(kept).toHaveLength(3);
  expect(kept.map(record => record.row)).toEqual([{ a: 1 }, { a: 1 }, { a: 1 }]);
  // The way is free again: the rest is still due.
  stub.shape = rows('{"a":1}\n');
  expect(await qrun(['unit', 'u', '--url', stub.url, '-q'], { cwd: root })).toMatchObject({ code: 0 });
  expect(log()).toHaveLength(QUERIES);
});

it('a login page that goes away again is waited for', async () => {
  stub.shape = loginAfter(3, pages => pages >= 4);
  const ended = await qrun(['unit', 'u', '--url', stub.url, '-P2', '-q', '--max-outage', '30s'], {
    cwd: root,
  });
  expect(ended, ended.stderr).toMatchObject({ code: 0 });
  expect(log()).toHaveLength(QUERIES);
  expect(log().map(record => record.row)).toEqual(Array.from({ length: QUERIES }, () => ({ a: 1 })));
});
