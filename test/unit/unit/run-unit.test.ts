import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';
import { planUnit } from '../../../src/app/unit/plan.js';
import { type Failure, httpFailure, ownFailure, serverFailure } from '../../../src/core/engines/failure.js';
import { QrunError } from '../../../src/core/errors.js';
import { DEFAULT_HALT } from '../../../src/core/unit/halt.js';
import { FileLock } from '../../../src/io/files/flock.js';
import { type LogDisk, localDisk } from '../../../src/io/log/disk.js';
import { ResultLog } from '../../../src/io/log/result-log.js';
import { requireBuild } from '../../built.js';
import {
  eventsOf,
  type FakeClock,
  type FakeEngine,
  failed,
  fakeRun,
  LOST,
  MemoryLog,
  OVERLOAD,
  queriesOf,
  readOf,
  reads,
  SYNTAX,
  success,
} from './fake-run.js';

// USER_SESSION_LIMIT_EXCEEDED: a limit of the user, not of the server.
const LOCKED: Failure = {
  ...ownFailure('SESSION_IS_LOCKED', 'transient', 'Code: 373.'),
  code: 373,
};

const MEMORY: Failure = {
  ...ownFailure('MEMORY_LIMIT_EXCEEDED', 'transient', 'Code: 241. total'),
  code: 241,
};

describe('concurrency', () => {
  it('is never above the limit, and at the limit while there is work', async () => {
    const { summary, engine } = await fakeRun({
      files: reads(100),
      options: { concurrency: 7 },
      script: async (_call, engine) => {
        await clockOf(engine).delay(10);
        return success();
      },
    });
    expect(engine.maxRunning).toBe(7);
    // 100 queries of 10 ms on 7 slots, without a gap: 15 rounds.
    expect(summary.elapsed_ms).toBe(150);
    expect(summary.recorded).toEqual({ normal: 100, skipped: 0, error: 0 });
  });

  it('is no more than the engine runs at once: a wait in the engine is no duration of a query', async () => {
    const { engine, log, summary } = await fakeRun({
      files: reads(30),
      slots: 3,
      options: { concurrency: 16 },
      script: async (_call, engine) => {
        await clockOf(engine).delay(10);
        return success();
      },
    });
    expect(engine.maxRunning).toBe(3);
    // They begin when the engine has a place for them, and their durations do not count the wait.
    expect(new Set(log.groups.map(({ head }) => head.startedAtMs)).size).toBe(10);
    expect(summary.durations?.max_ms).toBeCloseTo(10, 1);
    expect(summary.elapsed_ms).toBe(100);
  });

  it('begins nothing more in a drained run, also not what waits in the engine for its place', async () => {
    const drain = new AbortController();
    const { engine, events, log } = await fakeRun({
      files: reads(90),
      slots: 4,
      options: { concurrency: 16, drain: drain.signal },
      script: async (_call, engine) => {
        await clockOf(engine).delay(150);
        drain.abort();
        return success();
      },
    });
    expect(engine.calls).toHaveLength(4);
    expect(events.filter(({ type }) => type === 'query_started')).toHaveLength(4);
    expect(log.groups).toHaveLength(4);
  });

  it('fills a slot at once when queries take different times', async () => {
    const { engine, log } = await fakeRun({
      files: reads(60),
      options: { concurrency: 5 },
      script: async ({ name, nth }, engine) => {
        expect(nth).toBe(1);
        // While queries wait, a query that starts finds all other slots taken.
        if (engine.calls.length > 5) expect(engine.running).toBe(5);
        await clockOf(engine).delay(1 + (Number(name.slice(1)) % 13));
        return success();
      },
    });
    expect(engine.maxRunning).toBe(5);
    expect(log.groups).toHaveLength(60);
  });

  it('opens a file only when its query has a slot, in the order of the plan', async () => {
    const files = reads(40);
    const opened: string[] = [];
    let ahead = 0;
    const { log } = await fakeRun({
      files,
      options: { concurrency: 3 },
      read: name => {
        opened.push(name);
        return readOf(files[name] ?? '');
      },
      script: async (_call, engine) => {
        ahead = Math.max(ahead, opened.length - engine.calls.length);
        await clockOf(engine).delay(5);
        return success();
      },
      onEvent: event => {
        if (event.type === 'query_recorded') ahead = Math.max(ahead, opened.length - 40);
      },
    });
    expect(opened).toEqual(Object.keys(files));
    expect(ahead).toBeLessThanOrEqual(2);
    expect(log.groups).toHaveLength(40);
  });
});

describe('while the disk confirms', () => {
  // A log that confirms nothing before it may.
  class SlowLog extends MemoryLog {
    confirm = (): void => {};
    readonly #confirmed = new Promise<void>(resolve => {
      this.confirm = resolve;
    });

    override async append(...group: Parameters<MemoryLog['append']>): Promise<boolean> {
      await super.append(...group);
      await this.#confirmed;
      return true;
    }
  }

  it('a slot takes the next query, and two results for each slot may wait', async () => {
    const log = new SlowLog();
    const started: string[] = [];
    const run = fakeRun({
      files: reads(20),
      options: { concurrency: 2 },
      log,
      script: ({ name }) => {
        started.push(name);
        return success();
      },
    });
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(log.groups.length).toBeGreaterThan(2);
    expect(started.length).toBeLessThanOrEqual(6);
    log.confirm();
    const { summary } = await run;
    expect(summary.recorded).toEqual({ normal: 20, skipped: 0, error: 0 });
    expect(log.groups).toHaveLength(20);
  });

  it('with one slot, nothing starts before the last result is recorded', async () => {
    const log = new SlowLog();
    const run = fakeRun({ files: reads(3), options: { concurrency: 1 }, log, script: () => success() });
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(log.groups).toHaveLength(1);
    log.confirm();
    const { events } = await run;
    const types = events.flatMap(({ type }) => (type.startsWith('query_') ? [type] : []));
    expect(types).toEqual(Array.from({ length: 3 }, () => ['query_started', 'query_recorded']).flat());
  });

  it('an error keeps its slot, so that --halt starts nothing more', async () => {
    const log = new SlowLog();
    const run = fakeRun({
      files: reads(5),
      options: { concurrency: 1, halt: { errors: { count: 1, unit: 'queries' }, same: undefined } },
      log,
      script: () => failed(SYNTAX),
    });
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    log.confirm();
    const { summary, engine } = await run;
    expect(engine.names()).toEqual(['q1']);
    expect(summary).toMatchObject({ not_run: 4, exit_code: 25 });
  });
});

