import {
  type AccessNeeded,
  type EmbeddedAccess,
  GUARDED_SETTINGS,
  isAllowed,
} from '../../engines/embedded/access.js';
import { wordSet } from '../../text/words.js';
import { Lexer, TokenKind } from '../lexer/lexer.js';
import { Tokens } from '../lexer/tokens.js';
import { literalValue } from './secrets.js';

/** Something outside the data that a text wants, and what must be allowed for that. */
export interface OutsideUse {
  /** As a message names it: `the table engine URL`. */
  readonly what: string;
  readonly needed: AccessNeeded;
}

/** Words that came before a place in a text. */
export interface Seen {
  /** SETTINGS or SET. */
  settings: boolean;
  dictionary: boolean;
  attach: boolean;
  /** CREATE, ATTACH or REPLACE. */
  definition: boolean;
  /** Something whose strings are SQL: DICTIONARY, or the name of a setting that is a condition. */
  sql: boolean;
}

/** Returns what is found at one place of a text. */
export type UseAt = (tokens: Tokens, index: number, seen: Seen) => OutsideUse | undefined;

/** The settings whose values are SQL. */
export const CONDITIONS = wordSet('additional_result_filter additional_table_filters');
const BEFORE_TABLES = wordSet('FROM JOIN TABLE AS FUNCTION ELSE DESCRIBE DESC IN INTO');
// Strings without any of these need no inspection.
const SUSPECT = /settings|\bformat\b|\\/i;
// Strings nested in strings: nobody writes more levels, and each takes time again.
const MAX_DEPTH = 8;

/**
 * Returns the first use of something outside that `access` does not allow: what `at` finds, and what the engine does
 * not guard wherever it is:
 *
 * - a guarded setting after SETTINGS in a subquery, a view or a dictionary, where the engine checks no constraint;
 * - the table function format() with expressions that cannot be examined: a string in the format Values is SQL, and one
 *   that is put together at run time could contain such a subquery;
 * - both of these in strings that are SQL: queries of dictionaries, and the settings that are conditions.
 *
 * Linear in the text. Throws QrunError `SQL_INVALID` for a text that is not SQL.
 */
export function firstUse(text: string, access: EmbeddedAccess, at: UseAt): OutsideUse | undefined {
  return scan(text, access, 0, { at, isPart: false, isSql: false });
}

/** Returns the same for the data of VALUES, which are expressions. */
export function valuesUse(data: string, access: EmbeddedAccess): OutsideUse | undefined {
  return scan(data, access, 0, { at: undefined, isPart: true, isSql: false });
}

/** Returns the same for the value of one of the settings in {@link CONDITIONS}, or of a parameter that may be one. */
export function conditionUse(value: string, access: EmbeddedAccess): OutsideUse | undefined {
  return scan(value, access, 0, { at: undefined, isPart: true, isSql: true });
}

interface How {
  readonly at: UseAt | undefined;
  /** Whether a text that stops being SQL at some place is examined up to there. */
  readonly isPart: boolean;
  /** Whether all strings in it may be SQL. */
  readonly isSql: boolean;
}

function scan(text: string, access: EmbeddedAccess, depth: number, how: How): OutsideUse | undefined {
  const tokens = new Tokens(text);
  try {
    lex(tokens, how.isPart);
    const seen = { settings: false, dictionary: false, attach: false, definition: false, sql: how.isSql };
    const formats = new Formats(tokens);
    for (let index = 0; index < tokens.length; index += 1) {
      const use =
        how.at?.(tokens, index, seen) ??
        settingAt(tokens, index, seen) ??
        formats.useAt(index, inner => innerUse(inner, access, depth));
      if (use !== undefined && !isAllowed(use.needed, access)) return use;
      if (seen.sql && tokens.kind(index) === TokenKind.string) {
        const inner = innerUse(tokens.written(index), access, depth);
        if (inner !== undefined) return inner;
      }
      note(tokens, index, seen);
    }
    return undefined;
  } finally {
    tokens.release();
  }
}

function lex(tokens: Tokens, isPart: boolean): void {
  const lexer = new Lexer(tokens.text);
  try {
    for (let kind = lexer.next(); kind !== TokenKind.end; kind = lexer.next()) tokens.push(kind, lexer);
  } catch (error) {
    // The engine reads no further either, but it reads rows of VALUES before such a place.
    if (!isPart) throw error;
  }
}

function innerUse(written: string, access: EmbeddedAccess, depth: number): OutsideUse | undefined {
  const text = meaning(written);
  if (!SUSPECT.test(text)) return undefined;
  if (depth < MAX_DEPTH) return scan(text, access, depth + 1, { at: undefined, isPart: true, isSql: true });
  const use: OutsideUse = { what: 'a string nested this deeply', needed: 'both' };
  return isAllowed(use.needed, access) ? undefined : use;
}

