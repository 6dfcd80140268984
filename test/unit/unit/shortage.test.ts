import { describe, expect, it } from 'vitest';
import { concurrencyFor, descriptorsNeeded } from '../../../src/core/engines/descriptors.js';
import { ENGINE_NAMES, factsOf } from '../../../src/core/engines/facts.js';
import {
  type Failure,
  localFailure,
  ownFailure,
  transportFailure,
} from '../../../src/core/engines/failure.js';
import { engineShortage, shortageCode, shortageHint } from '../../../src/core/engines/shortage.js';
import { QrunError } from '../../../src/core/errors.js';
import { eventsOf, failed, fakeRun, readOf, reads, success } from './fake-run.js';

function systemError(code: string, syscall = 'open'): Error {
  return Object.assign(new Error(`${code}: something, ${syscall}`), { code, syscall });
}

const NO_SOCKET = transportFailure({
  code: 'EMFILE',
  syscall: 'connect',
  message: 'connect EMFILE 127.0.0.1:8123 - Local (undefined:undefined)',
});
const OF_ENGINE: Failure = {
  ...ownFailure('CANNOT_PIPE', 'transient', 'Code: 298. errno: 24'),
  shortage: 'EMFILE',
};

describe('a shortage', () => {
  it.each(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS'])('%s is one, also as a cause, and has its hint', code => {
    const cause = systemError(code);
    expect(shortageCode(cause)).toBe(code);
    const wrapped = new QrunError('WRITE_FAILED', 'cannot spool', { hint: 'free space there', cause });
    expect(shortageCode(new Error('outer', { cause: wrapped }))).toBe(code);
    expect(wrapped.hint).toBe(shortageHint(code));
    expect(wrapped.hint).not.toContain('free space');
  });

  it.each([
    systemError('ENOENT'),
    systemError('EAGAIN', 'read'),
    new Error('EMFILE'),
    undefined,
    'EMFILE',
    { code: 'EMFILE' },
  ])('%s is none', error => {
    expect(shortageCode(error)).toBeUndefined();
  });

  it('of processes is one, and a ring of causes ends', () => {
    expect(shortageCode(systemError('EAGAIN', 'spawn git'))).toBe('EAGAIN');
    const ring = new Error('a');
    ring.cause = ring;
    expect(shortageCode(ring)).toBeUndefined();
  });

  it('is known in the text of the engine, where it is no data', () => {
    const text = (errno: number): string =>
      `Code: 76. DB::ErrnoException: Cannot open file /x\ny: , errno: ${errno}, strerror: Too many open files. (CANNOT_OPEN_FILE)`;
    expect([12, 23, 24].map(errno => engineShortage(text(errno)))).toEqual(['ENOMEM', 'ENFILE', 'EMFILE']);
    expect(engineShortage(text(2))).toBeUndefined();
    expect(
      engineShortage('Code: 395. DB::Exception: , errno: 24, strerror: Too many open files'),
    ).toBeUndefined();
  });

  it('of sockets is told without the words that Node has for nothing', () => {
    expect(NO_SOCKET).toMatchObject({ name: 'LOCAL_SHORTAGE', shortage: 'EMFILE', kind: 'transient' });
    expect(NO_SOCKET.message).toBe('no socket could be opened: connect EMFILE 127.0.0.1:8123');
  });
});

