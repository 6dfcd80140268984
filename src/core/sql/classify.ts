import { wordSet } from '../text/words.js';
import { isNullFormat } from './format-clause.js';
import type { InsertTracker } from './insert.js';
import { TokenKind } from './lexer/lexer.js';
import type { Tokens } from './lexer/tokens.js';
import { readSet } from './set-clause.js';
import type { RowsOf, Statement } from './statement.js';

const ANSWERS = wordSet('SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK KILL BACKUP RESTORE WATCH');
// A closed list on purpose: ALTER answers with rows (FREEZE with alter_partition_verbose_result), and so do OPTIMIZE
// (DRY RUN) and SYSTEM; every version may add others.
const SILENT = wordSet('SET USE CREATE DROP INSERT');
/**
 * The first words of statements that change nothing that lasts. The guard of the embedded engine passes over plain ones,
 * so none of these may take a clause that it searches for (`outsideUse`).
 */
export const READS_ONLY = wordSet('SELECT WITH FROM SHOW DESCRIBE DESC EXISTS EXPLAIN USE SET');
const IN_SESSION = wordSet('SET USE BEGIN START COMMIT ROLLBACK');
// What may follow the first word of an expression, where two words begin a statement (`ALTER TABLE`).
const AFTER_OPERAND = wordSet(
  'FROM AS AND OR NOT IN GLOBAL IS LIKE ILIKE REGEXP BETWEEN DIV MOD PREWHERE WHERE ORDER GROUP LIMIT UNION',
);
// The first words of other statements: with a word after them (`DELETE FROM`, `EXECUTE AS`) they are not expressions.
const STATEMENTS = wordSet(
  'ATTACH DETACH DELETE UPDATE TRUNCATE RENAME EXCHANGE ALTER OPTIMIZE SYSTEM GRANT REVOKE EXECUTE MOVE UNDROP REPLACE COPY',
);
const BEFORE_OPERAND = wordSet('NOT CASE DISTINCT INTERVAL DATE TIMESTAMP');

/** What qrun must know about a statement to run it, and to run it again. */
export type StatementClass = Pick<Statement, 'keyword' | 'rows' | 'readOnly' | 'needsSession' | 'sets'>;

/** A statement in the form that {@link StatementClassifier} needs. */
export interface Classified {
  readonly tokens: Tokens;
  readonly insert: InsertTracker;
  /** Token indexes of the words outside brackets. */
  readonly outerWords: readonly number[];
}

/**
 * Classifies the statements of one file in their order. It remembers the file's temporary tables, because an INSERT
 * into one of them changes nothing that lasts, and its dialect.
 *
 * `readOnly` errs on the side of `false`: unknown statements, DDL and everything that touches access rights count as
 * changes. It cannot see the side effects of a SELECT (a table that consumes a queue, a function with a counter).
 *
 * After `SET dialect = 'kusto'` (or 'prql', 'polyglot') words mean other things: any statement may return rows and may
 * change something, until the dialect is 'clickhouse' again. All dialects share the lexer.
 */
export class StatementClassifier {
  readonly #temporaryTables = new Set<string>();
  #hasAnswer = false;
  #isForeign = false;

  /** Whether the next statement is in a dialect other than ClickHouse's own. */
  get isForeign(): boolean {
    return this.#isForeign;
  }

