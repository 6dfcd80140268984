import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type StubServer, startStubServer, status } from '../../engines/stub-server.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../../services/clickhouse-server.js';
import { type Ended, ordinaryUser, put, qrun, records, removeTree, type Start, tree } from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

const GOOD = 'SELECT 1 AS a\n';
const user = ordinaryUser();

/** What a user must be told: how the process ends, and words that its message holds. */
interface Complaint {
  readonly code: number;
  readonly says: readonly (string | RegExp)[];
  /** Every line of stderr but the hint's, where there are many problems. */
  readonly lines?: number;
}

let stub: StubServer;
let root = '';

beforeAll(async () => {
  stub = await startStubServer();
});
afterAll(async () => {
  await stub.stop();
});
afterEach(() => {
  if (root !== '') removeTree(root);
  root = '';
  stub.requests.length = 0;
});

function complains(ended: Ended, { code, says, lines }: Complaint): void {
  expect(ended, ended.stderr).toMatchObject({ code, stdout: '' });
  for (const words of says) expect(ended.stderr).toMatch(words);
  // One message, with what to do about it, and no stack.
  expect(ended.stderr).toMatch(/^qrun: /);
  expect(ended.stderr).not.toMatch(/this is a bug|\n\s+at |node:internal|Warning:/);
  expect(ended.stderr.match(/^qrun: /gm)).toHaveLength(1);
  if (lines !== undefined) expect(ended.stderr.trimEnd().split('\n')).toHaveLength(lines);
}

/** Runs `qrun unit u` against the stub, and checks that no query was sent. */
async function refused(args: readonly string[], complaint: Complaint, start: Partial<Start> = {}) {
  const ended = await qrun(['unit', 'u', '--url', stub.url, ...args], { cwd: root, ...start });
  complains(ended, complaint);
  expect(stub.requests).toEqual([]);
  return ended;
}

describe('the directory', () => {
  it.each<[string, Record<string, string>, Complaint]>([
    ['missing', {}, { code: 2, says: ['there is no directory', '/u\n', 'hint: name the directory'] }],
    ['empty', { 'u/notes.txt': 'x' }, { code: 2, says: ['holds no *.sql file'] }],
    ['only setup', { 'u/_setup.sql': GOOD }, { code: 2, says: ['holds no *.sql file', '"_"'] }],
    ['a file', { u: GOOD }, { code: 2, says: ['is a file, not a directory', '--include=u'] }],
  ])('%s', async (_title, files, complaint) => {
    root = tree(files);
    await refused([], complaint);
    expect(readdirSync(root)).not.toContain('results');
  });

  it.runIf(user !== undefined)('unreadable', async () => {
    root = tree({ 'u/a.sql': GOOD });
    chmodSync(join(root, 'u'), 0o000);
    await refused([], { code: 2, says: ['cannot read the directory', 'EACCES', 'hint: '] }, asUser());
  });

  it.runIf(user !== undefined)('a subdirectory that cannot be entered', async () => {
    root = tree({ 'u/a.sql': GOOD, 'u/sub/b.sql': GOOD });
    chmodSync(join(root, 'u/sub'), 0o000);
    await refused([], { code: 2, says: ['cannot read the directory', 'u/sub', 'EACCES'] }, asUser());
  });

  it.runIf(user !== undefined)('a file that cannot be read', async () => {
    root = tree({ 'u/a.sql': GOOD, 'u/b.sql': GOOD });
    chmodSync(join(root, 'u/b.sql'), 0o000);
    await refused([], { code: 2, says: ['1 query file cannot run', 'b.sql: .*EACCES'].map(re) }, asUser());
  });

  it('a link that leads nowhere', async () => {
    root = tree({ 'u/a.sql': GOOD });
    symlinkSync('/nowhere/b.sql', join(root, 'u/b.sql'));
    await refused([], {
      code: 2,
      says: [re('b.sql: .*it is a symbolic link to something that is not there')],
    });
  });

  it('a directory whose name ends in .sql is a directory', async () => {
    root = tree({ 'u/a.sql/b.sql': GOOD });
    const ended = await qrun(['plan', 'u'], { cwd: root });
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toContain('a.sql/b');
  });
});

