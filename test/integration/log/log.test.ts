import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileLock, type FlockMechanism } from '../../../src/io/files/flock.js';
import type { ResultLog } from '../../../src/io/log/result-log.js';
import { linesOf, normalGroup, skippedGroup, UNIT } from '../../unit/log/log-samples.js';
import {
  CAN_MOUNT,
  failureOf,
  makeFifo,
  openFilesIn,
  scratch,
  startWorker,
  Worker,
  withReadOnly,
  withSmallDisk,
} from '../machine/processes.js';
import {
  type Around,
  auditLog,
  companions,
  FAILED,
  freshLog,
  head,
  openLog,
  resultBody,
  rows,
  SKIPPED,
  tracedDisk,
  watchedDisk,
} from './log-harness.js';

const ROWS = ['{"v":1}', '{"v":18446744073709551615}', '{"v":"\\n"}'];
const STATS = { read_rows: 7 };

describe('ResultLog', () => {
  it('records rows, no rows and errors, and knows them when it is opened again', async () => {
    const path = freshLog();
    const log = await openLog(path);
    const body = await resultBody(ROWS);
    const acks = await Promise.all([
      log.append(head('a'), { outcome: 'normal', body, stats: STATS }),
      log.append(head('b'), SKIPPED),
      log.append(head('c'), FAILED),
    ]);
    expect(acks).toEqual([true, true, true]);
    expect(body.disposed).toBe(1);
    expect([log.records, log.onNetwork, log.path]).toEqual([5, false, path]);
    const state = { fingerprint: '9f86d081884c7d65', run: 'run1' };
    const final = [
      ['a', { ...state, outcome: 'normal', parts: 3 }],
      ['b', { ...state, outcome: 'skipped', parts: 1 }],
      ['c', { ...state, outcome: 'error', parts: 1 }],
    ];
    expect([...log.final]).toEqual(final);
    await log.close();
    const expected = [normalGroup({ query: 'a' }, ROWS), skippedGroup({ query: 'b' })];
    expect(readFileSync(path, 'utf8')).toContain(Buffer.concat(expected).toString());
    const again = await openLog(path);
    expect([...again.final]).toEqual(final);
    expect(again.records).toBe(0);
    expect((await auditLog(path, ['a', 'b', 'c'])).verdict).toBe('errors');
  });

  it.each([
    ['in memory', undefined, 1e6],
    ['in memory, in pieces', undefined, 7],
    ['spooled', { thresholdBytes: 0 }, 100],
  ])('writes the rows as they came: %s', async (_, spool, chunkBytes) => {
    const path = freshLog();
    const log = await openLog(path);
    const values = Array.from({ length: 2000 }, (_, i) => `{"i":${i},"s":"${'é'.repeat(i % 50)}"}`);
    const options =
      spool === undefined ? { chunkBytes } : { spool: { ...spool, directory: scratch() }, chunkBytes };
    const body = await resultBody(values, options);
    expect(body.kind).toBe(spool === undefined ? 'memory' : 'spool');
    expect(await log.append(head('a'), { outcome: 'normal', body, stats: STATS })).toBe(true);
    expect(readFileSync(path).equals(normalGroup({ query: 'a' }, values))).toBe(true);
  });

  it('writes a result of many megabytes in bounded pieces', async () => {
    const sizes: number[] = [];
    const disk = watchedDisk(({ name, args }, run) => {
      if (name === 'append') sizes.push((args[0] as Buffer).length);
      return run();
    });
    const path = freshLog();
    const log = await openLog(path, { disk });
    const values = Array.from({ length: 60 }, (_, i) => `{"i":${i},"s":"${'x'.repeat(100_000)}"}`);
    const spool = { directory: scratch(), thresholdBytes: 0 };
    const body = await resultBody(values, { spool });
    await log.append(head('a'), { outcome: 'normal', body, stats: undefined });
    expect(sizes.length).toBeGreaterThan(3);
    expect(Math.max(...sizes)).toBeLessThan(2.5e6);
    expect((await auditLog(path, ['a'])).normal).toEqual([{ queries: 1, rows: 60 }]);
  });

  it('does not record what is settled, but errors, other SQL and what runs again on purpose', async () => {
    const path = freshLog();
    const log = await openLog(path);
    const steps: [string, Parameters<ResultLog['append']>, boolean][] = [
      ['an error', [head('a', { run: 'r1' }), FAILED], true],
      ['an error again', [head('a', { run: 'r2' }), FAILED], true],
      ['a result', [head('a', { run: 'r3' }), SKIPPED], true],
      ['a result again', [head('a', { run: 'r4' }), SKIPPED], false],
      ['an error after it', [head('a', { run: 'r5' }), FAILED], false],
      ['other SQL', [head('a', { run: 'r6', fingerprint: '0000000000000000' }), SKIPPED], true],
      ['a rerun', [head('a', { run: 'r7', fingerprint: '0000000000000000', rerun: true }), SKIPPED], true],
    ];
    for (const [what, args, recorded] of steps) expect(await log.append(...args), what).toBe(recorded);
    expect(readFileSync(path, 'utf8').match(/"run":"r\d"/g)).toEqual(
      [1, 2, 3, 6, 7].map(n => `"run":"r${n}"`),
    );
  });

  it('records a query once though it is given twice in one batch', async () => {
    const path = freshLog();
    const log = await openLog(path);
    const acks = await Promise.all(
      ['r1', 'r2', 'r3'].map(run => log.append(head('a', { run }), run === 'r1' ? FAILED : SKIPPED)),
    );
    expect(acks).toEqual([true, true, false]);
    expect((await auditLog(path, ['a'])).verdict).toBe('complete');
  });

  it('refuses a result that is not whole, and leaves nothing of it', async () => {
    const path = freshLog(skippedGroup({ query: 'before' }));
    const log = await openLog(path);
    const body = await resultBody(ROWS);
    const lying = { ...body, rows: 4 };
    const { code, message } = await failureOf(
      log.append(head('a'), { outcome: 'normal', body: lying, stats: undefined }),
    );
    expect([code, message]).toEqual([
      'WRITE_FAILED',
      expect.stringContaining('a result of 4 rows gave 3 whole ones'),
    ]);
    expect(readFileSync(path).equals(skippedGroup({ query: 'before' }))).toBe(true);
  });
});

