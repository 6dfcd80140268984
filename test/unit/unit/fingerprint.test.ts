import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprinter, shortHash } from '../../../src/core/unit/fingerprint.js';
import { anyName } from '../log/log-samples.js';

const print = (sql: string, parameters = {}, settings = {}): string =>
  fingerprinter({ parameters, settings })(Buffer.from(sql));

describe('fingerprinter', () => {
  it('is a hash of the bytes, the parameters and the settings', () => {
    const text = 'SELECT 1\0[[["a","1"],["b","2"]],[["max_threads","4"]]]';
    const expected = createHash('sha256').update(text).digest('hex').slice(0, 16);
    expect(print('SELECT 1', { b: '2', a: '1' }, { max_threads: '4' })).toBe(expected);
  });

  it('never changes: logs of earlier versions hold it', () => {
    expect(print('SELECT 1')).toBe('38da4c52093df5f3');
  });

  it('is another than before where a parameter has a backslash, which has begun to mean something', () => {
    const text = JSON.stringify([[['a', '\\N']], []]);
    const before = createHash('sha256').update(`SELECT 1\0${text}`).digest('hex').slice(0, 16);
    expect(print('SELECT 1', { a: '\\N' })).not.toBe(before);
    expect(print('SELECT 1', { a: '\\N' })).toBe(print('SELECT 1', { a: '\\N' }));
  });

  it.each([
    ["SELECT 1 SETTINGS timeout_overflow_mode = 'break'"],
    ["SET `result_overflow_mode` = 'break'; SELECT 1"],
    ['SELECT 1 SETTINGS skip_unavailable_shards = 1'],
  ])('counts limits for a text that may let them cut its result: %s', sql => {
    const limited = (limits: Record<string, string>, text = sql) =>
      fingerprinter({ parameters: {}, settings: { a: '1' }, limits })(Buffer.from(text));
    expect(limited({ max_execution_time: '1' })).not.toBe(limited({ max_execution_time: '2' }));
    expect(limited({})).toBe(print(sql, {}, { a: '1' }));
    // No other text, and not for a file of any size.
    expect(limited({ max_execution_time: '1' }, 'SELECT 1')).toBe(print('SELECT 1', {}, { a: '1' }));
    const long = `${sql} -- ${'x'.repeat(100_000)}`;
    expect(limited({ max_execution_time: '1' }, long)).not.toBe(limited({ max_execution_time: '2' }, long));
  });

  it('is the same for the same inputs in any order', () => {
    fc.assert(
      fc.property(fc.dictionary(anyName, anyName), values => {
        const reversed = Object.fromEntries(Object.entries(values).reverse());
        expect(print('x', reversed, reversed)).toBe(print('x', values, values));
      }),
    );
  });

  it('differs when anything differs', () => {
    const all = [
      print('SELECT 1'),
      print('SELECT 1 '),
      print('SELECT 1\n'),
      print('SELECT 1', { a: '1' }),
      print('SELECT 1', { a: '2' }),
      print('SELECT 1', { b: '1' }),
      print('SELECT 1', {}, { a: '1' }),
      print('SELECT 1', { a: '1', b: '' }),
      print('SELECT 1', { a: '1","b":"' }),
      print('', { a: '1' }),
    ];
    expect(new Set(all).size).toBe(all.length);
    for (const one of all) expect(one).toMatch(/^[0-9a-f]{16}$/);
  });

  it('is of the bytes, not of the text', () => {
    const prints = fingerprinter({ parameters: {}, settings: {} });
    expect(prints(Buffer.from([0xff]))).not.toBe(prints(Buffer.from([0xfe])));
  });
});

describe('shortHash', () => {
  it('is 16 hex digits of SHA-256', () => {
    expect(shortHash('abc')).toBe('ba7816bf8f01cfea');
  });
});
