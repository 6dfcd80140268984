import { describe, expect, it } from 'vitest';
import { decodeSql, parseQuery } from '../../../src/core/sql/parse.js';
import { refusalOf } from './sql-refusal.js';

const texts = (sql: string) => parseQuery(sql).statements.map(({ text }) => text);

describe('splitting', () => {
  it.each([
    ['select 1', ['select 1']],
    ['select 1;', ['select 1']],
    [';;select 1;; ;select 2;', ['select 1', 'select 2']],
    [
      'select \';\', `;`, ";", $$;$$ -- ;\n; select /* ; */ 2',
      ['select \';\', `;`, ";", $$;$$', 'select /* ; */ 2'],
    ],
    ['-- a\n/* b */ select 1 -- c\n; -- d\n# e\nselect 2 // f', ['select 1', 'select 2']],
    ['select 1\\G select 2\\G', ['select 1', 'select 2']],
    ['\ufeffselect 1;\u3000select\u00a02', ['select 1', 'select\u00a02']],
    ['select (1;2)', ['select (1', '2)']],
    ['select 1)); select 2 format CSV', ['select 1))', 'select 2']],
    ['#!/usr/bin/env qrun\nselect 1', ['select 1']],
  ])('%j', (sql, expected) => {
    expect(texts(sql)).toEqual(expected);
  });

  it('gives the offsets of what it took', () => {
    const sql = ' /* a */ select 1 format CSV ; insert into t format CSV\n1;\n\nselect 2 -- b';
    const pieces = parseQuery(sql).statements.map(({ start, end }) => sql.slice(start, end));
    expect(pieces).toEqual(['select 1 format CSV', 'insert into t format CSV\n1;', 'select 2']);
  });

  it.each([
    ['', 'is empty'],
    [' \n\t\ufeff', 'is empty'],
    [';', 'holds only comments and semicolons'],
    ['-- select 1', 'holds only comments and semicolons'],
    ['/* a */ ; -- b\n;\\G', 'holds only comments and semicolons'],
  ])('refuses %j', (sql, reason) => {
    const error = refusalOf(() => parseQuery(sql));
    expect(error.code).toBe('SQL_INVALID');
    expect(error.message).toBe(`1:1: there is no statement: the file ${reason}`);
  });

  it.each([
    ["select 1;\n select 'abc;\n", "2:9: the string that ' opens here is not closed"],
    ['select 1 as "abc', '1:13: the identifier that " opens here is not closed'],
    ['select $$abc', '1:8: the heredoc that $$ opens here is not closed'],
    ['select 1 /* abc', '1:10: the comment that /* opens here is not closed'],
    ["insert into t values ('a", "1:23: the string that ' opens here is not closed"],
  ])('refuses %j', (sql, message) => {
    expect(refusalOf(() => parseQuery(sql)).message).toBe(message);
  });

  it.each([
    ["select 1 into outfile 'f'", '1:10'],
    ['select 1\nINTO /* x */ OutFile $$f$$ format CSV', '2:1'],
    ['select 0; (select 1) into outfile ‘f’', '1:22'],
  ])('refuses INTO OUTFILE in %j', (sql, place) => {
    const error = refusalOf(() => parseQuery(sql));
    expect(error.message).toBe(`${place}: INTO OUTFILE is not supported`);
    expect(error.hint).toContain('remove the clause');
  });

  it.each([
    "select 'into outfile'",
    'select 1 as outfile',
    "select a into, outfile 'x'",
    "select 1 -- into outfile 'f'",
  ])('does not take %j for INTO OUTFILE', sql => {
    expect(parseQuery(sql).statements).toHaveLength(1);
  });
});

describe('parameters', () => {
  const parameters = (sql: string) =>
    parseQuery(sql).statements.map(statement =>
      statement.parameters.map(({ name, type }) => `${name} ${type}`),
    );

  it.each([
    ['select {x:UInt8}', [['x UInt8']]],
    ['select { x : UInt8 }, {y:String}, {x:String}', [['x UInt8', 'y String']]],
    [
      "select {m:Map(String, UInt8)}, {a:Array(Tuple(a UInt8, b String))}, {e:Enum8('}' = 1)}",
      [['m Map(String, UInt8)', 'a Array(Tuple(a UInt8, b String))', "e Enum8('}' = 1)"]],
    ],
    ["select '{x:UInt8}', `{x:UInt8}`, $${x:UInt8}$$ -- {x:UInt8}\n/* {x:UInt8} */", [[]]],
    ["select 1 settings additional_table_filters = {'t':'x'}", [[]]],
    ['select {1x:UInt8}, {a$b:UInt8} from {t:Identifier}', [['1x UInt8', 'a$b UInt8', 't Identifier']]],
    ['select {x::UInt8}, {x:}, {x}, {:x}, {x y:UInt8}, {a, b:UInt8}, {x', [[]]],
    ['select {a:{b:UInt8}', [['b UInt8']]],
    ['select {x', [[]]],
    ['select {x; : UInt8}', [[], []]],
    ['select {x:UInt8}; select {x:UInt8}, {y:UInt8}', [['x UInt8'], ['x UInt8', 'y UInt8']]],
    ['set param_x = 5; select {x:UInt8}, {y:UInt8}', [[], ['y UInt8']]],
    [
      "set max_threads=1, param_x='a', param_y=[1,param_z]; select {x:String}, {y:Array(UInt8)}, {z:UInt8}",
      [[], ['z UInt8']],
    ],
    ['select {x:UInt8}; set param_x=5; select {x:UInt8}', [['x UInt8'], [], []]],
    ['insert into t values ({x:UInt8}, 1); select 1', [['x UInt8'], []]],
    ['insert into t format CSV {x:UInt8}', [[]]],
    ['create view v as select {x:UInt8}; create or replace view w as select {x:UInt8}', [[], []]],
    ['create table t as select {x:UInt8} as a', [['x UInt8']]],
    // Names are identifiers, and these are maps.
    ['insert into t values ({1: [1, 2], 2: [5, 6]}), ({0x1F:a, 1e5:b, 1_0:c, 0b1:d})', [[]]],
    ['insert into t values ({\'a\': b, `c`: d, "e": f}), ({1:{x:UInt8}})', [['x UInt8']]],
    ['insert into t values ({true: false, NULL: true, nan: inf}), ({a: 1, b: [1], c: (1), d: {1:2}})', [[]]],
    ["select {a:'b'}, {a:.5}, {a:-1}, {a:*}", [[]]],
    ['select {0x1G:UInt8}, {1_:UInt8}, {0b2:UInt8}', [['0x1G UInt8', '1_ UInt8', '0b2 UInt8']]],
    [
      'set `param_x` = 1, /* a */ "param_y" = \'a, param_z = 1\'; select {x:UInt8}, {y:String}, {z:UInt8}',
      [[], ['z UInt8']],
    ],
  ])('%j', (sql, expected) => {
    expect(parameters(sql)).toEqual(expected);
  });
});

