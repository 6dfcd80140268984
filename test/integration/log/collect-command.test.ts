import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openSweep } from '../../../src/index.js';
import { takeLease } from '../../../src/io/log/lease.js';
import { faultsOf } from '../../schemas.js';
import { normalGroup } from '../../unit/log/log-samples.js';
import { type Ended, endAll, put, qrun, records, removeTree, startQrun, tree } from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const SWEEP = {
  'qrun.toml': 'engine = "embedded"\nrows_per_query = 3\n',
  ...Object.fromEntries(
    ['one', 'two'].flatMap(unit =>
      ['a', 'b', 'c', 'd'].map(query => [
        `${unit}/${query}.sql`,
        `SELECT '${unit}${query}' AS q, number FROM numbers(3)`,
      ]),
    ),
  ),
};

// What each of two hosts has recorded: both have run `one`, and only the second one `two`.
let recorded = '';
const roots: string[] = [];

beforeAll(async () => {
  recorded = tree({});
  for (const [host, units] of [
    ['x', ['one']],
    ['y', ['one', 'two']],
  ] as const) {
    const root = tree(SWEEP);
    for (const unit of units) {
      const { code, stderr } = await qrun(['unit', unit, '--quiet'], { cwd: root });
      expect([code, stderr]).toEqual([0, '']);
    }
    cpSync(join(root, 'results'), join(recorded, host), { recursive: true });
    removeTree(root);
  }
});
afterAll(() => removeTree(recorded));
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

/** The sweep on the host that collects, with copies of what the others have recorded. */
function collecting(): string {
  const root = tree(SWEEP);
  roots.push(root);
  for (const host of ['x', 'y'])
    cpSync(join(recorded, host), join(root, 'results/.from', host), { recursive: true });
  return root;
}

const log = (root: string, unit: string): string => join(root, `results/${unit}.ndjson`);

interface Report {
  readonly logs: readonly {
    readonly unit: string;
    readonly appended: { readonly groups: number };
    readonly there: number;
    readonly ran_twice: number;
    readonly stale: number;
    readonly problem: { readonly code: string; readonly message: string } | null;
  }[];
  readonly left_out: readonly string[];
  readonly exit_code: number;
}

async function collect(root: string, ...args: string[]): Promise<Report & { readonly ended: Ended }> {
  const ended = await qrun(['collect', '--json', ...args], { cwd: root });
  const report = JSON.parse(ended.stdout) as Report;
  expect(faultsOf('collect', report)).toBe('');
  expect(report.exit_code).toBe(ended.code);
  return { ...report, ended };
}

async function audit(root: string): Promise<number | undefined> {
  return (await qrun(['audit-all'], { cwd: root })).code;
}

const counts = ({ logs }: Report): unknown[] =>
  logs.map(({ unit, appended, there, ran_twice }) => [unit, appended.groups, there, ran_twice]);

