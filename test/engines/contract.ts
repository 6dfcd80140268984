import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeSql } from '../../src/core/sql/lexer/encoding.js';
import type { Engine } from '../../src/io/engines/engine.js';
import { cancellingTests } from './contract-cancelling.js';
import { bytesOf, ContractClient, ENDLESS, failureOf } from './contract-client.js';
import { parameterTests } from './contract-parameters.js';

/** What a test may ask of the engine that it opens. */
export interface ContractOptions {
  /** Queries at once; 16 where it is not given. */
  readonly concurrency?: number;
}

/** Where engines may differ. */
export interface ContractTraits {
  /** ClickHouse of the last years, as opposed to 18.16: parameters, and no change to bytes that are not UTF-8. */
  readonly modern: boolean;
}

const ROW_LIMIT = 'from system.numbers limit';

// Takes 0.15 s and more.
const SLOW = 'select sum(sleepEachRow(0.05)) as s from (select number from system.numbers limit 3)';

/**
 * The tests that every engine passes. `open` opens an engine on data that nobody else uses; the suite closes it.
 * One engine is open at a time, except where it says so.
 */
export function engineContract(
  name: string,
  open: (options?: ContractOptions) => Promise<Engine>,
  traits: ContractTraits,
): void {
  describe(`contract of the engine ${name}`, () => {
    const client = new ContractClient();
    const { run, rows, failure, onEach } = client;
    beforeAll(async () => {
      client.engine = await open();
    });
    afterAll(() => client.engine.close());

    // First, because the peak of the process counts from its beginning.
    test('a result of 60 MB goes to the spool and not into memory', async () => {
      const count = 1_000_000;
      const text = 'x'.repeat(36);
      const peakBefore = Math.max(process.memoryUsage.rss(), process.resourceUsage().maxRSS * 1024);
      const result = await run(`select number, '${text}' as text ${ROW_LIMIT} ${count}`);
      const growthBytes = process.resourceUsage().maxRSS * 1024 - peakBefore;
      if (!result.ok) throw new Error(result.failure.message);
      const expected = createHash('sha256');
      for (let number = 0; number < count; number += 1) {
        expected.update(`{"number":${number},"text":"${text}"}\n`);
      }
      const found = createHash('sha256');
      for await (const chunk of result.body.chunks()) found.update(chunk);
      expect(result.body).toMatchObject({ kind: 'spool', rows: count });
      expect(result.body.sizeBytes).toBeGreaterThan(60_000_000);
      expect(found.digest('hex')).toBe(expected.digest('hex'));
      expect(growthBytes).toBeLessThan(100_000_000);
      await result.body.dispose();
    });

    test('says what it is', () => {
      expect(client.engine.info.version).toMatch(/^\d+\.\d+\.\d+/);
      expect(client.engine.info.target).not.toBe('');
      expect(client.engine.info.permits).toBeGreaterThan(0);
      expect(client.engine.info.supportsParameters).toBe(traits.modern);
    });

    describe('rows', () => {
      test('come as the engine writes them', async () => {
        const result = await run(
          "select number as n, concat('v', toString(number)) as v from system.numbers limit 3",
        );
        expect(result).toMatchObject({ ok: true, body: { rows: 3, kind: 'memory', sizeBytes: 51 } });
        expect(await bytesOf(result)).toBe('{"n":0,"v":"v0"}\n{"n":1,"v":"v1"}\n{"n":2,"v":"v2"}\n');
      });

      test('there may be none', async () => {
        const result = await run('select 1 as a where 0');
        expect(result).toMatchObject({ ok: true, body: { rows: 0, sizeBytes: 0 } });
        expect(await bytesOf(result)).toBe('');
      });

      test.each([
        ['toUInt64(18446744073709551615)', '18446744073709551615'],
        ['toInt64(-9223372036854775808)', '-9223372036854775808'],
        ['toFloat64(0.1)', '0.1'],
        ['1 / 0', 'null'],
        ['-1 / 0', 'null'],
        ['0 / 0', 'null'],
        ['NULL', 'null'],
        ["toDecimal64('1.25', 2)", '1.25'],
        ["'Grüße, 世界 😀'", '"Grüße, 世界 😀"'],
        ["'a\\nb\\tc\\\\d\"e/f'", '"a\\nb\\tc\\\\d\\"e/f"'],
        ["toDate('2026-01-31')", '"2026-01-31"'],
        ["['a', 'b']", '["a","b"]'],
        ['arrayJoin(emptyArrayToSingle(emptyArrayUInt64()))', '0'],
      ])('%s is %s', async (expression, expected) => {
        expect(await rows(`select ${expression} as v`)).toBe(`{"v":${expected}}\n`);
      });

      test.each([
        'select 7 as a format TabSeparatedWithNames;',
        'select 7 as a\nFORMAT CSV',
        '-- first\nselect 7 as a /* b */ format JSON -- last',
        '(select 7 as a) format Pretty',
        'with 7 as a select a format XML;\n',
        'select 7 as a;;',
      ])("in qrun's format, whatever the file says: %j", async sql => {
        expect(await rows(sql)).toBe('{"a":7}\n');
      });

      test('of statements other than SELECT count too', async () => {
        expect(await rows('exists table system.one')).toBe('{"result":1}\n');
        expect((await rows('show databases')).split('\n')).toContain('{"name":"system"}');
        expect(await rows('describe table system.one')).toContain('"name":"dummy"');
      });

      test.each([
        ['select 5 as a; select number from system.numbers limit 100000 format Null', '{"a":5}\n'],
        ['select number from system.numbers limit 100000\nFORMAT\n`Null`;', ''],
        ['select 5 as a; show databases format Null; set max_threads = 1', '{"a":5}\n'],
        ['select 5 as a; select 6 as a where 0', ''],
      ])('are not printed by FORMAT Null: %s', async (sql, expected) => {
        expect(await rows(sql)).toBe(expected);
      });

      test('of each of 64 queries at once are its own', async () => {
        const all = Array.from({ length: 64 }, (_, index) =>
          rows(`select ${index} as i, number ${ROW_LIMIT} ${index}`),
        );
        const results = await Promise.all(all);
        for (const [index, result] of results.entries()) {
          const expected = Array.from(
            { length: index },
            (_, number) => `{"i":${index},"number":${number}}\n`,
          );
          expect(result).toBe(expected.join(''));
        }
      });
    });

    describe('files of several statements', () => {
      test('give the rows of the last statement that returns rows', async () => {
        const sql = `
          drop table if exists qrun_contract_several;
          create table qrun_contract_several (a Int64, b String) engine = Memory;
          select 'not this' as a;
          insert into qrun_contract_several select number, 'x' from system.numbers limit 3;
          select sum(a) as s, count() as n from qrun_contract_several format Vertical;
          drop table qrun_contract_several;`;
        expect(await rows(sql)).toBe('{"s":3,"n":3}\n');
      });

      test('give no rows when no statement returns any', async () => {
        const result = await run(
          'create table if not exists qrun_contract_ddl (a Int64) engine = Memory; drop table qrun_contract_ddl',
        );
        expect(result).toMatchObject({ ok: true, body: { rows: 0, sizeBytes: 0 } });
        await bytesOf(result);
      });

      test('end with the first statement that fails', async () => {
        const failed = await failure(
          'select 1; select * from qrun_no_such_table; create table qrun_contract_never (a Int8) engine = Memory',
        );
        expect(failed.code).toBe(60);
        expect(await rows('exists table qrun_contract_never')).toBe('{"result":0}\n');
      });

      test('share a session', async () => {
        const sql = `
          set max_block_size = 1234;
          use system;
          create temporary table qrun_contract_temporary (a Int64);
          insert into qrun_contract_temporary select number from numbers limit 4;
          select (select sum(a) from qrun_contract_temporary) as s, currentDatabase() as d,
            (select toUInt32OrZero(value) from settings where name = 'max_block_size') as m`;
        expect(await rows(sql)).toBe('{"s":6,"d":"system","m":1234}\n');
      });

      const nulls =
        'select k, v from (select 1 as k) as a any left join (select 2 as k, 3 as v) as b using k';
      test.each([
        'set join_use_nulls = 1',
        'SET\n  max_threads = 2, -- keep the machine free\n  join_use_nulls = 1; -- NULL where nothing matches',
        'set "join_use_nulls" = 1',
        'set /* a, */ `join_use_nulls` /* = 0 */ = /* 0 */ 1 -- , join_use_nulls = 0',
        "set format_schema = 'a, b = 1', max_threads=1,join_use_nulls=1",
        "set format_schema = 'it\\'s -- ', join_use_nulls = 1",
        "set format_schema = '''', join_use_nulls = 1",
        'set max_threads = 1; set join_use_nulls = 0; set join_use_nulls = 1',
      ])('win over the settings of the user: %s', async sql => {
        const settings = { join_use_nulls: '0', max_block_size: '777' };
        expect(await rows(`${sql}\n; ${nulls}`, { settings })).toBe('{"k":1,"v":null}\n');
        expect(await rows(`${nulls} settings max_threads = 2, join_use_nulls = 1`, { settings })).toBe(
          '{"k":1,"v":null}\n',
        );
        expect(await rows(nulls, { settings })).toBe('{"k":1,"v":0}\n');
      });

      test.each([
        'set readonly = 1',
        'SET max_threads = 1, -- a\n "readonly" = 1',
        'set readonly = 2',
        'set max_threads = 3; set readonly = 1',
      ])('may forbid all settings from then on: %s', async sql => {
        const values = `select toUInt64(5) as n, (select value from system.settings where name = 'max_block_size') as b`;
        const settings = { max_block_size: '777', join_use_nulls: '1' };
        expect(await rows(`${sql}; ${nulls}; ${values}`, { settings })).toBe('{"n":5,"b":"777"}\n');
        expect(await rows(`${sql}; ${values}; ${nulls}`, { settings })).toBe('{"k":1,"v":null}\n');
        const never = 'create table qrun_contract_readonly (a Int8) engine = Memory';
        if (!sql.endsWith('2')) expect((await failure(`${sql}; ${never}`)).code).toBe(164);
        expect(await rows(values, { settings })).toBe('{"n":5,"b":"777"}\n');
      });

      test('may hold bytes that are not UTF-8 in comments, strings and inline data', async () => {
        const raw = (sql: string) => decodeSql(Buffer.from(sql, 'latin1'));
        expect(
          await rows(raw("select hex('caf\xe9\\\\\xe9\\'') as h -- \xe9\n, 2 as \"b\" /* \xff */")),
        ).toBe('{"h":"636166E95CE927","b":2}\n');
        const table = 'create temporary table qrun_contract_raw (a String);';
        const read = 'select hex(a) as h from qrun_contract_raw';
        expect(await rows(raw(`${table} insert into qrun_contract_raw values ('\xe9;'); ${read}`))).toBe(
          '{"h":"E93B"}\n',
        );
        const result = await run(raw("select 'caf\xe9' as a"));
        expect(await failureOf(result)).toMatchObject({ name: 'RESULT_INVALID', kind: 'permanent' });
      });

      test('leave nothing of their session to others', async () => {
        const leaving = `set max_block_size = 4321; use system; create temporary table qrun_contract_left (a Int64);
          select value as v from settings where name = 'max_block_size'`;
        const looking = `select value != '4321' as clean, currentDatabase() != 'system' as home
          from system.settings where name = 'max_block_size'`;
        const all = Array.from({ length: 30 }, async (_, index) => {
          if (index % 3 === 0) expect(await rows(leaving)).toBe('{"v":"4321"}\n');
          else if (index % 3 === 1) expect(await rows(looking)).toBe('{"clean":1,"home":1}\n');
          else expect((await failure('select * from qrun_contract_left')).code).toBe(60);
        });
        await Promise.all(all);
      });

      test('bring inline data to the table byte for byte', async () => {
        const make =
          'drop table if exists qrun_contract_data; create table qrun_contract_data (a Int64, b String) engine = Memory;\n';
        const read = 'select a, b from qrun_contract_data order by a';
        await onEach(`${make}insert into qrun_contract_data values (1, 'a;b'), (2, 'it''s') ;\n`);
        await onEach('insert into qrun_contract_data format TabSeparated\n3\t\n4\tx;\n5\t ');
        await onEach('insert into qrun_contract_data format CSV\n6,"a;\n""b"""\n7,;\n\nselect 1;');
        await onEach('insert into qrun_contract_data format JSONEachRow {"a":8,"b":"ä\\n"}\n{"a":9,"b":""}');
        expect(await rows(read)).toBe(
          [
            '{"a":1,"b":"a;b"}',
            '{"a":2,"b":"it\'s"}',
            '{"a":3,"b":""}',
            '{"a":4,"b":"x;"}',
            '{"a":5,"b":" "}',
            '{"a":6,"b":"a;\\n\\"b\\""}',
            '{"a":7,"b":";"}',
            '{"a":8,"b":"ä\\n"}',
            '{"a":9,"b":""}',
            '',
          ].join('\n'),
        );
        await onEach('drop table qrun_contract_data');
      });
    });

    describe('failures', () => {
      test.each([
        ['a syntax error', 'select 1 +', 62],
        ['a syntax error behind FROM', 'select 1 from', 62],
        ['an unknown table', 'select * from qrun_no_such_table', 60],
        ['an unknown column', 'select no_such_column from system.one', 47],
        ['an unknown function', 'select noSuchFunction(1)', 46],
        ['an unknown database', 'select * from no_such_database.t', 81],
        ['an exception', 'select throwIf(1)', 395],
      ])('%s is permanent, with the number and text of ClickHouse', async (_, sql, code) => {
        const failed = await failure(sql);
        expect(failed).toMatchObject({ code, kind: 'permanent', serverGone: false });
        expect(failed.name).toMatch(/^[A-Z][A-Z0-9_]+$/);
        expect(failed.message).toContain(`Code: ${code}`);
        expect(failed.message).not.toContain('OUTFILE');
      });

      test('the memory limit of a query is permanent, and a setting of one request', async () => {
        const sql = `select length(groupArray(number)) as n from (select number ${ROW_LIMIT} 3000000)`;
        const failed = await failure(sql, { settings: { max_memory_usage: '10000000' } });
        expect(failed).toMatchObject({ code: 241, name: 'MEMORY_LIMIT_EXCEEDED', kind: 'permanent' });
        expect(await rows(sql)).toBe('{"n":3000000}\n');
      });

      test('an exception after 100,000s of rows never leaves rows, to nobody', async () => {
        const bad = `select throwIf(number = 300000) as t ${ROW_LIMIT} 1000000`;
        let next = 0;
        const worker = async () => {
          for (let index = next++; index < 100; index = next++) {
            if (index % 2 === 0) expect((await failure(bad)).code).toBe(395);
            else expect(await rows(`select ${index} as i`)).toBe(`{"i":${index}}\n`);
          }
        };
        await Promise.all(Array.from({ length: 16 }, worker));
        // Once more on each connection that may have been kept.
        const after = Array.from({ length: 32 }, (_, index) => rows(`select ${index} as after`));
        expect(await Promise.all(after)).toEqual(after.map((_, index) => `{"after":${index}}\n`));
      });

      if (traits.modern) {
        test('bytes that are not UTF-8 are refused with a way out', async () => {
          const failed = await failure("select unhex('ff') as v");
          expect(failed).toMatchObject({ name: 'RESULT_INVALID', kind: 'permanent' });
          expect(failed.message).toMatch(/UTF-8.*hex\(\)/);
          expect(await rows("select hex(unhex('ff')) as v")).toBe('{"v":"FF"}\n');
        });

        test.each([
          'select number as a from numbers(3) settings output_format_json_array_of_rows = 1',
          'set output_format_json_array_of_rows = 1; select number as a from numbers(3)',
          'set output_format_json_array_of_rows = 1; select 7 as b; select number as a from numbers(3)',
        ])('rows that the file puts into an array are rows: %s', async sql => {
          expect(await rows(sql)).toBe('{"a":0}\n{"a":1}\n{"a":2}\n');
          expect(await rows(sql.replace('(3)', '(0)'))).toBe('');
          expect(await rows('select 1 as a')).toBe('{"a":1}\n');
        });
      }
    });

    cancellingTests(client);
    if (traits.modern) parameterTests(client);

    test('answers a ping', async () => {
      expect(await client.engine.ping(new AbortController().signal)).toBeUndefined();
      expect(await client.engine.ping(AbortSignal.abort())).toMatchObject({ name: 'ABORTED' });
    });

    test('begins an attempt once it has a place for it, and measures from there', async () => {
      let begun = 0;
      const begin = (): boolean => {
        begun += 1;
        return true;
      };
      const [first] = await Promise.all([
        client.run(SLOW, { begin }),
        ...Array.from({ length: client.engine.info.permits }, () => client.run(SLOW, { begin })),
      ]);
      expect(begun).toBe(client.engine.info.permits + 1);
      expect(first.durationMs).toBeGreaterThan(100);
      const failed = await client.run('select throwIf(1)');
      expect(failed).toMatchObject({ ok: false, durationMs: expect.any(Number) });
      expect(failed.durationMs).toBeGreaterThan(0);
    });

    test('sends nothing of an attempt that must not begin', async () => {
      const result = await client.run('select 1', { begin: () => false });
      expect(result).toMatchObject({
        ok: false,
        failure: { name: 'ABORTED', neverStarted: true },
        durationMs: 0,
      });
      expect(await client.rows('select toUInt8(1) as a')).toBe('{"a":1}\n');
    });

    test('closes twice, ends what runs, and then refuses', async () => {
      await client.engine.close();
      client.engine = await open({ concurrency: 2 });
      const running = [run(ENDLESS), run(ENDLESS), run(ENDLESS)];
      const startMs = performance.now();
      await Promise.all([client.engine.close(), client.engine.close()]);
      expect(performance.now() - startMs).toBeLessThan(2000);
      for (const result of await Promise.all(running)) expect((await failureOf(result)).name).toBe('ABORTED');
      await client.engine.close();
      expect(await failure('select 1')).toMatchObject({ name: 'ABORTED', neverStarted: true });
      expect(await client.engine.ping(new AbortController().signal)).toBeDefined();
    });
  });
}
