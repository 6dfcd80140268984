import { expectsOperand } from './format-clause.js';
import { TokenKind } from './lexer/lexer.js';
import type { Tokens } from './lexer/tokens.js';

/**
 * How inline data ends: `values` at the next `;` outside quotes and comments; `blank-line` at the first empty line,
 * because in any other format a `;` may be data.
 */
export type InlineData = 'values' | 'blank-line';

const BEFORE_INSERT = ['INSERT', 'WITH', 'EXPLAIN'];

/**
 * Follows a statement token by token and tells where the inline data of an INSERT begins, which must not be read as
 * SQL. `isInsert` and `target` are known as soon as their tokens have passed.
 */
export class InsertTracker {
  /** Whether the statement contains INSERT INTO: first, or after WITH or EXPLAIN. */
  isInsert = false;
  /** Token index of the table's name; `undefined` for `db.table`, functions and parameters. */
  target: number | undefined;

  readonly #tokens: Tokens;
  #part: 'none' | 'before' | 'target' | 'function' | 'qualified' | 'clauses' | 'select' | 'format' = 'before';
  #readsInput = false;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
  }

  /**
   * Returns the kind of inline data that begins right after the last token, if any. `depth` counts the open brackets.
   */
  pass(depth: number): InlineData | undefined {
    if (this.#part === 'none') return undefined;
    const tokens = this.#tokens;
    const index = tokens.length - 1;
    if (this.#part === 'before') {
      if (index === 0 && !BEFORE_INSERT.some(word => tokens.isWord(0, word))) this.#part = 'none';
      if (depth === 0 && tokens.isWord(index, 'INTO') && tokens.isWord(index - 1, 'INSERT')) {
        this.isInsert = true;
        this.#part = 'target';
      }
      return undefined;
    }
    if (this.#part === 'select') {
      if (tokens.isCharacter(index, '(') && tokens.isWord(index - 1, 'INPUT')) this.#readsInput = true;
    } else if (depth === 1 && this.#part === 'clauses') {
      // `INSERT INTO t (SELECT ...)`, as opposed to a list of columns.
      const isFirst = tokens.isCharacter(index - 1, '(');
      if (isFirst && (this.#isSelect(index) || tokens.isCharacter(index, '('))) this.#part = 'select';
    }
    return depth === 0 ? this.#passOutside(index) : undefined;
  }

  #isSelect(index: number): boolean {
    const tokens = this.#tokens;
    return tokens.isWord(index, 'SELECT') || tokens.isWord(index, 'WITH') || tokens.isWord(index, 'FROM');
  }

  #passOutside(index: number): InlineData | undefined {
    const tokens = this.#tokens;
    switch (this.#part) {
      case 'target':
        if (tokens.isWord(index, 'TABLE') && tokens.isWord(index - 1, 'INTO')) return undefined;
        if (tokens.isWord(index, 'FUNCTION')) {
          this.#part = 'function';
          return undefined;
        }
        if (tokens.isName(index)) this.target = index;
        this.#part = 'clauses';
        return undefined;
      case 'function':
        if (tokens.kind(index) === TokenKind.close) this.#part = 'clauses';
        return undefined;
      case 'qualified':
        this.#part = 'clauses';
        return undefined;
      case 'clauses':
        return this.#passClause(index);
      case 'select':
        // Only the table function input() makes an INSERT ... SELECT read data of its own.
        if (this.#readsInput && tokens.isWord(index, 'FORMAT') && !expectsOperand(tokens, index, 0)) {
          this.#part = 'format';
        }
        return undefined;
      case 'format':
        this.#part = 'select';
        if (!tokens.isName(index)) return undefined;
        return tokens.name(index) === 'Values' ? 'values' : 'blank-line';
      default:
        return undefined;
    }
  }

  #passClause(index: number): InlineData | undefined {
    const tokens = this.#tokens;
    if (tokens.isWord(index, 'VALUES')) {
      this.#part = 'select';
      return 'values';
    }
    if (tokens.isWord(index, 'FORMAT')) {
      this.#part = 'format';
    } else if (this.#isSelect(index)) {
      this.#part = 'select';
    } else if (tokens.kind(index) === TokenKind.dot) {
      this.target = undefined;
      this.#part = 'qualified';
    }
    return undefined;
  }
}