// Returns the value of a string or a quoted name.
function meaning(written: string): string {
  const [tag = ''] = /^\$\w*\$/.exec(written) ?? [];
  if (tag !== '') return written.slice(tag.length, -tag.length);
  const inner = written.slice(1, -1);
  return /^['"`]/.test(written) ? literalValue(inner) : inner;
}

function nameAt(tokens: Tokens, index: number): string | undefined {
  if (tokens.kind(index) === TokenKind.quotedName) return meaning(tokens.written(index));
  return tokens.kind(index) === TokenKind.word ? tokens.written(index) : undefined;
}

function note(tokens: Tokens, index: number, seen: Seen): void {
  const is = (word: string): boolean => tokens.isWord(index, word);
  if (is('SETTINGS') || is('SET')) seen.settings = true;
  else if (is('DICTIONARY')) {
    seen.dictionary = true;
    seen.sql = true;
  } else if (is('ATTACH')) {
    seen.attach = true;
    seen.definition = true;
  } else if (is('CREATE') || is('REPLACE')) seen.definition = true;
  else if (seen.settings && !seen.sql && CONDITIONS.has(nameAt(tokens, index) ?? '')) seen.sql = true;
}

function settingAt(tokens: Tokens, index: number, seen: Seen): OutsideUse | undefined {
  if (!seen.settings) return undefined;
  const name = nameAt(tokens, index) ?? '';
  const needed = GUARDED_SETTINGS.get(name);
  if (needed === undefined) return undefined;
  // `SETTINGS a = 1, b`: the second one is switched on.
  const isBehind =
    tokens.isWord(index - 1, 'SETTINGS') ||
    tokens.isWord(index - 1, 'SET') ||
    tokens.kind(index - 1) === TokenKind.comma ||
    tokens.isCharacter(index - 1, '(');
  return isBehind || tokens.isCharacter(index + 1, '=') ? { what: `the setting ${name}`, needed } : undefined;
}

/** Calls of format(), which is both a table function and a string function. */
class Formats {
  readonly #tokens: Tokens;
  // In lower case; without the names that follow FORMAT.
  #otherNames: ReadonlySet<string> | undefined;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
  }

  useAt(index: number, innerUse: (written: string) => OutsideUse | undefined): OutsideUse | undefined {
    const tokens = this.#tokens;
    if (!tokens.isCharacter(index + 1, '(') || nameAt(tokens, index)?.toLowerCase() !== 'format')
      return undefined;
    const first = index + 2;
    const end = tokens.kind(first + 1);
    if (tokens.isCharacter(first, ')')) return undefined;
    const isString = tokens.kind(first) === TokenKind.string;
    const name = (isString ? meaning(tokens.written(first)) : nameAt(tokens, first))?.toLowerCase();
    const isPlain = end === TokenKind.comma || end === TokenKind.close;
    if (name === undefined || !isPlain || (!isString && this.#isNamedElsewhere(name))) {
      if (!this.#mayBeTable(index)) return undefined;
      return { what: 'format() with a computed format', needed: 'both' };
    }
    if (name !== 'values') return undefined;
    for (let at = first + 1; tokens.kind(at) === TokenKind.comma; at += 2) {
      const argument = at + 1;
      const behind = tokens.kind(argument + 1);
      if (
        tokens.kind(argument) !== TokenKind.string ||
        (behind !== TokenKind.comma && behind !== TokenKind.close)
      )
        return { what: 'format() with computed values', needed: 'both' };
      const use = innerUse(tokens.written(argument));
      if (use !== undefined) return use;
    }
    return undefined;
  }

  // After SELECT, an operator and the like it is the string function.
  #mayBeTable(index: number): boolean {
    const tokens = this.#tokens;
    const kind = tokens.kind(index - 1);
    if (kind === TokenKind.word) return BEFORE_TABLES.has(tokens.written(index - 1).toUpperCase());
    return kind === TokenKind.end || kind === TokenKind.comma || tokens.isCharacter(index - 1, '(');
  }

  // An alias may stand for any name, and `{a:Identifier}` for any alias.
  #isNamedElsewhere(name: string): boolean {
    this.#otherNames ??= this.#namesElsewhere();
    return this.#otherNames.has(name) || this.#otherNames.has('identifier');
  }

  #namesElsewhere(): ReadonlySet<string> {
    const tokens = this.#tokens;
    const names = new Set<string>();
    for (let index = 0; index < tokens.length; index += 1) {
      const name = nameAt(tokens, index);
      const before = tokens.isCharacter(index - 1, '(') ? index - 2 : index - 1;
      if (name !== undefined && !tokens.isWord(before, 'FORMAT')) names.add(name.toLowerCase());
    }
    return names;
  }
}
