import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../../src/core/sql/parse.js';

function parse(sql: string) {
  const [statement] = parseQuery(sql).statements;
  return { text: statement?.text, format: statement?.format };
}

describe('a trailing FORMAT is taken off', () => {
  it.each([
    ['select 1 format TSV', 'select 1', 'TSV'],
    ['select 1 FORMAT TabSeparatedWithNames;', 'select 1', 'TabSeparatedWithNames'],
    ['select 1\nForMat\ncsv\n;', 'select 1', 'csv'],
    ['select 1 format `CSV`', 'select 1', '`CSV`'],
    ['select 1 /* a */ format -- b\n TSV -- c', 'select 1', 'TSV'],
    ['select 1 -- a\nformat TSV settings max_threads = 1 -- b', 'select 1 settings max_threads = 1', 'TSV'],
    ['select 1 settings a = 1, b = default format TSV', 'select 1 settings a = 1, b = default', 'TSV'],
    ['select 1 settings a = 1 format TSV settings b = 2', 'select 1 settings a = 1 settings b = 2', 'TSV'],
    ['select format format TSV', 'select format', 'TSV'],
    ['select 1 as format format TSV', 'select 1 as format', 'TSV'],
    ['select a.format from a format TSV', 'select a.format from a', 'TSV'],
    ['select 1 from t as format format TSV', 'select 1 from t as format', 'TSV'],
    ['select * from format format TSV', 'select * from format', 'TSV'],
    ['select * format TSV', 'select *', 'TSV'],
    ['select a.* format TSV', 'select a.*', 'TSV'],
    ["select format('{}', 1) format TSV", "select format('{}', 1)", 'TSV'],
    ['select 1. format TSV', 'select 1.', 'TSV'],
    ['select 1e-5 format TSV', 'select 1e-5', 'TSV'],
    ['select t.1.2 format TSV', 'select t.1.2', 'TSV'],
    ["select 'a' format TSV", "select 'a'", 'TSV'],
    ['select "a" format TSV', 'select "a"', 'TSV'],
    ['select $$a$$ format TSV', 'select $$a$$', 'TSV'],
    ['select [1] format TSV', 'select [1]', 'TSV'],
    ['select {x:UInt8} format TSV', 'select {x:UInt8}', 'TSV'],
    ['select null format TSV', 'select null', 'TSV'],
    ['select case when 1 then 2 end format TSV', 'select case when 1 then 2 end', 'TSV'],
    ['select 1 order by 1 desc format TSV', 'select 1 order by 1 desc', 'TSV'],
    ['select table from t order by table format TSV', 'select table from t order by table', 'TSV'],
    ['select offset from t order by offset format TSV', 'select offset from t order by offset', 'TSV'],
    ['select 1 limit 1 with ties format TSV', 'select 1 limit 1 with ties', 'TSV'],
    ['select count() group by all with totals format TSV', 'select count() group by all with totals', 'TSV'],
    ['select 1 as select format TSV', 'select 1 as select', 'TSV'],
    ['select 1 as from format TSV', 'select 1 as from', 'TSV'],
    ['select a * format format TSV', 'select a * format', 'TSV'],
    ['select a limit offset format TSV', 'select a limit offset', 'TSV'],
    [
      'with format as (select 1) select * from format format TSV',
      'with format as (select 1) select * from format',
      'TSV',
    ],
    [
      '(select 1) union all (select table from t) format TSV',
      '(select 1) union all (select table from t)',
      'TSV',
    ],
    ['from t select a format TSV', 'from t select a', 'TSV'],
    ['show tables format TSV', 'show tables', 'TSV'],
    ["show tables from s not like 'x' format TSV", "show tables from s not like 'x'", 'TSV'],
    ['show create table format format TSV', 'show create table format', 'TSV'],
    ['desc format format TSV', 'desc format', 'TSV'],
    ['exists table format format TSV', 'exists table format', 'TSV'],
    ['explain select 1 format TSV', 'explain select 1', 'TSV'],
    ['insert into t select 1 format TSV', 'insert into t select 1', 'TSV'],
    [
      'create table t (format String) engine = Memory format TSV',
      'create table t (format String) engine = Memory',
      'TSV',
    ],
    [
      'create view v as select table from t order by table format TSV',
      'create view v as select table from t order by table',
      'TSV',
    ],
  ])('%j', (sql, text, format) => {
    expect(parse(sql)).toEqual({ text, format });
  });
});

describe('what is only called format stays', () => {
  it.each([
    'select format from t',
    'select format TSV',
    'select a, format TSV',
    'select distinct format TSV',
    'select not format TSV',
    'select -format TSV',
    'select a * format TSV',
    'select a.format TSV',
    'select 1 from format',
    'select 1 from format f',
    'select 1 from a join format f',
    'select 1 from a, format f',
    'select 1 from t where format desc',
    'select 1 from t order by format desc',
    'select 1 from t order by a, format desc',
    'select 1 limit format x',
    'select 1 from t where a in format x',
    'select 1 as format',
    'select (select 1 format TSV)',
    "select format('a', 'b')",
    'select format',
    'select 1 format',
    'select 1 format 5',
    'select 1 format TSV x',
    'select a format TSV from t',
    'with format as (select 1) select * from format x',
    'create view v as select format TSV',
    'alter table t add column format String',
    'alter table t add column if not exists format String',
    'drop table format sync',
    'drop table if exists format sync',
    'optimize table format final',
    'format TSV',
    'insert into format select 1',
  ])('%j', sql => {
    expect(parse(sql)).toEqual({ text: sql, format: undefined });
  });
});

describe('EXPLAIN AST', () => {
  it.each([
    ['explain ast select 1 format TSV', undefined],
    ['EXPLAIN AST graph = 1 SELECT 1 FORMAT Null SETTINGS max_threads = 1', undefined],
    ['explain ast select 1 format TSV format CSV', 'CSV'],
    ['explain syntax select 1 format TSV', 'TSV'],
    ['explain plan select ast format TSV', 'TSV'],
  ])('shows the first FORMAT: %j', (sql, format) => {
    const text = format === undefined ? sql : sql.slice(0, -` format ${format}`.length);
    expect(parse(sql)).toEqual({ text, format });
    expect(parseQuery(sql).statements[0]?.rows).toBe('yes');
  });
});

describe('FORMAT Null', () => {
  it.each([
    'select 1 format Null',
    'select 1 FORMAT null',
    'select 1 format `Null`',
    'select 1 format "NULL" settings max_threads = 1',
    'show tables format Null',
    'alter table t freeze format Null',
    'number from numbers(3) format Null',
  ])('stays, and there are no rows: %j', sql => {
    expect(parse(sql)).toEqual({ text: sql, format: undefined });
    expect(parseQuery(sql).statements[0]?.rows).toBe('no');
  });

  it.each(['select null format TSV', 'select format Null', 'select 1 format NullX', 'select 1 as null'])(
    'is not in %j',
    sql => {
      expect(parseQuery(sql).statements[0]?.rows).toBe('yes');
    },
  );
});
