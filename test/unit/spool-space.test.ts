import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ResultBody, ResultWriter } from '../../src/io/result-body.js';
import { resultLimits, SpoolSpace } from '../../src/io/spool-space.js';

const directory = mkdtempSync(join(tmpdir(), 'qrun-space-'));
afterAll(() => rmSync(directory, { recursive: true }));

const ROW = Buffer.from(`{"a":"${'x'.repeat(91)}"}\n`);
const SIZE = ROW.length;

function writers(rows: number, count: number): ResultWriter[] {
  const space = new SpoolSpace(rows * SIZE);
  const spool = { directory, thresholdBytes: SIZE, limitBytes: 100 * SIZE, space };
  return Array.from({ length: count }, () => new ResultWriter(spool));
}

async function write(writer: ResultWriter | undefined, rows: number): Promise<boolean> {
  for (let row = 0; row < rows; row += 1) await writer?.write(ROW);
  return writer?.isRefused === false;
}

async function bodyOf(writer: ResultWriter | undefined): Promise<ResultBody> {
  const body = await writer?.finish();
  if (body === undefined || 'reason' in body) throw new Error(body?.reason);
  return body;
}

describe('results that wait together', () => {
  it('are refused beyond what they share, all but the oldest that grows', async () => {
    const [oldest, other] = writers(10, 2);
    expect(await write(oldest, 6)).toBe(true);
    expect(await write(other, 4)).toBe(true);
    expect(await write(other, 1)).toBe(false);
    expect(await other?.finish()).toMatchObject({
      failure: { name: 'LOCAL_SHORTAGE', kind: 'transient', shortage: 'ENOSPC', neverStarted: false },
    });
    // Its space is free at once; and the oldest may go on beyond all of it.
    expect(await write(oldest, 50)).toBe(true);
    await (await bodyOf(oldest)).dispose();
  });

  it('grow again when others are recorded', async () => {
    const [first, second, third] = writers(10, 3);
    expect(await write(first, 8)).toBe(true);
    const whole = await bodyOf(first);
    // That one grows no more: now the next is the oldest.
    expect(await write(second, 8)).toBe(true);
    expect(await write(third, 2)).toBe(false);
    await whole.dispose();
    await whole.dispose();
    await (await bodyOf(second)).dispose();
    const [fourth, fifth] = [third, new ResultWriter({ directory, thresholdBytes: SIZE })];
    expect(fourth?.isRefused).toBe(true);
    expect(await write(fifth, 3)).toBe(true);
    await fifth.discard();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('give their share back when they are discarded', async () => {
    const [oldest, other, last] = writers(10, 3);
    await write(oldest, 2);
    expect(await write(other, 8)).toBe(true);
    await other?.discard();
    expect(await write(last, 8)).toBe(true);
    expect(await write(last, 1)).toBe(false);
    await oldest?.discard();
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
