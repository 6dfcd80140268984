import { describe, expect, it } from 'vitest';
import {
  prepareDataDirectory,
  readSetupFile,
  runSetup,
  type SetupDeps,
  type SetupNotes,
} from '../../src/app/setup.js';
import type { QrunError } from '../../src/core/errors.js';
import type { RunEvent } from '../../src/core/events.js';
import type { EngineResult } from '../../src/io/engine.js';
import type { AppliedSetup } from '../../src/io/setup-state.js';
import { ABORTED, FakeClock, FakeEngine, failed, fingerprint, LOST, SYNTAX, success } from './fake-run.js';

const file = (name: string, sql: string) => readSetupFile(name, Buffer.from(sql), fingerprint);

function world(script: (text: string) => EngineResult | Promise<EngineResult> = () => success(0)) {
  const clock = new FakeClock();
  const events: RunEvent[] = [];
  const abort = new AbortController();
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
    signal: abort.signal,
  };
  let noted: AppliedSetup = {};
  const written: AppliedSetup[] = [];
  const notes: SetupNotes = {
    read: () => noted,
    write: async applied => {
      written.push(applied);
      noted = applied;
    },
  };
  return { deps, engine, events, ran, notes, written, abort };
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

describe('runSetup', () => {
  it('runs the file once with the settings, its own deadline and no parameters', async () => {
    const { deps, engine, events } = world();
    await runSetup(deps, file('_setup.sql', '-- qrun: timeout=5m\nCREATE TABLE t (a UInt8)'));
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
    await runSetup(deps, setup);
    await deps.clock.delay(1, new AbortController().signal);
    await runSetup(deps, setup);
    const [first, second] = engine.calls;
    expect(first?.request.timeoutMs).toBe(0);
    expect(first?.request.queryId).not.toBe(second?.request.queryId);
  });

  it.each([
    ['SETUP_FAILED', SYNTAX, 2],
    ['ENGINE_LOST', LOST, 24],
  ] as const)('%s', async (code, failure, exitCode) => {
    const { deps, events } = world(() => failed(failure));
    await expect(runSetup(deps, file('a/_setup.sql', 'CREATE TABLE t'))).rejects.toMatchObject({
      code,
      exitCode,
      message: `a/_setup.sql failed: ${failure.message}`,
    });
    expect(events.map(event => event.type)).toEqual(['setup_started']);
  });

  it('a stop ends it with the reason of the stop: that is no failed setup', async () => {
    const { deps, abort } = world(() => new Promise<EngineResult>(() => {}));
    const running = runSetup(deps, file('_setup.sql', 'CREATE TABLE t'));
    abort.abort('Ctrl-C again');
    await expect(running).rejects.toBe('Ctrl-C again');
  });

  it('a cancellation that nobody asked for is a failure', async () => {
    const { deps } = world(() => failed(ABORTED));
    await expect(runSetup(deps, file('_setup.sql', 'CREATE TABLE t'))).rejects.toMatchObject({
      code: 'SETUP_FAILED',
    });
  });
});

describe('prepareDataDirectory', () => {
  const outer = file('_setup.sql', 'CREATE DATABASE d');
  const inner = file('unit/_setup.sql', 'CREATE TABLE d.t (a UInt8)');

  it('runs each file once, in order, and notes each when it has succeeded', async () => {
    const { deps, ran, notes, written } = world();
    expect(await prepareDataDirectory(deps, [outer, inner], notes)).toBe(2);
    expect(ran).toEqual(['CREATE DATABASE d', 'CREATE TABLE d.t (a UInt8)']);
    expect(written).toEqual([
      { '_setup.sql': outer.fingerprint },
      { '_setup.sql': outer.fingerprint, 'unit/_setup.sql': inner.fingerprint },
    ]);
    expect(await prepareDataDirectory(deps, [outer, inner], notes)).toBe(0);
    expect(ran).toHaveLength(2);
  });

  it('a file that failed is not noted; the one before it is, and does not run again', async () => {
    let broken = true;
    const { deps, ran, notes } = world(text =>
      broken && text.includes('TABLE') ? failed(SYNTAX) : success(0),
    );
    await expect(prepareDataDirectory(deps, [outer, inner], notes)).rejects.toMatchObject({
      code: 'SETUP_FAILED',
    });
    broken = false;
    expect(await prepareDataDirectory(deps, [outer, inner], notes)).toBe(1);
    expect(ran).toEqual(['CREATE DATABASE d', 'CREATE TABLE d.t (a UInt8)', 'CREATE TABLE d.t (a UInt8)']);
  });

  it('a changed file runs again, with a warning about results on the old data', async () => {
    const { deps, ran, notes, events } = world();
    await prepareDataDirectory(deps, [outer], notes);
    expect(events.filter(event => event.type === 'warning')).toEqual([]);
    await prepareDataDirectory(deps, [file('_setup.sql', 'CREATE DATABASE e')], notes);
    expect(ran).toEqual(['CREATE DATABASE d', 'CREATE DATABASE e']);
    const [warning] = events.filter(event => event.type === 'warning');
    expect(warning?.type === 'warning' && warning.message).toMatch(/^_setup\.sql changed.*--rerun all/);
  });

  it('a note that cannot be written ends it', async () => {
    const { deps, notes } = world();
    const full = { ...notes, write: () => Promise.reject(new Error('ENOSPC')) };
    const error: unknown = await prepareDataDirectory(deps, [outer], full).catch(caught => caught);
    expect((error as QrunError).message).toBe('ENOSPC');
  });
});