describe('qrun collect', () => {
  it('makes one log of those of several hosts, and nothing of the same again', async () => {
    const root = collecting();
    const first = await collect(root);
    expect([first.ended.code, first.ended.stderr]).toEqual([0, '']);
    expect(counts(first)).toEqual([
      ['one', 4, 0, 0],
      ['one', 0, 0, 4],
      ['two', 4, 0, 0],
    ]);
    expect(await audit(root)).toBe(0);
    expect(readFileSync(log(root, 'two'))).toEqual(readFileSync(join(recorded, 'y/two.ndjson')));
    const before = ['one', 'two'].map(unit => readFileSync(log(root, unit)));
    expect(counts(await collect(root))).toEqual([
      ['one', 0, 4, 0],
      ['one', 0, 0, 4],
      ['two', 0, 4, 0],
    ]);
    expect(['one', 'two'].map(unit => readFileSync(log(root, unit)))).toEqual(before);
    // Who ran what is known here too, once each.
    const runs = records(readFileSync(`${log(root, 'one')}.runs`));
    expect(runs.map(({ event }) => event)).toEqual(['start', 'end', 'start', 'end']);
    const known = new Set(runs.map(({ run }) => run));
    for (const { run } of records(before[0] as Buffer)) expect(known).toContain(run);
    // And a run has nothing to do.
    const run = await qrun(['unit', 'one', '--json'], { cwd: root });
    expect(JSON.parse(run.stdout)).toMatchObject({ settled_before: 4, exit_code: 0 });
  });

  it('shows people what it did, without colours where they are not wanted', async () => {
    const root = collecting();
    const { stdout, code } = await qrun(['collect'], { cwd: root, env: { NO_COLOR: '1' } });
    expect(code).toBe(0);
    expect(stdout.split('\n').slice(1)).toEqual([
      '',
      '  from             logs  new  there before  ran twice',
      '  results/.from/x     1    4             0',
      '  results/.from/y     2    4             0          4',
      '',
      '  ! 4 results dropped because the query was executed more than once; the first one counts',
      '  8 results appended (24 lines)',
      '  next: qrun audit-all .',
      '',
    ]);
  });

  it('takes logs and directories by name, whatever the logs are called', async () => {
    const root = collecting();
    rmSync(join(root, 'results'), { recursive: true });
    put(root, 'elsewhere/copy of two.ndjson', readFileSync(join(recorded, 'y/two.ndjson')));
    const report = await collect(
      root,
      '--from',
      join(recorded, 'x'),
      '--from',
      'elsewhere/copy of two.ndjson',
    );
    expect(counts(report)).toEqual([
      ['one', 4, 0, 0],
      ['two', 4, 0, 0],
    ]);
    expect(await audit(root)).toBe(0);
  });

  it('takes only units that are asked for, and says what it leaves out', async () => {
    const root = collecting();
    const report = await collect(root, '--include', 'two');
    expect(counts(report)).toEqual([['two', 4, 0, 0]]);
    expect(report.left_out).toHaveLength(2);
    expect(existsSync(log(root, 'one'))).toBe(false);
  });
});

describe('two logs that are put together', () => {
  it('by cat are doubled to the audit, and by an import are not', async () => {
    const root = collecting();
    const both = ['x', 'y'].map(host => readFileSync(join(recorded, host, 'one.ndjson')));
    put(root, 'results/one.ndjson', Buffer.concat(both));
    put(root, 'results/two.ndjson', readFileSync(join(recorded, 'y/two.ndjson')));
    const { code, stdout } = await qrun(['audit', 'one', '--json'], { cwd: root });
    expect(code).toBe(21);
    const { verdict, duplicate } = JSON.parse(stdout) as { verdict: string; duplicate: unknown[] };
    expect([verdict, duplicate.length]).toEqual(['inconsistent', 4]);
    expect(await audit(root)).toBe(21);
    rmSync(log(root, 'one'));
    await collect(root);
    expect(await audit(root)).toBe(0);
  });

  it('count the same, whatever the clocks of their hosts say', async () => {
    for (const order of [
      ['x', 'y'],
      ['y', 'x'],
    ]) {
      const root = collecting();
      // The clock of one host is years ahead, also in the ids of its runs, by which they are sorted.
      for (const name of ['one.ndjson', 'one.ndjson.runs']) {
        const path = join(root, 'results/.from/x', name);
        writeFileSync(path, readFileSync(path, 'utf8').replace(/20\d\d(?=\d{4}T|-\d\d-\d\dT)/g, '2099'));
      }
      const report = await collect(root, ...order.flatMap(host => ['--from', `results/.from/${host}`]));
      expect(report.logs.filter(({ unit }) => unit === 'one').map(one => one.appended.groups)).toEqual([
        4, 0,
      ]);
      expect(await audit(root)).toBe(0);
    }
  });

  it('lose nothing to old SQL of one host', async () => {
    const root = collecting();
    // The host `x` still has an older text of one query.
    const path = join(root, 'results/.from/x/one.ndjson');
    const [first] = records(readFileSync(path)).filter(({ query }) => query === 'b');
    const old = readFileSync(path, 'utf8').replaceAll(String(first?.fingerprint), '0123456789abcdef');
    writeFileSync(path, old);
    // By itself it is what is known of that query, and stale.
    const alone = await collect(root, '--from', 'results/.from/x');
    expect(alone.logs[0]?.appended.groups).toBe(4);
    expect(await audit(root)).toBe(21);
    expect(counts(await collect(root))).toEqual([
      ['one', 0, 4, 0],
      ['one', 1, 0, 3],
      ['two', 4, 0, 0],
    ]);
    expect(await audit(root)).toBe(0);
    // Where the present text has a result, the old one is dropped, also when it comes later.
    const other = collecting();
    put(other, 'results/.from/x/one.ndjson', old);
    const late = await collect(other, '--from', 'results/.from/y', '--from', 'results/.from/x');
    expect(late.logs.map(({ stale }) => stale)).toEqual([0, 1, 0]);
    expect(await audit(other)).toBe(0);
  });
});

