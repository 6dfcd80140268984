import { appendFileSync, existsSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PresentQueries } from '../../../src/core/log/scan/index.js';
import { type LogDisk, localDisk } from '../../../src/io/log/disk.js';
import { type ImportTarget, importLogs, type SourceReport } from '../../../src/io/log/import-logs.js';
import { errorGroup, normalGroup, skippedGroup, UNIT } from '../../unit/log/log-samples.js';
import { scratch } from '../machine/processes.js';
import { auditLog, companions, freshLog, head, openLog, watchedDisk } from './log-harness.js';

const PRESENT: PresentQueries = { has: () => true, fingerprint: () => '9f86d081884c7d65' };

interface Hosts {
  readonly target: ImportTarget;
  readonly sources: readonly string[];
}

/** A log here, and one of each other host. */
function hosts(here: Buffer, ...others: readonly Buffer[]): Hosts {
  const directory = scratch();
  const sources = others.map((bytes, n) => {
    const path = join(directory, `host-${n}.ndjson`);
    writeFileSync(path, bytes);
    return path;
  });
  return { target: { path: freshLog(here), unit: UNIT, disk: localDisk }, sources };
}

async function importAll(
  { target, sources }: Hosts,
  disk: LogDisk = localDisk,
  present = PRESENT,
): Promise<SourceReport[]> {
  const reports: SourceReport[] = [];
  const named = sources.map(path => ({ path, isNamed: false }));
  await importLogs({ ...target, disk }, named, present, report => reports.push(report));
  return reports;
}

const group = (query: string, run: string, rows = 3): Buffer =>
  normalGroup(
    { query, run },
    Array.from({ length: rows }, (_, i) => `{"q":"${query}","i":${i}}`),
  );

const FATES = { new: 0, there: 0, ran_twice: 0, stale: 0, unknown: 0 };

