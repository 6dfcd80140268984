import { wordSet } from '../text/words.js';
import { TokenKind } from './lexer/lexer.js';
import type { Tokens } from './lexer/tokens.js';

// After these an expression or a name must follow, wherever they are.
const BEFORE_OPERAND = wordSet(
  'SELECT DISTINCT FROM JOIN ON USING WHERE PREWHERE HAVING QUALIFY BY AND OR NOT CASE WHEN THEN ELSE INTO AS',
);
// The same, but only between operands: where an operand is expected they are columns (`ORDER BY offset FORMAT CSV`).
const BETWEEN_OPERANDS = wordSet('IN LIKE ILIKE REGEXP BETWEEN LIMIT OFFSET SAMPLE DIV MOD');
// The same in statements about objects; in queries they are columns (`ORDER BY table FORMAT CSV`).
const BEFORE_OBJECT = wordSet('TABLE VIEW DATABASE DICTIONARY COLUMN EXISTS');

/**
 * Returns the index of the word FORMAT of the clause that decides a statement's output format, or `undefined`. The
 * clause is `FORMAT name`, outside brackets, at the end or before SETTINGS. `outerWords` are the indexes of all words
 * outside brackets, in order.
 *
 * `EXPLAIN AST SELECT 1 FORMAT x` has none: that FORMAT appears in the tree.
 */
export function findFormatClause(tokens: Tokens, outerWords: readonly number[]): number | undefined {
  const queryStart = beginsQuery(tokens) ? 0 : outerWords.find(index => tokens.isWord(index, 'SELECT'));
  // The first FORMAT after EXPLAIN AST belongs to the statement that is explained.
  const ofExplained = tokens.isWord(0, 'EXPLAIN') && tokens.isWord(1, 'AST');
  return outerWords.find(
    index =>
      tokens.isWord(index, 'FORMAT') &&
      (!ofExplained || tokens.isWord(index - 2, 'FORMAT')) &&
      (tokens.kind(index + 1) === TokenKind.word || tokens.kind(index + 1) === TokenKind.quotedName) &&
      (index + 2 === tokens.length || tokens.isWord(index + 2, 'SETTINGS')) &&
      !expectsOperand(tokens, index, queryStart),
  );
}

/** Returns whether a format's name, as written, is Null, which prints nothing. Old servers know only this spelling. */
export function isNullFormat(written: string): boolean {
  return /^[`"“]?null[`"”]?$/i.test(written);
}

function beginsQuery(tokens: Tokens): boolean {
  if (tokens.kind(0) === TokenKind.open) return true;
  return ['SELECT', 'WITH', 'FROM', 'EXPLAIN', 'INSERT'].some(word => tokens.isWord(0, word));
}

/**
 * Returns whether an operand is expected at token `index`, which is outside brackets. This distinguishes the clause
 * `FORMAT CSV` from a column, table or alias called format: `SELECT format FROM t`, `ORDER BY format DESC`,
 * `ADD COLUMN format String`. `queryStart` is the token at which a SELECT begins, if one does.
 */
export function expectsOperand(tokens: Tokens, index: number, queryStart: number | undefined): boolean {
  // The token before decides, except for tokens that are an operand where one is expected and an operator otherwise:
  // for what follows them the answer is the opposite of the answer at their own place.
  let turned = false;
  for (let before = index - 1; ; before -= 1) {
    const decided = isOperandDueAfter(tokens, before, queryStart);
    if (decided !== undefined) return decided !== turned;
    turned = !turned;
  }
}

function isOperandDueAfter(
  tokens: Tokens,
  index: number,
  queryStart: number | undefined,
): boolean | undefined {
  switch (tokens.kind(index)) {
    case TokenKind.word:
      return isOperandDueAfterWord(tokens, index, queryStart !== undefined && queryStart < index);
    case TokenKind.number:
    case TokenKind.string:
    case TokenKind.quotedName:
    case TokenKind.close:
      return false;
    case TokenKind.star:
      return undefined;
    default:
      return true;
  }
}

function isOperandDueAfterWord(tokens: Tokens, index: number, isInQuery: boolean): boolean | undefined {
  if (index === 0) return true;
  if (tokens.kind(index - 1) === TokenKind.dot) return false;
  const word = tokens.written(index).toUpperCase();
  // An alias may have any name, including SELECT; but `CREATE VIEW v AS SELECT` continues.
  if (tokens.isWord(index - 1, 'AS') && (isInQuery || word !== 'SELECT')) return false;
  if (BETWEEN_OPERANDS.has(word)) return undefined;
  return BEFORE_OPERAND.has(word) || (!isInQuery && BEFORE_OBJECT.has(word));
}
