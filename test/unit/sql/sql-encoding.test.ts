import { describe, expect, it } from 'vitest';
import { decodeSql, encodeSql, escapeRawBytes } from '../../../src/core/sql/lexer/encoding.js';
import { holdsNoStatement, parseQuery } from '../../../src/core/sql/parse.js';
import { refusalOf } from './sql-refusal.js';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

describe('bytes that are not UTF-8', () => {
  it('come out as they went in, between characters of any length', () => {
    const bytes = Buffer.concat([
      Buffer.from('é€😀'),
      Buffer.of(0xe9, 0xf0, 0x9f),
      Buffer.from('\ufffd'),
      Buffer.of(0xff),
    ]);
    const sql = decodeSql(bytes);
    expect(sql).toHaveLength(9);
    expect(Buffer.from(encodeSql(sql))).toEqual(bytes);
    expect(encodeSql('é€😀')).toBe('é€😀');
  });

  it.each([
    ["select '\xe9', 1 -- \xe9 '\n/* \xff */ # \xe9", 1],
    ['select 1 as "\xe9", 2 as `\xe9`; select $$\xe9$$, $a$\xe9$a$', 2],
    ["insert into t values ('\xe9;'); insert into t format CSV\n\xe9;\n\nselect 1", 3],
  ])('stand in comments, strings, names and data: %j', (text, count) => {
    const sql = decodeSql(latin1(text));
    const { statements } = parseQuery(sql);
    expect(statements).toHaveLength(count);
    for (const { start, end } of statements) {
      expect(Buffer.from(encodeSql(sql.slice(start, end)))).toEqual(latin1(text).subarray(start, end));
    }
  });

  it.each([
    ['select \xe9', '1:8: the file is not UTF-8: byte 0xE9'],
    ["select 'a',\n caf\xe9", '2:5: the file is not UTF-8: byte 0xE9'],
    ['insert into t values (\x80)', '1:23: the file is not UTF-8: byte 0x80'],
  ])('are refused elsewhere: %j', (text, message) => {
    const error = refusalOf(() => parseQuery(decodeSql(latin1(text))));
    expect(error.message).toBe(message);
    expect(error.hint).toContain('UTF-8');
  });

  it('are no halves of characters', () => {
    // Its second half is the code unit of the byte 0x80.
    expect(parseQuery('select \u{1f480}').statements).toHaveLength(1);
  });

  it.each([
    ["'\xe9'", "'\\xE9'"],
    ["'a\\\xe9\\\\\xe9\\''", "'a\\\\\\xE9\\\\\\xE9\\''"],
    ["'it''s \xe9'", "'it''s \\xE9'"],
    ['"\xe9" `a\xff`', '"\\xE9" `a\\xFF`'],
    ["$$it's \\ \xe9$$ $a$\xe9$a$", "'it\\'s \\\\ \\xE9' '\\xE9'"],
    ['1 -- \xe9\n/* \xe9 */ + 1', '1 -- ?\n/* ? */ + 1'],
    ["'abc'", "'abc'"],
  ])('%j has a form without them', (text, expected) => {
    expect(escapeRawBytes(decodeSql(latin1(text)))).toBe(expected);
  });

  it('of curly quotes too', () => {
    const raw = '\udce9';
    expect(escapeRawBytes(`‘it's ${raw}’ “a"${raw}”`)).toBe('\'it\\\'s \\xE9\' "a\\"\\xE9"');
  });
});

describe('holdsNoStatement', () => {
  it.each(['', ' \n\t', '-- a', '/* a */ ;;', ';\\G; # a', '\u00a0'])('%j holds none', sql => {
    expect(holdsNoStatement(sql)).toBe(true);
    expect(refusalOf(() => parseQuery(sql)).message).toContain('there is no statement');
  });

  it.each(['select 1', '-- a\n;1', "'open", '/* open', '?', '\udce9'])('%j may hold one', sql => {
    expect(holdsNoStatement(sql)).toBe(false);
  });
});