describe('placeholders', () => {
  it.each([
    [
      "select '__SYMBOL__', __THRESHOLD_DBPS__, \"__A__\", '__SYMBOL__'",
      ['__SYMBOL__', '__THRESHOLD_DBPS__', '__A__'],
    ],
    [
      'select quantile(0.__QUANTILE_PCT_1__)(p__COL_2__) from bars___SYMBOL___750',
      ['__QUANTILE_PCT_1__', '__COL_2__', '__SYMBOL__'],
    ],
    ["select '%__A____B__%', $$__C__$$", ['__A__', '__B__', '__C__']],
    ["insert into t values ('__A__'); insert into t format CSV\n__B__,1\n\nselect 1", ['__A__', '__B__']],
    ['select 1 -- __A__\n/* __B__ */ # __C__', []],
    [
      "select '__symbol__', '%__Col_1__%', \"__q__\", $$__h__$$, '2down__ofi_gt_p50', 'a__b__', '___c___'",
      ['__symbol__', '__Col_1__', '__q__', '__h__'],
    ],
    [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what is looked for
      "select ${A}, t_${B}, '${SYMBOL}', \"${c}\", $$${d}$$, '${X:-none}' from ${db.t}",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what is looked for
      ['${A}', '${B}', '${SYMBOL}', '${c}', '${d}', '${X:-none}', '${db.t}'],
    ],
    [
      "select {{ a }}, {{b}}, '{{ c }}', {{ var('d', 1) | e }} {% if f %} , 1 {%- endif %}",
      ['{{ a }}', '{{b}}', '{{ c }}', "{{ var('d', 1) | e }}", '{% if f %}', '{%- endif %}'],
    ],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what is looked for
    ['insert into t format CSV\n__a__,${B},{{ c }}\n\nselect 1', ['${B}', '{{ c }}']],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what is looked for
    ["select 1 -- ${A} {{ b }} '__c__'\n/* {% if x %} */", []],
    // SQL of ClickHouse that is not to be refused.
    [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is none
      "select format('{{}} {{0}}', 1), '${1}', '$', replaceRegexpOne('a', '^a{1}$', 'b'), $${a}$$, $t${a}$t$",
      [],
    ],
    ["select a$b, $c, {x:UInt8}, { y : UInt8 } from t where j like '{%\"a\"%}' and k like '{%x%}'", []],
    ["insert into t values ({{1: 2}: {3: 4}}), ({{k:String}: 1}), ({'a': {'b': {1: 2}}})", []],
    ['select \'{"a":{"b":{"c":1}}}\', {\'a\':{1:2}}, a__b__c, x.__y__', []],
    ["select '2down__ofi_gt_p50', __table1.x, __x__, STG__ORDERS__V1, a__B, __1__, __A_", []],
    ['select A__B__c, a__B__C', []],
    ['select 1', []],
  ])('%j', (sql, expected) => {
    expect(parseQuery(sql).placeholders).toEqual(expected);
  });
});

describe('decodeSql', () => {
  const decode = (...bytes: (number | string)[]) =>
    decodeSql(
      Buffer.concat(bytes.map(part => (typeof part === 'string' ? Buffer.from(part) : Buffer.from([part])))),
    );

  it('gives the text without a byte order mark', () => {
    expect(decode('select ‘é’')).toBe('select ‘é’');
    expect(decode(0xef, 0xbb, 0xbf, 'select 1')).toBe('select 1');
    expect(decode('\ufffd')).toBe('\ufffd');
    expect(decode()).toBe('');
  });

  it.each([
    [[0xff, 0xfe, 's', 0], '1:1: the file is UTF-16: it begins with a UTF-16 byte order mark'],
    [[0xfe, 0xff, 0, 's'], '1:1: the file is UTF-16: it begins with a UTF-16 byte order mark'],
    [['a\nb', 0], '2:2: the file holds a NUL byte'],
    [['s', 0, 'e', 0], '1:2: the file holds a NUL byte'],
  ])('refuses %j', (bytes, message) => {
    const error = refusalOf(() => decode(...bytes));
    expect(error.code).toBe('SQL_INVALID');
    expect(error.message).toBe(message);
    expect(error.hint).toContain('UTF-8');
  });
});
