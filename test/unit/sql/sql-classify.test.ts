import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../../src/core/sql/parse.js';

// One letter each: r(ows) or m(aybe), o(nly reads), s(ession).
function classes(sql: string): string[] {
  return parseQuery(sql).statements.map(
    ({ keyword, rows, readOnly, needsSession }) =>
      `${keyword} ${{ yes: 'r', maybe: 'm', no: '-' }[rows]}${readOnly ? 'o' : '-'}${needsSession ? 's' : '-'}`,
  );
}

describe('single statements', () => {
  it.each([
    ['select 1', 'SELECT ro-'],
    ['((select 1)) union all (select 2)', 'SELECT ro-'],
    ['with 1 as x select x', 'WITH ro-'],
    ['from t select a', 'FROM ro-'],
    ['select temporary table from t', 'SELECT ro-'],
    ['select parallel, with from t', 'SELECT ro-'],
    ['show tables', 'SHOW ro-'],
    ['describe t', 'DESCRIBE ro-'],
    ['desc t', 'DESC ro-'],
    ['exists t', 'EXISTS ro-'],
    ['explain select 1', 'EXPLAIN ro-'],
    ['use db', 'USE -os'],
    ['set a = 1', 'SET -os'],
    ['set role none', 'SET -os'],
    ['set default role r to u', 'SET --s'],
    ['begin transaction', 'BEGIN m-s'],
    ['commit', 'COMMIT m-s'],
    ['rollback', 'ROLLBACK m-s'],
    ['check table t', 'CHECK r--'],
    ['kill query where 1', 'KILL r--'],
    ['backup table t to Null', 'BACKUP r--'],
    ['insert into t select 1', 'INSERT ---'],
    ['insert into t values (1)', 'INSERT ---'],
    ['with 1 as x insert into t select x', 'WITH ---'],
    ['explain insert into t select 1', 'EXPLAIN r--'],
    ['create table t (a Int8) engine = Memory', 'CREATE ---'],
    ['drop table t', 'DROP ---'],
    ['drop from t', 'DROP m--'],
    ['create x from t', 'CREATE m--'],
    ['insert or 0 from t', 'INSERT m--'],
    ['insert t values (1)', 'INSERT ---'],
    ['create table t as select a from b', 'CREATE ---'],
    ['truncate t', 'TRUNCATE m--'],
    ['alter table t delete where 1', 'ALTER m--'],
    ['optimize table t final', 'OPTIMIZE m--'],
    ['system flush logs', 'SYSTEM m--'],
    ['grant select on t to u', 'GRANT m--'],
    ['nonsense', 'NONSENSE r--'],
    ['1 + 1', ' ro-'],
    ["'a'", ' ro-'],
    // Expressions, which implicit_select makes queries.
    ["upper('x')", 'UPPER ro-'],
    ['number from numbers(3)', 'NUMBER r--'],
    ['a, b from t', 'A ro-'],
    ['t.a from t', 'T ro-'],
    ['a and b', 'A r--'],
    ['not a', 'NOT ro-'],
    ['distinct a from t', 'DISTINCT ro-'],
    ['case a when 1 then 2 end', 'CASE ro-'],
    ['interval 1 day', 'INTERVAL ro-'],
    ["x'41'", 'X ro-'],
    ['* from t', ' ro-'],
    ['"a" from t', ' ro-'],
    ['[1][1]', ' ro-'],
    ["replace('a', 'b', 'c')", 'REPLACE ro-'],
    ["insert('a', 1, 2, 'b')", 'INSERT ro-'],
    ['truncate(1.5)', 'TRUNCATE ro-'],
    // Statements, whatever they are.
    ['delete from t where 1', 'DELETE m--'],
    ['copy from t', 'COPY m--'],
    ['call p(1)', 'CALL m--'],
    ['truncate {t:Identifier}', 'TRUNCATE m--'],
    ["grant 'r' to u", 'GRANT m--'],
    ['grant `r` to u', 'GRANT m--'],
    ['alter table t freeze', 'ALTER m--'],
    ["optimize table t dry run parts 'p'", 'OPTIMIZE m--'],
    ['undrop table t', 'UNDROP m--'],
    ['update t set a = 1 where 1', 'UPDATE m--'],
    ['execute as u', 'EXECUTE m-s'],
    ['execute as u select 1', 'EXECUTE r--'],
    ['start transaction', 'START m-s'],
    ['create table t on cluster c (a Int8) engine = Memory', 'CREATE m--'],
    ['drop table t on cluster c', 'DROP m--'],
    ['select 1 format Null', 'SELECT -o-'],
    ['explain select 1 format Null', 'EXPLAIN mo-'],
    ['explain ast select 1 format Null', 'EXPLAIN ro-'],
    ['exists temporary table t', 'EXISTS ros'],
    ['use db parallel with drop table t', 'USE --s'],
  ])('%j', (sql, expected) => {
    expect(classes(sql)).toEqual([expected]);
  });
});

