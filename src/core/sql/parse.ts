import { isUtf8 } from 'node:buffer';
import { QrunError } from '../errors.js';
import { StatementClassifier } from './classify.js';
import { CodeScanner } from './code-scanner.js';
import { findFormatClause } from './format-clause.js';
import { InsertTracker } from './insert.js';
import { Lexer, TokenKind } from './lexer.js';
import { parseOverrides } from './overrides.js';
import { positionOf, sqlInvalid } from './position.js';
import type { ParsedQuery, QueryParameter, Statement } from './statement.js';
import { Tokens } from './tokens.js';

/**
 * The SQL in a file's bytes, without a UTF-8 byte order mark.
 *
 * Throws QrunError `SQL_INVALID`, with the place in the message, for UTF-16, for bytes that are not UTF-8 and for
 * NUL bytes: ClickHouse refuses all three, and not always with a message that tells why.
 */
export function decodeSql(bytes: Uint8Array): string {
  const hint = 'save the file as UTF-8';
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new QrunError('SQL_INVALID', '1:1: the file is UTF-16: it begins with a UTF-16 byte order mark', {
      hint,
    });
  }
  if (!isUtf8(bytes)) {
    const { offset, before } = firstInvalidByte(bytes);
    const value = (bytes[offset] ?? 0).toString(16).padStart(2, '0').toUpperCase();
    const { line, column } = positionOf(before, before.length);
    const message = `${line}:${column}: the file is not UTF-8: byte 0x${value} at byte offset ${offset}`;
    throw new QrunError('SQL_INVALID', message, { hint });
  }
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sql = text.toString('utf8', hasMark ? 3 : 0);
  const nul = sql.indexOf('\0');
  if (nul === -1) return sql;
  throw sqlInvalid(
    sql,
    nul,
    'the file holds a NUL byte',
    'if an editor saved it as UTF-16, save it as UTF-8',
  );
}

// The decoder does not say where it failed. It puts U+FFFD there when it does not throw, and the first one that
// is not in the file itself marks the place.
function firstInvalidByte(bytes: Uint8Array): { offset: number; before: string } {
  const text = new TextDecoder('utf-8').decode(bytes);
  const encoder = new TextEncoder();
  let offset = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  let from = 0;
  for (;;) {
    const at = text.indexOf('\ufffd', from);
    offset += encoder.encode(text.slice(from, at)).length;
    const isInFile = bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd;
    if (!isInFile) return { offset, before: text.slice(0, at) };
    offset += 3;
    from = at + 1;
  }
}

/**
 * The statements of a query file and what must be known of them to run it. Linear in the length of `sql`.
 *
 * Statements end at `;` or `\G`; empty ones are left out. The inline data of `INSERT ... VALUES` ends before the
 * next `;` outside of quotes and comments, that of any other `INSERT ... FORMAT x` at the first empty line, as in
 * clickhouse-client. Everything else follows the lexer of ClickHouse 26.7.
 *
 * Throws QrunError `SQL_INVALID`, with `line:column: ` before the message: no statement at all, an unclosed quote,
 * heredoc or comment, INTO OUTFILE, `;` right after the FORMAT of an INSERT, a bad `-- qrun:` comment.
 */
export function parseQuery(sql: string): ParsedQuery {
  const lexer = new Lexer(sql);
  const scanner = new CodeScanner(sql);
  const classifier = new StatementClassifier();
  const given = new Set<string>();
  const statements: Statement[] = [];
  const tokens = new Tokens(sql);
  try {
    for (;;) {
      tokens.clear();
      const source = readStatement(lexer, scanner, tokens);
      if (tokens.length > 0) {
        const parameters = scanner.takeParameters().filter(({ name }) => !given.has(name));
        statements.push(describe(source, classifier, parameters));
        rememberGivenParameters(tokens, given);
      }
      if (source.isLast) break;
    }
  } finally {
    tokens.release();
  }
  const overrides = parseOverrides(sql, lexer.dashComments);
  if (statements.length === 0) {
    const what = sql.trim() === '' ? 'is empty' : 'holds only comments and semicolons';
    throw sqlInvalid(sql, 0, `there is no statement: the file ${what}`);
  }
  return {
    statements,
    overrides,
    readOnly: statements.every(statement => statement.readOnly),
    needsSession: statements.some(statement => statement.needsSession),
    placeholders: scanner.placeholders,
  };
}

interface StatementSource {
  readonly tokens: Tokens;
  readonly insert: InsertTracker;
  /** Token indexes of the words outside of brackets. */
  readonly outerWords: readonly number[];
  readonly data: string | undefined;
  /** Offset behind the last token, or behind the inline data. */
  readonly end: number;
  readonly isLast: boolean;
}

