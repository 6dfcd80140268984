import { type Classified, StatementClassifier } from './classify.js';
import { findFormatClause, isNullFormat } from './format-clause.js';
import { InsertTracker } from './insert.js';
import { CodeScanner } from './lexer/code-scanner.js';
import { Lexer, TokenKind } from './lexer/lexer.js';
import { SPLIT_HINT, sqlInvalid } from './lexer/position.js';
import { Tokens } from './lexer/tokens.js';
import { parseOverrides } from './overrides.js';
import { namesInClause } from './set-clause.js';
import type { ParsedQuery, QueryParameter, Statement } from './statement.js';

export { decodeSql } from './lexer/encoding.js';

/**
 * Returns the statements of a query file and what must be known about them to run it. Linear in the length of `sql`.
 *
 * Statements end at `;` or `\G`; empty ones are left out. The inline data of `INSERT ... VALUES` ends before the next
 * `;` outside quotes and comments, that of any other `INSERT ... FORMAT x` at the first empty line, as in
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
        const statement = describe(source, classifier, parameters);
        if (statements.length === MOST_STATEMENTS) {
          const message = `the file holds more than ${MOST_STATEMENTS} statements`;
          throw sqlInvalid(sql, tokens.start(0), message, SPLIT_HINT);
        }
        statements.push(statement);
        for (const name of statement.sets?.names ?? []) {
          if (name.startsWith('param_')) given.add(name.slice('param_'.length));
        }
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

/**
 * Returns whether a text contains no statement, only white space, comments and terminators, so that {@link parseQuery}
 * refuses it. Reads no further than the first token; `false` if that cannot be read.
 */
export function holdsNoStatement(sql: string): boolean {
  const lexer = new Lexer(sql);
  try {
    for (;;) {
      const kind = lexer.next();
      if (kind !== TokenKind.terminator) return kind === TokenKind.end;
    }
  } catch {
    return false;
  }
}

// What is known of a statement takes about 500 bytes; a dump of a table has about 10,000 statements.
const MOST_STATEMENTS = 100_000;

interface StatementSource extends Classified {
  /** Token indexes of the words SETTINGS, including those within brackets. */
  readonly settingsWords: readonly number[];
  readonly data: string | undefined;
  /** The offset after the last token, or after the inline data. */
  readonly end: number;
  readonly isLast: boolean;
}

function readStatement(lexer: Lexer, scanner: CodeScanner, tokens: Tokens): StatementSource {
  const insert = new InsertTracker(tokens);
  const outerWords: number[] = [];
  const settingsWords: number[] = [];
  let depth = 0;
  for (;;) {
    const kind = lexer.next();
    if (kind === TokenKind.end || kind === TokenKind.terminator) {
      const end = tokens.end(tokens.length - 1);
      const isLast = kind === TokenKind.end;
      return { tokens, insert, outerWords, settingsWords, data: undefined, end, isLast };
    }
    tokens.push(kind, lexer);
    scanner.pass(kind, lexer.start, lexer.end);
    if (kind === TokenKind.close && depth > 0) depth -= 1;
    if (kind === TokenKind.string) refuseOutfile(tokens);
    if (kind === TokenKind.word) {
      if (depth === 0) outerWords.push(tokens.length - 1);
      if (lexer.end - lexer.start === 'SETTINGS'.length && tokens.isWord(tokens.length - 1, 'SETTINGS')) {
        settingsWords.push(tokens.length - 1);
      }
    }
    const inlineData = insert.pass(depth);
    if (inlineData !== undefined) {
      const data = inlineData === 'values' ? readValues(lexer, scanner) : readToBlankLine(lexer, scanner);
      return { tokens, insert, outerWords, settingsWords, ...data };
    }
    if (kind === TokenKind.open) depth += 1;
  }
}

type InlineData = Pick<StatementSource, 'data' | 'end' | 'isLast'>;

function refuseOutfile(tokens: Tokens): void {
  const into = tokens.length - 3;
  if (!tokens.isWord(into + 1, 'OUTFILE') || !tokens.isWord(into, 'INTO')) return;
  const hint = 'remove the clause: qrun records the rows in its log';
  throw sqlInvalid(tokens.text, tokens.start(into), 'INTO OUTFILE is not supported', hint);
}

// From the first row to the last. Comments before and after them are left out, because older servers read them as rows.
function readValues(lexer: Lexer, scanner: CodeScanner): InlineData {
  let start = -1;
  let end = lexer.position;
  for (;;) {
    const kind = lexer.next();
    // `\G` is not a terminator here: to ClickHouse it is part of the data.
    if (kind === TokenKind.end || (kind === TokenKind.terminator && lexer.text[lexer.start] === ';')) {
      return { data: start === -1 ? '' : lexer.text.slice(start, end), end, isLast: kind === TokenKind.end };
    }
    if (start === -1) start = lexer.start;
    end = lexer.end;
    scanner.pass(kind, lexer.start, lexer.end);
  }
}

// ClickHouse's own rule: blanks and one line end after the format's name are skipped, but not comments. The rest up to
// the first empty line is data, including `;`.
function readToBlankLine(lexer: Lexer, scanner: CodeScanner): InlineData {
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
  const { tokens, outerWords, data, end } = source;
  const start = tokens.start(0);
  // Before inline data, FORMAT names the format of the data and stays. Other dialects have no such clause.
  const formatIndex =
    data === undefined && !classifier.isForeign ? findFormatClause(tokens, outerWords) : undefined;
  const format = formatIndex === undefined ? undefined : tokens.written(formatIndex + 1);
  const isTakenOff = format !== undefined && !isNullFormat(format);
  const isCut = isTakenOff && formatIndex !== undefined;
  return {
    text: isCut ? without(tokens, formatIndex) : tokens.text.slice(start, tokens.end(tokens.length - 1)),
    data,
    format: isTakenOff ? format : undefined,
    ...classifier.classify(source, format),
    settingNames: settingNames(source),
    parameters: definesView(tokens) ? [] : parameters,
    start,
    end,
  };
}

const NO_NAMES: readonly string[] = [];

function settingNames({ tokens, settingsWords }: StatementSource): readonly string[] {
  if (settingsWords.length === 0) return NO_NAMES;
  return settingsWords.flatMap((index, place) =>
    namesInClause(tokens, index, settingsWords[place + 1] ?? tokens.length),
  );
}

function without(tokens: Tokens, formatIndex: number): string {
  const before = tokens.text.slice(tokens.start(0), tokens.end(formatIndex - 1));
  if (formatIndex + 2 === tokens.length) return before;
  return `${before} ${tokens.text.slice(tokens.start(formatIndex + 2), tokens.end(tokens.length - 1))}`;
}

// Whoever selects from a view supplies the parameters in its definition.
function definesView(tokens: Tokens): boolean {
  return tokens.isWord(0, 'CREATE') && tokens.isWord(tokens.isWord(1, 'OR') ? 3 : 1, 'VIEW');
}