describe('what stops a part of an import', () => {
  it('is a unit that runs here: 22, and the others are imported', async () => {
    const root = collecting();
    const owner = { pid: process.pid, host: 'here', run: 'r', since: '2026-01-31T12:00:00.000Z' };
    const lease = await takeLease(log(root, 'one'), 'one', owner);
    const { ended, logs } = await collect(root);
    lease.release();
    expect(ended.code).toBe(22);
    expect(logs.map(({ problem }) => problem?.code ?? null)).toEqual(['UNIT_RUNNING', 'UNIT_RUNNING', null]);
    expect(existsSync(log(root, 'two'))).toBe(true);
    expect((await collect(root)).ended.code).toBe(0);
  });

  it('is a damaged log: 23, with the place, and the others are imported', async () => {
    const root = collecting();
    const path = join(root, 'results/.from/x/one.ndjson');
    const text = readFileSync(path, 'utf8');
    const at = text.indexOf('\n') + 1;
    writeFileSync(path, `${text.slice(0, at)}damage\n${text.slice(at)}`);
    const { code, stdout, stderr } = await qrun(['collect'], { cwd: root });
    expect([code, stderr]).toEqual([23, '']);
    expect(stdout).toContain(
      `results/.from/x/one.ndjson is damaged: the line at byte ${at} (7 bytes) is not a record`,
    );
    expect(stdout).toContain('hint: copy it from its host again');
    expect(stdout).toContain('8 results appended (24 lines); 1 of 3 logs not imported');
    expect(await audit(root)).toBe(0);
  });

  it('is a log here that is damaged: 23, and it stays as it is', async () => {
    const root = collecting();
    put(root, 'results/one.ndjson', 'damage\n{"unit":"one"}\n');
    const { ended, logs } = await collect(root);
    expect(ended.code).toBe(23);
    expect(logs.map(({ problem }) => problem?.code ?? null)).toEqual(['LOG_DAMAGED', 'LOG_DAMAGED', null]);
    expect(readFileSync(log(root, 'one'), 'utf8')).toBe('damage\n{"unit":"one"}\n');
  });
});

