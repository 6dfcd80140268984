import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { endAll, qrun, removeTree, tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from '../services/clickhouse-server.js';

const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

// Each fails, and the engine quotes the query from the place of the error on, or the value that it does not like.
const SECRETS = [
  'TopSec1-x',
  'TopSec2-x',
  'TopSec3-x',
  'AKIATOPSECRETID44',
  'TopSec5-x',
  'TopSec6-x',
  'TopSec7-x',
];
const [S1, S2, S3, S4, S5, S6, S7] = SECRETS;
const QUERIES: Readonly<Record<string, string>> = {
  'u/user.sql': `CREATE USER bob IDENTIFIED WITH sha256_passwordd BY '${S1}'`,
  'u/users.sql': `CREATE USER IDENTIFIED BY '${S2}'`,
  'u/dict.sql': `CREATE DICTIONARY d (k UInt64) PRIMARY KEYY k SOURCE(CLICKHOUSE(USER 'me' PASSWORD '${S3}'))`,
  'u/s3.sql': `SELECT * FROMM s3('https://127.0.0.1:1/x', '${S4}', '${S5}', 'CSV', 'a String')`,
  'u/url.sql': `SELECT * FROM url('http://me:${S6}@127.0.0.1:1/x', CSV, 'a String')`,
  'u/long.sql': `SELECT * FROMM mysql('127.0.0.1:1', '${'d'.repeat(90)}', 't', 'me', '${S7}${'z'.repeat(200)}')`,
};

const seen = (root: string, more: string): string =>
  more +
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.name.endsWith('.sql') && !entry.parentPath.includes('.qrun'))
    .map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');

async function run(
  args: readonly string[],
): Promise<{ root: string; text: string; code: number | undefined }> {
  // The embedded engine asks a server that is not there for half a minute.
  const { 'u/url.sql': url = '', ...others } = QUERIES;
  const root = tree(args[0] === '--url' ? { ...others, 'u/url.sql': url } : others);
  roots.push(root);
  const ended = await qrun(['unit', 'u', '--events', 'events.ndjson', '--retries=0', ...args], { cwd: root });
  return { root, text: seen(root, ended.stdout + ended.stderr), code: ended.code };
}

function shownIn(text: string): string[] {
  return SECRETS.filter(secret => text.includes(secret) || text.includes(secret.slice(0, 7)));
}

function contract(args: () => readonly string[]): void {
  it('gives nothing of them to log, events or terminal', async () => {
    const { text, code } = await run(args());
    expect(code).toBe(20);
    expect(text).toContain("'...'");
    expect(shownIn(text)).toEqual([]);
  });

  it('gives all of them with --no-redact, so that this test sees what is hidden', async () => {
    const { text } = await run([...args(), '--no-redact']);
    expect(shownIn(text).length).toBeGreaterThan(3);
  });
}

describe('credentials in SQL that fails, on the embedded engine', () => contract(() => []));

describe.skipIf(!clickHouseServerAvailable())('credentials in SQL that fails, on a server', () => {
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterAll(() => server.stop());
  contract(() => ['--url', server.url]);
});

it('a setup that fails shows none of its credentials', async () => {
  const root = tree({
    'u/a.sql': 'SELECT 1 AS v',
    'u/_setup.sql': `CREATE USER bob IDENTIFIED WITH sha256_passwordd BY '${S1}'`,
  });
  roots.push(root);
  const ended = await qrun(['unit', 'u', '--events', 'events.ndjson'], { cwd: root });
  expect(ended.code).toBe(2);
  expect(shownIn(seen(root, ended.stdout + ended.stderr))).toEqual([]);
  const whole = await qrun(['unit', 'u', '--no-redact'], { cwd: root });
  expect(shownIn(whole.stderr)).toEqual([S1]);
});
