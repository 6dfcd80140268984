import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../../src/core/sql/parse.js';
import { refusalOf } from './sql-refusal.js';

describe('the first line', () => {
  it.each([
    ['-- qrun: timeout=30s rows=3 retries=1', { timeoutMs: 30_000, rows: 3, retries: 1 }],
    ['--qrun:timeout=500ms', { timeoutMs: 500 }],
    ['--\t QRUN: retries=0,rows=1\r', { rows: 1, retries: 0 }],
    ['\ufeff  -- qrun: timeout=1.5m', { timeoutMs: 90_000 }],
    ['-- a comment', {}],
    ['-- qrun rows=3', {}],
    ['// qrun: rows=3', {}],
    ['/* -- qrun: rows=3 */', {}],
  ])('%j', (line, expected) => {
    expect(parseQuery(`${line}\nselect 1`).overrides).toEqual(expected);
  });

  it.each([
    ['-- qrun:', '1:1: the "-- qrun:" comment sets nothing'],
    ['-- qrun: \t', '1:1: the "-- qrun:" comment sets nothing'],
    ['-- qrun: timout=30s', '1:10: unknown setting "timout" in the "-- qrun:" comment'],
    ['-- qrun: timeoutMs=30', '1:10: unknown setting "timeoutMs" in the "-- qrun:" comment'],
    ['-- qrun: rows=1 Rows=2', '1:17: unknown setting "Rows" in the "-- qrun:" comment'],
    ['-- qrun: rows=1 rows=1', '1:17: rows is set twice in the "-- qrun:" comment'],
    ['-- qrun: timeout=30', '1:10: bad value "30" for timeout in the "-- qrun:" comment'],
    ['-- qrun: timeout=30d', '1:10: bad value "30d" for timeout in the "-- qrun:" comment'],
    ['-- qrun: timeout=0s', '1:10: bad value "0s" for timeout in the "-- qrun:" comment'],
    ['-- qrun: timeout = 30s', '1:10: bad value "" for timeout in the "-- qrun:" comment'],
    ['-- qrun: rows=0', '1:10: bad value "0" for rows in the "-- qrun:" comment'],
    ['-- qrun: rows=-1', '1:10: bad value "-1" for rows in the "-- qrun:" comment'],
    ['-- qrun: rows=1.5', '1:10: bad value "1.5" for rows in the "-- qrun:" comment'],
    [
      '-- qrun: retries=99999999999999999999',
      '1:10: bad value "99999999999999999999" for retries in the "-- qrun:" comment',
    ],
    ['-- qrun: constructor=1', '1:10: unknown setting "constructor" in the "-- qrun:" comment'],
  ])('refuses %j', (line, message) => {
    const error = refusalOf(() => parseQuery(`${line}\nselect 1`));
    expect(error.code).toBe('SQL_INVALID');
    expect(error.message).toBe(message);
    if (!message.includes('twice')) {
      expect(error.hint).toBe(
        'known are timeout=DURATION (500ms, 30s, 5m, 2h), rows=N (1 or more) and retries=N (0 or more)',
      );
    }
  });
});

describe('anywhere else', () => {
  it.each([
    ['-- a\n-- qrun: rows=1\nselect 1', '2:1'],
    ['select 1 -- qrun: rows=1', '1:10'],
    ['/* a */ -- qrun: rows=1\nselect 1', '1:9'],
    ['-- qrun: rows=1\nselect 1;\n  -- qrun: rows=2', '3:3'],
    ['insert into t values (1) -- qrun: rows=1', '1:26'],
  ])('refuses %j', (sql, place) => {
    expect(refusalOf(() => parseQuery(sql)).message).toBe(
      `${place}: a "-- qrun:" comment must be the first line of the file`,
    );
  });

  it.each([
    "select '\n-- qrun: rows=1\n'",
    'select $$\n-- qrun: rows=1\n$$',
    '/*\n-- qrun: rows=1\n*/ select 1',
    'insert into t format CSV\n-- qrun: rows=1',
  ])('does not look into %j', sql => {
    expect(parseQuery(sql).overrides).toEqual({});
  });
});