describe('what a cluster answers to DDL', () => {
  it('is no result behind rows that were asked for', () => {
    const sql =
      'create table t on cluster c (a Int8) engine = Memory; select 1; drop table t on cluster c; alter table u freeze';
    expect(classes(sql)).toEqual(['CREATE m--', 'SELECT ro-', 'DROP ---', 'ALTER m--']);
  });
});

describe('temporary tables', () => {
  it.each([
    ['create temporary table t (a Int8)', 'CREATE -os'],
    ['create or replace temporary table t (a Int8)', 'CREATE -os'],
    ['create temporary table if not exists t (engine Int8)', 'CREATE -os'],
    ['create temporary table t (a Int8) engine = Memory', 'CREATE -os'],
    ['create temporary table t engine memory as select engine from system.tables', 'CREATE -os'],
    ['create temporary table t as (select 1)', 'CREATE -os'],
    ['create temporary table t as with 1 as a select a', 'CREATE -os'],
    ["create temporary table t (a Int8) engine = URL('http://x', CSV)", 'CREATE --s'],
    ["create temporary table t as file('f')", 'CREATE --s'],
    ['create temporary table t as other', 'CREATE --s'],
    ['create temporary table db.t (a Int8)', 'CREATE --s'],
    ['create temporary view v as select 1', 'CREATE --s'],
    ['drop temporary table t', 'DROP -os'],
    ['drop temporary view v', 'DROP --s'],
  ])('%j', (sql, expected) => {
    expect(classes(sql)).toEqual([expected]);
  });

  it.each([
    ['create temporary table t (a Int8); insert into t values (1); insert into `t` (a) select 1', '-o-'],
    [
      'create temporary table "t" (a Int8); with 1 as x insert into t select x; insert into table t values (1)',
      '-o-',
    ],
    ['create temporary table t (a Int8); insert into T values (1); insert into u select 1', '---'],
    [
      'create temporary table t (a Int8); insert into db.t values (1); insert into function null() values (1)',
      '---',
    ],
    [
      'create temporary table t (a Int8); insert into {t:Identifier} values (1); insert into `t\\`` values (1)',
      '---',
    ],
    [
      "create temporary table t (a Int8) engine = URL('x'); insert into t values (1); insert into t select 1",
      '---',
    ],
  ])('an INSERT after %j', (sql, expected) => {
    for (const found of classes(sql).slice(1)) expect(found.split(' ')[1]).toBe(expected);
  });

  it('are forgotten when one is dropped', () => {
    const sql = 'create temporary table t (a Int8); drop temporary table t; insert into t values (1)';
    expect(classes(sql)).toEqual(['CREATE -os', 'DROP -os', 'INSERT ---']);
  });
});

describe('the whole file', () => {
  it.each([
    ['select 1; select 2', true, false],
    ['set a = 1; use db; select 1', true, true],
    ['create temporary table t (a Int8); insert into t values (1); select * from t', true, true],
    ['select 1; insert into t select 1', false, false],
    ['create table t (a Int8) engine = Memory; select 1', false, false],
    ['create temporary table t (a Int8); drop table t', false, true],
  ])('%j', (sql, readOnly, needsSession) => {
    expect(parseQuery(sql)).toMatchObject({ readOnly, needsSession });
  });
});
