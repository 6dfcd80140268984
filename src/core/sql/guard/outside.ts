import {
  type EmbeddedAccess,
  FILE_LAYOUTS,
  OUTSIDE_ENGINES,
  OUTSIDE_FUNCTIONS,
  OUTSIDE_SOURCES,
} from '../../engines/embedded/access.js';
import type { Parameters, Settings } from '../../model.js';
import { wordSet } from '../../text/words.js';
import { READS_ONLY } from '../classify.js';
import { TokenKind } from '../lexer/lexer.js';
import type { Tokens } from '../lexer/tokens.js';
import type { Statement } from '../statement.js';
import { CONDITIONS, conditionUse, firstUse, type OutsideUse, type Seen, valuesUse } from './unguarded.js';

/** The name of the engine's function file(), which qrun closes with a definition that replaces it. */
export const CLOSED_FUNCTION = 'file';

// What a query can contain that is searched for; a backslash may spell any of it in a quoted name.
const SUSPECT = /infile|settings|\bformat\b|\\/i;
// The data of these consists of expressions; also if the name of the format is written with escapes.
const VALUES = /(?:\bvalues\b|\\)[^(]{0,200}$/i;
// A source inside the engine, and the one that is inside as long as it names no host.
const INSIDE_SOURCE = 'null';
const OWN_SOURCE = 'clickhouse';
const OWN_SOURCE_KEYS = wordSet(
  'db table user password query where invalidate_query update_field update_lag',
);

/** What is sent with a statement. */
export interface SentWith {
  readonly parameters: Parameters;
  readonly settings: readonly Settings[];
}

function conditions(text: string, { parameters, settings }: SentWith): string[] {
  const values = settings.flatMap(each => Object.entries(each).filter(([name]) => CONDITIONS.has(name)));
  // `SETTINGS additional_result_filter = {a:String}`
  if (/\{/.test(text) && /additional_|\\/.test(text)) values.push(...Object.entries(parameters));
  return values.map(([, value]) => value);
}

/**
 * Returns the first thing in a statement that reaches outside unseen by the engine's own access control and that
 * `access` does not allow; `undefined` if there is none. `sent` is what is sent with it. Linear in the text; a plain
 * query is not examined.
 *
 * The engine itself refuses table functions, sources and settings. It does not check: engines that start programs or
 * keep files anywhere, sources and layouts of dictionaries, disks in a definition, ATTACH from a path, FROM INFILE,
 * DROP of the function that replaces file(), and settings within a query (see {@link firstUse}).
 */
export function outsideUse(
  statement: Statement,
  access: EmbeddedAccess,
  sent: SentWith = { parameters: {}, settings: [] },
): OutsideUse | undefined {
  const { text, data, readOnly, keyword } = statement;
  for (const value of conditions(text, sent)) {
    const use = conditionUse(value, access);
    if (use !== undefined) return use;
  }
  // These only read what the engine's grants let them read.
  const isQuery = READS_ONLY.has(keyword);
  if (readOnly && isQuery && !SUSPECT.test(text)) return undefined;
  // What a definition stores is read again when the directory is opened: report it now, not then.
  const isDefinition = !isQuery && keyword !== 'INSERT' && keyword !== 'WITH';
  const use = firstUse(
    text,
    access,
    (tokens, index, seen) =>
      useAt(tokens, index, seen) ??
      attachedAt(tokens, index, seen) ??
      (isDefinition ? storedUseAt(tokens, index) : undefined),
  );
  if (use !== undefined || data === undefined || !SUSPECT.test(data) || !VALUES.test(text)) return use;
  return valuesUse(data, access);
}

/**
 * Returns the same for a definition or a change as it is stored in a data directory. This includes table functions, and
 * views that run with rights other than the caller's: nothing checks these when a directory is opened.
 *
 * Throws QrunError `SQL_INVALID` for a text that is not SQL.
 */
export function outsideInStored(text: string, access: EmbeddedAccess): OutsideUse | undefined {
  return firstUse(
    text,
    access,
    (tokens, index, seen) => useAt(tokens, index, seen) ?? storedUseAt(tokens, index),
  );
}

function useAt(tokens: Tokens, index: number, seen: Seen): OutsideUse | undefined {
  if (tokens.isCharacter(index, '(')) return diskAt(tokens, index - 1);
  if (tokens.kind(index) !== TokenKind.word) return undefined;
  switch (tokens.written(index).toUpperCase()) {
    case 'ENGINE':
      return !seen.definition
        ? undefined
        : engineAt(tokens, tokens.isCharacter(index + 1, '=') ? index + 2 : index + 1);
    case 'SOURCE':
      return tokens.isCharacter(index + 1, '(') && seen.dictionary ? sourceAt(tokens, index + 2) : undefined;
    case 'LAYOUT':
      return tokens.isCharacter(index + 1, '(') && seen.dictionary ? layoutAt(tokens, index + 2) : undefined;
    case 'INFILE':
      return tokens.isWord(index - 1, 'FROM') ? { what: 'FROM INFILE', needed: 'files' } : undefined;
    case 'FUNCTION':
      return droppedFunctionAt(tokens, index);
    default:
      return undefined;
  }
}

// Nobody needs a name with escapes, and it could stand for any name.
function escaped(tokens: Tokens, index: number): boolean {
  return tokens.kind(index) === TokenKind.quotedName && tokens.name(index) === undefined;
}

function engineAt(tokens: Tokens, index: number): OutsideUse | undefined {
  if (escaped(tokens, index)) return { what: `the engine ${tokens.written(index)}`, needed: 'both' };
  const name = tokens.name(index);
  const needed = name === undefined ? undefined : OUTSIDE_ENGINES.get(name.toLowerCase());
  return needed === undefined ? undefined : { what: `the engine ${name}`, needed };
}

function diskAt(tokens: Tokens, index: number): OutsideUse | undefined {
  if (!tokens.isCharacter(index - 1, '=')) return undefined;
  const isDisk = escaped(tokens, index) || tokens.name(index)?.toLowerCase() === 'disk';
  return isDisk ? { what: 'a disk in a definition', needed: 'both' } : undefined;
}

function sourceAt(tokens: Tokens, index: number): OutsideUse | undefined {
  const name = tokens.name(index)?.toLowerCase();
  const what = `the dictionary source ${tokens.written(index)}`;
  if (name === INSIDE_SOURCE) return undefined;
  if (name === OWN_SOURCE && isOwnSource(tokens, index + 1)) return undefined;
  return { what, needed: (name === undefined ? undefined : OUTSIDE_SOURCES.get(name)) ?? 'both' };
}

// `(key value key value ...)`, where no key names another server.
function isOwnSource(tokens: Tokens, open: number): boolean {
  if (!tokens.isCharacter(open, '(')) return false;
  for (let at = open + 1; !tokens.isCharacter(at, ')'); at += 2) {
    const key = tokens.name(at)?.toLowerCase();
    if (key === undefined || !OWN_SOURCE_KEYS.has(key)) return false;
    if (!tokens.isName(at + 1) && tokens.kind(at + 1) !== TokenKind.string) return false;
  }
  return true;
}

function layoutAt(tokens: Tokens, index: number): OutsideUse | undefined {
  const name = tokens.name(index)?.toLowerCase();
  if (!escaped(tokens, index) && (name === undefined || !FILE_LAYOUTS.has(name))) return undefined;
  return { what: `the dictionary layout ${tokens.written(index)}`, needed: 'files' };
}

function droppedFunctionAt(tokens: Tokens, index: number): OutsideUse | undefined {
  if (!tokens.isWord(index - 1, 'DROP')) return undefined;
  const at = tokens.isWord(index + 1, 'IF') ? index + 3 : index + 1;
  const isClosed = escaped(tokens, at) || tokens.name(at) === CLOSED_FUNCTION;
  return isClosed ? { what: `DROP FUNCTION ${tokens.written(at)}`, needed: 'files' } : undefined;
}

function attachedAt(tokens: Tokens, index: number, seen: Seen): OutsideUse | undefined {
  const isPath = tokens.isWord(index, 'FROM') && tokens.kind(index + 1) === TokenKind.string;
  if (!isPath || !seen.attach) return undefined;
  return { what: 'ATTACH ... FROM a path', needed: 'files' };
}

function storedUseAt(tokens: Tokens, index: number): OutsideUse | undefined {
  if (tokens.isWord(index, 'SECURITY') && tokens.isWord(index - 1, 'SQL')) {
    return tokens.isWord(index + 1, 'NONE') ? { what: 'SQL SECURITY NONE', needed: 'both' } : undefined;
  }
  if (!tokens.isName(index) || !tokens.isCharacter(index + 1, '(')) return undefined;
  if (isNamedHere(tokens, index)) return undefined;
  if (escaped(tokens, index)) return { what: `the function ${tokens.written(index)}`, needed: 'both' };
  const name = tokens.name(index) ?? '';
  const needed = OUTSIDE_FUNCTIONS.get(name.toLowerCase());
  return needed === undefined ? undefined : { what: `the function ${name}`, needed };
}

const BEFORE_NAMES = wordSet('TABLE VIEW DICTIONARY FUNCTION EXISTS INTO TO PROJECTION INDEX');

// Returns whether it is the name of what is defined, followed by columns or the like, and not a function.
function isNamedHere(tokens: Tokens, index: number): boolean {
  if (tokens.kind(index - 1) === TokenKind.dot) return true;
  return (
    tokens.kind(index - 1) === TokenKind.word && BEFORE_NAMES.has(tokens.written(index - 1).toUpperCase())
  );
}