describe('a unit of 300,000 queries', () => {
  it('costs the same memory and the same time for each query from the first to the last', async () => {
    requireBuild();
    const script = fileURLToPath(new URL('many-queries.mjs', import.meta.url));
    const { stdout } = await execa(process.execPath, [script, '300000']);
    const report = JSON.parse(stdout) as {
      plannedMiB: number;
      peakMiB: number;
      shareMs: number[];
      normal: number;
    };
    expect(report.normal).toBe(300_000);
    // Without a log: 150 MiB, of which 60 are the plan's, its garbage included; nothing is added while it runs.
    expect(report.peakMiB).toBeLessThan(200);
    expect(report.peakMiB - report.plannedMiB).toBeLessThan(50);
    // The fastest share of each half, so that other work on the machine does not decide.
    const half = (from: number): number => Math.min(...report.shareMs.slice(from, from + 5));
    expect(report.shareMs).toHaveLength(10);
    expect(half(5)).toBeLessThan(3 * half(0));
  }, 180_000);
});

describe('retries', () => {
  const once = async (
    sql: string,
    failure: Failure,
    failures: number,
    retries = 3,
  ): ReturnType<typeof fakeRun> =>
    await fakeRun({
      files: { q1: sql },
      options: { retries },
      script: ({ nth }) => (nth <= failures ? failed(failure) : success()),
    });

  it.each<[string, string, Failure, number, number]>([
    ['permanent: once', "SELECT 'q1'", SYNTAX, 3, 1],
    ['transient: retries + 1', "SELECT 'q1'", OVERLOAD, 3, 4],
    ['transient, no retries', "SELECT 'q1'", OVERLOAD, 0, 1],
    ['unknown, changes something: once', "INSERT INTO t SELECT 'q1'", lostOnly(), 3, 1],
    ['unknown, only reads: retries + 1', "SELECT 'q1'", lostOnly(), 3, 4],
    ['its own retries win', "-- qrun: retries=1\nSELECT 'q1'", OVERLOAD, 3, 2],
    ['its own retries=0 win', "-- qrun: retries=0\nSELECT 'q1'", OVERLOAD, 3, 1],
    ['never started, changes something', "INSERT INTO t SELECT 'q1'", startless(LOCKED), 2, 3],
  ])('%s', async (_title, sql, failure, retries, attempts) => {
    const { summary, engine, log, events } = await once(sql, failure, 99, retries);
    expect(engine.calls).toHaveLength(attempts);
    expect(log.lines()).toEqual([`q1 error ${attempts}`]);
    expect(log.error('q1')).toBe(failure.name);
    expect(summary.retries).toBe(attempts - 1);
    expect(eventsOf(events, 'query_retry')).toHaveLength(attempts - 1);
    expect(new Set(engine.calls.map(call => call.request.queryId)).size).toBe(attempts);
    expect(summary.exit_code).toBe(20);
  });

  it('records the attempt that succeeded', async () => {
    const { summary, log, engine } = await once("SELECT 'q1'", OVERLOAD, 2);
    expect(log.lines()).toEqual(['q1 normal 3']);
    expect(log.groups[0]?.head.queryId).toBe(engine.calls[2]?.request.queryId);
    expect(summary).toMatchObject({ retries: 2, exit_code: 0, errors: [] });
  });

  it('waits for a full server, which never began, without spending an attempt', async () => {
    const { summary, log, clock } = await once("INSERT INTO t SELECT 'q1'", startless(OVERLOAD), 6, 0);
    expect(log.lines()).toEqual(['q1 normal 7']);
    expect(summary).toMatchObject({ retries: 6, exit_code: 0, errors: [] });
    expect(clock.monotonicMs()).toBeGreaterThan(6 * 50);
  });

  it('does so no longer than for a lost one, and then spends its attempts if others were taken', async () => {
    const { log, clock, engine } = await fakeRun({
      files: reads(200),
      options: { concurrency: 2, retries: 1, outageLimitMs: 100_000 },
      random: () => 0.5,
      script: async ({ name }, engine) => {
        if (name === 'q1') return failed(startless(OVERLOAD));
        await clockOf(engine).delay(1_000);
        return success();
      },
    });
    expect(log.error('q1')).toBe('TOO_MANY_SIMULTANEOUS_QUERIES');
    const last = engine.calls.findLast(call => call.name === 'q1')?.atMs ?? 0;
    expect(last).toBeGreaterThan(100_000);
    expect(last).toBeLessThan(131_000);
    expect(engine.calls.filter(call => call.name === 'q1').length).toBeLessThan(20);
    expect(clock.monotonicMs()).toBeLessThan(220_000);
  });

  it.each([
    ['a full server', startless(OVERLOAD)],
    ['a proxy that limits', httpFailure({ status: 429, body: 'slow down' }, 0)],
    ['a proxy without a backend for queries', httpFailure({ status: 503, body: '' }, 0)],
  ])('%s that takes none for so long ends the run: exit 24, all is due', async (_, failure) => {
    const { summary, log, clock } = await fakeRun({
      files: reads(50),
      options: { outageLimitMs: 100_000 },
      script: () => failed(failure),
    });
    expect(log.groups).toEqual([]);
    expect(summary).toMatchObject({ exit_code: 24, not_run: 50 });
    expect(summary.stopped).toContain('http://fake:8123 took no query for 1');
    expect(clock.monotonicMs()).toBeLessThan(131_000);
  });

  it('waits longer each time, with full jitter and a cap', async () => {
    const waits = async (random: () => number): Promise<number[]> => {
      const { events } = await fakeRun({
        files: { q1: "SELECT 'q1'" },
        options: { retries: 9 },
        random,
        script: () => failed(OVERLOAD),
      });
      return eventsOf(events, 'query_retry').map(event => event.wait_ms);
    };
    expect(await waits(() => 0.999999)).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    expect(await waits(() => 0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('gives a query its own deadline', async () => {
    const { engine } = await fakeRun({
      files: { q1: "SELECT 'q1'", q2: "-- qrun: timeout=5s\nSELECT 'q2'" },
      options: { timeoutMs: 60_000 },
      script: () => success(),
    });
    expect(engine.calls.map(({ name, request }) => [name, request.timeoutMs])).toEqual([
      ['q1', 60_000],
      ['q2', 5_000],
    ]);
  });

  it('does not let the wait of one query hold up the others', async () => {
    const { clock, log } = await fakeRun({
      files: reads(20),
      options: { concurrency: 2 },
      script: async ({ name, nth }, engine) => {
        await clockOf(engine).delay(1);
        return name === 'q1' && nth < 3 ? failed(MEMORY) : success();
      },
    });
    expect(log.lines().at(-1)).toBe('q1 normal 3');
    expect(clock.monotonicMs()).toBeLessThan(800);
  });
});

describe('Retry-After', () => {
  const busy = (status: number, retryAfter: string): Failure =>
    httpFailure({ status, body: 'slow down', retryAfter }, Date.now());

  it.each([429, 503])('of HTTP %i is waited for while the server answers', async status => {
    const { engine, log, summary } = await fakeRun({
      files: { q1: "SELECT 'q1'" },
      script: ({ nth }) => (nth === 1 ? failed(busy(status, '20')) : success()),
    });
    expect(log.lines()).toEqual(['q1 normal 2']);
    const [first, second] = engine.calls;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(20_000);
    expect(summary.retries).toBe(1);
  });

  it('of a day is cut to the time that a lost server is waited for', async () => {
    const { clock, log } = await fakeRun({
      files: { q1: "SELECT 'q1'" },
      options: { outageLimitMs: 60_000 },
      script: ({ nth }) => (nth === 1 ? failed(busy(429, '99999999999')) : success()),
    });
    expect(log.lines()).toEqual(['q1 normal 2']);
    expect(clock.monotonicMs()).toBeLessThanOrEqual(61_000);
  });

  it('a server that answers pings and refuses every query is no endless loop', async () => {
    const { engine, log, summary } = await fakeRun({
      files: { q1: "SELECT 'q1'" },
      script: ({ nth }) => {
        if (nth > 50) throw new Error('asked for ever');
        return failed(busy(503, '1'));
      },
    });
    expect(log.lines()).toEqual([]);
    expect(summary.exit_code).toBe(24);
    expect(engine.calls.length).toBeGreaterThan(4);
  });
});

describe('an engine that goes away', () => {
  it('parks the run, and goes on when it is back, without spending attempts', async () => {
    const { summary, engine, log, events } = await fakeRun({
      files: reads(30),
      options: { concurrency: 4, retries: 0 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(10);
        if (name === 'q4') engine.refuse(30_000);
        return success();
      },
    });
    expect(summary).toMatchObject({ recorded: { normal: 30 }, exit_code: 0, not_run: 0, retries: 0 });
    expect(log.groups).toHaveLength(30);
    expect(engine.whileDown).toBeLessThanOrEqual(4);
    expect(eventsOf(events, 'engine_lost')).toHaveLength(1);
    expect(eventsOf(events, 'engine_back')).toHaveLength(1);
    // Asked for at least every 5 s, and not without pause.
    expect(engine.pings.length).toBeGreaterThan(6);
    expect(engine.pings.length).toBeLessThan(60);
  });

  it('runs those that were in flight again together when it is back', async () => {
    const seen: number[] = [];
    const { summary, engine } = await fakeRun({
      files: reads(16),
      options: { concurrency: 16, retries: 2 },
      script: async ({ name, nth }, engine) => {
        await clockOf(engine).delay(10);
        if (nth > 1) seen.push(engine.running);
        if (name === 'q3' && nth === 1) engine.die(5_000);
        await clockOf(engine).delay(60_000);
        return success();
      },
    });
    expect(summary).toMatchObject({ recorded: { normal: 16, error: 0 }, exit_code: 0 });
    expect(engine.calls).toHaveLength(32);
    expect(Math.max(...seen)).toBe(16);
  });

  it('starts nothing while it is away', async () => {
    const downStarts: string[] = [];
    await fakeRun({
      files: reads(12),
      options: { concurrency: 3 },
      script: async ({ name, nth }, engine) => {
        await clockOf(engine).delay(5);
        if (name === 'q2' && nth === 1) engine.die(10_000);
        return success();
      },
      onEvent: (event, engine) => {
        if (event.type === 'query_started' && engine.down) downStarts.push(event.query);
      },
    });
    expect(downStarts).toEqual([]);
  });

  it('gives up after the limit with nothing lost: exit 24', async () => {
    const { summary, log, events, engine } = await fakeRun({
      files: reads(40),
      options: { concurrency: 4, outageLimitMs: 20_000 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(5);
        if (name === 'q10') engine.die(3_600_000);
        return success();
      },
    });
    expect(summary.exit_code).toBe(24);
    expect(summary.stopped).toContain('the engine did not answer for 20 s');
    expect(summary.recorded.error).toBe(0);
    expect(summary.recorded.normal + summary.not_run).toBe(40);
    expect(log.groups).toHaveLength(summary.recorded.normal);
    expect(eventsOf(events, 'engine_lost')).toHaveLength(1);
    expect(eventsOf(events, 'stopping')).toHaveLength(1);
    // Nobody tries once more after the run has given up.
    expect(engine.calls.filter(call => call.atMs > 20_000)).toEqual([]);
    expect(events.filter(event => event.type === 'query_started')).toHaveLength(engine.calls.length);
  });

  it('gives up without calling a read an error, also where no retry is allowed', async () => {
    const { summary, log } = await fakeRun({
      files: reads(8),
      options: { concurrency: 2, retries: 0, outageLimitMs: 1_000 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(5);
        if (name === 'q3') engine.die(3_600_000);
        return success();
      },
    });
    expect(log.lines()).toEqual(['q1 normal 1', 'q2 normal 1']);
    expect(summary).toMatchObject({ exit_code: 24, not_run: 6, recorded: { error: 0 } });
  });

  it('one lost connection of an engine that answers is an attempt, not an outage', async () => {
    const { summary, log, events } = await fakeRun({
      files: reads(3),
      script: ({ name, nth }) => (name === 'q2' && nth === 1 ? failed(LOST) : success()),
    });
    expect(log.lines().sort()).toEqual(['q1 normal 1', 'q2 normal 2', 'q3 normal 1']);
    expect(summary.retries).toBe(1);
    expect(eventsOf(events, 'engine_lost')).toEqual([]);
  });

  it('a lost write is recorded as error even when the engine never comes back', async () => {
    const { summary, log } = await fakeRun({
      files: { q1: "INSERT INTO t SELECT 'q1'", q2: "SELECT 'q2'" },
      options: { outageLimitMs: 1_000 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(name === 'q1' ? 5 : 50);
        if (name === 'q1') engine.die(3_600_000);
        return success();
      },
    });
    expect(log.lines()).toEqual(['q1 error 1']);
    expect(log.error('q1')).toBe('CONNECTION_LOST');
    expect(summary).toMatchObject({ exit_code: 24, not_run: 1, recorded: { error: 1 } });
  });

  it('is not asked about once all is recorded: the last loss is an error of its query, exit 20', async () => {
    const { summary } = await fakeRun({
      files: { q1: "INSERT INTO t SELECT 'q1'" },
      options: { outageLimitMs: 1_000 },
      script: (_call, engine) => {
        engine.die(3_600_000);
        return new Promise(() => {});
      },
    });
    expect(summary).toMatchObject({ exit_code: 20, not_run: 0, recorded: { error: 1 } });
  });
});

// From the given query on, the server (or what stands before it) refuses whatever comes, also pings.
const refusing = (failure: Failure, from: string, forMs = 3_600_000, total = 40) =>
  fakeRun({
    files: reads(total),
    options: { concurrency: 4, outageLimitMs: 60_000 },
    script: async ({ name, nth }, engine) => {
      await clockOf(engine).delay(5);
      if (name !== from || nth > 1) return success();
      engine.whyDown = failure;
      engine.refuse(forMs);
      return failed(failure);
    },
  });

const AUTH = serverFailure({
  code: 516,
  name: 'AUTHENTICATION_FAILED',
  message: 'Code: 516. DB::Exception: default: Authentication failed.',
});

describe('a user who is refused in the middle of the run', () => {
  it.each([
    ['wrong password', AUTH],
    ['unknown user (18.16)', serverFailure({ code: 192, name: 'UNKNOWN_USER', message: 'Code: 192, ...' })],
    ['login page', httpFailure({ status: 401, body: '<html>who are you' }, 0)],
    ['forbidden', httpFailure({ status: 403, body: '' }, 0)],
    ['proxy login', httpFailure({ status: 407, body: '' }, 0)],
  ])('%s: exit 24 after a few looks, nothing of it is recorded', async (_, failure) => {
    const { summary, log, engine, clock } = await refusing(failure, 'q10');
    expect(summary).toMatchObject({ exit_code: 24, recorded: { error: 0 } });
    expect(summary.recorded.normal + summary.not_run).toBe(40);
    expect(log.groups).toHaveLength(summary.recorded.normal);
    expect(summary.stopped).toContain('http://fake:8123 refuses the user "default"');
    expect(summary.stopped).toContain(failure.message);
    // Nobody knocks on: the queries in flight, one ping for each, and the looks.
    expect(engine.whileDown).toBeLessThanOrEqual(4);
    expect(engine.pings.length).toBeLessThanOrEqual(4 + 4);
    expect(clock.monotonicMs()).toBeLessThan(10_000);
  });

  it('and accepted again at the next look: the run goes on, and spends no attempt', async () => {
    const { summary, log } = await refusing(AUTH, 'q10', 1_000);
    expect(summary).toMatchObject({ exit_code: 0, not_run: 0, recorded: { error: 0, normal: 40 } });
    expect(log.lines()).toContain('q10 normal 2');
  });

  it('by one proxy of two is asked again, and what is refused each time ends as an error of its own', async () => {
    const { log, summary } = await fakeRun({
      files: reads(3),
      script: ({ name, nth }) => {
        if (name === 'q1' && nth <= 2) return failed(httpFailure({ status: 401, body: '' }, 0));
        // A firewall that dislikes one text.
        if (name === 'q2') return failed(httpFailure({ status: 403, body: 'blocked' }, 0));
        return success();
      },
    });
    expect(log.lines().sort()).toEqual(['q1 normal 3', 'q2 error 4', 'q3 normal 1']);
    expect(summary.exit_code).toBe(20);
  });

  it('is not one whose query asks another server with a wrong password, or for one table', async () => {
    const remote = serverFailure({
      code: 516,
      name: 'AUTHENTICATION_FAILED',
      message: 'Code: 516. DB::Exception: Received from 10.0.0.2:9000. DB::Exception: Authentication failed.',
    });
    const denied = serverFailure({ code: 497, name: 'ACCESS_DENIED', message: 'Code: 497. Not enough' });
    const { log, engine } = await fakeRun({
      files: reads(3),
      script: ({ name }) => (name === 'q1' ? failed(remote) : name === 'q2' ? failed(denied) : success()),
    });
    expect(log.lines().sort()).toEqual(['q1 error 1', 'q2 error 1', 'q3 normal 1']);
    expect(engine.pings).toEqual([]);
  });

  it('while pings are answered ends the run as quickly, when no query is taken any more', async () => {
    let asked = 0;
    const { summary, clock, log } = await fakeRun({
      files: reads(40),
      options: { concurrency: 4 },
      script: ({ name }) => {
        if (Number(name.slice(1)) < 10) return success();
        asked += 1;
        return failed(AUTH);
      },
    });
    expect(summary).toMatchObject({ exit_code: 24, not_run: 31, recorded: { normal: 9, error: 0 } });
    expect(summary.stopped).toContain('refuses the user "default"');
    expect(log.groups).toHaveLength(9);
    expect(clock.monotonicMs()).toBeLessThan(20_000);
    expect(asked).toBeLessThan(4 * 8);
  });

  it('by one server of two behind a balancer is asked for as long as a full one', async () => {
    const { log, summary } = await fakeRun({
      files: reads(20),
      options: { retries: 0 },
      script: ({ nth }) => (nth <= 3 ? failed(AUTH) : success()),
    });
    expect(summary).toMatchObject({ exit_code: 0, recorded: { normal: 20, error: 0 } });
    expect(log.lines()).toContain('q1 normal 4');
  });
});

describe('pages of something else', () => {
  it.each([302, 400, 404, 405, 500, 501, 504])('HTTP %i for everybody is an outage', async status => {
    const page = httpFailure({ status, body: 'default backend', location: '/login' }, 0);
    const back = await refusing(page, 'q10', 20_000);
    expect(back.summary).toMatchObject({ exit_code: 0, recorded: { normal: 40, error: 0 } });
    const gone = await refusing(page, 'q10');
    expect(gone.summary).toMatchObject({ exit_code: 24, recorded: { error: 0 } });
    expect(gone.summary.stopped).toContain(`HTTP ${status}`);
  });

  it('in place of the answer to a query that changes data leave open whether it ran', async () => {
    const page = httpFailure({ status: 404, body: '' }, 0);
    const { log } = await fakeRun({
      files: { q1: "INSERT INTO t SELECT 'q1'", q2: "SELECT 'q2'" },
      options: { concurrency: 1 },
      script: ({ name, nth }, engine) => {
        if (name !== 'q1' || nth > 1) return success();
        engine.whyDown = page;
        engine.refuse(5_000);
        return failed(page);
      },
    });
    expect(log.lines()).toEqual(['q1 error 1', 'q2 normal 1']);
    expect(log.groups[0]?.content).toMatchObject({ error: { name: 'HTTP_404', kind: 'unknown' } });
  });

  it('for one query are its own: too large, or not liked', async () => {
    const { log, engine } = await fakeRun({
      files: reads(3),
      options: { concurrency: 1 },
      script: ({ name }) => {
        if (name === 'q1') return failed(httpFailure({ status: 413, body: '' }, 0));
        if (name === 'q2') return failed(httpFailure({ status: 404, body: '' }, 0));
        return success();
      },
    });
    expect(log.lines()).toEqual(['q1 error 1', 'q2 error 1', 'q3 normal 1']);
    expect(engine.pings).toHaveLength(1);
  });
});

it('queries that a server hung on are no timeouts of theirs', async () => {
  const late = ownFailure('TIMEOUT', 'permanent', 'no result within 1000 ms; it may still run on the server');
  const { log, summary } = await fakeRun({
    files: reads(8),
    script: async ({ name, nth }, engine) => {
      await clockOf(engine).delay(5);
      if (name === 'q8') return failed(late);
      if (name !== 'q2' || nth > 1) return success();
      engine.refuse(5_000);
      return failed({ ...late, serverGone: true });
    },
  });
  expect(log.lines()).toContain('q2 normal 2');
  expect(log.lines()).toContain('q8 error 1');
  expect(summary.recorded).toEqual({ normal: 7, skipped: 0, error: 1 });
});

it('queries that a server kills as it ends run again; one that somebody killed is an error', async () => {
  const killed = serverFailure({ code: 394, name: 'QUERY_WAS_CANCELLED', message: 'Code: 394. cancelled' });
  const { log, summary } = await fakeRun({
    files: reads(8),
    script: async ({ name, nth }, engine) => {
      await clockOf(engine).delay(5);
      if (name === 'q8') return failed(killed);
      if (name !== 'q2' || nth > 1) return success();
      engine.refuse(5_000);
      return failed(killed);
    },
  });
  expect(log.lines()).toContain('q2 normal 2');
  expect(log.lines()).toContain('q8 error 1');
  expect(summary.recorded).toEqual({ normal: 7, skipped: 0, error: 1 });
});

describe('a quota that is used up', () => {
  // Ends at a multiple of its length, in the server's zone (UTC+2).
  const usedUp = (seconds: number, end: string): Failure =>
    serverFailure({
      code: 201,
      name: 'QUOTA_EXCEEDED',
      message: `Code: 201, e.displayText() = DB::Exception: Quota for user 'u' for ${seconds} seconds has been exceeded. Queries: 13, max: 12. Interval will end at ${end}. Name of quota template: 'small'., e.what() = DB::Exception`,
    });

  it('is waited for by all together when its interval ends in time', async () => {
    const { summary, engine, events } = await refusing(usedUp(40, '2026-01-31 14:00:40'), 'q10', 39_000);
    expect(summary).toMatchObject({ exit_code: 0, recorded: { normal: 40, error: 0 } });
    expect(engine.whileDown).toBeLessThanOrEqual(4);
    expect(engine.pings.length).toBeLessThanOrEqual(4 + 1);
    expect(eventsOf(events, 'engine_back')[0]?.after_ms).toBeLessThan(42_000);
  });

  it('ends the run at once when it does not: exit 24, and when it can go on', async () => {
    const { summary, log, clock } = await refusing(usedUp(3600, '2026-01-31 15:00:00'), 'q10');
    expect(summary).toMatchObject({ exit_code: 24, recorded: { error: 0 } });
    expect(summary.stopped).toContain('the quota of the user "default"');
    expect(summary.stopped).toContain('2026-01-31T13:00:00.000Z');
    expect(log.groups.length + summary.not_run).toBe(40);
    expect(clock.monotonicMs()).toBeLessThan(1_000);
  });

  it('of rows read is also met by a query that reads more than there is in an interval: it ends as an error', async () => {
    const rows: Failure = serverFailure({
      code: 201,
      name: 'QUOTA_EXCEEDED',
      message:
        'Code: 201. DB::Exception: Quota for user `u` for 40s has been exceeded: read_rows = 5/4. Interval will end at 2026-01-31 12:00:40.',
    });
    const { log } = await fakeRun({
      files: reads(2),
      options: { concurrency: 1, retries: 2 },
      script: ({ name }, engine) => {
        if (name !== 'q1') return success();
        engine.whyDown = rows;
        engine.refuse(1_000);
        return failed(rows);
      },
    });
    expect(log.lines()).toEqual(['q1 error 3', 'q2 normal 1']);
  });
});

describe('a query that kills the engine', () => {
  it('ends as one error; the innocent ones run alone after their second loss, and complete', async () => {
    const killer = 'q8';
    let deaths = 0;
    const beside: string[] = [];
    const { summary, engine, log } = await fakeRun({
      files: reads(40),
      options: { concurrency: 16, retries: 3, outageLimitMs: 60_000 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(name === killer ? 20 : 30);
        if (name !== killer) return success();
        deaths += 1;
        if (deaths > 2 && engine.running > 1) beside.push(name);
        engine.die(3_000);
        return success();
      },
    });
    expect(deaths).toBe(4);
    expect(beside).toEqual([]);
    expect(log.error(killer)).toBe('CONNECTION_LOST');
    expect(summary).toMatchObject({
      recorded: { normal: 39, skipped: 0, error: 1 },
      exit_code: 20,
      not_run: 0,
    });
    // Nobody else paid with more than two attempts of his own.
    const calls = new Map<string, number>();
    for (const { name } of engine.calls) calls.set(name, (calls.get(name) ?? 0) + 1);
    calls.delete(killer);
    expect(Math.max(...calls.values())).toBe(3);
    expect(engine.whileDown).toBe(0);
  });

  it('runs alone already after its first loss where others change data, which cannot be asked for again', async () => {
    const files: Record<string, string> = { ...reads(12), q5: "INSERT INTO t SELECT 'q5'" };
    const together: number[] = [];
    const { log } = await fakeRun({
      files,
      options: { concurrency: 4, retries: 2, outageLimitMs: 60_000 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(name === 'q7' ? 20 : 30);
        if (name !== 'q7') return success();
        together.push(engine.running);
        engine.die(3_000);
        return success();
      },
    });
    expect(together).toEqual([4, 1, 1]);
    expect(log.error('q7')).toBe('CONNECTION_LOST');
    expect(log.groups).toHaveLength(12);
  });

  it('does not make a write beside it run twice or fail that never started', async () => {
    const files: Record<string, string> = { q1: "SELECT 'q1'" };
    for (let n = 2; n <= 12; n += 1) files[`q${n}`] = `INSERT INTO t SELECT 'q${n}'`;
    const { log, engine } = await fakeRun({
      files,
      options: { concurrency: 2, retries: 2 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(10);
        if (name === 'q1') engine.die(1_000);
        return success();
      },
    });
    // q2 ran beside q1 when it died: nobody knows whether it was done, so it stands as error.
    expect(log.groups.filter(({ content }) => content.outcome === 'error').map(g => g.head.query)).toEqual([
      'q2',
      'q1',
    ]);
    expect(engine.names().filter(name => name === 'q2')).toHaveLength(1);
    expect(engine.whileDown).toBe(0);
  });
});

describe('stopping', () => {
  it('drain: what runs ends and is recorded, nothing new starts, no further file is opened', async () => {
    const drain = new AbortController();
    const files = reads(20);
    const opened: string[] = [];
    const { summary, engine, log, events } = await fakeRun({
      files,
      read: name => {
        opened.push(name);
        return readOf(files[name] ?? '');
      },
      options: { concurrency: 4, drain: drain.signal },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(10);
        // The first of its round: the three others still run.
        if (name === 'q5') drain.abort('Ctrl-C');
        return success();
      },
    });
    expect(engine.calls).toHaveLength(8);
    expect(opened).toHaveLength(8);
    expect(log.groups).toHaveLength(8);
    expect(summary).toMatchObject({ not_run: 12, stopped: 'Ctrl-C', recorded: { normal: 8 } });
    expect(eventsOf(events, 'stopping')).toEqual([{ type: 'stopping', how: 'drain', reason: 'Ctrl-C' }]);
  });

  it('drain before the start runs nothing', async () => {
    const { summary, engine } = await fakeRun({
      files: reads(3),
      options: { drain: AbortSignal.abort('early') },
      script: () => success(),
    });
    expect(engine.calls).toEqual([]);
    expect(summary).toMatchObject({ not_run: 3, stopped: 'early' });
  });

  it('drain ends the wait before a retry, and counts no retry that never came', async () => {
    const drain = new AbortController();
    const { summary, engine, clock, log } = await fakeRun({
      files: reads(1),
      options: { drain: drain.signal },
      random: () => 0.99,
      script: async (_call, engine) => {
        void clockOf(engine)
          .delay(100)
          .then(() => drain.abort('Ctrl-C'));
        return failed(OVERLOAD);
      },
    });
    expect(engine.calls).toHaveLength(1);
    expect(log.groups).toEqual([]);
    expect(clock.monotonicMs()).toBe(100);
    expect(summary).toMatchObject({ not_run: 1, retries: 0, recorded: { error: 0 } });
  });

  it('drain while the engine is away ends the waiting; nothing is tried once more', async () => {
    const drain = new AbortController();
    const { summary, engine, events } = await fakeRun({
      files: reads(30),
      options: { concurrency: 4, drain: drain.signal, outageLimitMs: 3_600_000 },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(name === 'q3' ? 5 : 20);
        if (name === 'q3') {
          // The others end well, so that the free slots are taken by queries that wait for the engine.
          setImmediate(() => engine.die(3_600_000));
          void clockOf(engine)
            .delay(9_000)
            .then(() => drain.abort('Ctrl-C'));
        }
        return success();
      },
    });
    expect(engine.calls.filter(call => call.atMs >= 9_000)).toEqual([]);
    expect(summary.not_run + summary.recorded.normal).toBe(30);
    expect(summary.recorded.error).toBe(0);
    expect(eventsOf(events, 'engine_lost')).toHaveLength(1);
  });

  it('drain: a query that waits for another to run alone does not start', async () => {
    const drain = new AbortController();
    const { summary, engine } = await fakeRun({
      files: reads(6),
      options: { concurrency: 3, drain: drain.signal, retries: 1 },
      script: async ({ name, nth }, engine) => {
        await clockOf(engine).delay(10);
        if (name === 'q1' && nth === 1) engine.die(500);
        // q1 runs alone now, for the last time, and the others wait for it.
        if (nth === 2) drain.abort('Ctrl-C');
        return success();
      },
    });
    expect(engine.calls).toHaveLength(4);
    expect(summary).toMatchObject({ recorded: { normal: 1 }, not_run: 5 });
  });

  it('abort: a cancelled query is no error, also where no retry is allowed', async () => {
    const abort = new AbortController();
    const { summary, log } = await fakeRun({
      files: reads(3),
      options: { retries: 0, abort: abort.signal },
      script: async (_call, engine) => {
        void clockOf(engine)
          .delay(10)
          .then(() => abort.abort('Ctrl-C again'));
        return await new Promise(() => {});
      },
    });
    expect(log.groups).toEqual([]);
    expect(summary).toMatchObject({ not_run: 3, recorded: { error: 0 } });
  });

  it('abort: what runs is cancelled and not recorded', async () => {
    const [drain, abort] = [new AbortController(), new AbortController()];
    const { summary, engine, log, events } = await fakeRun({
      files: reads(20),
      options: { concurrency: 4, drain: drain.signal, abort: abort.signal },
      script: async ({ name }, engine) => {
        if (name !== 'q2') return await new Promise(() => {});
        await clockOf(engine).delay(10);
        drain.abort('Ctrl-C');
        abort.abort('Ctrl-C again');
        return success();
      },
    });
    expect(engine.calls).toHaveLength(4);
    expect(log.groups.length).toBeLessThanOrEqual(1);
    expect(summary.not_run).toBe(20 - log.groups.length);
    expect(summary.recorded.error).toBe(0);
    expect(eventsOf(events, 'stopping').map(event => event.how)).toEqual(['drain', 'abort']);
  });

  it('says nothing of a stop that came when all was done', async () => {
    const drain = new AbortController();
    const { summary } = await fakeRun({
      files: reads(2),
      options: { drain: drain.signal },
      script: async (_call, engine) => {
        await clockOf(engine).delay(10);
        drain.abort('Ctrl-C');
        return success();
      },
    });
    expect(summary).toMatchObject({ not_run: 0, stopped: null, exit_code: 0 });
  });

  it('a stop from outside gives the exit code that its sender is owed', async () => {
    const drain = new AbortController();
    const { summary } = await fakeRun({
      files: reads(20),
      options: { drain: drain.signal, stopExitCode: () => 143 },
      script: () => {
        drain.abort('SIGTERM');
        return success();
      },
    });
    expect(summary.exit_code).toBe(143);
    expect(summary.not_run).toBeGreaterThan(0);
  });
});

describe('--halt', () => {
  const bad = new Set(['q3', 'q5', 'q7', 'q9', 'q11']);
  const run = (errors: { count: number; unit: 'queries' | 'percent' }) =>
    fakeRun({
      files: reads(50),
      options: { concurrency: 2, halt: { errors, same: undefined } },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(1);
        return bad.has(name) ? failed(SYNTAX) : success();
      },
    });

  it('errors=N: the Nth error stops the run, exit 25', async () => {
    const { summary, engine, events } = await run({ count: 3, unit: 'queries' });
    expect(summary).toMatchObject({ exit_code: 25, recorded: { error: 3 } });
    expect(summary.stopped).toBe('halted: 3 queries have failed (--halt)');
    expect(engine.calls.length).toBeLessThanOrEqual(9);
    expect(summary.not_run).toBe(50 - engine.calls.length);
    expect(eventsOf(events, 'stopping')).toHaveLength(1);
  });

  it('errors=N%: of the queries that were due', async () => {
    const { summary } = await run({ count: 10, unit: 'percent' });
    expect(summary).toMatchObject({ exit_code: 25, recorded: { error: 5 } });
  });

  it('not reached: exit 20', async () => {
    const { summary } = await run({ count: 6, unit: 'queries' });
    expect(summary).toMatchObject({ exit_code: 20, recorded: { error: 5, normal: 45 }, stopped: null });
  });

  const missing = (name: string): Failure =>
    serverFailure({
      code: 60,
      name: 'UNKNOWN_TABLE',
      message: `Code: 60. Table default.${name} is not there`,
    });

  it('same=N: the first N that fail alike stop the run, exit 25, and say why', async () => {
    const { summary, engine } = await fakeRun({
      files: reads(100),
      options: { concurrency: 4, halt: DEFAULT_HALT, setupNotRun: ['u/_setup.sql'], database: 'prices' },
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(1);
        return failed(missing(name));
      },
    });
    expect(summary.exit_code).toBe(25);
    expect(summary.recorded.error).toBeGreaterThanOrEqual(20);
    expect(summary.recorded.error).toBeLessThan(24);
    expect(engine.calls).toHaveLength(summary.recorded.error);
    expect(summary.not_run).toBe(100 - summary.recorded.error);
    for (const part of ['first 20', 'default.q', 'u/_setup.sql', '--setup', '"prices"', 'same=off']) {
      expect(summary.stopped).toContain(part);
    }
  });

  it.each([
    ['same=off', { errors: undefined, same: undefined }, () => true],
    ['one success among them', DEFAULT_HALT, (name: string) => name !== 'q7'],
    ['another error among them', DEFAULT_HALT, (name: string) => name !== 'q7'],
  ])('same=N, %s: all run, exit 20', async (what, halt, isMissing) => {
    const { summary } = await fakeRun({
      files: reads(60),
      options: { concurrency: 1, halt },
      script: ({ name }) =>
        isMissing(name) ? failed(missing(name)) : what.startsWith('one') ? success() : failed(SYNTAX),
    });
    expect(summary).toMatchObject({ exit_code: 20, not_run: 0 });
  });

  it('same=N: with nothing left to run it is a word and no halt', async () => {
    const { summary, events } = await fakeRun({
      files: reads(3),
      options: { concurrency: 1, halt: { errors: undefined, same: 3 } },
      script: ({ name }) => failed(missing(name)),
    });
    expect(summary).toMatchObject({ exit_code: 20, not_run: 0, stopped: null });
    expect(eventsOf(events, 'warning').at(-1)?.message).toContain('the first 3 queries');
  });

  it('reached by the last query: nothing was left to halt, exit 20', async () => {
    const { summary } = await fakeRun({
      files: reads(2),
      options: { concurrency: 1, halt: { errors: { count: 1, unit: 'queries' }, same: undefined } },
      script: ({ name }) => (name === 'q2' ? failed(SYNTAX) : success()),
    });
    expect(summary).toMatchObject({ exit_code: 20, not_run: 0, stopped: null });
  });
});

