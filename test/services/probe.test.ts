import { availableParallelism } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { readServerLimits, ServerWatcher } from '../../src/io/engines/clickhouse/limits.js';
import { type Shape, startStubServer } from '../engines/stub-server.js';
import { endAll, put, qrun, removeTree, tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';

vi.setConfig({ testTimeout: 120_000 });

let root = '';
beforeEach(() => {
  root = tree({});
});
afterEach(() => {
  endAll();
  removeTree(root);
});
const probe = async (...args: string[]) => await qrun(['probe', ...args], { cwd: root });
const json = async (args: readonly string[], env = {}) => {
  const end = await qrun(['probe', '--json', ...args], { cwd: root, env });
  expect(end, end.stderr).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(end.stdout);
};

describe('qrun probe', () => {
  it('prints the machine and what to run on it, in aligned lines without colours', async () => {
    const { code, stdout, stderr } = await probe('--memory-per-job', '1G', '--cores-per-job', '0.5');
    expect(code, stderr).toBe(0);
    const labels = stdout
      .split('\n')
      .filter(Boolean)
      .map(line => line.slice(0, 13).trim());
    expect(labels).toEqual(
      expect.arrayContaining([
        'cores',
        'memory',
        'swap',
        'now',
        'open files',
        'engine',
        'slots',
        'threads',
        '-P',
      ]),
    );
    expect(stdout).toMatch(
      /^slots {8}\d+ = min\([\d.]+[GT] x 0\.8 \/ 1G = [\d.]+, [\d.]+ cores? x 0\.8 \/ 0\.5 = /m,
    );
    expect(stdout).toMatch(/^engine {7}embedded \(no server is named\)$/m);
    expect(stdout).not.toContain('\u001b');
    for (const line of stdout.split('\n')) expect(line).toBe(line.trimEnd());
  });

  it('gives the same as JSON, with all inputs', async () => {
    const report = await json(['--memory-per-job', '1G']);
    const { host, engine, sizing, alone, together } = report;
    expect(engine).toMatchObject({ kind: 'embedded', error: null, target: null, max_threads: null });
    expect(sizing).toMatchObject({ memory_per_job_bytes: 2 ** 30, cores_per_job: 1, usable_share: 0.8 });
    expect(sizing.slots).toBe(Math.max(1, Math.floor(Math.min(sizing.by_memory, sizing.by_cores))));
    expect(sizing.by_memory).toBeCloseTo((host.memory_bytes * 0.8) / 2 ** 30);
    expect(sizing.by_cores).toBeCloseTo(host.cores * 0.8);
    expect(alone.concurrency).toBe(Math.max(1, Math.floor(2 * host.cores)));
    expect(together).toMatchObject({ slots: sizing.slots, threads_per_slot: alone.threads / sizing.slots });
    expect(host.cores_online).toBe(availableParallelism());
  });

  it('takes the memory of a job from memory_max, unless it is said', async () => {
    put(root, 'qrun.toml', 'memory_max = "2G"');
    expect((await json([])).sizing.memory_per_job_bytes).toBe(2 ** 31);
    expect((await json(['--memory-per-job', '512M'])).sizing.memory_per_job_bytes).toBe(2 ** 29);
  });

  it('goes on without a server that does not answer, and says so', async () => {
    const url = 'http://127.0.0.1:1';
    expect((await json(['--url', url])).engine).toMatchObject({
      kind: 'clickhouse',
      error: expect.stringMatching(/^no ClickHouse server answers at http:\/\/127\.0\.0\.1:1: /),
    });
    const { code, stdout } = await probe('--url', url);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^engine {7}no ClickHouse server answers at .*\n {13}its limits are not known and not counted$/m,
    );
  });

  it.each([
    [['--memory-per-job', 'much'], /--memory-per-job much: must be a size/],
    [['--cores-per-job', '-1'], /--cores-per-job -1: must be a number above 0/],
    [['--url', 'ftp://h'], /must begin with http:\/\/ or https:\/\//],
    [['--password', 'x'], /a password on the command line/],
    [
      ['--url', 'http://h:8123/?password=hunter2'],
      /the ClickHouse URL "http:\/\/h:8123\/\?\.\.\." has parameters/,
    ],
  ])('refuses %j', async (args, message) => {
    const end = await probe(...args);
    expect(end.stderr).not.toContain('hunter2');
    expect(end.stderr).toMatch(message);
    expect(end).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('the limits of a server of today', () => {
  const SETTINGS = '{"name":"max_threads","value":"\'auto(16)\'"}\n{"name":"max_memory_usage","value":"0"}\n';
  const SERVER = `{"name":"max_concurrent_queries","value":"1000"}
{"name":"max_server_memory_usage","value":"60000000000"}
{"name":"concurrent_threads_soft_limit_num","value":"0"}
{"name":"concurrent_threads_soft_limit_ratio_to_cores","value":"2"}
`;
  const answer =
    (server: string | undefined): Shape =>
    ({ sql, response }) => {
      if (sql === 'SELECT version() AS name') response.end('{"name":"26.7.3.1"}\n');
      else if (sql.includes('system.server_settings') && server !== undefined) response.end(server);
      else if (sql.includes('system.settings') && server !== undefined) response.end(SETTINGS);
      else {
        response.writeHead(403, { 'X-ClickHouse-Exception-Code': '497' });
        response.end('Code: 497. DB::Exception: reader: Not enough privileges. (ACCESS_DENIED)\n');
      }
    };

  it('are read and taken into the recommendation', async () => {
    const stub = await startStubServer(answer(SERVER));
    try {
      const report = await json(['--url', stub.url, '--cores-per-job', '0.01', '--memory-per-job', '1K']);
      expect(report.engine).toEqual({
        kind: 'clickhouse',
        error: null,
        target: stub.url,
        version: '26.7.3.1',
        max_concurrent_queries: 1000,
        max_server_memory_usage: 60e9,
        max_memory_usage: 0,
        max_threads: 16,
        concurrent_threads_soft_limit_num: 0,
        concurrent_threads_soft_limit_ratio_to_cores: 2,
        unknown: [],
      });
      expect(report.alone).toMatchObject({
        threads: 32,
        threads_from: 'soft limit per core',
        concurrency: 32,
      });
      const { stdout } = await probe('--url', stub.url);
      expect(stdout).toContain('max_server_memory_usage        55.9G\n');
      expect(stdout).toContain('max_memory_usage               no limit\n');
      expect(stdout).toContain(
        '32 for a unit that runs alone: 32 threads (soft limit of 2 x 16 cores of the server)\n',
      );
      // No settings: a user who may change none must be able to ask.
      for (const { url } of stub.requests) {
        expect(
          [...url.keys()].filter(
            key => !/^(query|query_id|default_format|wait_end_of_query|buffer_size)$/.test(key),
          ),
        ).toEqual([]);
      }
    } finally {
      await stub.stop();
    }
  });

  it('stay unknown, with the reason, when the user may read nothing', async () => {
    const stub = await startStubServer(answer(undefined));
    try {
      const { engine, alone, host } = await json(['--url', stub.url]);
      expect(engine).toMatchObject({ version: '26.7.3.1', max_concurrent_queries: null, max_threads: null });
      expect(engine.unknown).toEqual([
        expect.stringMatching(/^system\.settings: Code: 497/),
        expect.stringMatching(/^system\.server_settings: Code: 497/),
      ]);
      expect(alone.concurrency).toBe(2 * host.cores);
      const { stdout } = await probe('--url', stub.url);
      expect(stdout).toMatch(/^ {13}not readable: system\.settings: Code: 497/m);
    } finally {
      await stub.stop();
    }
  });
});

describe.skipIf(!clickHouseServerAvailable() && !servicesRequired())('on a real server', () => {
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterAll(async () => await server.stop());

  it('qrun probe tells its version and limits, and names what it does not tell', async () => {
    const { engine, alone } = await json(['--url', server.url], environment());
    expect(engine.version).toMatch(/^\d+\.\d+\./);
    expect(engine.max_threads).toBeGreaterThan(0);
    expect(alone).toMatchObject({ cores: engine.max_threads, cores_from: 'server' });
    if (server.external) return;
    expect(engine.version).toMatch(/^18\.16\./);
    expect(engine.max_concurrent_queries).toBeNull();
    expect(engine.unknown).toEqual([expect.stringMatching(/^system\.server_settings: Code: 60/)]);
  });

  it('qrun probe works for a user who may change no setting, and says when a user is refused', async context => {
    if (server.external) return context.skip();
    const reader = { CLICKHOUSE_USER: server.readonly.user, CLICKHOUSE_PASSWORD: server.readonly.password };
    expect((await json(['--url', server.url], reader)).engine.max_threads).toBeGreaterThan(0);
    const wrong = { ...reader, CLICKHOUSE_PASSWORD: 'hunter2' };
    const { engine } = await json(['--url', server.url], wrong);
    expect(engine.error).toMatch(/refuses the user "reader"/);
    expect(JSON.stringify(engine)).not.toContain('hunter2');
  });

  it('-P auto becomes a number before the run, which is said with its inputs', async () => {
    put(root, 'u/a.sql', 'SELECT 1 AS n');
    put(root, 'qrun.toml', 'concurrency = "auto"');
    const { alone, together, sizing } = await json(['--url', server.url], environment());
    const run = (env = {}, ...args: string[]) =>
      qrun(['unit', 'u', '--url', server.url, '--rerun', 'all', '--json', ...args], {
        cwd: root,
        env: { ...environment(), ...env },
      });
    const own = await run();
    expect(own, own.stderr).toMatchObject({ code: 0 });
    expect(own.stderr).toMatch(
      new RegExp(
        `^-P auto: ${alone.concurrency} quer(y|ies) at a time, ${alone.threads} threads \\(2 x `,
        'm',
      ),
    );
    expect(own.stderr).toContain(`${alone.concurrency} at once`);
    const inPueue = await run({ PUEUE_GROUP: 'qrun-s' });
    expect(inPueue.stderr).toMatch(
      new RegExp(`^-P auto: ${together.concurrency} quer.*shared by ${sizing.slots} unit`, 'm'),
    );
    const quiet = await run({}, '--quiet');
    expect(quiet.stderr).toBe('');
    const fixed = await run({}, '-P', '3');
    expect(fixed.stderr).not.toContain('auto');
  });

  it('queries that fail while they run are counted, for the time that was asked for', async context => {
    if (server.external) return context.skip();
    const watcher = await ServerWatcher.open({ url: server.url });
    try {
      // The table is made with the first query that is logged.
      expect(await watcher.exceptions(60)).toBeUndefined();
      const logged = async (sql: string) => {
        const url = `${server.url}/?log_queries=1&query=${encodeURIComponent(sql)}`;
        return (await fetch(url)).status;
      };
      expect(await logged('SELECT 1')).toBe(200);
      await vi.waitFor(async () => expect(await watcher.exceptions(60)).toBe(0), { timeout: 30_000 });
      for (const limit of [300_000, 400_000]) {
        expect(await logged(`SELECT throwIf(number = ${limit}) FROM numbers(1000000)`)).toBe(500);
      }
      // One that never ran does not count.
      expect(await logged('SELECT nosuch')).toBe(404);
      await vi.waitFor(async () => expect(await watcher.exceptions(60)).toBe(2), { timeout: 30_000 });
      await vi.waitFor(async () => expect(await watcher.exceptions(1)).toBe(0), { timeout: 30_000 });
    } finally {
      await watcher.close();
    }
  });

  it('a server that is gone is an error value, not a rejection', async () => {
    expect(await readServerLimits({ url: 'http://127.0.0.1:1' })).toMatchObject({
      code: 'ENGINE_UNREACHABLE',
    });
    await expect(readServerLimits({ url: server.url }, AbortSignal.abort(new Error('stop')))).rejects.toThrow(
      'stop',
    );
  });

  function environment(): Record<string, string> {
    const { user, password } = server.admin;
    return {
      ...(user === undefined ? {} : { CLICKHOUSE_USER: user }),
      ...(password === undefined ? {} : { CLICKHOUSE_PASSWORD: password }),
    };
  }
});