describe('an acknowledgement', () => {
  it('comes after the write and after fdatasync', async () => {
    const { disk, trace } = tracedDisk();
    const log = await openLog(freshLog(), { disk });
    await log.append(head('a'), SKIPPED).then(() => trace.push('ack'));
    expect(trace).toEqual(['log open', 'log append', 'log sync', 'ack']);
  });

  it('waits for others with gatherMs, and no longer than that', async () => {
    const { disk, trace } = tracedDisk();
    const log = await openLog(freshLog(), { disk, gatherMs: 5 });
    const first = log.append(head('a'), SKIPPED);
    await new Promise(setImmediate);
    await Promise.all([first, log.append(head('b'), SKIPPED)]);
    expect(trace).toEqual(['log open', 'log append', 'log sync']);
  });

  it('waits for no others when enough are there, or the log is closed', async () => {
    const { disk, trace } = tracedDisk();
    // Nobody waits a minute: a timer that is not ended would outlast the test.
    const log = await openLog(freshLog(), { disk, gatherMs: 60_000 });
    await Promise.all(Array.from({ length: 32 }, (_, i) => log.append(head(`q${i}`), SKIPPED)));
    expect(trace).toEqual(['log open', 'log append', 'log sync']);
    const last = log.append(head('last'), SKIPPED);
    await log.close();
    expect(await last).toBe(true);
  });

  it('is shared: what arrives during a flush is written and synced together', async () => {
    const { disk, trace } = tracedDisk();
    const path = freshLog();
    const log = await openLog(path, { disk });
    const queries = Array.from({ length: 500 }, (_, i) => `q${i}`);
    const acks = await Promise.all(queries.map(query => log.append(head(query), SKIPPED)));
    expect(acks.every(ack => ack)).toBe(true);
    expect(trace).toEqual(['log open', 'log append', 'log sync']);
    // During that flush, and the next.
    const first = log.append(head('x'), SKIPPED).then(() => trace.push('ack'));
    await new Promise(setImmediate);
    await Promise.all([first, ...queries.map(query => log.append(head(`y${query}`), SKIPPED))]);
    expect(trace.filter(step => step === 'log sync').length).toBeLessThanOrEqual(3);
    expect((await auditLog(path, ['x', ...queries, ...queries.map(query => `y${query}`)])).verdict).toBe(
      'complete',
    );
  });

  it('of a query that another recorded waits for a sync of its own', async () => {
    const path = freshLog();
    const { disk, trace } = tracedDisk();
    const log = await openLog(path, { disk });
    const other = await openLog(path);
    await other.append(head('a', { run: 'other' }), SKIPPED);
    expect(await log.append(head('a'), SKIPPED)).toBe(false);
    // The other's fdatasync may not have happened: without this one the answer "recorded" could be untrue.
    expect(trace).toEqual(['log open', 'log sync']);
  });

  it('of what a dead writer left is backed by a sync when the log is opened', async () => {
    const { disk, trace } = tracedDisk();
    const log = await openLog(freshLog(skippedGroup({ query: 'a' })), { disk });
    expect(log.final.get('a')).toBeDefined();
    expect(trace).toEqual(['log open', 'log sync']);
  });

  it('is given to one of several writers only', async () => {
    const path = freshLog();
    const logs = await Promise.all([openLog(path), openLog(path), openLog(path, { mechanism: 'child' })]);
    const queries = Array.from({ length: 40 }, (_, i) => `q${i}`);
    const acks = await Promise.all(
      queries.map(query =>
        Promise.all(logs.map((log, i) => log.append(head(query, { run: `run${i}` }), SKIPPED))),
      ),
    );
    for (const [i, answers] of acks.entries()) {
      expect(
        answers.filter(ack => ack),
        queries[i],
      ).toHaveLength(1);
    }
    expect(await auditLog(path, queries)).toMatchObject({ verdict: 'complete', total_lines: 40 });
    expect(logs.map(log => log.records).reduce((a, b) => a + b)).toBe(40);
    for (const log of logs) await log.append(head('last'), SKIPPED);
    for (const log of logs)
      expect([...new Map(log.final).keys()].sort()).toEqual([...queries, 'last'].sort());
  });

  it('on a network file system comes after open, append and sync under the lock', async () => {
    const { disk, trace } = tracedDisk();
    const path = freshLog();
    const lock = await tracedLock(path, trace);
    const log = await openLog(path, {
      disk: { ...disk, open: disk.open, writeNew: disk.writeNew, isNetwork: async () => true },
      lock,
    });
    expect(log.onNetwork).toBe(true);
    await log.append(head('a'), SKIPPED).then(() => trace.push('ack'));
    expect(trace).toEqual(['log open', 'unlock', 'log reopen', 'log append', 'log sync', 'unlock', 'ack']);
  });

  it('on a local file system does not keep others from writing while the disk is busy', async () => {
    const { disk, trace } = tracedDisk();
    const path = freshLog();
    const lock = await tracedLock(path, trace);
    const log = await openLog(path, { disk, lock });
    await log.append(head('a'), SKIPPED);
    expect(trace).toEqual(['log open', 'unlock', 'log append', 'unlock', 'log sync']);
  });
});