describe('query files', () => {
  const bad = (
    name: string,
    sql: string | Buffer,
    ...says: string[]
  ): [string, string | Buffer, string[]] => [name, sql, says];
  it.each([
    bad('not UTF-8', Buffer.from('SELECT \xe9', 'latin1'), 'b.sql: 1:8', 'not UTF-8', '0xE9'),
    bad('UTF-16', Buffer.from('\ufeffSELECT 1', 'utf16le'), 'b.sql: 1:1', 'UTF-16'),
    bad('UTF-16 big endian', Buffer.from('\ufeffSELECT 1', 'utf16le').swap16(), 'b.sql: 1:1', 'UTF-16'),
    bad('a NUL byte', 'SELECT 1\n\0', 'b.sql: 2:1', 'NUL byte'),
    bad('an open string', "SELECT 1,\n  'abc", 'b.sql: 2:3', 'not closed'),
    bad('an open comment', 'SELECT 1 /* abc', 'b.sql: 1:10', 'not closed'),
    bad('INTO OUTFILE', "SELECT 1 INTO OUTFILE 'x.tsv'", 'b.sql: 1:10', 'INTO OUTFILE'),
    bad('a placeholder', 'SELECT __COLUMN__ FROM t', 'b.sql: ', '__COLUMN__', '--allow-placeholders'),
    bad('a bad limit of its own', '-- qrun: timeout=5\nSELECT 1', 'b.sql: 1:10: bad value "5" for timeout'),
    bad('an unknown limit', '-- qrun: retry=5\nSELECT 1', 'b.sql: 1:', 'retry'),
  ])('%s', async (_title, sql, says) => {
    root = tree({ 'u/a.sql': GOOD, 'u/b.sql': sql });
    await refused([], { code: 2, says: ['1 query file cannot run', ...says], lines: 3 });
    // The others run when this one is left out.
    const rest = await qrun(['unit', 'u', '--url', stub.url, '--exclude', 'b', '-q'], { cwd: root });
    expect(rest, rest.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(stub.requests.map(request => request.sql)).toEqual(['SELECT 1 AS a']);
  });

  it('all problems at once, each file named once', async () => {
    root = tree({
      'u/a.sql': "SELECT 'open",
      'u/b.sql': 'SELECT __X__, __Y__',
      'u/c.sql': 'SELECT {p:UInt8}',
      'u/d.sql': GOOD,
    });
    const ended = await refused([], { code: 2, says: ['3 query files cannot run'], lines: 5 });
    for (const name of ['a', 'b', 'c']) expect(ended.stderr.split(`  ${name}.sql: `)).toHaveLength(2);
  });

  it('300 bad files are a short message', async () => {
    root = tree(
      Object.fromEntries(
        Array.from({ length: 300 }, (_, n) => [`u/${n}.sql`, `SELECT ${' '.repeat(n)}'open`]),
      ),
    );
    await refused([], { code: 2, says: ['300 query files cannot run', 'and 280 more'], lines: 23 });
    // Many with one problem are one line.
    for (let n = 0; n < 300; n += 1) put(root, `u/${n}.sql`, "SELECT 'open");
    await refused([], { code: 2, says: ['300 query files', '10.sql and 297 more: 1:8'], lines: 3 });
  });

  it('a UTF-8 byte order mark runs', async () => {
    root = tree({ 'u/a.sql': `\ufeff${GOOD}` });
    const ended = await qrun(['unit', 'u', '--url', stub.url], { cwd: root });
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(stub.requests.map(request => request.sql)).toEqual(['SELECT 1 AS a']);
  });

  it('other bytes than UTF-8 run in comments and strings', async () => {
    root = tree({ 'u/a.sql': Buffer.from("SELECT 'caf\xe9' -- \xe9\n, 1", 'latin1') });
    const ended = await qrun(['unit', 'u', '--url', stub.url], { cwd: root });
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(stub.requests).toHaveLength(1);
  });

  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what is looked for
  it.each(['${COLUMN}', '{{ column }}', "'__column__'"])('a placeholder such as %s', async placeholder => {
    root = tree({ 'u/a.sql': `SELECT ${placeholder} -- {{ not_this }}` });
    const name = placeholder.replaceAll("'", '');
    await refused([], { code: 2, says: ['a.sql: ', `unreplaced placeholder ${name}`], lines: 3 });
  });

  it('--allow-placeholders runs them as they are', async () => {
    root = tree({ 'u/a.sql': 'SELECT __X__' });
    const ended = await qrun(['unit', 'u', '--url', stub.url, '--allow-placeholders'], { cwd: root });
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(stub.requests.map(request => request.sql)).toEqual(['SELECT __X__']);
  });

  it('nothing is selected', async () => {
    root = tree({ 'u/a.sql': GOOD });
    await refused(['--include', 'nosuch*'], { code: 2, says: ['none of the 1 quer', '--include', 'hint: '] });
  });
});

describe('parameters', () => {
  beforeEachTree({ 'u/a.sql': 'SELECT {p:UInt8}, {q:String}' });

  it('without a value', async () => {
    await refused(['--param', 'p=1'], {
      code: 2,
      says: ['a.sql: {q:String} has no value', '--param name=value'],
    });
  });

  it('that no query uses', async () => {
    await refused(['--param', 'p=1', '--param', 'q=2', '--param', 'r=3'], {
      code: 2,
      says: ['--param r: no query uses it'],
    });
  });

  it('named like a property that every object has', async () => {
    put(root, 'u/b.sql', 'SELECT {constructor:String}');
    await refused(['--param', 'p=1', '--param', 'q=2'], {
      code: 2,
      says: ['{constructor:String} has no value'],
    });
  });

  it('that are no pair', async () => {
    await refused(['--param', 'p'], { code: 2, says: ['--param p: must be name=value'] });
    await refused(['--param', '=1'], { code: 2, says: ['--param =1: must be name=value'] });
  });
});

describe('options', () => {
  beforeEachTree({ 'u/a.sql': GOOD });

  it.each<[string[], ...string[]]>([
    [['--nosuch'], "unknown option '--nosuch'"],
    [['--retrys', '3'], "unknown option '--retrys'", 'Did you mean --retries?'],
    [['-P', '0'], '--concurrency', 'from 1 to 1024', '"0"'],
    [['-P', '1e9'], '--concurrency', 'from 1 to 1024', '"1e9"'],
    [['-P', '1000000000'], '--concurrency', 'from 1 to 1024', '"1000000000"'],
    [['-P', '2.5'], '--concurrency', '"2.5"'],
    [['--timeout', '5'], '--timeout', 'with a unit: 500ms', '"5"'],
    [['--timeout', '-5s'], '--timeout', '"-5s"'],
    [['--timeout', '1000h'], '--timeout', '"1000h"'],
    [['--retries', '-1'], '--retries', 'from 0 to 100', '"-1"'],
    [['--shard', '3/2'], '--shard', 'i/n with 1 <= i <= n', '"3/2"'],
    [['--shard', '0/2'], '--shard', '"0/2"'],
    [['--halt', 'x'], '--halt', 'errors=N, errors=N%, same=N or same=off', '"x"'],
    [['--halt', 'errors=0'], '--halt', '"errors=0"'],
    [['--rerun', 'some'], '--rerun', 'errors, all, none', 'some'],
    [['--limit', '0'], '--limit', '"0"'],
    [['--engine', 'duckdb'], '--engine', 'clickhouse, embedded'],
    [['--rows-per-query', 'three'], '--rows-per-query', '"three"'],
    [['--set', 'max_threads'], '--set max_threads: must be name=value'],
    [['--set', 'default_format=CSV'], 'default_format', 'cannot be set'],
    [['--password', 'hush'], 'visible to every user', 'CLICKHOUSE_PASSWORD'],
    [['--password-file', 'nosuch'], 'there is no such password file', 'may be the password itself'],
    [['second'], 'too many arguments'],
    [['--events', 'results/../results/u.ndjson'], 'that is the log of the unit', 'hint: '],
  ])('%j', async (args, ...says) => {
    const ended = await refused(args, { code: 2, says });
    expect(ended.stderr).not.toContain('hush');
  });

  it('all bad values at once', async () => {
    await refused(['-P', '0', '--timeout', '5', '--halt', 'x', '--shard', '9'], {
      code: 2,
      says: ['--concurrency', '--timeout', '--halt', '--shard'],
      lines: 6,
    });
  });

  it.each([
    ['-P', 'all'],
    ['--memory-max', '8GB'],
    ['--memory-max', '63M'],
    ['--url', ''],
    ['--url', 'localhost:8123'],
    ['--url', 'http://127.0.0.1:1/db?user=me'],
    ['--url', 'http://127.0.0.1:1/p@ss'],
    ['--url', 'ftp://127.0.0.1'],
    ['--url', '--setup'],
  ])('%s %s', async (...args) => {
    complains(await qrun(['unit', 'u', ...args], { cwd: root }), { code: 2, says: ['hint: '] });
  });

  it('a current directory that was removed', async () => {
    mkdirSync(join(root, 'gone'));
    const prefix = ['bash', '-c', 'rmdir ../gone && exec "$@"', 'gone'];
    const ended = await qrun(['plan', 'u'], { cwd: join(root, 'gone'), prefix });
    complains(ended, { code: 2, says: ['the current directory is gone', 'hint: '] });
  });

  it('no command, an unknown command, no directory', async () => {
    const none = await qrun([], { cwd: root });
    expect(none).toMatchObject({ code: 2, stdout: '' });
    expect(none.stderr).toContain('Usage: qrun');
    complains(await qrun(['unti', 'u'], { cwd: root }), {
      code: 2,
      says: ["unknown command 'unti'", 'unit'],
    });
    complains(await qrun(['unit'], { cwd: root }), { code: 2, says: ["missing required argument 'dir'"] });
  });
});

describe('configuration', () => {
  beforeEachTree({ 'u/a.sql': GOOD });

  it.each<[string, string, ...string[]]>([
    ['bad syntax', 'concurrency = \n', 'qrun.toml:1:15', 'not TOML'],
    ['an unknown key', 'concurency = 3', 'qrun.toml: concurency: unknown key', 'concurrency'],
    ['a bad value', 'concurrency = "many"', 'qrun.toml: concurrency', 'from 1 to 1024', '"many"'],
    ['a value of another type', 'url = 5', 'qrun.toml: url'],
    ['a choice of one run', 'shard = "1/2"', 'qrun.toml: shard: unknown key'],
    ['a password', 'password = "hush"', 'qrun.toml: password', 'CLICKHOUSE_PASSWORD'],
  ])('qrun.toml with %s', async (_title, toml, ...says) => {
    put(root, 'qrun.toml', toml);
    for (const command of [
      ['unit', 'u'],
      ['plan', 'u'],
      ['audit', 'u'],
      ['config', 'u'],
    ]) {
      const ended = await qrun(command, { cwd: root });
      complains(ended, { code: 2, says });
      expect(ended.stderr).not.toContain('hush');
    }
  });

  it('a bad variable of the environment is named', async () => {
    await refused(
      [],
      { code: 2, says: ['QRUN_CONCURRENCY', '"many"'] },
      { env: { QRUN_CONCURRENCY: 'many' } },
    );
  });

  it.runIf(user !== undefined)('a qrun.toml that cannot be read', async () => {
    put(root, 'qrun.toml', '');
    chmodSync(join(root, 'qrun.toml'), 0o000);
    await refused([], { code: 2, says: ['cannot read', 'qrun.toml', 'EACCES'] }, asUser());
  });
});

describe('the log', () => {
  beforeEachTree({ 'u/a.sql': GOOD, 'u/b.sql': 'SELECT 2 AS a\n' });
  const log = () => join(root, 'results/u.ndjson');

  /** Fills the log, changes it, and gives what is in it then. */
  async function withLog(change: (whole: Buffer) => Buffer): Promise<Buffer> {
    const first = await qrun(['unit', 'u', '--url', stub.url], { cwd: root });
    expect(first, first.stderr).toMatchObject({ code: 0 });
    stub.requests.length = 0;
    const changed = change(readFileSync(log()));
    put(root, 'results/u.ndjson', changed);
    put(root, 'u/c.sql', 'SELECT 3 AS a\n');
    return changed;
  }

  it('is a directory', async () => {
    mkdirSync(join(root, 'd'));
    await refused(['--log', 'd'], {
      code: 23,
      says: ['cannot open the log', '/d', 'it is a directory, not a regular file', '--log'],
    });
    await refused(['--log-dir', 'u/a.sql'], { code: 23, says: ['cannot write', 'u/a.sql', '--log-dir'] });
  });

  it('lies where no directory can be', async () => {
    await refused(['--log-dir', '/proc/nosuch/x'], {
      code: 23,
      says: ['cannot write the log directory', '/proc'],
    });
  });

  it.runIf(user !== undefined)('read-only for this user', async () => {
    const before = await withLog(whole => whole);
    chmodSync(join(root, 'results'), 0o1777);
    for (const name of readdirSync(join(root, 'results')))
      chownSync(join(root, 'results', name), 65_534, 65_534);
    chownSync(log(), 0, 0);
    chmodSync(log(), 0o444);
    await refused([], { code: 23, says: ['cannot open the log', 'EACCES', '--log'] }, asUser());
    expect(readFileSync(log())).toEqual(before);
  });

  it.runIf(user !== undefined)('in a directory that is read-only for this user', async () => {
    mkdirSync(join(root, 'results'));
    chmodSync(join(root, 'results'), 0o555);
    await refused([], { code: 23, says: ['results/u.ndjson', 'EACCES', '--log-dir'] }, asUser());
  });

  it('of another unit', async () => {
    const before = await withLog(whole =>
      Buffer.from(whole.toString().replaceAll('"unit":"u"', '"unit":"v"')),
    );
    await refused([], { code: 23, says: ['records of the unit "v"', 'byte 0', '--log'] });
    expect(readFileSync(log())).toEqual(before);
  });

  it('of a later version', async () => {
    const before = await withLog(whole => whole);
    const runs = readFileSync(`${log()}.runs`, 'utf8').replace('"schema":1', '"schema":9');
    put(root, 'results/u.ndjson.runs', runs);
    await refused([], { code: 23, says: ['schema 9', 'update qrun'] });
    expect(readFileSync(log())).toEqual(before);
  });

  it('damaged in the middle: the place is named, nothing is changed', async () => {
    const before = await withLog(whole => {
      const at = whole.indexOf(10) + 1;
      return Buffer.concat([whole.subarray(0, at), Buffer.from('garbage\n'), whole.subarray(at)]);
    });
    await refused([], {
      code: 23,
      says: [`byte ${before.indexOf('garbage')}`, 'damaged', 'never its middle'],
    });
    expect(readFileSync(log())).toEqual(before);
  });

  it('damaged at its end: saved aside, cut off, said, and run again', async () => {
    await withLog(whole => whole.subarray(0, whole.length - 7));
    const ended = await qrun(['unit', 'u', '--url', stub.url], { cwd: root });
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(ended.stderr).toMatch(/torn/);
    expect(stub.requests).toHaveLength(2);
    expect(records(readFileSync(log()))).toHaveLength(3);
    expect(readdirSync(join(root, 'results')).some(name => name.includes('.torn-'))).toBe(true);
  });

  const limited = ['bash', '-c', 'ulimit -f 4; exec "$@"', 'limited'];

  it('that may not grow: nothing recorded is lost, and the next run completes it', async () => {
    const wide = `{"a":"${'x'.repeat(3000)}"}\n`;
    stub.shape = ({ response }) => response.end(wide);
    try {
      put(root, 'u/c.sql', 'SELECT 3 AS a\n');
      const args = ['unit', 'u', '--url', stub.url, '-q', '-P1'];
      const ended = await qrun(args, { cwd: root, prefix: limited });
      complains(withoutProgress(ended), { code: 23, says: ['cannot append to', 'EFBIG', 'run again'] });
      const kept = records(readFileSync(log()));
      expect(kept).toHaveLength(1);
      expect(await qrun(args, { cwd: root })).toMatchObject({ code: 0 });
      expect(records(readFileSync(log())).slice(0, 1)).toEqual(kept);
      expect(records(readFileSync(log()))).toHaveLength(3);
    } finally {
      stub.shape = ({ response }) => response.end('{"a":1}\n');
    }
  });

  it.runIf(canMount())(
    'on a full disk: nothing recorded is lost, and the next run completes it',
    async () => {
      const disk = mkdtempSync(join(tmpdir(), 'qrun-full-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40k', 'tmpfs', disk]);
      stub.shape = ({ response }) => response.end(`{"a":"${'x'.repeat(2000)}"}\n`);
      try {
        for (let n = 0; n < 40; n += 1) put(root, `u/q${n}.sql`, `SELECT ${n} AS a\n`);
        const args = ['unit', 'u', '--url', stub.url, '-q', '-P4', '--log-dir', disk];
        const ended = await qrun(args, { cwd: root });
        complains(withoutProgress(ended), { code: 23, says: ['ENOSPC', disk, 'free space'] });
        const kept = records(readFileSync(join(disk, 'u.ndjson')));
        expect(kept.length).toBeGreaterThan(0);
        expect(kept.length).toBeLessThan(42);
        execFileSync('mount', ['-o', 'remount,size=4m', disk]);
        expect(await qrun(args, { cwd: root })).toMatchObject({ code: 0 });
        const all = records(readFileSync(join(disk, 'u.ndjson')));
        expect(all.slice(0, kept.length)).toEqual(kept);
        expect(new Set(all.map(record => record.query)).size).toBe(42);
        expect(all).toHaveLength(42);
      } finally {
        stub.shape = ({ response }) => response.end('{"a":1}\n');
        execFileSync('umount', [disk]);
        removeTree(disk);
      }
    },
  );
});

describe('what answers', () => {
  beforeEachTree({ 'u/a.sql': GOOD });

  it('nothing', async () => {
    const ended = await qrun(['unit', 'u', '--url', 'http://127.0.0.1:1'], { cwd: root });
    complains(ended, {
      code: 24,
      says: ['no ClickHouse server answers at http://127.0.0.1:1', 'ECONNREFUSED', 'hint: '],
    });
    expect(statSync(join(root, 'results/u.ndjson')).size).toBe(0);
  });

  it('a page of HTML', async () => {
    const page = '<html><body>Welcome to the router</body></html>';
    for (const code of [200, 404, 502]) {
      stub.openShape = status(code, page, { 'content-type': 'text/html' });
      await refused([], { code: 24, says: ['is not ClickHouse', stub.url] });
    }
    stub.openShape = undefined;
  });

  it('a page of HTML in place of a result: an error of the query, never a row', async () => {
    stub.shape = request => {
      const rows = request.sql === 'SELECT 1';
      status(200, rows ? '{"1":1}\n' : '<html>login</html>', { 'content-type': 'text/html' })(request);
    };
    try {
      const ended = await qrun(['unit', 'u', '--url', stub.url, '--json', '-q'], { cwd: root });
      expect(ended, ended.stderr).toMatchObject({ code: 20 });
      const [record] = records(readFileSync(join(root, 'results/u.ndjson')));
      expect(record).toMatchObject({ outcome: 'error', error: { name: 'NOT_CLICKHOUSE' } });
    } finally {
      stub.shape = ({ response }) => response.end('{"a":1}\n');
    }
  });
});

describe.runIf(clickHouseServerAvailable() || servicesRequired())('a real server', () => {
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterAll(async () => await server.stop());
  beforeEachTree({ 'u/a.sql': GOOD });

  const own = (test: () => Promise<void>) => async (context: { skip: (why: string) => void }) => {
    if (server.external) context.skip('the users of QRUN_TEST_URL are unknown');
    else await test();
  };

  it(
    'wrong password: refused, and shown nowhere',
    own(async () => {
      const secret = 'n0t-the-pass/w@rd';
      const args = ['unit', 'u', '--url', server.url, '--user', 'second', '--events', 'events'];
      const ended = await qrun(args, { cwd: root, env: { CLICKHOUSE_PASSWORD: secret } });
      complains(ended, { code: 24, says: ['refuses the user "second"', 'check the user and the password'] });
      expect(everything(root, ended)).not.toContain(secret);
    }),
  );

  it(
    'right password: from the environment, from .env, from a file; shown nowhere',
    own(async () => {
      const { user: name, password } = server.second;
      put(root, 'secret', `${password}\n`);
      const args = ['unit', 'u', '--url', server.url, '--user', name, '--events', 'events', '--rerun', 'all'];
      const ways: [string[], Record<string, string>][] = [
        [args, { CLICKHOUSE_PASSWORD: password }],
        [[...args, '--password-file', 'secret'], {}],
      ];
      for (const [line, env] of ways) {
        const ended = await qrun(line, { cwd: root, env });
        expect(ended, ended.stderr).toMatchObject({ code: 0 });
        removeTree(join(root, 'secret'));
        expect(everything(root, ended)).not.toContain(password);
        put(root, 'secret', `${password}\n`);
      }
      removeTree(join(root, 'secret'));
      put(root, '.env', `CLICKHOUSE_PASSWORD=${password}\n`);
      expect(await qrun(args, { cwd: root })).toMatchObject({ code: 0 });
    }),
  );

  it('wrong database', async () => {
    const ended = await qrun(['unit', 'u', '--url', server.url, '--database', 'nosuch'], { cwd: root });
    complains(ended, { code: 24, says: ['has no database "nosuch"', 'SHOW DATABASES'] });
  });

  it(
    'a user who may not change settings',
    own(async () => {
      const env = { CLICKHOUSE_USER: 'reader', CLICKHOUSE_PASSWORD: 'reader' };
      const ended = await qrun(['unit', 'u', '--url', server.url], { cwd: root, env });
      complains(ended, { code: 24, says: ['"reader" may not change settings', 'readonly'] });
    }),
  );

  it('parameters on a version that does not know them', async context => {
    const version = await (await fetch(`${server.url}/?query=SELECT%20version()`)).text();
    if (!version.startsWith('18.')) context.skip(`${version.trim()} knows parameters`);
    put(root, 'u/a.sql', 'SELECT {p:UInt8} AS p');
    const ended = await qrun(['unit', 'u', '--url', server.url, '--param', 'p=1'], { cwd: root });
    complains(ended, { code: 2, says: [`ClickHouse ${version.trim()}`, '{name:Type}', '19.14'] });
  });

  it('an unknown setting, with the one that was meant', async () => {
    const ended = await qrun(['unit', 'u', '--url', server.url, '--set', 'max_treads=2'], { cwd: root });
    complains(ended, { code: 2, says: ['no setting "max_treads"', 'did you mean "max_threads"?'] });
  });

  it('a setup file that fails', async () => {
    put(root, 'u/_setup.sql', 'CREATE TABLE nosuch_database.t (a UInt8) ENGINE = Memory');
    const ended = await qrun(['unit', 'u', '--url', server.url, '--setup', '-q'], { cwd: root });
    complains(ended, { code: 2, says: ['u/_setup.sql failed', 'nosuch_database'] });
    expect(statSync(join(root, 'results/u.ndjson')).size).toBe(0);
  });

  it('--setup without a setup file', async () => {
    const ended = await qrun(['unit', 'u', '--url', server.url, '--setup', '-q'], { cwd: root });
    complains(ended, { code: 2, says: ['no _setup.sql'] });
  });
});

describe('secrets in a URL', () => {
  const SECRETS = ['hu5h', 'p/w'];
  const urls = (host: string) => [
    `http://bob:hu5h@${host}`,
    `http://bob:p/w@hu5h@${host}`,
    `bob:hu5h@${host}`,
    `http://${host}/?user=bob&password=hu5h`,
    `http://${host}/#hu5h`,
  ];
  beforeEachTree({ 'u/a.sql': GOOD });

  it('are refused and never echoed by a run', async () => {
    for (const url of urls(stub.url.slice('http://'.length))) {
      const ended = await qrun(['unit', 'u', '--url', url, '--events', 'events'], { cwd: root });
      expect(ended, url).toMatchObject({ code: 2 });
      for (const secret of SECRETS) expect(everything(root, ended), url).not.toContain(secret);
      const fromEnv = await qrun(['unit', 'u'], { cwd: root, env: { CLICKHOUSE_URL: url } });
      for (const secret of SECRETS) expect(everything(root, fromEnv), url).not.toContain(secret);
    }
  });

  it('are never echoed by config', async () => {
    for (const url of urls('example.org:8123')) {
      for (const format of [[], ['--json']]) {
        const ended = await qrun(['config', 'u', '--url', url, ...format], {
          cwd: root,
          env: { CLICKHOUSE_PASSWORD: 'hu5h', COLUMNS: '500' },
        });
        expect(ended).toMatchObject({ code: 0 });
        for (const secret of SECRETS) expect(ended.stdout + ended.stderr, url).not.toContain(secret);
      }
    }
  });

  it('a mistyped --password is not echoed', async () => {
    for (const args of [
      ['plan', 'u', '--password=hu5h'],
      ['unit', 'u', '--pasword=hu5h'],
      ['audit', 'u', '--password', 'hu5h'],
    ]) {
      const ended = await qrun(args, { cwd: root });
      expect(ended).toMatchObject({ code: 2 });
      expect(ended.stderr).not.toContain('hu5h');
    }
  });

  it('do not get into the sidecar of an engine that does not read them', async () => {
    const args = ['unit', 'u', '--engine', 'embedded', '--url', 'http://bob:hu5h@localhost:8123'];
    const ended = await qrun(args, { cwd: root });
    const sidecar = readFileSync(join(root, 'results/u.ndjson.runs'), 'utf8');
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    expect(sidecar).toContain('http://***@localhost:8123');
    expect(sidecar).not.toContain('hu5h');
  });
});

function beforeEachTree(files: Readonly<Record<string, string>>): void {
  beforeEach(() => {
    root = tree(files);
  });
}

// The last message of a run that had begun; what it told while it ran stands before.
function withoutProgress(ended: Ended): Ended {
  return { ...ended, stderr: ended.stderr.replace(/^\d{4}-.*\n/gm, '') };
}

function asUser(): Partial<Start> {
  return { prefix: user ?? [] };
}

function re(text: string): RegExp {
  return new RegExp(text);
}

/** All that a run has written: streams and files. */
function everything(directory: string, ended: Ended): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry =>
    entry.isFile(),
  );
  const texts = files.map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  return [ended.stdout, ended.stderr, ...texts].join('\n');
}

function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  const probe = mkdtempSync(join(tmpdir(), 'qrun-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return true;
  } catch {
    return false;
  } finally {
    removeTree(probe);
  }
}
