import { QrunError } from '../../errors.js';
import { Lexer, TokenKind } from './lexer.js';
import { sqlInvalid } from './position.js';

// A byte that is not part of a UTF-8 character is represented in a string by this code unit plus the byte: a lone
// surrogate. Decoded UTF-8 never contains one, so nothing is lost on the way back.
const RAW = 0xdc00;
const RAW_BYTES = /[\udc80-\udcff]+/gu;

/**
 * Returns the SQL in a file's bytes, without a UTF-8 byte order mark. Bytes that are not UTF-8 (a comment or a string
 * in Latin-1) become lone surrogates, from which {@link encodeSql} makes the same bytes again.
 *
 * Throws QrunError `SQL_INVALID`, with the place in the message, for UTF-16 and for NUL bytes: ClickHouse refuses both,
 * and not always with a message that says why.
 */
export function decodeSql(bytes: Uint8Array): string {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new QrunError('SQL_INVALID', '1:1: the file is UTF-16: it begins with a UTF-16 byte order mark', {
      hint: 'save the file as UTF-8',
    });
  }
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(hasMark ? 3 : 0);
  const decoded = text.toString('utf8');
  // The decoder writes U+FFFD for what it cannot read; almost no file contains one.
  const sql = decoded.includes('\ufffd') ? decodeBytes(text) : decoded;
  const nul = sql.indexOf('\0');
  if (nul === -1) return sql;
  throw sqlInvalid(
    sql,
    nul,
    'the file holds a NUL byte',
    'if an editor saved it as UTF-16, save it as UTF-8',
  );
}

// As UTF-16, in one piece: pieces of a string cost ten times as much, and a file may be a dump of a megabyte.
function decodeBytes(bytes: Buffer): string {
  const units = Buffer.allocUnsafe(bytes.length * 2);
  let end = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length > 1) end += units.write(bytes.toString('utf8', at, at + length), end, 'utf16le');
    else end = units.writeUInt16LE((length === 0 ? RAW : 0) + (bytes[at] ?? 0), end);
    at += length || 1;
  }
  return units.toString('utf16le', 0, end);
}

// The length of the UTF-8 character that begins at `at`; 0 if none does (Table 3-7 of the Unicode standard).
function characterLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const second = bytes[at + 1] ?? 0;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let next = 2; next < length; next += 1) {
    const byte = bytes[at + next] ?? 0;
    if (byte < 0x80 || byte > 0xbf) return 0;
  }
  return length;
}

/** Returns whether a string from {@link decodeSql} contains bytes that are not UTF-8. */
export function hasRawBytes(sql: string): boolean {
  return !sql.isWellFormed();
}

/** Returns what is sent for a string from {@link decodeSql}, or for a piece of one: the exact bytes of the file. */
export function encodeSql(sql: string): string | Buffer {
  if (!hasRawBytes(sql)) return sql;
  // byteLength counts a raw byte as the three bytes of a character.
  const bytes = Buffer.allocUnsafe(Buffer.byteLength(sql));
  let end = 0;
  for (let at = 0; at < sql.length; at += 1) {
    const unit = sql.codePointAt(at) as number;
    if (unit < 0x80) end = bytes.writeUInt8(unit, end);
    // The low half of the code unit is the byte.
    else if (unit >= 0xdc80 && unit <= 0xdcff) end = bytes.writeUInt8(unit - RAW, end);
    else {
      const character = String.fromCodePoint(unit);
      end += bytes.write(character, end);
      at += character.length - 1;
    }
  }
  return bytes.subarray(0, end);
}

/**
 * Returns SQL that means the same to ClickHouse and contains no raw bytes, for an engine that accepts only UTF-8: in
 * strings and quoted names `\xE9` stands for the byte, in comments a question mark. For SQL that was parsed, and for
 * the data after VALUES.
 */
export function escapeRawBytes(sql: string): string {
  if (!hasRawBytes(sql)) return sql;
  const lexer = new Lexer(sql);
  let escaped = '';
  let from = 0;
  for (;;) {
    const kind = lexer.next();
    escaped += sql.slice(from, lexer.start).replace(RAW_BYTES, '?');
    from = lexer.end;
    if (kind === TokenKind.end) return escaped;
    const token = sql.slice(lexer.start, lexer.end);
    escaped += hasRawBytes(token) ? escapeToken(token) : token;
  }
}

function escapeToken(token: string): string {
  const quote = token.charAt(0);
  if (quote === "'" || quote === '"' || quote === '`') {
    // A backslash before any other character is a backslash.
    return token.replace(/(\\?)([\udc80-\udcff]+)|\\./gsu, (part, backslash: string, raw?: string) =>
      raw === undefined ? part : `${backslash}${backslash}${hexOf(raw)}`,
    );
  }
  // A heredoc or curly quotes, in which nothing is escaped.
  const mark = quote === '$' ? token.indexOf('$', 1) + 1 : 1;
  const inner = token.slice(mark, -mark).replaceAll('\\', '\\\\');
  const escaped = inner.replace(RAW_BYTES, hexOf);
  return quote === '\u201c' ? `"${escaped.replaceAll('"', '\\"')}"` : `'${escaped.replaceAll("'", "\\'")}'`;
}

// `\x80` to `\xFF`. A table, because formatting the digits of each byte of a large file takes a second.
const ESCAPES = Array.from({ length: 0x80 }, (_, n) => `\\x${(0x80 + n).toString(16).toUpperCase()}`);

function hexOf(raw: string): string {
  let text = '';
  for (let at = 0; at < raw.length; at += 1) text += ESCAPES[raw.charCodeAt(at) - RAW - 0x80];
  return text;
}