describe('files that change after planning', () => {
  it.each([
    ['at once', () => undefined],
    ['later', () => Promise.resolve(undefined)],
  ])('a file that holds no statement any more is left out, with a warning: read %s', async (_, none) => {
    const files = reads(3);
    const { summary, events } = await fakeRun({
      files,
      read: name => (name === 'q2' ? none() : readOf(files[name] ?? '')),
      script: () => success(),
    });
    expect(summary).toMatchObject({ exit_code: 0, not_run: 0, recorded: { normal: 2 } });
    expect(eventsOf(events, 'warning').map(event => event.message)).toEqual([
      'q2.sql holds no statement any more, and is left out',
    ]);
  });

  it('a changed file runs as it is now, under its own fingerprint, with a warning', async () => {
    const files = reads(2);
    const now = readOf("SELECT 'q1', 'changed'");
    const { log, events } = await fakeRun({
      files,
      read: name => (name === 'q1' ? now : readOf(files[name] ?? '')),
      script: () => success(),
    });
    const recorded = log.groups.find(({ head }) => head.query === 'q1');
    expect(recorded?.head.fingerprint).not.toBe(queriesOf(files)[0]?.fingerprint);
    expect(eventsOf(events, 'warning').map(event => event.message)).toEqual([
      'q1.sql changed after the run began; its present text runs',
    ]);
  });

  it('a drain by a caller who names no exit code is never 0', async () => {
    const drain = new AbortController();
    const { summary } = await fakeRun({
      files: reads(5),
      script: () => success(),
      options: { concurrency: 1, drain: drain.signal },
      onEvent: event => {
        if (event.type === 'query_recorded') drain.abort('enough');
      },
    });
    expect(summary).toMatchObject({ not_run: 4, exit_code: 25, stopped: 'enough' });
  });

  it('what was kept from the plan is recorded under its fingerprint, which is not computed again', async () => {
    const files = reads(2);
    const { log, events } = await fakeRun({
      files,
      // Other bytes, whose fingerprint would show.
      read: name => ({ ...readOf(files[name] ?? ''), bytes: Buffer.from('other'), asPlanned: true }),
      script: () => success(),
    });
    expect(log.groups.map(({ head }) => head.fingerprint)).toEqual(
      queriesOf(files).map(({ fingerprint }) => fingerprint),
    );
    expect(eventsOf(events, 'warning')).toEqual([]);
  });

  it.each([
    ['at once', undefined],
    ['later, from a disk that may not answer', Promise.resolve(undefined)],
  ])('a file found %s to hold no statement any more is no query: the run is whole', async (_, none) => {
    const files = reads(3);
    const { log, summary, events, engine } = await fakeRun({
      files,
      read: name => (name === 'q2' ? none : readOf(files[name] ?? '')),
      script: () => success(),
    });
    expect(summary).toMatchObject({ selected: 2, not_run: 0, no_statement: ['q2'], exit_code: 0 });
    expect(engine.names()).not.toContain('q2');
    expect(log.groups).toHaveLength(2);
    expect(eventsOf(events, 'warning').map(({ message }) => message)).toEqual([
      'q2.sql holds no statement any more, and is left out',
    ]);
  });

  it.each([
    ['vanished', 'UNIT_UNREADABLE'],
    ['broken', 'SQL_INVALID'],
  ] as const)('a file that is %s is an error of this query alone', async (what, code) => {
    const files = reads(5);
    const { log, summary, engine } = await fakeRun({
      files,
      read: name => {
        if (name !== 'q2') return readOf(files[name] ?? '');
        if (what === 'broken') return readOf("SELECT 'open");
        throw new QrunError('UNIT_UNREADABLE', 'cannot be read: ENOENT');
      },
      script: () => success(),
    });
    expect(log.error('q2')).toBe(code);
    expect(summary).toMatchObject({ recorded: { normal: 4, error: 1 }, exit_code: 20 });
    expect(engine.names()).not.toContain('q2');
    expect(log.groups.find(g => g.head.query === 'q2')?.head.fingerprint).toBe(
      queriesOf(files)[1]?.fingerprint,
    );
  });
});

