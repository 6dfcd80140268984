import { TokenKind } from './lexer/lexer.js';
import type { Tokens } from './lexer/tokens.js';
import type { SessionChange } from './statement.js';

/** A {@link SessionChange}, with what is only needed to read the rest of the file. */
export interface SetStatement extends SessionChange {
  /** For `SET dialect = 'x'`: whether what follows is no longer ClickHouse's own SQL. */
  readonly foreignDialect: boolean | undefined;
}

/**
 * Returns what a SET changes in its session, from its tokens; `undefined` for every other statement.
 *
 * `SET a = 1, b = DEFAULT, c` (short for `c = 1`), with bare or quoted names and values of any kind,
 * `SET TIME ZONE 'x'`, `SET [DEFAULT] ROLE ...`, `SET TRANSACTION SNAPSHOT n`.
 */
export function readSet(tokens: Tokens): SetStatement | undefined {
  // `EXECUTE AS user`, without a statement of its own, applies to everything that follows.
  if (tokens.isWord(0, 'EXECUTE') && tokens.length === 3) {
    return { names: [], others: true, foreignDialect: undefined };
  }
  if (!tokens.isWord(0, 'SET')) return undefined;
  const names: string[] = [];
  let others = false;
  let foreignDialect: boolean | undefined;
  if (tokens.isWord(1, 'TIME') && tokens.isWord(2, 'ZONE')) names.push('session_timezone');
  else if (tokens.isWord(1, 'ROLE') && !tokens.isCharacter(2, '=')) others = true;
  else if (tokens.isWord(2, 'ROLE') || tokens.isWord(2, 'SNAPSHOT')) {
    // One is stored with a user, the other belongs to a transaction: neither changes a setting.
  } else {
    for (let item = 1; item < tokens.length; item = nextItem(tokens, item, tokens.length)) {
      const name = tokens.name(item);
      if (name === undefined || !endsName(tokens, item + 1)) others = true;
      else names.push(name);
      if (name === 'dialect') foreignDialect = !/^['‘]clickhouse['’]$/i.test(lastOf(tokens, item));
    }
  }
  // A profile brings settings of its own, and with `readonly` nothing can be changed any more.
  others ||= names.includes('profile') || names.includes('readonly');
  return { names, others, foreignDialect };
}

/**
 * Returns the names in a SETTINGS clause that begins at token `index` (the word SETTINGS) and ends before token
 * `end`. It may return more: what follows commas in whatever comes after the clause.
 */
export function namesInClause(tokens: Tokens, index: number, end: number): readonly string[] {
  const names: string[] = [];
  for (let item = index + 1; item < end; item = nextItem(tokens, item, end)) {
    const name = tokens.name(item);
    if (name !== undefined) names.push(name);
  }
  return names;
}

// Returns the index after the next comma outside brackets; the end if a bracket that was opened earlier closes first.
function nextItem(tokens: Tokens, index: number, end: number): number {
  let depth = 0;
  for (let at = index; at < end; at += 1) {
    const kind = tokens.kind(at);
    if (kind === TokenKind.open) depth += 1;
    else if (kind === TokenKind.close) depth -= 1;
    else if (kind === TokenKind.comma && depth === 0) return at + 1;
    if (depth < 0) break;
  }
  return end;
}

// Returns the last token of an item, which is its whole value if that is a literal.
function lastOf(tokens: Tokens, item: number): string {
  const next = nextItem(tokens, item, tokens.length);
  return tokens.written(next - (tokens.kind(next - 1) === TokenKind.comma ? 2 : 1));
}

function endsName(tokens: Tokens, index: number): boolean {
  return index >= tokens.length || tokens.kind(index) === TokenKind.comma || tokens.isCharacter(index, '=');
}
