import { QrunError } from '../errors.js';
import { Lexer, TokenKind } from './lexer.js';
import { sqlInvalid } from './position.js';

// A byte that belongs to no UTF-8 character stands in a text as this code unit plus the byte: a lone surrogate, which
// no decoded UTF-8 holds, so that nothing is lost on the way back.
const RAW = 0xdc00;
const RAW_BYTE = /[\udc80-\udcff]/gu;

/**
 * The SQL in a file's bytes, without a UTF-8 byte order mark. Bytes that are not UTF-8 (a comment or a string in
 * Latin-1) stand in it as lone surrogates, from which {@link encodeSql} makes the same bytes again.
 *
 * Throws QrunError `SQL_INVALID`, with the place in the message, for UTF-16 and for NUL bytes: ClickHouse refuses
 * both, and not always with a message that tells why.
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
  // The decoder puts U+FFFD in place of what it cannot read; nearly no file holds one.
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

function decodeBytes(bytes: Buffer): string {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length === 0) {
      parts.push(bytes.toString('utf8', from, at), String.fromCharCode(RAW + (bytes[at] ?? 0)));
      from = at + 1;
    }
    at += length || 1;
  }
  return parts.join('') + bytes.toString('utf8', from);
}

// The length of the UTF-8 character that begins at `at`, 0 where none does (Table 3-7 of the Unicode standard).
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

/** Whether a text of {@link decodeSql} holds bytes that are not UTF-8. */
export function hasRawBytes(sql: string): boolean {
  return !sql.isWellFormed();
}

/** What goes over the wire for a text of {@link decodeSql}, or for a piece of one: the very bytes of the file. */
export function encodeSql(sql: string): string | Buffer {
  return hasRawBytes(sql) ? Buffer.concat([...pieces(sql)]) : sql;
}

function* pieces(sql: string): Generator<Buffer> {
  let from = 0;
  for (const { 0: raw, index } of sql.matchAll(RAW_BYTE)) {
    yield Buffer.from(sql.slice(from, index));
    yield Buffer.of(raw.charCodeAt(0) - RAW);
    from = index + 1;
  }
  yield Buffer.from(sql.slice(from));
}

/**
 * SQL that means the same to ClickHouse and holds no raw bytes, for an engine that takes only UTF-8: in strings and
 * quoted names `\xE9` stands for the byte, in comments a question mark. It is for SQL that was parsed, and for the data
 * behind VALUES.
 */
export function escapeRawBytes(sql: string): string {
  if (!hasRawBytes(sql)) return sql;
  const lexer = new Lexer(sql);
  let escaped = '';
  let from = 0;
  for (;;) {
    const kind = lexer.next();
    escaped += sql.slice(from, lexer.start).replace(RAW_BYTE, '?');
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
    return token.replace(/\\?[\udc80-\udcff]|\\./gsu, part => {
      if (!hasRawBytes(part)) return part;
      return part.length === 1 ? `\\x${hex(part)}` : `\\\\\\x${hex(part.slice(1))}`;
    });
  }
  // A heredoc or curly quotes, in which nothing is escaped.
  const mark = quote === '$' ? token.indexOf('$', 1) + 1 : 1;
  const inner = token
    .slice(mark, -mark)
    .replaceAll('\\', '\\\\')
    .replace(RAW_BYTE, raw => `\\x${hex(raw)}`);
  return quote === '\u201c' ? `"${inner.replaceAll('"', '\\"')}"` : `'${inner.replaceAll("'", "\\'")}'`;
}

function hex(raw: string): string {
  return (raw.charCodeAt(0) - RAW).toString(16).padStart(2, '0').toUpperCase();
}