describe('a call that cannot be meant', () => {
  it.each<[string, readonly string[], string]>([
    ['without anything to collect', [], 'there are no logs of other hosts: there is no directory'],
    [
      'with a path that leads to nothing',
      ['--from', 'nowhere'],
      '--from nowhere: there is no such file or directory',
    ],
    [
      'with a directory without logs',
      ['--from', 'one'],
      '--from one: there is no log (*.ndjson) in this directory',
    ],
    ['with the logs here', ['--from', 'results'], 'this is where the logs of this sweep are'],
    ['with a log here', ['--from', 'results/one.ndjson'], 'this is where the logs of this sweep are'],
    ['with a file that is no log', ['--from', 'qrun.toml'], 'this is no log of a unit of'],
  ])('%s is refused before anything is done', async (_, args, message) => {
    const root = collecting();
    rmSync(join(root, 'results/.from'), { recursive: true });
    put(root, 'results/one.ndjson', readFileSync(join(recorded, 'x/one.ndjson')));
    const before = readdirSync(join(root, 'results'));
    const { code, stdout, stderr } = await qrun(['collect', ...args], { cwd: root });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(message);
    expect(stderr).toContain('hint: ');
    expect(readdirSync(join(root, 'results'))).toEqual(before);
  });

  it('with logs of other units alone imports nothing and ends with 2', async () => {
    const root = tree({ 'qrun.toml': 'engine = "embedded"\n', 'three/q.sql': 'SELECT 1' });
    roots.push(root);
    const { ended, left_out } = await collect(root, '--from', join(recorded, 'y'));
    expect([ended.code, left_out.length]).toEqual([2, 2]);
  });

  it('is none where a host has recorded nothing yet', async () => {
    const root = collecting();
    for (const host of ['x', 'y']) rmSync(join(root, 'results/.from', host), { recursive: true });
    mkdirSync(join(root, 'results/.from/z'));
    const { stdout, code } = await qrun(['collect'], { cwd: root });
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/ {2}0 logs of other hosts\n {2}nothing new\n$/),
    ]);
  });
});

it('openSweep(...).collect does the same', async () => {
  const root = collecting();
  const sweep = openSweep(root, { cwd: root, env: {} });
  const report = await sweep.collect({ from: ['results/.from/y'] });
  expect(counts(report as unknown as Report)).toEqual([
    ['one', 4, 0, 0],
    ['two', 4, 0, 0],
  ]);
  expect((await sweep.audit()).verdict).toBe('complete');
  await expect(sweep.collect({ from: ['nowhere'] })).rejects.toMatchObject({ code: 'USAGE' });
  await expect(sweep.collect({ form: [] } as never)).rejects.toMatchObject({ code: 'CONFIG' });
});

it('a process that is killed again and again leaves a log that the next one completes', async () => {
  const names = Array.from({ length: 200 }, (_, n) => `q${String(n).padStart(3, '0')}`);
  const root = tree({
    'qrun.toml': 'engine = "embedded"\n',
    ...Object.fromEntries(names.map(name => [`u/${name}.sql`, `SELECT '${name}' AS q`])),
  });
  roots.push(root);
  const plan = JSON.parse((await qrun(['plan', 'u', '--json'], { cwd: root })).stdout) as {
    queries: readonly { query: string; fingerprint: string }[];
  };
  const row = `{"text":"${'x'.repeat(200_000)}"}`;
  for (const host of ['x', 'y', 'z']) {
    const groups = plan.queries.map(({ query, fingerprint }) =>
      normalGroup({ unit: 'u', query, fingerprint, run: host }, [row]),
    );
    put(root, `results/.from/${host}/u.ndjson`, Buffer.concat(groups));
  }
  let killed = 0;
  for (let trial = 0; trial < 15; trial += 1) {
    const child = startQrun(['collect'], { cwd: root });
    await Promise.race([child, grown(log(root, 'u'), trial * 2_000_000)]);
    child.kill('SIGKILL');
    if ((await child).signal === 'SIGKILL') killed += 1;
  }
  expect(killed).toBeGreaterThan(5);
  const { ended } = await collect(root);
  expect(ended.code).toBe(0);
  expect(await audit(root)).toBe(0);
  expect((await collect(root)).logs.map(one => one.appended.groups)).toEqual([0, 0, 0]);
});

// Until a file has so many bytes: what tells that an import is under way.
async function grown(path: string, bytes: number): Promise<void> {
  while (!existsSync(path) || readFileSync(path).length < bytes) await delay(2);
}
