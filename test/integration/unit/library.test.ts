import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT, requireBuild } from '../../built.js';
import { clickHouseServerAvailable, startClickHouseServer } from '../../services/clickhouse-server.js';

// As somebody has it who installed the package: every program here imports `qrun`, and runs in a process of its own.

const PAGE = readFileSync(`${ROOT}docs/library.md`, 'utf8');
const [SHORT = '', LONG = ''] = [...PAGE.matchAll(/```js\n([\s\S]*?)```/g)].map(match => match[1] ?? '');
const { PATH, HOME } = process.env;

let directory: string;
beforeEach(() => {
  requireBuild();
  directory = mkdtempSync(join(tmpdir(), 'qrun-library-'));
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(ROOT, join(directory, 'node_modules/qrun'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string): Promise<Ended> {
  writeFileSync(join(directory, 'program.mjs'), program);
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['program.mjs'], {
      cwd: directory,
      env: { PATH, HOME, TZ: 'UTC', UV_THREADPOOL_SIZE: '16' },
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    return error as Ended;
  }
}

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(directory, name, '..'), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}

/** What a program prints as its one line of JSON. */
async function result(program: string): Promise<unknown> {
  const { code, stdout, stderr } = await run(program);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

describe('a program of docs/library.md', () => {
  it.runIf(clickHouseServerAvailable())('of ten lines runs, twice, on a server', async () => {
    const server = await startClickHouseServer();
    try {
      write({
        'sql/a.sql': 'SELECT number FROM numbers(3)',
        'sql/b.sql': 'SELECT 1 WHERE 0',
        'sql/c.sql': 'SELECT number + 7 AS n FROM numbers(3)',
      });
      expect(SHORT.trim().split('\n').length).toBeLessThanOrEqual(10);
      expect(SHORT).toContain('http://localhost:8123');
      const program = SHORT.replace('http://localhost:8123', server.url);
      expect(await run(program)).toEqual({ code: 0, stdout: '3 queries are due\n', stderr: '' });
      expect(await run(program)).toEqual({ code: 0, stdout: '0 queries are due\n', stderr: '' });
      expect(readFileSync(join(directory, 'results/sql.ndjson'), 'utf8').trim().split('\n')).toHaveLength(7);
    } finally {
      await server.stop();
    }
  });

  it('of more lines runs on the embedded engine', async () => {
    cpSync(`${ROOT}sql`, join(directory, 'sql'), { recursive: true });
    const { code, stdout, stderr } = await run(LONG);
    expect(stderr).toBe('');
    expect(stdout.split('\n')).toEqual([
      '95 with rows, 5 without',
      `rows of 95 queries in ${join(directory, 'results/sql.ndjson')}`,
      '290 of 290 lines: complete',
      '',
    ]);
    expect(code).toBe(0);
  });

  it('says what it is told to say when the configuration is bad', async () => {
    const { code, stderr } = await run(LONG.replace("'30s'", "'30 parsecs'").replace('16', '17'));
    expect(code).toBe(2);
    expect(stderr).toContain('timeout: must be a duration');
  });

  it('is right by its types', async () => {
    for (const [name, program] of [
      ['short.mts', SHORT],
      ['long.mts', LONG],
    ] as const) {
      write({ [name]: program.replace('new Map()', 'new Map<string, object[]>()') });
    }
    write({
      'wrong.mts':
        "import { openUnit } from 'qrun';\n// @ts-expect-error: no such option\nopenUnit('sql', { rowsPerQery: 3 });\n// @ts-expect-error: no number\nopenUnit('sql', { concurrency: {} });\n",
    });
    write({
      'exact.mts': `
        import { openCheckpoint, openJobs, openSweep, openUnit } from 'qrun';
        const none = undefined;
        const where = { trust: none, cwd: none, env: none };
        const unit = openUnit('sql', { ...where, timeout: none });
        void unit.run({ signal: none, drain: none, onEvent: none });
        void unit.audit({ logs: none });
        const sweep = openSweep('sql', { ...where, includeUnits: none, excludeUnits: none, group: none });
        const how = { priority: none, slots: none, delay: none, resumeGroup: none };
        const calls = { onProgress: none, onNotice: none, onSetup: none };
        void sweep.submit({ ...how, ...calls, finalizers: none, dryRun: none, signal: none });
        void sweep.audit({ signal: none });
        const jobs = openJobs('jobs.toml', { ...where, memoryMax: none });
        const which = { include: none, exclude: none };
        void jobs.plan({ ...how, ...which, rerun: none, group: none });
        void jobs.submit({ ...how, ...which, rerun: none, group: none, signal: none });
        void jobs.check(which);
        openCheckpoint('c', { onSetAside: none });
      `,
    });
    const options = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--skipLibCheck',
    ];
    const types = ['--types', 'node', '--typeRoots', `${ROOT}node_modules/@types`];
    const files = ['short.mts', 'long.mts', 'wrong.mts', 'exact.mts'];
    const checked = promisify(execFile)(`${ROOT}node_modules/.bin/tsc`, [...options, ...types, ...files], {
      cwd: directory,
    }).catch((error: Ended) => error);
    expect((await checked).stdout).toBe('');
  });
});

describe('a run in a program', () => {
  it('reads no arguments, writes nothing, listens to no signal and leaves the process as it was', async () => {
    write({
      'sql/a.sql': 'SELECT 1',
      'sql/b.sql': 'SELECT {n:UInt8}',
      'qrun.toml': 'umask = "0077"\nmemory_max = "64G"\n',
    });
    const program = `
      import { writeFileSync } from 'node:fs';
      const state = () => ({
        umask: process.umask(),
        listeners: process.eventNames().map(String).sort(),
        cwd: process.cwd(),
        env: { ...process.env },
        title: process.title,
        exitCode: process.exitCode ?? null,
      });
      process.umask(0o022);
      const read = [];
      const { argv } = process;
      Object.defineProperty(process, 'argv', {
        get() {
          // Node itself reads it where a module imports node:process.
          const by = new Error().stack.split('\\n').slice(2).filter(line => !/node:internal|\\(<anonymous>\\)$/.test(line));
          if (by.length > 0) read.push(by[0]);
          return argv;
        },
      });
      const before = state();
      const { openUnit } = await import('qrun');
      const unit = openUnit('sql', { parameters: { n: '7' }, concurrency: 2 });
      const heard = new Set();
      await unit.run({
        onEvent: () => { for (const name of process.eventNames()) heard.add(String(name)); },
      });
      const { verdict } = await unit.audit();
      writeFileSync('result.json', JSON.stringify({
        before, after: state(), heard: [...heard], notices: unit.notices, verdict, read,
      }));`;
    expect(await run(program)).toEqual({ code: 0, stdout: '', stderr: '' });
    const found = JSON.parse(readFileSync(join(directory, 'result.json'), 'utf8')) as {
      readonly before: unknown;
      readonly after: unknown;
      readonly heard: readonly string[];
      readonly notices: readonly string[];
      readonly read: readonly string[];
      readonly verdict: string;
    };
    expect(found.read).toEqual([]);
    expect(found.verdict).toBe('complete');
    expect(found.after).toEqual(found.before);
    expect(found.heard.filter(name => name.startsWith('SIG'))).toEqual([]);
    expect(found.notices).toEqual([
      'the configured umask is not applied: it would change the whole process',
      'the configured memory_max is not applied: it needs a process of its own',
    ]);
    const [start] = readFileSync(join(directory, 'results/sql@n=7.ndjson.runs'), 'utf8').split('\n');
    expect(JSON.parse(start ?? '')).toMatchObject({ event: 'start', arguments: [] });
  });

  it('takes the umask that it is given, from then on', async () => {
    write({ 'sql/a.sql': 'SELECT 1' });
    expect(
      await result(`
        import { openUnit } from 'qrun';
        process.umask(0o002);
        openUnit('sql', { umask: '0077' });
        console.log(process.umask());`),
    ).toBe(0o077);
  });

  it('is stopped by whatever its listener throws or rejects with, and writes events as they were', async () => {
    write(Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`sql/q${n}.sql`, `SELECT ${n}`])));
    const found = await result(`
      import { openUnit } from 'qrun';
      const unhandled = [];
      process.on('unhandledRejection', reason => unhandled.push(String(reason)));
      const unit = openUnit('sql', { concurrency: 1, events: 'events.ndjson' });
      const outcome = onEvent => unit.run({ onEvent }).then(() => ['resolved'], error => ['rejected', String(error)]);
      const found = [
        await outcome(async ({ type }) => { if (type === 'query_started') throw new Error('mine'); }),
        await outcome(() => { throw undefined; }),
        await outcome(() => Promise.reject()),
        await outcome(async ({ type }) => {
          await new Promise(resolve => setImmediate(resolve));
          if (type === 'run_ended') throw new Error('late');
        }),
        await outcome(event => { event.type = 'changed'; }),
      ];
      await new Promise(resolve => setTimeout(resolve, 20));
      console.log(JSON.stringify([found, unhandled]));`);
    expect(found).toEqual([
      [
        ['rejected', 'Error: mine'],
        ['rejected', 'undefined'],
        ['rejected', 'undefined'],
        ['rejected', 'Error: late'],
        ['resolved'],
      ],
      [],
    ]);
    expect(readFileSync(join(directory, 'events.ndjson'), 'utf8')).not.toContain('changed');
  });

  it('has its place from when it was opened, and an opening that throws changes nothing', async () => {
    write({
      'work/sql/a.sql': 'SELECT 1',
      'work/jobs.toml': 'name = "j"\ncommand = ["true"]\n[matrix]\nn = [1]\n',
      'elsewhere/x': '',
    });
    expect(
      await result(`
        import { openSweep, openUnit } from 'qrun';
        process.umask(0o002);
        let code;
        try { openUnit('sql', { cwd: 'work', umask: '0077', events: 'results/sql.ndjson' }); } catch (error) { code = error.code; }
        const unit = openUnit('sql', { cwd: 'work', events: 'events.ndjson' });
        await openSweep('sql', { cwd: 'work' });
        process.chdir('elsewhere');
        await unit.run();
        const report = await unit.audit({ logs: ['results/sql.ndjson'] });
        console.log(JSON.stringify([code, process.umask(), report.verdict]));`),
    ).toEqual(['USAGE', 0o002, 'complete']);
    expect(readFileSync(join(directory, 'work/events.ndjson'), 'utf8')).toContain('query_recorded');
  });

  it('is stopped by a signal, and the next one does the rest', async () => {
    write(Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`sql/q${n}.sql`, `SELECT ${n}`])));
    const found = await result(`
      import { openUnit } from 'qrun';
      const unit = openUnit('sql', { concurrency: 1 });
      const stop = new AbortController();
      const first = await unit.run({
        drain: stop.signal,
        onEvent: event => { if (event.type === 'query_recorded') stop.abort('enough'); },
      });
      const gone = await unit.run({ signal: AbortSignal.abort('never') }).catch(reason => reason);
      const broken = await unit
        .run({ onEvent: event => { if (event.type === 'query_started') throw new Error('mine'); } })
        .catch(error => error.message);
      const { due } = await unit.plan();
      const last = await unit.run();
      const report = await unit.audit();
      console.log(JSON.stringify({ first, gone, broken, due, last, verdict: report.verdict }));`);
    expect(found).toMatchObject({
      first: { stopped: 'enough', exit_code: 25 },
      broken: 'mine',
      last: { exit_code: 0, not_run: 0 },
      verdict: 'complete',
    });
    const { first, due, gone } = found as {
      readonly first: { readonly not_run: number };
      readonly due: number;
      readonly gone: unknown;
    };
    expect(first.not_run).toBeGreaterThan(0);
    expect(due).toBeGreaterThan(0);
    // On a slow machine the stop is seen while the files are still being read; there is no summary then.
    if (gone !== 'never') expect(gone).toMatchObject({ stopped: 'never', recorded: { normal: 0 } });
  });

  it('refuses what the command refuses, by the names of its options', async () => {
    write({ 'sql/a.sql': 'SELECT 1', 'sql/b.sql': 'SELECT __X__' });
    const found = await result(`
      import { openUnit } from 'qrun';
      const refusal = async work => {
        try { await work(); } catch (error) { return [error.code, error.message, ...error.details]; }
      };
      const plan = await openUnit('sql').plan();
      console.log(JSON.stringify([
        await refusal(() => openUnit('sql', { rows_per_query: 3, memoryMax: '8G' })),
        await refusal(() => openUnit('sql', { concurrency: 0, shard: '3/2' })),
        await refusal(() => openUnit('sql').run()),
        plan.due, plan.cannot_run.map(({ query }) => query),
        (await openUnit('sql', { allowPlaceholders: true }).plan()).due,
      ]));`);
    expect(found).toEqual([
      ['CONFIG', 'openUnit has no option rows_per_query, memoryMax'],
      [
        'CONFIG',
        expect.any(String),
        expect.stringMatching(/^concurrency: /),
        expect.stringMatching(/^shard: /),
      ],
      ['SQL_INVALID', '1 query file cannot run', expect.stringContaining('__X__')],
      0,
      ['b'],
      2,
    ]);
  });

  it('refuses options that do not exist, and values of the wrong type', async () => {
    write({
      'sql/a.sql': 'SELECT 1',
      'jobs.toml': 'name = "j"\ncommand = ["true"]\n[matrix]\nn = [1]\n',
    });
    const calls: Readonly<Record<string, string>> = {
      "openUnit('sql', { foo: 1 })": 'openUnit has no option foo',
      "openUnit('sql').run({ sginal: 1 })": 'run has no option sginal',
      "openUnit('sql').audit({ log: [] })": 'audit has no option log',
      "openSweep('sql', { foo: 1 })": 'openSweep has no option foo',
      "openSweep('sql').submit({ dryrun: true })": 'submit has no option dryrun',
      "openSweep('sql').audit({ foo: 1 })": 'audit has no option foo',
      "openJobs('jobs.toml', { trusst: true })": 'openJobs has no option trusst',
      "openJobs('jobs.toml').plan({ foo: 1 })": 'plan has no option foo',
      "openJobs('jobs.toml').submit({ dryRun: true })": 'submit has no option dryRun',
      "openJobs('jobs.toml').check({ foo: 1 })": 'check has no option foo',
      "openCheckpoint('c', { foo: 1 })": 'openCheckpoint has no option foo',
      'openUnit(3)': 'openUnit: the directory must be a string',
      'openUnit()': 'openUnit: the directory must be a string',
      "openUnit('sql', null)": 'openUnit: the options must be an object',
      "openUnit('sql', { cwd: 3 })": 'openUnit: cwd must be a string',
      "openUnit('sql', { env: null })": 'openUnit: env must be an object of variables',
      "openUnit('sql').run({ signal: 3 })": 'run: signal must be an AbortSignal',
      "openUnit('sql').run({ onEvent: 3 })": 'run: onEvent must be a function',
      "openUnit('sql').audit({ logs: 'abc' })": 'audit: logs must be a list of strings',
      "openSweep('sql', { includeUnits: 'a' })": 'openSweep: includeUnits must be a list of strings',
      "openSweep('sql').submit({ finalizers: 'echo' })": 'submit: finalizers must be a list of strings',
      "openSweep('sql').submit({ slots: 'x' })": "submit: slots must be a whole number from 1, or 'auto'",
      "openJobs('jobs.toml').submit({ slots: 'x' })": 'submit: slots must be a whole number from 1',
      'openCheckpoint(3)': 'openCheckpoint: the path must be a string',
    };
    const found = await result(`
      import { openCheckpoint, openJobs, openSweep, openUnit } from 'qrun';
      const refusal = async work => {
        try { return await work(); } catch (error) { return [error.code, error.message, ...error.details ?? []]; }
      };
      console.log(JSON.stringify([${Object.keys(calls)
        .map(call => `await refusal(() => ${call})`)
        .join(',')},
        await refusal(() => openUnit('sql', { foo: 1, cwd: 3 })),
      ]));`);
    expect(found).toEqual([
      ...Object.values(calls).map(message => ['CONFIG', message]),
      ['CONFIG', 'openUnit: 2 problems', 'openUnit has no option foo', 'openUnit: cwd must be a string'],
    ]);
  });
});