describe('an import', () => {
  it('appends what is new byte for byte, once', async () => {
    const here = Buffer.concat([group('a', 'here'), errorGroup({ query: 'b', run: 'here' })]);
    const one = Buffer.concat([group('b', 'one'), group('c', 'one'), group('a', 'one')]);
    const two = Buffer.concat([group('c', 'two'), skippedGroup({ query: 'd', run: 'two' })]);
    const trial = hosts(here, one, two);
    const reports = await importAll(trial);
    expect(reports.map(({ fates }) => fates)).toEqual([
      { ...FATES, new: 2, ran_twice: 1 },
      { ...FATES, new: 1, ran_twice: 1 },
    ]);
    expect(reports.map(({ lines, bytes }) => [lines, bytes])).toEqual([
      [6, group('b', 'one').length + group('c', 'one').length],
      [1, skippedGroup({ query: 'd', run: 'two' }).length],
    ]);
    const log = readFileSync(trial.target.path);
    expect(log).toEqual(
      Buffer.concat([here, group('b', 'one'), group('c', 'one'), skippedGroup({ query: 'd', run: 'two' })]),
    );
    const again = await importAll(trial);
    expect(again.map(({ fates }) => [fates.new, fates.there])).toEqual([
      [0, 2],
      [0, 1],
    ]);
    expect(readFileSync(trial.target.path)).toEqual(log);
    expect((await auditLog(trial.target.path, ['a', 'b', 'c', 'd'])).verdict).toBe('complete');
    for (const [n, bytes] of [one, two].entries())
      expect(readFileSync(trial.sources[n] as string)).toEqual(bytes);
  });

  it('copies groups of any size between groups that are left out, in pieces of a megabyte', async () => {
    const names = Array.from({ length: 4_000 }, (_, n) => `q${n}`);
    const all = names.map((name, n) => {
      const rows = Array.from(
        { length: n === 1_000 ? 30_000 : (n % 5) + 1 },
        (_, i) => `{"i":${i},"text":"${'x'.repeat(n % 300)}"}`,
      );
      return normalGroup({ query: name, run: 'other' }, rows);
    });
    const here = Buffer.concat(names.flatMap((name, n) => (n % 3 === 0 ? [group(name, 'here')] : [])));
    const huge = normalGroup({ query: 'huge', run: 'other' }, [`{"text":"${'y'.repeat(9_000_000)}"}`]);
    const trial = hosts(here, Buffer.concat([...all, huge]));
    const [report] = await importAll(trial);
    expect(report?.fates).toEqual({ ...FATES, new: 2_667, ran_twice: 1_334 });
    const chosen = all.filter((_, n) => n % 3 !== 0);
    expect(readFileSync(trial.target.path).equals(Buffer.concat([here, ...chosen, huge]))).toBe(true);
  });

  it('is durable when it is reported', async () => {
    const trial = hosts(Buffer.alloc(0), group('a', 'one'));
    const order: string[] = [];
    const disk = watchedDisk(({ file, name }, run) => {
      if (file === 'log') order.push(name);
      return run();
    });
    await importLogs(
      { ...trial.target, disk },
      [{ path: trial.sources[0] as string, isNamed: false }],
      PRESENT,
      () => order.push('report'),
    );
    const appended = order.indexOf('append');
    expect(appended).toBeGreaterThan(0);
    expect(order.indexOf('sync', appended)).toBeGreaterThan(appended);
    expect(order.indexOf('report')).toBeGreaterThan(order.indexOf('sync', appended));
  });

  it('repairs the torn end of the log here, and does not read that of another', async () => {
    const torn = group('b', 'one');
    const trial = hosts(
      Buffer.concat([group('a', 'here'), torn.subarray(0, 50)]),
      Buffer.concat([torn, torn.subarray(0, 200)]),
    );
    const [report] = await importAll(trial);
    expect([report?.fates.new, report?.tornBytes]).toEqual([1, 200]);
    expect(readFileSync(trial.target.path)).toEqual(Buffer.concat([group('a', 'here'), torn]));
    expect([...companions(trial.target.path).keys()].filter(name => name.includes('torn'))).toHaveLength(1);
  });

  it('takes the rest of a log that has grown meanwhile', async () => {
    const [a, b] = [group('a', 'one'), group('b', 'one')];
    const trial = hosts(Buffer.alloc(0), Buffer.concat([a, b.subarray(0, 30)]));
    await importAll(trial);
    appendFileSync(trial.sources[0] as string, b.subarray(30));
    const [report] = await importAll(trial);
    expect(report?.fates).toEqual({ ...FATES, new: 1, there: 1 });
    expect(readFileSync(trial.target.path)).toEqual(Buffer.concat([a, b]));
  });

  it('creates the log here if there is none, and none for nothing', async () => {
    const path = join(scratch(), 'x.ndjson');
    const { sources } = hosts(Buffer.alloc(0), group('a', 'one'));
    await importLogs({ path, unit: UNIT, disk: localDisk }, [], PRESENT, () => {});
    expect(existsSync(path)).toBe(false);
    await importAll({ target: { path, unit: UNIT, disk: localDisk }, sources });
    expect(readFileSync(path)).toEqual(group('a', 'one'));
  });
});