describe('recording', () => {
  it('no row is skipped, and its body is given back', async () => {
    const empty = success(0);
    const { log, summary } = await fakeRun({
      files: { q1: "SELECT 'q1' WHERE 0" },
      script: () => empty,
    });
    expect(log.lines()).toEqual(['q1 skipped 1']);
    expect(summary).toMatchObject({ recorded: { skipped: 1 }, records: 1, exit_code: 0 });
    expect(empty.ok && (empty.body as { disposed?: number }).disposed).toBe(1);
  });

  it('what another process recorded meanwhile is neither counted nor missing', async () => {
    const { summary, events } = await fakeRun({
      files: reads(3),
      log: { path: '/x', records: 2, append: async head => head.query !== 'q2' },
      script: () => success(),
    });
    expect(summary).toMatchObject({ recorded: { normal: 2 }, not_run: 0, exit_code: 0 });
    expect(eventsOf(events, 'warning')).toHaveLength(1);
  });

  it('heads carry unit, run, parameters, start and duration', async () => {
    const { log, clock } = await fakeRun({
      files: { q1: "SELECT 'q1'" },
      options: { parameters: { a: '1' } },
      script: async (_call, engine) => {
        await clockOf(engine).delay(12.34);
        return success();
      },
    });
    expect(log.groups[0]?.head).toMatchObject({
      unit: 'unit',
      run: 'r1',
      query: 'q1',
      parameters: { a: '1' },
      startedAtMs: clock.startMs,
      durationMs: 12.34,
      rerun: false,
      queryId: 'qrun-r1-1-1',
    });
  });
});