describe('a torn end', () => {
  const before = Buffer.concat([skippedGroup({ query: 'a' }), normalGroup({ query: 'b' }, ROWS)]);
  const last = normalGroup({ query: 'c' }, ROWS.slice(0, 2));

  it('is saved aside byte for byte and cut off, wherever the last group was cut', async () => {
    const directory = scratch();
    for (let at = 1; at < last.length; at += 1) {
      const path = join(directory, `${at}.ndjson`);
      const torn = last.subarray(0, at);
      writeFileSync(path, Buffer.concat([before, torn]));
      const repairs: { bytes: number; savedAs: string; reason: string }[] = [];
      const log = await openLog(path, { onRepair: repair => repairs.push(repair) });
      expect(repairs).toEqual([{ bytes: at, savedAs: expect.any(String), reason: expect.any(String) }]);
      expect(readFileSync(repairs[0]?.savedAs ?? '').equals(torn)).toBe(true);
      expect(readFileSync(path).equals(before)).toBe(true);
      expect([...new Map(log.final).keys()]).toEqual(['a', 'b']);
      expect([...companions(path).keys()]).toEqual([
        expect.stringMatching(new RegExp(`^\\.torn-${before.length}-[0-9a-f]{8}$`)),
      ]);
      await log.close();
    }
  });

  it.each<[string, Buffer]>([
    ['NUL bytes', Buffer.alloc(300)],
    ['a megabyte of NUL bytes with lines', Buffer.concat([Buffer.alloc(1e6), Buffer.from('\n\0\n\0')])],
    [
      'a group of three megabytes without its last byte',
      normalGroup({ query: 'c' }, [`{"s":"${'x'.repeat(3e6)}"}`]).subarray(0, -1),
    ],
    ['two records of three', Buffer.concat(linesOf(normalGroup({ query: 'c' }, ROWS)).slice(0, 2))],
    [
      'a record with NUL bytes in it',
      Buffer.from(skippedGroup({ query: 'c' }).toString('latin1').replace('run1', '\0\0\0\0')),
    ],
    ['half a record with a carriage return', Buffer.from('{"unit":"2down\r')],
  ])('of %s is repaired, and the log goes on', async (_, torn) => {
    const path = freshLog(Buffer.concat([before, torn]));
    const { disk, trace } = tracedDisk();
    const log = await openLog(path, { disk });
    const [saved] = [...companions(path).values()];
    expect(saved?.equals(torn)).toBe(true);
    // The fragment is durable in its own file before it leaves the log.
    expect(trace).toEqual(
      ['log open', 'torn writeNew', 'log truncate', 'log sync', 'log sync'].slice(0, trace.length),
    );
    expect(trace.length).toBeGreaterThanOrEqual(4);
    expect(await log.append(head('c'), SKIPPED)).toBe(true);
    expect((await auditLog(path, ['a', 'b', 'c'])).verdict).toBe('complete');
  });

  it.each([1, 5, 40, last.length - 1])('of the first record of all is repaired (%i bytes)', async at => {
    const path = freshLog(last.subarray(0, at));
    await (await openLog(path)).close();
    expect(readFileSync(path)).toHaveLength(0);
    expect([...companions(path).values()].map(saved => saved.length)).toEqual([at]);
  });

  it.each(['SELECT 1', '{"units":1}', '{"a":', '-- a'])(
    'that no record comes before, and that is none itself, is a file of somebody: %s',
    async text => {
      const path = freshLog(Buffer.from(text));
      expect(await failureOf(openLog(path))).toMatchObject({
        code: 'LOG_UNUSABLE',
        message: `${path} is not a log of qrun: it holds no record`,
      });
      expect(readFileSync(path, 'utf8')).toBe(text);
      expect([...companions(path).keys()]).toEqual([]);
    },
  );

  it.each(['{\0\0\0\0', '{"un\0\0', '\0"unit":"x', '\0\0\0\0\0\0\0\0\0\0', '{"unit":\0\0'])(
    'that a crash of the machine has made NULs of, and that no record comes before, is one: %j',
    async text => {
      const path = freshLog(Buffer.from(text));
      const repairs: number[] = [];
      const log = await openLog(path, { onRepair: ({ bytes }) => repairs.push(bytes) });
      expect(await log.append(head('c'), SKIPPED)).toBe(true);
      expect(repairs).toEqual([text.length]);
      expect([...new Map(log.final).keys()]).toEqual(['c']);
    },
  );

  it('that no record comes before is told from a file of somebody, unless it cannot be read', async () => {
    const path = freshLog(Buffer.from('{"unit":"u"'));
    let reads = 0;
    const disk = watchedDisk(({ name }, run) => {
      if (name !== 'read') return run();
      reads += 1;
      // The scan has read it; then it is looked what it begins with.
      if (reads === 2) throw new Error('EIO: i/o error, read');
      return run();
    });
    expect(await failureOf(openLog(path, { disk }))).toMatchObject({
      code: 'READ_FAILED',
      message: expect.stringContaining('EIO'),
    });
    expect(reads).toBe(2);
  });

  it('that another writer leaves while the log is open is repaired before the next append', async () => {
    const path = freshLog(before);
    const repairs: number[] = [];
    const log = await openLog(path, { onRepair: ({ bytes }) => repairs.push(bytes) });
    appendFileSync(path, Buffer.concat([skippedGroup({ query: 'd' }), last.subarray(0, -3)]));
    expect(await log.append(head('c'), SKIPPED)).toBe(true);
    expect(repairs).toEqual([last.length - 3]);
    expect([...new Map(log.final).keys()]).toEqual(['a', 'b', 'd', 'c']);
    expect((await auditLog(path, ['a', 'b', 'c', 'd'])).verdict).toBe('complete');
  });

  it('is not cut off when it cannot be saved', async () => {
    const path = freshLog(Buffer.concat([before, last.subarray(0, 50)]));
    const disk = watchedDisk(({ name }, run) => {
      if (name === 'writeNew') throw new Error('ENOSPC: no space left on device, write');
      return run();
    });
    const { code, message } = await failureOf(openLog(path, { disk }));
    expect(code).toBe('WRITE_FAILED');
    expect(message).toBe(
      `${path} has a torn end from byte ${before.length} on (the last line has no end (50 bytes)), ` +
        'which cannot be saved aside: ENOSPC: no space left on device, write',
    );
    expect(readFileSync(path).equals(Buffer.concat([before, last.subarray(0, 50)]))).toBe(true);
  });

  it('leaves a query settled that only seemed to run again', async () => {
    const rerun = { rerun: true, run: 'run2' };
    const half = linesOf(normalGroup({ query: 'b', ...rerun }, ROWS)).slice(0, 1);
    const log = await openLog(freshLog(Buffer.concat([before, ...half])));
    expect(log.final.get('b')).toMatchObject({ outcome: 'normal', run: 'run1' });
  });
});

