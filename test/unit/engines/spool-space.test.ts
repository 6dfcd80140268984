import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ResultBody, ResultWriter } from '../../../src/io/engines/result-body.js';
import { largestFor, resultLimits, SpoolSpace } from '../../../src/io/engines/spool-space.js';

const directory = mkdtempSync(join(tmpdir(), 'qrun-space-'));
afterAll(() => rmSync(directory, { recursive: true }));

const ROW = Buffer.from(`{"a":"${'x'.repeat(91)}"}\n`);
const SIZE = ROW.length;

// Writers on a disk with room for so many rows; what they write takes of it.
function writers(rows: number, count: number) {
  const disk = { freeBytes: rows * SIZE, looks: 0 };
  const space: SpoolSpace = new SpoolSpace(async () => {
    disk.looks += 1;
    return disk.freeBytes - space.usedBytes + WRITING.bytes;
  });
  const spool = { directory, thresholdBytes: SIZE, limitBytes: 1000 * SIZE, space };
  const made = Array.from({ length: count }, () => new ResultWriter(spool));
  return { disk, space, made: made as [ResultWriter, ResultWriter, ResultWriter] };
}

// A look comes before the bytes that it is for are written: of a row, as most of these tests do.
const WRITING = { bytes: SIZE };

async function write(writer: ResultWriter, rows: number): Promise<boolean> {
  for (let row = 0; row < rows; row += 1) await writer.write(ROW);
  return !writer.isRefused;
}

async function bodyOf(writer: ResultWriter): Promise<ResultBody> {
  const body = await writer.finish();
  if ('reason' in body) throw new Error(body.reason);
  return body;
}

const NO_SPACE = { name: 'LOCAL_SHORTAGE', kind: 'transient', shortage: 'ENOSPC', neverStarted: false };

describe('results that wait together', () => {
  it('are refused where not all have room a second time, and can try again when others are recorded', async () => {
    const { made, space } = writers(20, 3);
    const [first, second, third] = made;
    expect(await write(first, 6)).toBe(true);
    expect(await write(second, 4)).toBe(true);
    expect(await write(third, 2)).toBe(false);
    expect(await third.finish()).toMatchObject({ failure: NO_SPACE });
    // Its space is free at once.
    expect(space.usedBytes).toBe(10 * SIZE);
    const body = await bodyOf(second);
    await body.dispose();
    await body.dispose();
    expect(space.usedBytes).toBe(6 * SIZE);
    expect(await write(first, 4)).toBe(true);
    await first.discard();
    expect(space.usedBytes).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('one that is alone and has no room is too large', async () => {
    const [alone] = writers(20, 1).made;
    expect(await write(alone, 10)).toBe(true);
    expect(await write(alone, 1)).toBe(false);
    expect(await alone.finish()).toMatchObject({
      failure: {
        name: 'RESULT_TOO_LARGE',
        kind: 'permanent',
        message: expect.stringContaining('1000B of it'),
      },
    });
  });

  it('are looked at again while they grow, because others fill the disk too', async () => {
    let freeBytes = 1e12;
    const space = new SpoolSpace(async () => freeBytes);
    const writer = new ResultWriter({ directory, thresholdBytes: 1, space });
    const chunk = Buffer.from('{"a":1}\n'.repeat(128 * 1024));
    await writer.write(chunk);
    freeBytes = 0;
    for (let sent = 0; sent < 10 && !writer.isRefused; sent += 1) await writer.write(chunk);
    expect(await writer.finish()).toMatchObject({ failure: { name: 'RESULT_TOO_LARGE' } });
  });

  it('have no limit where the disk does not tell', async () => {
    const space = new SpoolSpace(async () => {
      throw new Error('no such call');
    });
    const writer = new ResultWriter({ directory, thresholdBytes: 1, space });
    expect(await write(writer, 10)).toBe(true);
    await writer.discard();
  });
});

describe('the limits of a directory', () => {
  it('are half of the free space and at most 16 GiB, or what is asked for', () => {
    const { bavail, bsize } = statfsSync(directory);
    const { limitBytes, space } = resultLimits(directory, undefined);
    const expected = Math.min(16 * 1024 ** 3, (bavail * bsize) / 2);
    expect(Math.abs(limitBytes - expected) / expected).toBeLessThan(0.2);
    expect(space).toBeInstanceOf(SpoolSpace);
    expect(resultLimits(directory, 5000).limitBytes).toBe(5000);
  });

  it('leave room for small results on a disk that is full', () => {
    const mebibyte = 1024 * 1024;
    expect([0, mebibyte, 3 * mebibyte, 64 * 1024 * mebibyte].map(largestFor)).toEqual([
      mebibyte,
      mebibyte,
      1.5 * mebibyte,
      16 * 1024 * mebibyte,
    ]);
  });

  it('are 16 GiB where the file system tells nothing', () => {
    expect(resultLimits('/proc', undefined)).toEqual({ limitBytes: 16 * 1024 ** 3 });
    expect(resultLimits(join(directory, 'absent'), undefined)).toEqual({ limitBytes: 16 * 1024 ** 3 });
  });
});

it('a row that is longer than a reader can take is refused whatever the limit', async () => {
  const writer = new ResultWriter(undefined);
  await writer.write(Buffer.from('{"a":"'));
  const chunk = Buffer.alloc(64 * 1024 * 1024, 'x');
  for (let sent = 0; sent < 5 && !writer.isRefused; sent += 1) await writer.write(chunk);
  expect(await writer.finish()).toMatchObject({
    failure: { name: 'RESULT_TOO_LARGE', kind: 'permanent', message: 'row 1 is longer than 268435456 bytes' },
  });
});

it('an answer that comes byte by byte takes as long as its bytes', async () => {
  const writer = new ResultWriter({ directory, thresholdBytes: 4_000_000 });
  const bytes = Buffer.from('{"a":1}\n'.repeat(100_000));
  const started = process.cpuUsage();
  for (let at = 0; at < bytes.length; at += 1) void writer.write(bytes.subarray(at, at + 1));
  const { user, system } = process.cpuUsage(started);
  const body = await bodyOf(writer);
  expect(body.rows).toBe(100_000);
  expect(body.bytes()?.equals(bytes)).toBe(true);
  // 0.3 s; by the square of the 64 KiB that are kept as the end it is a minute.
  expect((user + system) / 1e6).toBeLessThan(8);
});
