import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../../src/core/sql/parse.js';

const setOf = (sql: string) => {
  const sets = parseQuery(sql).statements[0]?.sets;
  return sets === undefined ? undefined : `${sets.names.join(' ')}${sets.others ? ' and others' : ''}`;
};

describe('what a SET changes', () => {
  it.each([
    ['set a = 1', 'a'],
    ['SET a=1,b=2', 'a b'],
    ['set\n a = 1, -- x, y = 2\n b = 3 -- , c = 4', 'a b'],
    ['set /* z = 0, */ a /* , y = 1 */ = 1 /*,*/ , /**/ b = 2', 'a b'],
    ['set "a" = 1, `b` = 2, “c” = 3, D = 4', 'a b c D'],
    ["set a = 'x, y = 1', b = 'it\\'s, z = 2', c = '''', d = $$, e = 1$$", 'a b c d'],
    ["set a = {'x': 'y', 'z': 1}, b = [1, 2], c = (1, 2), d = f(x = 1, y = 2), e = 1", 'a b c d e'],
    ['set a = default, b = DEFAULT, default = 1, set = 2', 'a b default set'],
    ['set a, b = 1, c', 'a b c'],
    ['set a == 1, b = -1.5e-3, c = true, d = null, e = inf', 'a b c d e'],
    ["set param_x = 'a', `param_y` = [1, 2], param_1z = 1", 'param_x param_y param_1z'],
    ['set role = 1, transaction = 2, time = 3', 'role transaction time'],
    ["set time zone 'Asia/Tokyo'", 'session_timezone'],
    ['set role r', ' and others'],
    ['set role none', ' and others'],
    ['set default role r to u', ''],
    ['set transaction snapshot 7', ''],
    ['set readonly = 1', 'readonly and others'],
    ['set a = 1, "readonly" = 2', 'a readonly and others'],
    ["set profile = 'p'", 'profile and others'],
    // A name that is not read here, and what is no list of settings: everything may have changed.
    ['set `a\\x62` = 1, c = 2', 'c and others'],
    ['set a.b = 1', ' and others'],
    ['set global a = 1', ' and others'],
    ['set @@a = 1', ' and others'],
    ['execute as u', ' and others'],
    ['execute as u select 1', undefined],
    ['select 1 settings a = 1', undefined],
    ['select set = 1 from t', undefined],
  ])('%j', (sql, expected) => {
    expect(setOf(sql)).toBe(expected);
  });
});

describe('the names in SETTINGS clauses', () => {
  it.each([
    ['select 1', []],
    ['select 1 settings a = 1, "b" = \'x, c = 1\', `d` = default', ['a', 'b', 'd']],
    ['select 1 settings /* x */ a -- , y = 1\n = 1, b format CSV', ['a', 'b']],
    ['select 1 format CSV settings a = 1', ['a']],
    ['select 1 settings a = 1 format CSV settings b = 2', ['a', 'b']],
    ['select * from (select 1 settings a = {1: 2}, b = [3, 4]), t settings c = 1', ['a', 'b', 'c']],
    ['insert into t settings a = 1 values (1, 2)', ['a']],
    ['select settings from t', []],
    ["select 'settings a = 1' -- settings b = 2", []],
  ])('%j', (sql, expected) => {
    const names = parseQuery(sql).statements[0]?.settingNames ?? [];
    expect(names.filter(name => name !== 'from')).toEqual(expected);
  });
});

describe('dialects', () => {
  const rows = (sql: string) =>
    parseQuery(sql).statements.map(({ rows: are, readOnly }) => `${are}${readOnly ? ' o' : ''}`);

  it.each([
    ["set dialect = 'kusto'; print 1; select 1", ['no o', 'maybe', 'maybe']],
    [
      "set a = 1, `dialect` = 'prql'; from t\ntake 2; set b = 1; drop table t",
      ['no o', 'maybe', 'no o', 'maybe'],
    ],
    ["set dialect = 'polyglot'; insert into t select 1", ['no o', 'maybe']],
    [
      "set dialect = 'kusto'; print 1; set dialect = 'clickhouse'; select 1",
      ['no o', 'maybe', 'no o', 'yes o'],
    ],
    ["set dialect = 'clickhouse'; select 1", ['no o', 'yes o']],
    ['set dialect = default; select 1', ['no o', 'maybe']],
    ["set dialects = 'kusto'; select 1 settings dialect = 'kusto'; select 1", ['no o', 'yes o', 'yes o']],
  ])('%j', (sql, expected) => {
    expect(rows(sql)).toEqual(expected);
  });

  it('other than its own are sent as they are', () => {
    const [, statement] = parseQuery("set dialect = 'kusto'; t | take 2 format CSV; x").statements;
    expect(statement).toMatchObject({ text: 't | take 2 format CSV', format: undefined });
  });
});
