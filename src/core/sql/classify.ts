import type { InsertTracker } from './insert.js';
import { TokenKind } from './lexer.js';
import type { Tokens } from './tokens.js';

const RETURNS_ROWS: ReadonlySet<string> = new Set(
  'SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK KILL BACKUP RESTORE WATCH'.split(' '),
);
const READS_ONLY: ReadonlySet<string> = new Set(
  'SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN USE SET'.split(' '),
);
const IN_SESSION: ReadonlySet<string> = new Set('SET USE BEGIN COMMIT ROLLBACK'.split(' '));

/** What qrun must know of a statement to run it, and to run it again. */
export interface StatementClass {
  readonly keyword: string;
  readonly returnsRows: boolean;
  readonly readOnly: boolean;
  readonly needsSession: boolean;
}

/**
 * Classifies the statements of one file in their order; it remembers the file's temporary tables, because an
 * INSERT into one of them changes nothing that lasts. `outerWords` are the token indexes of the words outside
 * of brackets.
 *
 * `readOnly` errs on the side of `false`: unknown statements, DDL and everything that touches access rights count
 * as changes. It cannot see effects behind a SELECT (a table that consumes a queue, a function with a counter).
 */
export class StatementClassifier {
  readonly #temporaryTables = new Set<string>();

  classify(tokens: Tokens, insert: InsertTracker, outerWords: readonly number[]): StatementClass {
    let first = 0;
    while (tokens.kind(first) === TokenKind.open) first += 1;
    const keyword = tokens.kind(first) === TokenKind.word ? tokens.written(first).toUpperCase() : '';
    const isQuery = keyword === 'SELECT' || keyword === 'WITH' || keyword === 'FROM';
    const isTemporary = !isQuery && [1, 2, 3].some(index => tokens.isWord(index, 'TEMPORARY'));
    return {
      keyword,
      // Only an expression can begin with something that is no word; servers with implicit_select run it.
      returnsRows: keyword === '' || (RETURNS_ROWS.has(keyword) && !(insert.isInsert && keyword === 'WITH')),
      readOnly: this.#isReadOnly(tokens, keyword, insert, isTemporary) && !runsInParallel(tokens, outerWords),
      needsSession: IN_SESSION.has(keyword) || isTemporary,
    };
  }

  #isReadOnly(tokens: Tokens, keyword: string, insert: InsertTracker, isTemporary: boolean): boolean {
    if (insert.isInsert) {
      const target = insert.target === undefined ? undefined : tokens.name(insert.target);
      return target !== undefined && this.#temporaryTables.has(target);
    }
    if (isTemporary && keyword === 'CREATE') {
      const name = temporaryTableInMemory(tokens);
      if (name !== undefined) this.#temporaryTables.add(name);
      return name !== undefined;
    }
    if (isTemporary && keyword === 'DROP') {
      // Afterwards the same name means an ordinary table, so forget all rather than read the list of names.
      this.#temporaryTables.clear();
      return tokens.isWord(2, 'TABLE');
    }
    // SET DEFAULT ROLE is stored with the user.
    if (keyword === 'SET' && tokens.isWord(1, 'DEFAULT')) return false;
    return READS_ONLY.has(keyword);
  }
}

// `... PARALLEL WITH ...` joins statements, and those that follow are not looked at.
function runsInParallel(tokens: Tokens, outerWords: readonly number[]): boolean {
  return outerWords.some(index => tokens.isWord(index, 'PARALLEL') && tokens.isWord(index + 1, 'WITH'));
}

/**
 * The name of the table that `CREATE [OR REPLACE] TEMPORARY TABLE [IF NOT EXISTS] name` makes, if its rows stay in
 * the session. With ENGINE = URL, S3 and the like, or AS some_function(), an INSERT into it would leave a trace.
 */
function temporaryTableInMemory(tokens: Tokens): string | undefined {
  let index = tokens.isWord(1, 'OR') ? 3 : 1;
  if (!tokens.isWord(index, 'TEMPORARY') || !tokens.isWord(index + 1, 'TABLE')) return undefined;
  index += tokens.isWord(index + 2, 'IF') ? 5 : 2;
  const name = tokens.name(index);
  let depth = 0;
  for (index += 1; index < tokens.length; index += 1) {
    const kind = tokens.kind(index);
    if (kind === TokenKind.open) depth += 1;
    else if (kind === TokenKind.close) depth -= 1;
    else if (depth === 0 && tokens.isWord(index, 'ENGINE')) {
      if (!tokens.isWord(index + (tokens.isCharacter(index + 1, '=') ? 2 : 1), 'MEMORY')) return undefined;
    } else if (depth === 0 && tokens.isWord(index, 'AS')) {
      const isQuery = ['SELECT', 'WITH', 'FROM'].some(word => tokens.isWord(index + 1, word));
      return isQuery || tokens.isCharacter(index + 1, '(') ? name : undefined;
    } else if (kind === TokenKind.dot) return undefined;
  }
  return name;
}