describe('failures that end the run', () => {
  let directory: string | undefined;
  afterEach(() => {
    if (directory !== undefined) rmSync(directory, { recursive: true });
    directory = undefined;
  });

  // A real log on a disk that fails at one call.
  async function realLog(fault: 'sync' | 'append', at: number): Promise<ResultLog> {
    directory = mkdtempSync(join(tmpdir(), 'qrun-run-'));
    const path = join(directory, 'unit.ndjson');
    let calls = 0;
    const failAt = (name: 'sync' | 'append', code: string): void => {
      if (name === fault && ++calls === at) throw Object.assign(new Error(`${code}: ${name}`), { code });
    };
    const disk: LogDisk = {
      ...localDisk,
      open: async name => {
        const file = await localDisk.open(name);
        const { append, sync } = file;
        file.append = async bytes => {
          failAt('append', 'ENOSPC');
          await append.call(file, bytes);
        };
        file.sync = async () => {
          failAt('sync', 'EIO');
          await sync.call(file);
        };
        return file;
      },
    };
    return await ResultLog.open({ path, unit: 'unit', disk, lock: await FileLock.open(`${path}.lock`) });
  }

  it.each([
    ['append', 'WRITE_FAILED'],
    ['sync', 'LOG_SYNC'],
  ] as const)('a failed %s cancels what runs and throws %s', async (fault, code) => {
    const log = await realLog(fault, 3);
    let cancelled = 0;
    const run = fakeRun({
      files: reads(200),
      log,
      options: { concurrency: 4 },
      script: async ({ name, request }, engine) => {
        if (name === 'q2') {
          request.signal.addEventListener('abort', () => {
            cancelled += 1;
          });
          return await new Promise(() => {});
        }
        await clockOf(engine).delay(5);
        return success();
      },
    });
    await expect(run).rejects.toMatchObject({ name: 'QrunError', code });
    expect(cancelled).toBe(1);
    await log.close();
    // Whole lines only, and far from all of them.
    const lines = readFileSync(log.path, 'utf8').split('\n');
    expect(lines.pop()).toBe('');
    for (const line of lines) JSON.parse(line);
    expect(lines.length).toBeLessThan(30);
  });

  it('an engine that cannot spool ends the run with its error', async () => {
    const error = new QrunError('WRITE_FAILED', 'no space for the spool');
    const run = fakeRun({
      files: reads(50),
      script: async ({ name }, engine) => {
        await clockOf(engine).delay(5);
        if (name === 'q9') throw error;
        return success();
      },
    });
    await expect(run).rejects.toBe(error);
  });

  it('a bug in reading is no error of the query', async () => {
    const bug = new TypeError('x is not a function');
    const run = fakeRun({
      files: reads(5),
      read: () => {
        throw bug;
      },
      script: () => success(),
    });
    await expect(run).rejects.toBe(bug);
  });

  it('a bug ends the run with its own stack', async () => {
    const bug = new TypeError('x is not a function');
    const run = fakeRun({
      files: reads(5),
      script: async ({ name }) => {
        if (name === 'q2') throw bug;
        return success();
      },
    });
    await expect(run).rejects.toBe(bug);
  });
});