describe('a log that cannot be trusted', () => {
  const good = skippedGroup({ query: 'a' });
  const newer = Buffer.from(`{"unit":"${UNIT}","query":"q","schema":2}\n`);
  it.each<[string, Buffer, string, RegExp]>([
    [
      'a damaged line',
      Buffer.from('{"unit":"2d\n'),
      'LOG_DAMAGED',
      /is damaged: the line at byte OFFSET \(12 bytes\)/,
    ],
    ['NUL bytes', Buffer.from('\0\0\0\n'), 'LOG_DAMAGED', /the line at byte OFFSET \(4 bytes\)/],
    [
      'a torn line glued to another',
      Buffer.concat([good.subarray(0, 40), good]),
      'LOG_DAMAGED',
      /at byte OFFSET/,
    ],
    ['an empty line', Buffer.from('\n'), 'LOG_DAMAGED', /at byte OFFSET \(1 bytes\)/],
    ['a record of a later version', newer, 'LOG_SCHEMA', /schema 2 \(byte OFFSET\); this qrun knows 1/],
    [
      'a record of another unit',
      skippedGroup({ unit: 'other' }),
      'LOG_FOREIGN',
      /of the unit "other" \(byte OFFSET\), not of "2down/,
    ],
  ])('for %s before its end is refused and not changed', async (_, bad, code, message) => {
    const bytes = Buffer.concat([good, bad, skippedGroup({ query: 'b' }), good.subarray(0, 30)]);
    const path = freshLog(bytes);
    const failure = await failureOf(openLog(path));
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(new RegExp(message.source.replace('OFFSET', String(good.length))));
    expect(failure.message).toContain(path);
    expect(failure.hint).toBeTruthy();
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(companions(path).size).toBe(0);
  });

  it('may hold JSON that is no record, half groups and records printed again', async () => {
    const [first] = linesOf(normalGroup({ query: 'half' }, ROWS));
    const again = `${JSON.stringify(JSON.parse(skippedGroup({ query: 'b' }).toString()), null, 1).replaceAll('\n', '')}\r\n`;
    const log = await openLog(
      freshLog(Buffer.concat([Buffer.from('{}\n'), first as Buffer, good, Buffer.from(again)])),
    );
    expect([...new Map(log.final).keys()]).toEqual(['a', 'b']);
  });

  it('is refused when the damage is its last line, in words that are true', async () => {
    const path = freshLog(Buffer.concat([good, Buffer.from('no json\n')]));
    const { message } = await failureOf(openLog(path));
    expect(message).toContain(`the line at byte ${good.length} (8 bytes) is not a record`);
    expect(message).not.toContain('others follow');
  });

  it('is refused when damage appears while it is open', async () => {
    const path = freshLog(good);
    const log = await openLog(path);
    appendFileSync(path, 'no json\n');
    const { code, message } = await failureOf(log.append(head('b'), SKIPPED));
    expect([code, message]).toEqual(['LOG_DAMAGED', expect.stringContaining(`byte ${good.length}`)]);
  });

  it('is refused when it shrank while it was open', async () => {
    const path = freshLog(Buffer.concat([good, skippedGroup({ query: 'b' })]));
    const log = await openLog(path);
    truncateSync(path, good.length);
    const { code, message } = await failureOf(log.append(head('c'), SKIPPED));
    expect(code).toBe('LOG_DAMAGED');
    expect(message).toBe(
      `${path} shrank from ${2 * good.length} to ${good.length} bytes while it was in use`,
    );
    expect(readFileSync(path).equals(good)).toBe(true);
  });

  it('is refused when it shrinks while it is read', async () => {
    const path = freshLog(Buffer.concat([good, skippedGroup({ query: 'b' })]));
    const disk = watchedDisk(({ name }, run) => {
      if (name === 'read') truncateSync(path, 0);
      return run();
    });
    const { code, message } = await failureOf(openLog(path, { disk }));
    expect([code, message]).toEqual(['LOG_DAMAGED', `${path} shrank while it was read`]);
  });

  it('is refused when somebody writes to it without the lock while its end is saved', async () => {
    const path = freshLog(Buffer.concat([good, Buffer.from('torn')]));
    const disk = watchedDisk(({ name }, run) => {
      if (name === 'writeNew') appendFileSync(path, ', or still being written\n');
      return run();
    });
    const { code, message } = await failureOf(openLog(path, { disk }));
    expect([code, message]).toEqual(['LOG_DAMAGED', expect.stringContaining('another program writes to it')]);
    // What nobody saved is not cut off.
    expect(readFileSync(path, 'utf8')).toBe(`${good}torn, or still being written\n`);
  });

  it.each<[string, (path: string) => void]>([
    ['removed', path => rmSync(path)],
    [
      'replaced',
      path => {
        renameSync(path, `${path}.old`);
        writeFileSync(path, good);
      },
    ],
    [
      'replaced by a longer one',
      path => {
        renameSync(path, `${path}.old`);
        writeFileSync(path, Buffer.concat([good, good, good]));
      },
    ],
  ])('is refused when it was %s while it was open, on any file system', async (_, change) => {
    for (const network of [false, true]) {
      const path = freshLog(good);
      const disk = watchedDisk(({ name }, run) => (name === 'isNetwork' ? Promise.resolve(network) : run()));
      const log = await openLog(path, { disk });
      change(path);
      const { code, message } = await failureOf(log.append(head('c'), SKIPPED));
      expect([code, message]).toEqual([
        'LOG_UNUSABLE',
        `the log ${path} was removed or replaced while it was in use`,
      ]);
    }
  });

  it('is refused when somebody writes to it without the lock during an append', async () => {
    const path = freshLog(good);
    const disk = watchedDisk(({ name }, run) => {
      if (name === 'append') appendFileSync(path, 'intruder\n');
      return run();
    });
    const log = await openLog(path, { disk });
    const { code, message, hint } = await failureOf(log.append(head('b'), SKIPPED));
    expect(code).toBe('LOG_DAMAGED');
    expect(message).toMatch(/has \d+ bytes after an append, not \d+: another program writes to it/);
    expect(hint).toContain(`flock ${path}.lock`);
  });
});

