import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import {
  type NotRows,
  type ResultBody,
  ResultWriter,
  TAIL_BYTES,
} from '../../../src/io/engines/result-body.js';

const directory = mkdtempSync(join(tmpdir(), 'qrun-result-'));
afterAll(() => rmSync(directory, { recursive: true }));

const MEMORY = { directory, thresholdBytes: 1024 * 1024 };
const SPOOL = { directory, thresholdBytes: 10 };

async function feed(
  chunks: readonly (string | Buffer)[],
  spool: typeof MEMORY | 'none' = MEMORY,
): Promise<ResultBody | NotRows> {
  const writer = new ResultWriter(spool === 'none' ? undefined : spool);
  for (const chunk of chunks) await writer.write(Buffer.from(chunk as string));
  return await writer.finish();
}

async function body(chunks: readonly (string | Buffer)[], spool = MEMORY): Promise<ResultBody> {
  const result = await feed(chunks, spool);
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

async function notRows(chunks: readonly (string | Buffer)[], spool = MEMORY): Promise<NotRows> {
  const result = await feed(chunks, spool);
  if (!('reason' in result)) throw new Error('taken for rows');
  return result;
}

async function read(result: ResultBody): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of result.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// Elsewhere than on Linux a process cannot list what it holds open.
function expectOpenFiles(count: number): void {
  if (process.platform !== 'linux') return;
  const open = readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  });
  expect(open).toHaveLength(count);
}

describe('rows', () => {
  it('are given back byte for byte, in memory and from the spool, as often as asked', async () => {
    const text = '{"a":1}\n{"b":"ä{}\\n"}\n{}\n';
    for (const [spool, kind] of [
      [MEMORY, 'memory'],
      [SPOOL, 'spool'],
    ] as const) {
      const result = await body([text.slice(0, 5), text.slice(5, 9), text.slice(9)], spool);
      expect(result).toMatchObject({ rows: 3, sizeBytes: Buffer.byteLength(text), kind });
      expect((await read(result)).toString()).toBe(text);
      expect((await read(result)).toString()).toBe(text);
      expect(result.bytes()?.toString()).toBe(kind === 'memory' ? text : undefined);
      await result.dispose();
      await result.dispose();
    }
    expectOpenFiles(0);
  });

  it('there may be none', async () => {
    const result = await body([]);
    expect(result).toMatchObject({ rows: 0, sizeBytes: 0, kind: 'memory' });
    expect(result.bytes()).toHaveLength(0);
    expect(await body([''])).toMatchObject({ rows: 0 });
  });

  it('are the same however they are cut', async () => {
    const row = fc.string({ unit: 'grapheme' }).map(value => `${JSON.stringify({ value })}\n`);
    await fc.assert(
      fc.asyncProperty(fc.array(row), fc.array(fc.nat(60)), fc.boolean(), async (lines, cuts, toSpool) => {
        const bytes = Buffer.from(lines.join(''));
        const pieces: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          pieces.push(bytes.subarray(at, at + cut));
          at = Math.min(bytes.length, at + cut);
        }
        pieces.push(bytes.subarray(at));
        const result = await body(pieces, toSpool ? SPOOL : MEMORY);
        expect(result.rows).toBe(lines.length);
        expect((await read(result)).equals(bytes)).toBe(true);
        await result.dispose();
      }),
      { numRuns: 300 },
    );
    expectOpenFiles(0);
  });

  it('may be much larger than the threshold, and leave no file behind', async () => {
    const line = `{"a":"${'x'.repeat(1000)}"}\n`;
    const writer = new ResultWriter(MEMORY);
    for (let sent = 0; sent < 10_000; sent += 100) await writer.write(Buffer.from(line.repeat(100)));
    const result = await writer.finish();
    if ('reason' in result) throw new Error(result.reason);
    expect(result).toMatchObject({ kind: 'spool', rows: 10_000, sizeBytes: line.length * 10_000 });
    expect(readdirSync(directory)).toEqual([]);
    expectOpenFiles(1);
    let size = 0;
    for await (const chunk of result.chunks()) size += chunk.length;
    expect(size).toBe(result.sizeBytes);
    await result.dispose();
    expectOpenFiles(0);
  });

  it('are counted and thrown away without spool options', async () => {
    const result = await feed(['{"a":1}\n', '{"a":2}\n'], 'none');
    expect(result).toMatchObject({ rows: 2, sizeBytes: 16 });
    if (!('reason' in result)) expect(result.bytes()).toHaveLength(0);
    const writer = new ResultWriter(undefined);
    await writer.write(Buffer.from('1\n'));
    expect(await writer.finish()).toMatchObject({ reason: 'line 1 does not begin with "{"' });
  });
});