describe('which queries run again', () => {
  it.each([
    ['errors', ['bad', 'fresh'], 0],
    ['all', ['bad', 'fresh', 'good'], 0],
    ['none', ['fresh'], 20],
  ] as const)('--rerun %s', async (rerun, due, exitCode) => {
    const directory = mkdtempSync(join(tmpdir(), 'qrun-rerun-'));
    try {
      const files = { bad: "SELECT 'bad'", fresh: "SELECT 'fresh'", good: "SELECT 'good'" };
      const path = join(directory, 'unit.ndjson');
      const open = async () =>
        await ResultLog.open({
          path,
          unit: 'unit',
          disk: localDisk,
          lock: await FileLock.open(`${path}.lock`),
        });
      const first = await open();
      await fakeRun({
        files: { bad: files.bad, good: files.good },
        log: first,
        script: ({ name }) => (name === 'bad' ? failed(SYNTAX) : success(2)),
      });
      await first.close();
      const second = await open();
      const plan = await planUnit(
        {
          source: {
            directory,
            list: () => Object.keys(files),
            read: name => Buffer.from(files[name as keyof typeof files]),
          },
          inputs: { parameters: {}, settings: {} },
          selection: { include: [], exclude: [], shard: undefined, shuffle: undefined },
          limit: undefined,
          rerun,
          allowPlaceholders: false,
        },
        second.final,
      );
      const { engine, summary } = await fakeRun({
        files,
        log: second,
        options: { plan },
        script: () => success(),
      });
      expect(engine.names().sort()).toEqual([...due]);
      expect(summary.exit_code).toBe(exitCode);
      expect(second.final.get('good')).toMatchObject({ outcome: 'normal', parts: rerun === 'all' ? 1 : 2 });
      await second.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

function clockOf(engine: FakeEngine): FakeClock {
  return engine.clock;
}

// A connection that was lost while the server stayed: only this answer is gone.
function lostOnly(): Failure {
  return { ...LOST, serverGone: false };
}

function startless(failure: Failure): Failure {
  return { ...failure, neverStarted: true };
}
