import { describe, expect, test } from 'vitest';
import type { ContractClient } from './contract-client.js';

/** The part of the contract about `{name:Type}`, for engines that know it. */
export function parameterTests(client: ContractClient): void {
  const { rows, failure } = client;

  describe('parameters', () => {
    test.each([
      "it's",
      'a\tb',
      'a\nb\r\nc',
      'back\\slash \\n \\N',
      '\\',
      '\\N',
      '{x:String}',
      '',
      'Grüße 😀',
      "'; drop table x; --",
      '"`$$',
    ])('%j arrives as it is', async value => {
      const sql = 'select hex({v:String}) as v';
      const expected = Buffer.from(value).toString('hex').toUpperCase();
      expect(await rows(sql, { parameters: { v: value } })).toBe(`{"v":"${expected}"}\n`);
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
