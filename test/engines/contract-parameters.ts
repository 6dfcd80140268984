import { describe, expect, test } from 'vitest';
import type { ContractClient } from './contract-client.js';

/** The part of the contract about `{name:Type}`, for engines that know it. */
export function parameterTests(client: ContractClient): void {
  const { rows, failure } = client;

  describe('parameters', () => {
    test.each(["it's", 'a\tb', 'a\nb\r\nc', '{x:String}', '', 'Grüße 😀', "'; drop table x; --", '"`$$'])(
      '%j arrives as it is',
      async value => {
        const sql = 'select hex({v:String}) as v';
        const expected = Buffer.from(value).toString('hex').toUpperCase();
        expect(await rows(sql, { parameters: { v: value } })).toBe(`{"v":"${expected}"}\n`);
      },
    );

    // As clickhouse-client --param_v reads them.
    test.each([
      ['\\t|\\n|\\r|\\0|\\b|\\f', '\t|\n|\r|\0|\b|\f'],
      ['C:\\\\temp', 'C:\\temp'],
      ["\\'", "'"],
      ['\\x41\\x42', 'AB'],
      // What is no escape keeps its backslash.
      ['^\\d+\\.\\w$', '^\\d+\\.\\w$'],
      // A tab behind a backslash is a tab.
      ['a\\\tb', 'a\tb'],
      ['a\\\\\tb', 'a\\\tb'],
    ])('%j is decoded', async (value, decoded) => {
      const sql = 'select hex({v:String}) as v, hex({l:LowCardinality(String)}) as l';
      const expected = Buffer.from(decoded).toString('hex').toUpperCase();
      expect(await rows(sql, { parameters: { v: value, l: value } })).toBe(
        `{"v":"${expected}","l":"${expected}"}\n`,
      );
    });

    test('may be NULL', async () => {
      const types = [
        'Nullable(String)',
        'Nullable(UInt8)',
        'Nullable(Date)',
        'LowCardinality(Nullable(String))',
      ];
      for (const type of types) {
        const sql = `select {n:${type}} is null as isnull`;
        expect(await rows(sql, { parameters: { n: '\\N' } })).toBe('{"isnull":1}\n');
      }
      const list = 'select {a:Array(Nullable(String))} as a';
      expect(await rows(list, { parameters: { a: "['\\\\N',NULL,'x\\ty']" } })).toBe(
        '{"a":["\\\\N",null,"x\\ty"]}\n',
      );
      expect(await rows('select {n:Nullable(String)} as n', { parameters: { n: '\\\\N' } })).toBe(
        '{"n":"\\\\N"}\n',
      );
    });

    test('an escape that breaks off is refused', async () => {
      expect(await failure('select {v:String} as v', { parameters: { v: 'C:\\' } })).toMatchObject({
        kind: 'permanent',
      });
    });

    test('have types', async () => {
      const parameters = { n: '18446744073709551615', a: "['x','it\\'s']", d: '2026-01-31', i: 'one' };
      const sql = 'select {n:UInt64} as n, {a:Array(String)} as a, {d:Date} as d from system.{i:Identifier}';
      expect(await rows(sql, { parameters })).toBe(
        '{"n":18446744073709551615,"a":["x","it\'s"],"d":"2026-01-31"}\n',
      );
      expect(await failure(sql, { parameters: { ...parameters, n: 'many' } })).toMatchObject({
        code: 457,
        kind: 'permanent',
      });
    });

    test('of one query are not those of another', async () => {
      const all = Array.from({ length: 60 }, async (_, index) => {
        if (index % 3 === 2) {
          expect((await failure('select {v:String} as v')).code).toBe(456);
        } else {
          const value = `value ${index}`;
          expect(await rows('select {v:String} as v', { parameters: { v: value } })).toBe(
            `{"v":"${value}"}\n`,
          );
        }
      });
      await Promise.all(all);
    });

    test('may be set in the file', async () => {
      expect(await rows('set param_v = 5; select {v:UInt8} as v')).toBe('{"v":5}\n');
    });
  });
}