describe('what is no rows', () => {
  it.each<[string, string[], string, boolean]>([
    ['another format', ['1\t2\n'], 'line 1 does not begin with "{"', false],
    ['an exception behind rows', ['{"a":1}\n', 'Code: 395'], 'line 2 does not begin with "{"', false],
    ['an empty line', ['{"a":1}\n\n'], 'line 2 does not begin with "{"', false],
    ['an array', ['[{"a":1},\n'], 'line 1 does not begin with "{"', false],
    ['a row cut by text', ['{"a":1}\n{"a"Code: 1\n'], 'byte 5 of row 2 is "C" instead of ":"', false],
    ['a row with \\r', ['{"a":1}\r\n'], 'line 1 does not end with "}"', false],
    ['one brace', ['{\n'], 'line 1 does not end with "}"', false],
    ['one brace and its end in the next piece', ['{', '\n'], 'line 1 does not end with "}"', false],
    ['no newline at the end', ['{"a":1}\n{"a":2}'], 'its last line has no end', true],
    ['a cut row', ['{"a":1}\n{"a'], 'its last line has no end', true],
  ])('%s', async (_, chunks, reason, cut) => {
    for (const spool of [MEMORY, SPOOL]) {
      expect(await notRows(chunks, spool)).toEqual({ reason, cut, tail: chunks.join('') });
      // And byte by byte.
      expect(await notRows([...chunks.join('')], spool)).toMatchObject({ reason, cut });
    }
    expectOpenFiles(0);
  });

  it.each([
    ['a lone byte', [0xff]],
    ['a start without its rest', [0xc3, 0x22]],
    ['a rest without its start', [0x80]],
    ['an overlong form', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
  ])('bytes that are not UTF-8: %s', async (_, bytes) => {
    const line = Buffer.concat([Buffer.from('{"a":"'), Buffer.from(bytes), Buffer.from('"}\n')]);
    expect((await notRows([line])).reason).toMatch(/not UTF-8 .*hex\(\)/);
    const split = [...line].map(byte => Buffer.from([byte]));
    expect((await notRows(split)).reason).toMatch(/not UTF-8/);
  });

  it('a character cut by the end', async () => {
    const line = Buffer.from('{"a":"ä');
    expect(await notRows([line.subarray(0, -1)])).toMatchObject({ cut: true });
  });

  it('keeps the last 64 KiB from a line start on, and nothing of the rows', async () => {
    const rows = '{"a":1}\n'.repeat(100_000);
    const found = await notRows([rows, 'Code: 1\n', 'x'.repeat(1000)], SPOOL);
    expect(found.tail.length).toBeLessThanOrEqual(TAIL_BYTES);
    expect(found.tail.length).toBeGreaterThan(TAIL_BYTES - 100);
    expect(found.tail.startsWith('{"a":1}\n')).toBe(true);
    expect(found.tail.endsWith(`Code: 1\n${'x'.repeat(1000)}`)).toBe(true);
    expectOpenFiles(0);
  });

  it('forgets whole pieces that are too old', async () => {
    const writer = new ResultWriter(MEMORY);
    await writer.write(Buffer.from('no row\n'));
    for (let piece = 0; piece < 100; piece += 1) await writer.write(Buffer.from(`${'y'.repeat(9_999)}\n`));
    const found = await writer.finish();
    expect(found).toMatchObject({ reason: 'line 1 does not begin with "{"' });
    expect('tail' in found && found.tail).toBe(`${'y'.repeat(9_999)}\n`.repeat(6));
  });
});

describe('a spool that cannot be written', () => {
  it('rejects with WRITE_FAILED', async () => {
    const writer = new ResultWriter({ directory: '/nowhere', thresholdBytes: 1 });
    const error = await writer.write(Buffer.from('{"a":1}\n'))?.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(QrunError);
    expect(error).toMatchObject({ code: 'WRITE_FAILED', message: expect.stringContaining('/nowhere') });
  });
});

it('discard gives the file back', async () => {
  const writer = new ResultWriter(SPOOL);
  await writer.write(Buffer.from('{"a":1}\n{"a":2}\n'));
  expectOpenFiles(1);
  await writer.discard();
  expectOpenFiles(0);
});
