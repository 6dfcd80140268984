import { describe, expect, it } from 'vitest';
import { AnswerBody } from '../../../src/io/engines/clickhouse/http/answer.js';

// A reader whose calls end when the test says so.
function slowReader() {
  const taken: string[] = [];
  const ends: (() => void)[] = [];
  const take = (chunk: Buffer): Promise<void> => {
    taken.push(chunk.toString());
    return new Promise(resolve => ends.push(resolve));
  };
  return { taken, take, endOne: () => ends.shift()?.() };
}

const bodyWith = (log: string[] = []): AnswerBody =>
  new AnswerBody(
    () => log.push('resume'),
    error => log.push(`cut: ${error.message}`),
  );
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

describe('the body of an answer', () => {
  it('gives what came before the reader, then the rest, and ends', async () => {
    const body = bodyWith();
    const got: string[] = [];
    body.push(Buffer.from('a'));
    body.push(Buffer.from('b'));
    const read = body.read(chunk => void got.push(chunk.toString()) as undefined);
    body.push(Buffer.from('c'));
    body.end();
    expect(await read).toBeUndefined();
    expect(got).toEqual(['ab', 'c']);
  });

  it('resolves at once when everything was there before the reader', async () => {
    const body = bodyWith();
    body.push(Buffer.from('a'));
    body.end();
    expect(await body.read(() => undefined)).toBeUndefined();
  });

  it('gives a busy reader in one piece what came meanwhile, and ends behind it', async () => {
    const body = bodyWith();
    const { taken, take, endOne } = slowReader();
    const read = body.read(take);
    for (const text of ['a', 'b', 'c']) expect(body.push(Buffer.from(text))).toBe(true);
    body.end();
    expect(taken).toEqual(['a']);
    endOne();
    await turn();
    expect(taken).toEqual(['a', 'bc']);
    endOne();
    expect(await read).toBeUndefined();
  });

  it('stops the connection at 256 KiB and lets it go on', async () => {
    const log: string[] = [];
    const body = bodyWith(log);
    const { take, endOne } = slowReader();
    void body.read(take);
    body.push(Buffer.from('a'));
    expect(body.push(Buffer.alloc(256 * 1024 - 1))).toBe(true);
    expect(body.push(Buffer.alloc(1))).toBe(false);
    expect(log).toEqual([]);
    endOne();
    await turn();
    expect(log).toEqual(['resume']);
  });

  it('resolves with the error that broke it off, behind the bytes before', async () => {
    const body = bodyWith();
    const { taken, take, endOne } = slowReader();
    const read = body.read(take);
    body.push(Buffer.from('a'));
    body.push(Buffer.from('b'));
    body.fail(new Error('ECONNRESET'));
    endOne();
    await turn();
    endOne();
    expect((await read)?.message).toBe('ECONNRESET');
    expect(taken).toEqual(['a', 'b']);
  });

  it('rejects with what the reader rejects with, and cuts the connection', async () => {
    const log: string[] = [];
    const body = bodyWith(log);
    const read = body.read(() => Promise.reject(new Error('disk full')));
    body.push(Buffer.from('a'));
    body.push(Buffer.from('b'));
    await expect(read).rejects.toThrow('disk full');
    expect(log).toEqual(['cut: aborted']);
  });

  it('destroyed by its reader, gives nothing more', async () => {
    const log: string[] = [];
    const body = bodyWith(log);
    let calls = 0;
    const read = body.read(() => {
      calls += 1;
      body.destroy();
      return undefined;
    });
    body.push(Buffer.from('a'));
    expect((await read)?.message).toBe('aborted');
    expect(calls).toBe(1);
    expect(log).toEqual(['cut: aborted']);
  });

  it('is not cut when it has ended', async () => {
    const log: string[] = [];
    const body = bodyWith(log);
    body.end();
    body.destroy();
    expect(log).toEqual([]);
    expect(await body.read(() => undefined)).toBeUndefined();
  });
});
