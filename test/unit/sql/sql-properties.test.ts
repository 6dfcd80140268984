import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import { encodeSql, escapeRawBytes, hasRawBytes } from '../../../src/core/sql/lexer/encoding.js';
import { Lexer, TokenKind } from '../../../src/core/sql/lexer/lexer.js';
import { decodeSql, parseQuery } from '../../../src/core/sql/parse.js';
import type { ParsedQuery } from '../../../src/core/sql/statement.js';

// Pieces that mean something to the lexer and the splitter, so that random texts reach the corners.
const PIECES = [
  ...' ;\n\t\r\'"`$\\/*-#!()[]{}:,.=+%éa1_‘’“”\u00a0\ufeff',
  '--', '//', '/*', '*/', '# ', '#!', '$$', '$a$', '\\G', '\n\n', "''", '{x:UInt8}', '__A__', '-- qrun: rows=1',
  'select', 'insert into t', 'values', 'format CSV', 'format', 'settings a=1', 'into outfile', 'with', 'from',
  'set param_x=1', 'create temporary table t', 'input(', 'as', 'explain', 'table', 'order by',
]; // biome-ignore format: one piece a line would take a page
const sqlText = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    ),
    { maxLength: 40 },
  )
  .map(parts => parts.join(''));

function parseOrRefuse(sql: string): ParsedQuery | undefined {
  try {
    return parseQuery(sql);
  } catch (error) {
    expect(error).toBeInstanceOf(QrunError);
    expect((error as QrunError).message).toMatch(/^[1-9]\d*:[1-9]\d*: \S/);
    return undefined;
  }
}

describe('parseQuery on any text', () => {
  it('throws nothing but QrunError, and its pieces cover the text', () => {
    let parsed = 0;
    fc.assert(
      fc.property(sqlText, sql => {
        const query = parseOrRefuse(sql);
        if (query === undefined) return;
        parsed += 1;
        let behind = 0;
        for (const { start, end, text } of query.statements) {
          expect(text.trim()).not.toBe('');
          expect(end).toBeGreaterThan(start);
          expectNothingBetween(sql, behind, start);
          behind = end;
        }
        expectNothingBetween(sql, behind, sql.length);
      }),
      { numRuns: 5000 },
    );
    // The generator must not be so wild that the property is empty.
    expect(parsed).toBeGreaterThan(500);
  });

  it('gives pieces that are read again as the same statement', () => {
    fc.assert(
      fc.property(sqlText, sql => {
        for (const statement of parseOrRefuse(sql)?.statements ?? []) {
          const { text, data, keyword, rows, format } = statement;
          const again = parseQuery(data === undefined ? text : `${text}\n${data}`).statements;
          expect(again).toHaveLength(1);
          expect(again[0]).toMatchObject({ keyword, rows });
          // Only an (invalid) statement with two FORMAT clauses loses another one.
          if (again[0]?.format === undefined) expect(again[0]).toMatchObject({ text, data });
          else expect(format).toBeDefined();
          expect(sql.slice(statement.start, statement.end)).toContain(data ?? '');
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('refuses or decodes any bytes', () => {
    const pieces = fc.constantFrom(
      [0xef, 0xbb, 0xbf],
      [0xff, 0xfe],
      [0xef, 0xbf, 0xbd],
      [0],
      [0xc3],
      [0xe2, 0x82],
      [97],
    );
    const byteList = fc.array(
      fc.oneof(
        pieces,
        fc.uint8Array({ maxLength: 4 }).map(part => [...part]),
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(byteList, parts => {
        const bytes = Buffer.from(parts.flat());
        let sql: string;
        try {
          sql = decodeSql(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(QrunError);
          return;
        }
        const withoutMark = bytes.subarray(0, 3).equals(Buffer.from('\ufeff')) ? bytes.subarray(3) : bytes;
        expect(Buffer.from(encodeSql(sql)).equals(withoutMark)).toBe(true);
        expect(hasRawBytes(sql)).toBe(!isUtf8(bytes));
      }),
      { numRuns: 3000 },
    );
  });
});

function expectNothingBetween(sql: string, from: number, to: number): void {
  const lexer = new Lexer(sql.slice(from, to));
  for (let kind = lexer.next(); kind !== TokenKind.end; kind = lexer.next())
    expect(kind).toBe(TokenKind.terminator);
}

describe('time is linear in the text', () => {
  const HOSTILE: Record<string, (count: number) => string> = {
    'open comments': count => '/*/*/*'.repeat(count),
    'open quotes': count => `${"'a".repeat(count)}"`,
    backslashes: count => `'${'\\'.repeat(count)}`,
    dollars: count => `select ${'$ $a '.repeat(count)}`,
    heredocs: count => `select ${'$a$ $a$ '.repeat(count)}$b$`,
    'no-break spaces': count => '\u00a0'.repeat(count),
    stars: count => `select ${'*'.repeat(count)} format CSV`,
    'soft keywords': count => `select ${'limit '.repeat(count)} format CSV`,
    'format words': count => `select ${'format format settings '.repeat(count)}`,
    'table format': count => `drop ${'table format x settings '.repeat(count)}`,
    brackets: count => '('.repeat(count),
    braces: count => `select ${'{a:{b'.repeat(count)}`,
    underscores: count => `select ${'__A_'.repeat(count)}, __A__`,
    placeholders: count => `select '${'__A__ '.repeat(count)}'`,
    'small placeholders': count => `select '${'__a'.repeat(count)}'`,
    'open dollars': count => `select '${'${a '.repeat(count)}'`,
    'open braces': count => `select ${'{{ a '.repeat(count)}`,
    'open braces in a string': count => `select '${'{{a'.repeat(count)}'`,
    'open tags': count => `select '${'{% if '.repeat(count)}'`,
    'settings names': count => `select ${'settings a = 1, '.repeat(count)}`,
    'nested settings': count => `select ${'(settings a = '.repeat(count)}`,
    semicolons: count => ';'.repeat(count),
    statements: count => 'select 1;'.repeat(count),
    inserts: count => 'insert into t format CSV\n1\n\n'.repeat(count),
    values: count => `insert into t values ${"(1,';'),".repeat(count)}`,
    'input formats': count => `insert into t select * from input('a') ,${'format ,'.repeat(count)}`,
    'set parameters': count => `set ${'param_a=1,'.repeat(count)}`,
    comments: count => '-- a\n'.repeat(count),
    'temporary tables': count => 'create temporary table t (a Int8);'.repeat(count),
    digits: count => `select ${'1e'.repeat(count)}`,
  };

  // 0.3 MB takes well under 0.1 s; a quadratic path takes minutes. The limit leaves room for a busy machine.
  it.each(Object.keys(HOSTILE))('%s', name => {
    const make = HOSTILE[name];
    const unitLength = (make?.(2).length ?? 0) - (make?.(1).length ?? 0);
    const sql = make?.(Math.ceil(300_000 / unitLength)) ?? '';
    const startedAt = performance.now();
    parseOrRefuse(sql);
    expect(performance.now() - startedAt).toBeLessThan(1500);
  });

  it('bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from("select '"), Buffer.alloc(300_000, 0xe9), Buffer.from("'")]);
    const startedAt = performance.now();
    const sql = decodeSql(bytes);
    parseQuery(sql);
    encodeSql(sql);
    escapeRawBytes(sql);
    expect(performance.now() - startedAt).toBeLessThan(1500);
  });
});