describe('a log that cannot be used', () => {
  it.each<[string, (path: string) => void, RegExp]>([
    ['a directory', path => mkdirSync(path), /it is a directory, not a regular file/],
    ['a FIFO', path => makeFifo(path), /it is a named pipe \(FIFO\), not a regular file/],
    ['in a missing directory', path => rmSync(dirname(path), { recursive: true }), /ENOENT/],
  ])('is refused when it is %s', async (_, make, reason) => {
    const path = freshLog();
    const lock = await FileLock.open(`${path}.lock`);
    make(path);
    const { code, message, hint } = await failureOf(openLog(path, { lock }));
    expect([code, hint]).toEqual(['LOG_UNUSABLE', expect.stringContaining('--log-dir')]);
    expect(message).toMatch(reason);
    expect(message).toContain(`cannot open the log ${path}: `);
  });

  it.runIf(CAN_MOUNT)('is refused when it cannot be written', async () => {
    const path = freshLog(skippedGroup());
    const lock = await FileLock.open(`${path}.lock`);
    await withReadOnly(dirname(path), async readOnly => {
      const { code, message } = await failureOf(openLog(join(readOnly, 'x.ndjson'), { lock }));
      expect([code, message]).toEqual(['LOG_UNUSABLE', expect.stringContaining('EROFS')]);
      const second = await failureOf(openLog(join(readOnly, 'x.ndjson')));
      expect([second.code, second.message]).toEqual(['LOCK_FAILED', expect.stringContaining('EROFS')]);
    });
  });

  it('gives its lock back, whatever fails', async () => {
    const failures: [string, string, Parameters<typeof watchedDisk>[0]][] = [
      ['LOG_UNUSABLE', 'open', () => Promise.reject(systemError('EACCES'))],
      ['LOG_UNUSABLE', 'isNetwork', () => Promise.reject(systemError('EIO'))],
      ['READ_FAILED', 'read', () => Promise.reject(systemError('EIO'))],
      ['LOG_SYNC', 'sync', () => Promise.reject(systemError('EIO'))],
    ];
    for (const [code, operation, fail] of failures) {
      const path = freshLog(skippedGroup());
      const disk = watchedDisk((at, run) => (at.name === operation ? fail(at, run) : run()));
      expect((await failureOf(openLog(path, { disk }))).code, operation).toBe(code);
      expect(openFilesIn(dirname(path)), operation).toEqual([]);
    }
  });

  it('tells who holds its lock, and goes on when it is free', async () => {
    const path = freshLog();
    const holder = new Worker('flock', [`${path}.lock`, 'sh', '-c', 'echo locked; read _']);
    expect(await holder.line()).toBe('locked');
    const { code, message } = await failureOf(openLog(path, { lockLimitMs: 100 }));
    expect(code).toBe('LOCK_BUSY');
    expect(message).toMatch(/held by pid \d+/);
    holder.tell('go on');
    const log = await openLog(path);
    expect(await log.append(head('a'), SKIPPED)).toBe(true);
  });

  it('stops waiting for its lock when the signal aborts', async () => {
    const path = freshLog();
    const lock = await FileLock.open(`${path}.lock`);
    await lock.acquire({ limitMs: 1000 });
    const stop = new AbortController();
    const opening = openLog(path, {}, stop.signal);
    stop.abort('stopped');
    await expect(opening).rejects.toBe('stopped');
    lock.close();
  });
});