describe('a source that cannot be used', () => {
  const good = group('good', 'good');
  const damaged = Buffer.concat([group('x', 'bad'), Buffer.from('no record\n'), group('y', 'bad')]);

  it.each<[string, Buffer, string, RegExp]>([
    [
      'is damaged',
      damaged,
      'LOG_DAMAGED',
      new RegExp(`damaged: the line at byte ${group('x', 'bad').length} `),
    ],
    [
      'holds NUL bytes in its middle',
      Buffer.concat([group('x', 'bad'), Buffer.alloc(100), Buffer.from('\n'), group('y', 'bad')]),
      'LOG_DAMAGED',
      /byte \d+/,
    ],
    [
      'is of another unit',
      normalGroup({ unit: 'other', run: 'bad' }, ['{}']),
      'LOG_FOREIGN',
      /the unit "other"/,
    ],
    [
      'was written by a later qrun',
      Buffer.concat([group('x', 'bad'), Buffer.from('{"schema":9,"unit":"u","query":"q"}\n')]),
      'LOG_SCHEMA',
      /schema 9/,
    ],
    ['is no log', Buffer.from('password = secret'), 'LOG_UNUSABLE', /is not a log of qrun/],
  ])('because it %s stops nothing but itself', async (_, bytes, code, message) => {
    const trial = hosts(Buffer.alloc(0), bytes, good);
    const [first, second] = await importAll(trial);
    expect(first?.problem).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(first?.problem?.message).toContain(trial.sources[0]);
    expect(first?.problem?.exitCode).toBe(23);
    expect([first?.fates, second?.fates.new]).toEqual([FATES, 1]);
    expect(readFileSync(trial.target.path)).toEqual(good);
    expect(readFileSync(trial.sources[0] as string)).toEqual(bytes);
  });

  it('because it is not there, a link or a directory stops nothing but itself', async () => {
    const trial = hosts(Buffer.alloc(0), good);
    const link = join(scratch(), 'link.ndjson');
    symlinkSync(trial.sources[0] as string, link);
    const reports = await importAll({
      ...trial,
      sources: ['/nonexistent.ndjson', link, scratch(), ...trial.sources],
    });
    expect(reports.map(({ problem }) => problem?.code)).toEqual([
      'READ_FAILED',
      'READ_FAILED',
      'READ_FAILED',
      undefined,
    ]);
    expect(readFileSync(trial.target.path)).toEqual(good);
  });

  it('leaves nothing behind in what the next source is judged by', async () => {
    const x = group('x', 'good');
    const trial = hosts(Buffer.alloc(0), damaged, x);
    const reports = await importAll(trial);
    expect(reports[1]?.fates).toEqual({ ...FATES, new: 1 });
    expect(readFileSync(trial.target.path)).toEqual(x);
  });

  it('because it changes while it is read is taken back whole', async () => {
    const bytes = Buffer.concat([group('a', 'one'), group('b', 'one')]);
    const big = normalGroup(
      { query: 'big', run: 'one' },
      Array.from({ length: 40_000 }, (_, i) => `{"i":${i}}`),
    );
    const trial = hosts(group('z', 'here'), Buffer.concat([big, bytes]));
    const source = trial.sources[0] as string;
    let appends = 0;
    const disk = watchedDisk(({ file, name }, run) => {
      // When the first piece is written, the rest of the source has been scanned, and not been copied yet.
      if (file === 'log' && name === 'append' && appends++ === 0) {
        truncateSync(source, big.length);
        appendFileSync(source, group('c', 'one'));
      }
      return run();
    });
    const [report] = await importAll(trial, disk);
    expect(report?.problem).toMatchObject({
      code: 'READ_FAILED',
      message: `${source} was changed while it was read`,
    });
    expect(appends).toBeGreaterThan(1);
    expect(readFileSync(trial.target.path)).toEqual(group('z', 'here'));
  });
});

describe('a log here that cannot be used', () => {
  const fails = (which: string, code: string): LogDisk =>
    watchedDisk(({ file, name }, run) => {
      if (file !== 'log' || name !== which) return run();
      throw Object.assign(new Error(`${code}: ${which}`), { code, syscall: which });
    });

  it('because the disk is full keeps what it had', async () => {
    const trial = hosts(group('z', 'here'), group('a', 'one'));
    await expect(importAll(trial, fails('append', 'ENOSPC'))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    expect(readFileSync(trial.target.path)).toEqual(group('z', 'here'));
    expect((await importAll(trial))[0]?.fates.new).toBe(1);
  });

  it('because a sync fails acknowledges nothing', async () => {
    const trial = hosts(Buffer.alloc(0), group('a', 'one'));
    await expect(importAll(trial, fails('sync', 'EIO'))).rejects.toMatchObject({ code: 'LOG_SYNC' });
  });

  it('because it is damaged stays as it is', async () => {
    const damaged = Buffer.concat([Buffer.from('no record\n'), group('a', 'here')]);
    const trial = hosts(damaged, group('b', 'one'));
    await expect(importAll(trial)).rejects.toMatchObject({ code: 'LOG_DAMAGED' });
    expect(readFileSync(trial.target.path)).toEqual(damaged);
  });

  it('waits for whoever holds its lock, and reads what they wrote', async () => {
    const trial = hosts(Buffer.alloc(0), group('a', 'one'));
    const log = await openLog(trial.target.path);
    const writing = log.append(head('a', { run: 'here' }), { outcome: 'skipped', stats: undefined });
    const reports = await importAll(trial);
    await writing;
    const settled = (await auditLog(trial.target.path, ['a'])).duplicate;
    expect(settled).toEqual([]);
    expect(reports[0]?.problem).toBeUndefined();
  });
});