  /** Returns the class of a statement. `format` is the name in its FORMAT clause, as written. */
  classify(statement: Classified, format: string | undefined): StatementClass {
    const { tokens, insert, outerWords } = statement;
    let first = 0;
    while (tokens.kind(first) === TokenKind.open) first += 1;
    const keyword = tokens.kind(first) === TokenKind.word ? tokens.written(first).toUpperCase() : '';
    const isQuery = keyword === 'SELECT' || keyword === 'WITH' || keyword === 'FROM';
    const isTemporary = !isQuery && [1, 2, 3].some(index => tokens.isWord(index, 'TEMPORARY'));
    const set = keyword === 'SET' || keyword === 'EXECUTE' ? readSet(tokens) : undefined;
    const needsSession = IN_SESSION.has(keyword) || isTemporary || set !== undefined;
    if (this.#isForeign && set === undefined) {
      return { keyword, rows: 'maybe', readOnly: false, needsSession, sets: undefined };
    }
    const expression = ANSWERS.has(keyword) ? undefined : beginsExpression(tokens, first, keyword);
    const rows = this.#rowsOf(statement, keyword, expression !== undefined, format);
    if (rows === 'yes') this.#hasAnswer = true;
    this.#isForeign = set?.foreignDialect ?? this.#isForeign;
    return {
      keyword,
      rows,
      readOnly:
        (expression === 'surely' || this.#isReadOnly(tokens, keyword, insert, isTemporary)) &&
        !joins(tokens, outerWords, 'PARALLEL', 'WITH'),
      needsSession,
      sets: set,
    };
  }

  #rowsOf(
    { tokens, insert, outerWords }: Classified,
    keyword: string,
    isExpression: boolean,
    format: string | undefined,
  ): RowsOf {
    // Since 26.2, EXPLAIN ignores it, so that a query can be explained as it is.
    if (format !== undefined && isNullFormat(format)) return keyword === 'EXPLAIN' ? 'maybe' : 'no';
    if (insert.isInsert && keyword !== 'EXPLAIN') return 'no';
    if (ANSWERS.has(keyword) || isExpression) return 'yes';
    // The outcome on each host. It is not a result next to rows that were asked for, as in SELECT ...; DROP ... ON
    // CLUSTER.
    if (joins(tokens, outerWords, 'ON', 'CLUSTER')) return this.#hasAnswer ? 'no' : 'maybe';
    if (keyword === 'EXECUTE' && outerWords.some(index => tokens.isWord(index, 'SELECT'))) return 'yes';
    // `drop FROM t`: a column of this name is an expression too, and must come from somewhere.
    const source = outerWords.find(index => tokens.isWord(index, 'FROM') || tokens.isWord(index, 'SELECT'));
    const isColumn = source !== undefined && tokens.isWord(source, 'FROM');
    return SILENT.has(keyword) && !isColumn ? 'no' : 'maybe';
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
      // Afterwards the same name means an ordinary table, so forget all of them instead of reading the list of names.
      this.#temporaryTables.clear();
      return tokens.isWord(2, 'TABLE');
    }
    // SET DEFAULT ROLE is stored with the user.
    if (keyword === 'SET' && tokens.isWord(1, 'DEFAULT')) return false;
    return READS_ONLY.has(keyword);
  }
}

/**
 * Returns whether the statement is an expression, which ClickHouse treats as a SELECT if `implicit_select` is on (as it
 * is in chDB): `1 + 2`, `upper('x')`, and probably `number FROM numbers(3)`.
 */
function beginsExpression(tokens: Tokens, first: number, keyword: string): 'surely' | 'likely' | undefined {
  if (keyword === '' || BEFORE_OPERAND.has(keyword)) return 'surely';
  const isStatement = IN_SESSION.has(keyword) || SILENT.has(keyword) || STATEMENTS.has(keyword);
  const second = first + 1;
  switch (tokens.kind(second)) {
    case TokenKind.word:
      return !isStatement && AFTER_OPERAND.has(tokens.written(second).toUpperCase()) ? 'likely' : undefined;
    case TokenKind.end:
      return isStatement ? undefined : 'likely';
    case TokenKind.quotedName:
    case TokenKind.number:
      return undefined;
    case TokenKind.string:
      return keyword === 'X' || keyword === 'B' ? 'surely' : undefined;
    case TokenKind.open:
      // `{t:Identifier}` is a name.
      return tokens.isCharacter(second, '{') ? undefined : 'surely';
    default:
      return 'surely';
  }
}

// Returns whether two words follow each other outside brackets. What `... PARALLEL WITH ...` joins is not examined.
function joins(tokens: Tokens, outerWords: readonly number[], first: string, second: string): boolean {
  return outerWords.some(index => tokens.isWord(index, first) && tokens.isWord(index + 1, second));
}

/**
 * Returns the name of the table that `CREATE [OR REPLACE] TEMPORARY TABLE [IF NOT EXISTS] name` makes, if its rows stay
 * in the session. With ENGINE = URL, S3 and the like, or AS some_function(), an INSERT into it would leave a trace.
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
