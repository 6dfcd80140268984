import { describe, expect, it } from 'vitest';
import {
  ask,
  checkSetupFiles,
  readSetupFile,
  runChain,
  type SetupDeps,
  setupParameterNames,
  usedParameters,
} from '../../../src/app/setup/setup.js';
import type { RunEvent } from '../../../src/core/unit/events.js';
import type { EngineOutcome } from '../../../src/io/engines/engine.js';
import { ABORTED, FakeClock, FakeEngine, failed, fingerprint, LOST, SYNTAX, success } from './fake-run.js';

const file = (name: string, sql: string) => readSetupFile(name, Buffer.from(sql), fingerprint);

function world(script: (text: string) => EngineOutcome | Promise<EngineOutcome> = () => success(0)) {
  const clock = new FakeClock();
  const events: RunEvent[] = [];
  const abort = new AbortController();
  const drain = new AbortController();
  const ran: string[] = [];
  const engine = new FakeEngine(clock, ({ request }) => {
    const text = request.query.statements[0]?.text ?? '';
    ran.push(text);
    return script(text);
  });
  const deps: SetupDeps = {
    engine,
    settings: { max_threads: '2' },
    clock,
    emit: event => events.push(event),
    parameters: {},
    drain: drain.signal,
    abort: abort.signal,
  };
  return { deps, engine, events, ran, abort, drain };
}

describe('readSetupFile', () => {
  it('names file and place of what is wrong', () => {
    expect(() => file('sql/_setup.sql', "CREATE TABLE t;\nSELECT 'open")).toThrow(
      expect.objectContaining({
        code: 'SQL_INVALID',
        message: expect.stringMatching(/^sql\/_setup\.sql: 2:8: /),
        hint: 'correct the setup file',
      }),
    );
  });
});

describe('runChain of one file', () => {
  it('runs the file once with the settings, its own deadline and no parameters', async () => {
    const { deps, engine, events } = world();
    await runChain(deps, [file('_setup.sql', '-- qrun: timeout=5m\nCREATE TABLE t (a UInt8)')]);
    expect(engine.calls).toHaveLength(1);
    expect(engine.calls[0]?.request).toMatchObject({
      settings: { max_threads: '2' },
      parameters: {},
      timeoutMs: 300_000,
    });
    expect(events.map(event => event.type)).toEqual(['setup_started', 'setup_done']);
  });

  it('has no deadline of its own accord, and a query id that is never used twice', async () => {
    const { deps, engine } = world();
    const setup = file('_setup.sql', 'CREATE TABLE t (a UInt8)');
    await runChain(deps, [setup]);
    await deps.clock.delay(1, new AbortController().signal);
    await runChain(deps, [setup]);
    const [first, second] = engine.calls;
    expect(first?.request.timeoutMs).toBe(0);
    expect(first?.request.queryId).not.toBe(second?.request.queryId);
  });

  it.each([
    ['SETUP_FAILED', SYNTAX, 2],
    ['ENGINE_LOST', LOST, 24],
  ] as const)('%s', async (code, failure, exitCode) => {
    const { deps, events } = world(() => failed(failure));
    await expect(runChain(deps, [file('a/_setup.sql', 'CREATE TABLE t')])).rejects.toMatchObject({
      code,
      exitCode,
      message: `a/_setup.sql failed: ${failure.message}`,
    });
    expect(events.map(event => event.type)).toEqual(['setup_started']);
  });

  it('a stop ends it with the reason of the stop: that is no failed setup', async () => {
    const { deps, abort } = world(() => new Promise<EngineOutcome>(() => {}));
    const running = runChain(deps, [file('_setup.sql', 'CREATE TABLE t')]);
    abort.abort('Ctrl-C again');
    await expect(running).rejects.toBe('Ctrl-C again');
  });

  it('a cancellation that nobody asked for is a failure', async () => {
    const { deps } = world(() => failed(ABORTED));
    await expect(runChain(deps, [file('_setup.sql', 'CREATE TABLE t')])).rejects.toMatchObject({
      code: 'SETUP_FAILED',
    });
  });
});

