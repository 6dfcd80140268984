import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../../src/core/sql/parse.js';
import { refusalOf } from './sql-refusal.js';

const parse = (sql: string) =>
  parseQuery(sql).statements.map(({ text, data }) => (data === undefined ? text : [text, data]));
const SELECT = 'select 9';

describe('the data of VALUES ends before the next semicolon', () => {
  it.each([
    ['insert into t values (1), (2)', 'insert into t values', '(1), (2)'],
    [
      "insert into t values(1,'a;b'), ('c\\';','d'';')",
      'insert into t values',
      "(1,'a;b'), ('c\\';','d'';')",
    ],
    [
      'INSERT INTO t (a, b) VALUES\n  (1, 2)\n\n, (3, 4)',
      'INSERT INTO t (a, b) VALUES',
      '(1, 2)\n\n, (3, 4)',
    ],
    ['insert into table t values (1)', 'insert into table t values', '(1)'],
    ['insert into db.t values (1)', 'insert into db.t values', '(1)'],
    ['insert into `a b`."c d" values (1)', 'insert into `a b`."c d" values', '(1)'],
    ['insert into values values (1)', 'insert into values values', '(1)'],
    ['insert into format values (1)', 'insert into format values', '(1)'],
    ['insert into db.values values (1)', 'insert into db.values values', '(1)'],
    ['insert into 1t values (1)', 'insert into 1t values', '(1)'],
    ['insert into {t:Identifier} values (1)', 'insert into {t:Identifier} values', '(1)'],
    ['insert into t settings a = 1, b = 2 values (1)', 'insert into t settings a = 1, b = 2 values', '(1)'],
    [
      "insert into function file('f', 'CSV') (a) values (1)",
      "insert into function file('f', 'CSV') (a) values",
      '(1)',
    ],
    [
      "insert into table function null('a Int8') values (1)",
      "insert into table function null('a Int8') values",
      '(1)',
    ],
    ['insert into t format Values (1), (2)', 'insert into t format Values', '(1), (2)'],
    [
      'insert into t values /* ; */ (1 /* ; */) -- ;\n, ($$;$$) /* ; */',
      'insert into t values',
      '(1 /* ; */) -- ;\n, ($$;$$)',
    ],
    ['insert into t values (1)\\G', 'insert into t values', '(1)\\G'],
    ['insert into t values', 'insert into t values', ''],
    ['with 1 as x insert into t values (1)', 'with 1 as x insert into t values', '(1)'],
    ['explain insert into t values (1)', 'explain insert into t values', '(1)'],
  ])('%j', (sql, text, data) => {
    expect(parse(sql)).toEqual([[text, data]]);
    expect(parse(`${sql}; ${SELECT}`)).toEqual([[text, data], SELECT]);
  });
});

describe('the data of other formats ends at an empty line', () => {
  it.each([
    ['insert into t format CSV\n1\n2', 'insert into t format CSV', '1\n2'],
    ['insert into t format CSV 1\n2', 'insert into t format CSV', '1\n2'],
    ['insert into t format CSV \t\f\r\n1', 'insert into t format CSV', '1'],
    ['insert into t format TSV\n1\t\n2\t', 'insert into t format TSV', '1\t\n2\t'],
    ['insert into t format CSV\n1;\n;', 'insert into t format CSV', '1;\n;'],
    ['insert into t format CSV ;', 'insert into t format CSV', ';'],
    ['insert into t format CSV\nit\'s /* $$ "', 'insert into t format CSV', 'it\'s /* $$ "'],
    ['insert into t format CSV -- no comment', 'insert into t format CSV', '-- no comment'],
    ['insert into t format /* a */ CSV\n1', 'insert into t format /* a */ CSV', '1'],
    [
      'insert into t (a) settings b = 1 format JSONEachRow {"a":1}',
      'insert into t (a) settings b = 1 format JSONEachRow',
      '{"a":1}',
    ],
    ['insert into t format VALUES (1)', 'insert into t format VALUES', '(1)'],
    ['insert into t format CSV\n\n1', 'insert into t format CSV', '\n1'],
    ['insert into t format CSV\n  1  ', 'insert into t format CSV', '  1  '],
    [
      "insert into t select a from input('a Int8') format CSV\n1",
      "insert into t select a from input('a Int8') format CSV",
      '1',
    ],
    [
      "insert into t select format from input('format Int8') format CSV\n1",
      "insert into t select format from input('format Int8') format CSV",
      '1',
    ],
    [
      "insert into t (select a from input('a Int8')) format Values\n(1)",
      "insert into t (select a from input('a Int8')) format Values",
      '(1)',
    ],
  ])('%j', (sql, text, data) => {
    expect(parse(sql)).toEqual([[text, data]]);
    if (!/values$/i.test(text)) expect(parse(`${sql}\n\n;${SELECT}`)).toEqual([[text, data], SELECT]);
  });

  it('keeps what stands at the end of the file', () => {
    expect(parse('insert into t format TSV\n1\t\n')).toEqual([['insert into t format TSV', '1\t\n']]);
    expect(parse('insert into t format TSV')).toEqual([['insert into t format TSV', '']]);
    expect(parse('insert into t format TSV\n')).toEqual([['insert into t format TSV', '']]);
  });

  it('does not take a Windows line end twice for an empty line, as ClickHouse does not', () => {
    expect(parse('insert into t format CSV\r\n1\r\n\r\nselect 1')).toEqual([
      ['insert into t format CSV', '1\r\n\r\nselect 1'],
    ]);
  });

  it('refuses a semicolon in place of the data', () => {
    const error = refusalOf(() => parseQuery('select 1;\ninsert into t format CSV;\n1'));
    expect(error.message).toBe('2:25: ";" right after the FORMAT of an INSERT: there is no data');
    expect(error.hint).toContain('put the data after');
  });
});

describe('no inline data', () => {
  it.each([
    'insert into t select 1',
    'insert into t (a, b) select 1, 2',
    'insert into t (select 1)',
    'insert into t ((select 1))',
    'insert into t (a) (select 1)',
    'insert into t with 1 as x select x',
    'insert into t select values from u',
    'insert into t from u select 1',
    "insert into t select input from u where a = ('b')",
    'insert into format select 1',
    'with 1 as x insert into t select x',
    'insert into t format',
    'insert into t format (1)',
    'insert into t',
    'insert into',
    'insert into ,',
    'select 1 as insert, into, values',
    'select insert into values',
    'create table insert into values (1)',
    'create table t (a Int8) engine = Values',
  ])('%j', sql => {
    expect(parse(sql)).toEqual([sql]);
    expect(parse(`${sql}; ${SELECT}`)).toEqual([sql, SELECT]);
  });

  it.each([
    ['insert into t select 1 format CSV', 'insert into t select 1'],
    ['insert into t (select 1) format CSV', 'insert into t (select 1)'],
    ["insert into t from infile 'f' format CSV", "insert into t from infile 'f'"],
  ])('%j only loses its format', (sql, text) => {
    expect(parse(`${sql}; ${SELECT}`)).toEqual([text, SELECT]);
  });
});