function readStatement(lexer: Lexer, scanner: CodeScanner, tokens: Tokens): StatementSource {
  const insert = new InsertTracker(tokens);
  const outerWords: number[] = [];
  let depth = 0;
  for (;;) {
    const kind = lexer.next();
    if (kind === TokenKind.end || kind === TokenKind.terminator) {
      const end = tokens.end(tokens.length - 1);
      return { tokens, insert, outerWords, data: undefined, end, isLast: kind === TokenKind.end };
    }
    tokens.push(kind, lexer);
    scanner.pass(kind, lexer.start, lexer.end);
    if (kind === TokenKind.close && depth > 0) depth -= 1;
    if (kind === TokenKind.string) refuseOutfile(tokens);
    if (kind === TokenKind.word && depth === 0) outerWords.push(tokens.length - 1);
    const inlineData = insert.pass(depth);
    if (inlineData !== undefined) {
      const data = inlineData === 'values' ? readValues(lexer, scanner) : readToBlankLine(lexer, scanner);
      return { tokens, insert, outerWords, ...data };
    }
    if (kind === TokenKind.open) depth += 1;
  }
}

function refuseOutfile(tokens: Tokens): void {
  const into = tokens.length - 3;
  if (!tokens.isWord(into + 1, 'OUTFILE') || !tokens.isWord(into, 'INTO')) return;
  const hint = 'take the clause away: qrun records the rows in its log';
  throw sqlInvalid(tokens.text, tokens.start(into), 'INTO OUTFILE is not supported', hint);
}

// From the first row to the last. Comments before and after them are left out: older servers read them as rows.
function readValues(lexer: Lexer, scanner: CodeScanner): Pick<StatementSource, 'data' | 'end' | 'isLast'> {
  let start = -1;
  let end = lexer.position;
  for (;;) {
    const kind = lexer.next();
    // `\G` is no terminator here: to ClickHouse it is a part of the data.
    if (kind === TokenKind.end || (kind === TokenKind.terminator && lexer.text[lexer.start] === ';')) {
      return { data: start === -1 ? '' : lexer.text.slice(start, end), end, isLast: kind === TokenKind.end };
    }
    if (start === -1) start = lexer.start;
    end = lexer.end;
    scanner.pass(kind, lexer.start, lexer.end);
  }
}

// ClickHouse's own rule: after the format's name blanks and one line end are stepped over, no comments; the rest
// up to the first empty line is data, `;` included.
function readToBlankLine(
  lexer: Lexer,
  scanner: CodeScanner,
): Pick<StatementSource, 'data' | 'end' | 'isLast'> {
  const { text } = lexer;
  if (text[lexer.position] === ';') {
    const hint = 'put the data after the name of the format, and an empty line after the data';
    throw sqlInvalid(text, lexer.position, '";" right after the FORMAT of an INSERT: there is no data', hint);
  }
  const blanks = /[ \t\f]*\r?\n?/y;
  blanks.lastIndex = lexer.position;
  blanks.test(text);
  const dataStart = blanks.lastIndex;
  const blankLine = text.indexOf('\n\n', dataStart);
  const end = blankLine === -1 ? text.length : blankLine;
  scanner.passText(dataStart, end);
  lexer.position = end;
  return { data: text.slice(dataStart, end), end, isLast: blankLine === -1 };
}

function describe(
  source: StatementSource,
  classifier: StatementClassifier,
  parameters: readonly QueryParameter[],
): Statement {
  const { tokens, insert, outerWords, data, end } = source;
  const start = tokens.start(0);
  // Before inline data FORMAT names the format of the data, and stays.
  const formatIndex = data === undefined ? findFormatClause(tokens, outerWords) : undefined;
  return {
    text:
      formatIndex === undefined
        ? tokens.text.slice(start, tokens.end(tokens.length - 1))
        : without(tokens, formatIndex),
    data,
    format: formatIndex === undefined ? undefined : tokens.written(formatIndex + 1),
    ...classifier.classify(tokens, insert, outerWords),
    parameters: definesView(tokens) ? [] : parameters,
    start,
    end,
  };
}

function without(tokens: Tokens, formatIndex: number): string {
  const before = tokens.text.slice(tokens.start(0), tokens.end(formatIndex - 1));
  if (formatIndex + 2 === tokens.length) return before;
  return `${before} ${tokens.text.slice(tokens.start(formatIndex + 2), tokens.end(tokens.length - 1))}`;
}

// The parameters in a view's definition are given by those who select from it.
function definesView(tokens: Tokens): boolean {
  return tokens.isWord(0, 'CREATE') && tokens.isWord(tokens.isWord(1, 'OR') ? 3 : 1, 'VIEW');
}

function rememberGivenParameters(tokens: Tokens, given: Set<string>): void {
  if (!tokens.isWord(0, 'SET')) return;
  for (let index = 1; index < tokens.length; index += 1) {
    const isName = index === 1 || tokens.kind(index - 1) === TokenKind.comma;
    const name = isName && tokens.isCharacter(index + 1, '=') ? tokens.written(index) : '';
    if (name.startsWith('param_')) given.add(name.slice('param_'.length));
  }
}