describe('runChain', () => {
  const outer = file('_setup.sql', 'CREATE DATABASE d');
  const inner = file('unit/_setup.sql', 'CREATE TABLE d.t (a UInt8)');

  it('runs the files in order, each after the one before has ended', async () => {
    const { deps, ran } = world();
    await runChain(deps, [outer, inner]);
    expect(ran).toEqual(['CREATE DATABASE d', 'CREATE TABLE d.t (a UInt8)']);
  });

  it('nothing runs after a file that failed', async () => {
    const { deps, ran } = world(() => failed(SYNTAX));
    await expect(runChain(deps, [outer, inner])).rejects.toMatchObject({ code: 'SETUP_FAILED' });
    expect(ran).toEqual(['CREATE DATABASE d']);
  });

  it('a drain stops it between two files, with the reason of the drain', async () => {
    const { deps, ran, drain } = world(() => {
      drain.abort('Ctrl-C');
      return success(0);
    });
    await expect(runChain(deps, [outer, inner])).rejects.toBe('Ctrl-C');
    expect(ran).toEqual(['CREATE DATABASE d']);
  });

  it('the engine is told of the drain, and what it stops is no failed setup', async () => {
    const { deps, engine, drain } = world(() => {
      drain.abort('Ctrl-C');
      return failed(ABORTED);
    });
    await expect(runChain(deps, [outer])).rejects.toBe('Ctrl-C');
    expect(engine.calls[0]?.request.drain).toBe(drain.signal);
  });

  it('says where it ran, where that is a server', async () => {
    const { deps, events } = world();
    const where = { target: 'http://ch:8123', database: 'd' };
    await runChain({ ...deps, where }, [outer]);
    expect(events.at(-1)).toMatchObject({ type: 'setup_done', file: '_setup.sql', ...where });
  });
});

describe('checkSetupFiles', () => {
  const check = (sql: string, parameters = {}, allowPlaceholders = false) =>
    checkSetupFiles([file('_setup.sql', 'SELECT 1'), file('u/_setup.sql', sql)], {
      parameters,
      allowPlaceholders,
    });

  it.each([
    ["CREATE TABLE t AS SELECT '__SYMBOL__' AS s", 'SQL_INVALID', /u\/_setup\.sql: .*__SYMBOL__/],
    ['CREATE TABLE t AS SELECT {s:String} AS s', 'PARAMETERS', /u\/_setup\.sql: \{s:String\} has no value/],
  ])('%s', (sql, code, detail) => {
    expect(() => check(sql)).toThrow(
      expect.objectContaining({ code, details: [expect.stringMatching(detail)] }),
    );
  });

  it('takes what has values, and placeholders that are allowed', () => {
    check('CREATE TABLE t AS SELECT {s:String} AS s', { s: 'x' });
    check("CREATE TABLE t AS SELECT '__SYMBOL__' AS s", {}, true);
    check('SELECT 1');
  });

  it('knows which parameters are used', () => {
    const files = [
      file('_setup.sql', 'SELECT {a:UInt8}'),
      file('u/_setup.sql', 'SELECT {b:UInt8}, {a:UInt8}'),
    ];
    expect([...setupParameterNames(files)].sort()).toEqual(['a', 'b']);
    expect(usedParameters(files, { a: '1', b: '2', c: '3' })).toEqual({ a: '1', b: '2' });
  });
});

describe('ask', () => {
  it('gives the rows, in the settings that are asked for', async () => {
    const { deps, engine } = world(() => success(1));
    const rows = await ask(deps, 'SELECT 1 AS a', { limit: '0' });
    expect(rows).toHaveLength(1);
    expect(engine.calls[0]?.request.settings).toEqual({ limit: '0' });
  });

  it('fails with what the engine says, or with the reason of the stop', async () => {
    const { deps, abort } = world(() => failed(SYNTAX));
    await expect(ask(deps, 'SELECT 1')).rejects.toMatchObject({ code: 'SETUP_FAILED' });
    abort.abort('Ctrl-C again');
    await expect(ask({ ...deps, engine: world(() => failed(ABORTED)).deps.engine }, 'SELECT 1')).rejects.toBe(
      'Ctrl-C again',
    );
  });
});