describe('a failed append', () => {
  const before = skippedGroup({ query: 'before' });
  // The disk takes half of the n-th append and is full then.
  const fullAt = (n: number, path: string): Around => {
    let appends = 0;
    return ({ name, args }, run) => {
      if (name !== 'append') return run();
      appends += 1;
      if (appends !== n) return run();
      const bytes = args[0] as Buffer;
      appendFileSync(path, bytes.subarray(0, bytes.length / 2));
      throw systemError('ENOSPC');
    };
  };

  it('leaves nothing of its batch, and ends everything', async () => {
    const path = freshLog(before);
    const log = await openLog(path, { disk: watchedDisk(fullAt(1, path)) });
    const body = await resultBody(ROWS);
    const appends = [
      log.append(head('a'), { outcome: 'normal', body, stats: undefined }),
      log.append(head('b'), SKIPPED),
    ];
    for (const append of appends) {
      const { code, message, hint } = await failureOf(append);
      expect(code).toBe('WRITE_FAILED');
      expect(message).toBe(`cannot append to ${path}: ENOSPC: no space left on device, write`);
      expect(hint).toContain('free space');
    }
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(body.disposed).toBe(1);
    // Every later one fails too, and at once, whatever it brings.
    for (const content of [SKIPPED, FAILED, await rows(...ROWS), SKIPPED, SKIPPED]) {
      expect((await failureOf(log.append(head('c'), content))).code).toBe('WRITE_FAILED');
    }
    await log.close();
    const again = await openLog(path);
    expect(await again.append(head('a'), SKIPPED)).toBe(true);
  });

  it('of a batch in several writes takes all of them back', async () => {
    const path = freshLog(before);
    const log = await openLog(path, { disk: watchedDisk(fullAt(3, path)) });
    const large = Array.from({ length: 5 }, () => `{"s":"${'x'.repeat(1e6)}"}`);
    const options = { chunkBytes: 700_000 };
    const bodies = [await resultBody(large, options), await resultBody(large, options)];
    const appends = bodies.map((body, i) =>
      log.append(head(`q${i}`), { outcome: 'normal', body, stats: undefined }),
    );
    for (const result of await Promise.allSettled(appends)) expect(result.status).toBe('rejected');
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('that cannot be taken back is a torn end for the next run', async () => {
    const path = freshLog(before);
    const full = fullAt(1, path);
    const disk = watchedDisk((operation, run) => {
      if (operation.name === 'truncate') throw systemError('EIO');
      return full(operation, run);
    });
    const log = await openLog(path, { disk });
    const { code, message } = await failureOf(log.append(head('a'), SKIPPED));
    expect([code, message]).toEqual([
      'WRITE_FAILED',
      expect.stringMatching(/ENOSPC.*; nor could the torn end be cut off: EIO/),
    ]);
    await log.close();
    const again = await openLog(path);
    expect([...new Map(again.final).keys()]).toEqual(['before']);
    expect(companions(path).size).toBe(1);
  });

  it.runIf(CAN_MOUNT)(
    'on a disk that is really full leaves what was recorded, and the next run completes it',
    async () => {
      await withSmallDisk(async directory => {
        const path = join(directory, 'x.ndjson');
        const log = await openLog(path);
        expect(await log.append(head('a'), SKIPPED)).toBe(true);
        const large = Array.from({ length: 15 }, () => `{"s":"${'x'.repeat(100_000)}"}`);
        const kept = readFileSync(path);
        const { code, message } = await failureOf(log.append(head('b'), await rows(...large)));
        expect([code, message]).toEqual(['WRITE_FAILED', expect.stringContaining('ENOSPC')]);
        expect(readFileSync(path).equals(kept)).toBe(true);
        await log.close();
        const again = await openLog(path);
        expect(await again.append(head('b'), SKIPPED)).toBe(true);
        expect((await auditLog(path, ['a', 'b'])).verdict).toBe('complete');
      });
    },
  );

  it.runIf(CAN_MOUNT)('to save a torn end on a full disk leaves the log alone, and no fragment', async () => {
    await withSmallDisk(async directory => {
      const path = join(directory, 'x.ndjson');
      const torn = Buffer.concat([
        before,
        normalGroup({ query: 'b' }, [`{"s":"${'x'.repeat(600_000)}"}`]).subarray(0, -1),
      ]);
      writeFileSync(path, torn);
      for (let i = 0; i < 2; i += 1) {
        const { code, message } = await failureOf(openLog(path));
        expect([code, message]).toEqual([
          'WRITE_FAILED',
          expect.stringContaining('cannot be saved aside: ENOSPC'),
        ]);
        expect(readFileSync(path).equals(torn)).toBe(true);
        expect([...companions(path).keys()]).toEqual([]);
      }
    });
  });
});

describe('a failed fdatasync', () => {
  it('acknowledges nothing, is not tried again, and ends everything', async () => {
    const path = freshLog();
    let syncs = 0;
    const rewritten: (readonly unknown[])[] = [];
    const disk = watchedDisk(({ name, args }, run) => {
      if (name === 'rewrite') rewritten.push(args);
      if (name !== 'sync') return run();
      syncs += 1;
      return syncs === 1 ? run() : Promise.reject(systemError('EIO'));
    });
    const log = await openLog(path, { disk });
    expect(await log.append(head('before'), SKIPPED)).toBe(true);
    const confirmed = statSync(path).size;
    const results = await Promise.allSettled([log.append(head('a'), SKIPPED), log.append(head('b'), FAILED)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const { code, message, hint } = await failureOf(log.append(head('c'), SKIPPED));
    expect([code, hint]).toEqual(['LOG_SYNC', expect.stringContaining('only what was confirmed')]);
    expect(message).toBe(`${path}: the disk did not confirm the last append: EIO: i/o error, fdatasync`);
    expect(syncs).toBe(2);
    // What was not confirmed is dirty again, so that the next run's sync cannot succeed without writing it.
    expect(rewritten).toEqual([[confirmed, statSync(path).size]]);
  });
});

describe('closing', () => {
  it('gives every descriptor back', async () => {
    const path = freshLog();
    const log = await openLog(path);
    await log.append(head('a'), SKIPPED);
    expect(openFilesIn(dirname(path)).sort()).toEqual([path, `${path}.lock`]);
    await log.close();
    expect(openFilesIn(dirname(path))).toEqual([]);
  });

  it('waits for what is pending, and refuses what comes later', async () => {
    const path = freshLog();
    const log = await openLog(path);
    const append = log.append(head('a'), SKIPPED);
    await log.close();
    expect(await append).toBe(true);
    for (const content of [SKIPPED, FAILED, await rows(...ROWS)]) {
      const { code, message } = await failureOf(log.append(head('b'), content));
      expect([code, message]).toEqual(['LOG_UNUSABLE', `the log ${path} is closed`]);
    }
    await log.close();
    const free = await FileLock.open(`${path}.lock`);
    expect(await free.tryAcquire()).toBe(true);
    free.close();
  });
});

describe('many writers', () => {
  it('in processes of their own and a shell with flock record each query once', async () => {
    const path = freshLog();
    const mechanisms: FlockMechanism[] = ['koffi', 'koffi', 'koffi', 'child'];
    // The ranges overlap: most queries are run by two processes.
    const ranges = [
      [0, 200],
      [100, 200],
      [0, 200],
      [100, 200],
    ] as const;
    const workers = mechanisms.map((mechanism, i) => {
      const [first, count] = ranges[i] as (typeof ranges)[number];
      return startWorker('append', path, UNIT, `run${i}`, first, count, mechanism);
    });
    for (const worker of workers) expect(await worker.line()).toBe('open');
    const shellQueries = Array.from({ length: 40 }, (_, i) => `shell${i}`);
    const groups = scratch();
    for (const [i, query] of shellQueries.entries()) {
      writeFileSync(join(groups, `${i}`), normalGroup({ query, run: 'shell' }, ROWS));
    }
    const loop = `for i in $(seq 0 39); do flock "$0.lock" sh -c 'cat "$1" >> "$0"' "$0" "$1/$i"; done`;
    const shell = new Worker('sh', ['-c', loop, path, groups]);
    for (const worker of workers) worker.tell('go on');
    const recorded = (await Promise.all(workers.map(worker => worker.line()))).flatMap(
      line => JSON.parse(line) as string[],
    );
    expect(await shell.ended).toBe(0);
    const queries = Array.from({ length: 300 }, (_, i) => `q${i}`);
    expect([...recorded].sort()).toEqual([...queries].sort());
    expect(await auditLog(path, [...queries, ...shellQueries])).toMatchObject({
      verdict: 'complete',
      total_lines: 3 * 340,
      superseded: { groups: 0, lines: 0 },
    });
    expect(companions(path).size).toBe(0);
  });
});

async function tracedLock(path: string, trace: string[]): Promise<FileLock> {
  const lock = await FileLock.open(`${path}.lock`);
  const release = lock.release.bind(lock);
  lock.release = () => {
    trace.push('unlock');
    release();
  };
  return lock;
}

function systemError(code: 'ENOSPC' | 'EIO' | 'EACCES'): NodeJS.ErrnoException {
  const texts = {
    ENOSPC: [28, 'ENOSPC: no space left on device, write', 'write'],
    EIO: [5, 'EIO: i/o error, fdatasync', 'fdatasync'],
    EACCES: [13, 'EACCES: permission denied, open', 'open'],
  } as const;
  const [errno, message, syscall] = texts[code];
  return Object.assign(new Error(message), { code, errno: -errno, syscall });
}