describe('a run that is short', () => {
  it('waits, with the query alone, and records nothing but results', async () => {
    const { log, summary, events } = await fakeRun({
      files: reads(30),
      options: { concurrency: 8, retries: 0 },
      script: async (_call, engine) => {
        if (engine.running > 3) return failed(NO_SOCKET);
        await engine.clock.delay(50);
        return success();
      },
    });
    expect(summary).toMatchObject({ exit_code: 0, not_run: 0, recorded: { normal: 30, error: 0 } });
    expect(log.groups).toHaveLength(30);
    expect(eventsOf(events, 'warning')[0]?.message).toContain('short of file descriptors');
  });

  it('ends with 24 when nothing works for too long, and its queries stay due', async () => {
    const { log, summary } = await fakeRun({
      files: reads(30),
      options: { concurrency: 8, retries: 0, outageLimitMs: 60_000 },
      script: ({ name }) => (name === 'q1' ? success() : failed(localFailure('ENFILE', 'ENFILE'))),
    });
    expect(log.lines()).toEqual(['q1 normal 1']);
    expect(summary).toMatchObject({ exit_code: 24, not_run: 29 });
    expect(summary.stopped).toContain('fs.file-max');
    expect(summary.elapsed_ms).toBeGreaterThan(55_000);
  });

  it('ends soon when its own descriptors are not enough for one query alone', async () => {
    const { log, summary } = await fakeRun({
      files: reads(30),
      options: { concurrency: 8, retries: 0, outageLimitMs: 3_600_000 },
      script: () => failed(NO_SOCKET),
    });
    expect(log.groups).toEqual([]);
    expect(summary).toMatchObject({ exit_code: 24, not_run: 30 });
    expect(summary.stopped).toContain('ulimit -n');
    expect(summary.elapsed_ms).toBeLessThan(60_000);
  });

  it('goes on when files can be read again', async () => {
    let refusals = 40;
    const files = reads(10);
    const { log, summary } = await fakeRun({
      files,
      read: name => {
        refusals -= 1;
        if (refusals > 0)
          throw new QrunError('UNIT_UNREADABLE', 'cannot be read', { cause: systemError('EMFILE') });
        return readOf(files[name] ?? '');
      },
      script: () => success(),
    });
    expect(summary.exit_code).toBe(0);
    expect(log.groups).toHaveLength(10);
  });

  it('ends with 24 when files can never be read', async () => {
    const { log, summary } = await fakeRun({
      files: reads(10),
      read: () => {
        throw new QrunError('UNIT_UNREADABLE', 'cannot be read', { cause: systemError('ENFILE') });
      },
      script: () => success(),
    });
    expect(log.groups).toEqual([]);
    expect(summary).toMatchObject({ exit_code: 24, not_run: 10 });
  });

  it('records a query as error that needs too much where others have enough, in this process', async () => {
    const { log, summary } = await fakeRun({
      files: reads(10),
      inProcess: true,
      deps: { freeDescriptors: () => 900 },
      options: { retries: 1 },
      script: ({ name }) => (name === 'q4' ? failed(OF_ENGINE) : success()),
    });
    expect(log.error('q4')).toBe('CANNOT_PIPE');
    expect(summary).toMatchObject({ exit_code: 20, recorded: { normal: 9, error: 1 } });
  });

  it('records none where the process has too few for any', async () => {
    const { summary } = await fakeRun({
      files: reads(10),
      inProcess: true,
      deps: { freeDescriptors: () => 3 },
      script: ({ name }) => (name === 'q4' ? failed(OF_ENGINE) : success()),
    });
    expect(summary).toMatchObject({ exit_code: 24, not_run: 1, recorded: { normal: 9, error: 0 } });
  });

  it('ends where a query that changes data cannot be run again', async () => {
    const { log, summary } = await fakeRun({
      files: { q1: "INSERT INTO t SELECT 'q1'" },
      script: () => failed({ ...OF_ENGINE, kind: 'unknown' }),
    });
    expect(log.groups).toEqual([]);
    expect(summary).toMatchObject({ exit_code: 24, not_run: 1 });
  });
});

describe('how many queries the descriptors are enough for', () => {
  it.each(ENGINE_NAMES)('is never more than fit, and the most of them (%s)', name => {
    const engine = factsOf(name);
    for (const cores of [1, 2, 8, 64]) {
      for (let limit = 0; limit < 3000; limit += 13) {
        const facts = { limit, open: 20, engine, cores };
        const fits = concurrencyFor(facts, 256);
        if (fits > 0) expect(descriptorsNeeded(facts, fits)).toBeLessThanOrEqual(limit);
        if (fits < 256) expect(descriptorsNeeded(facts, fits + 1)).toBeGreaterThan(limit);
      }
    }
    expect(concurrencyFor({ limit: 1_000_000, open: 20, engine, cores: 8 }, 256)).toBe(256);
  });
});
