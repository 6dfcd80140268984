import { sqlInvalid } from './position.js';

/** The kind of a token. Comments and white space are not tokens. */
export const TokenKind = {
  end: 0,
  /** A keyword or a bare identifier. */
  word: 1,
  number: 2,
  /** `'...'`, `‘...’` or a heredoc. */
  string: 3,
  /** `"..."`, `` `...` `` or `“...”`. */
  quotedName: 4,
  /** `(`, `[` or `{`. */
  open: 5,
  /** `)`, `]` or `}`. */
  close: 6,
  comma: 7,
  dot: 8,
  star: 9,
  /** `;`, and `\G`, which ends a statement in clickhouse-client. */
  terminator: 10,
  /** Any other character, one token each; including those that ClickHouse refuses, which is left to ClickHouse. */
  other: 11,
} as const;

/** One of the values of {@link TokenKind}. */
export type TokenKind = (typeof TokenKind)[keyof typeof TokenKind];

const SPACE = 1;
const LETTER = 2;
const DIGIT = 3;
// The character class of each ASCII code; 0 is everything else.
const CLASS = new Uint8Array(128);
for (const code of [9, 10, 11, 12, 13, 32]) CLASS[code] = SPACE;
for (let code = 48; code <= 57; code += 1) CLASS[code] = DIGIT;
for (let code = 65; code <= 90; code += 1) CLASS[code] = LETTER;
for (let code = 97; code <= 122; code += 1) CLASS[code] = LETTER;
CLASS[95] = LETTER;

// What ClickHouse skips as white space outside ASCII, including the byte order mark.
const UNICODE_SPACE = /[\u0085\u00a0\u180e\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]/;

const EXCLAMATION = 33;
const DOUBLE_QUOTE = 34;
const HASH = 35;
const DOLLAR = 36;
const SINGLE_QUOTE = 39;
const STAR = 42;
const COMMA = 44;
const MINUS = 45;
const PLUS = 43;
const DOT = 46;
const SLASH = 47;
const SEMICOLON = 59;
const BACKSLASH = 92;
const BACK_QUOTE = 96;
const UPPER_G = 71;
const UPPER_E = 69;
const CURLY_SINGLE = 0x2018;
// A byte that is not UTF-8, as decodeSql returns it. The code unit may also be half of a character.
const FIRST_RAW = 0xdc80;
const LAST_RAW = 0xdcff;
const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;
const CURLY_DOUBLE = 0x201c;

// The kind of each ASCII character that is always a token by itself; 0 is everything else.
const MARKS = new Uint8Array(128);
for (const mark of '([{') MARKS[mark.charCodeAt(0)] = TokenKind.open;
for (const mark of ')]}') MARKS[mark.charCodeAt(0)] = TokenKind.close;
MARKS[COMMA] = TokenKind.comma;
MARKS[DOT] = TokenKind.dot;
MARKS[STAR] = TokenKind.star;
MARKS[SEMICOLON] = TokenKind.terminator;

/**
 * A pull tokenizer for SQL with the rules of ClickHouse 26.7: `--`, `//`, `# ` and `#!` comments to the end of the
 * line, nested block comments, backslash and doubled-quote escapes in all three quotes, curly quotes, heredocs.
 *
 * After each `next()`, `start` and `end` are the UTF-16 offsets of the token. `position` is where the search for the
 * next one begins; the caller may move it to skip inline data. Time is linear in the text.
 *
 * Throws QrunError `SQL_INVALID` for a quote, heredoc or comment that is never closed, and for a byte that is not UTF-8
 * outside quotes and comments, which no version of ClickHouse reads.
 */
export class Lexer {
  readonly text: string;
  position = 0;
  start = 0;
  end = 0;
  /** Offsets at which `--` comments begin, in order: per-query overrides are in such comments. */
  readonly dashComments: number[] = [];

  constructor(text: string) {
    this.text = text;
  }

  /** Returns the kind of the next token; `TokenKind.end` at the end of the text, however often it is called. */
  next(): TokenKind {
    const { text } = this;
    let at = this.position;
    while (at < text.length) {
      const code = text.charCodeAt(at);
      const characterClass = code < 128 ? CLASS[code] : 0;
      if (characterClass === SPACE) {
        at += 1;
        continue;
      }
      if (characterClass === LETTER) return this.#token(TokenKind.word, at, this.#wordEnd(at + 1));
      if (characterClass === DIGIT) return this.#number(at);
      const next = this.#afterBlank(at, code);
      if (next === at) return this.#punctuation(at, code);
      at = next;
    }
    return this.#token(TokenKind.end, at, at);
  }

  #token(kind: TokenKind, start: number, end: number): TokenKind {
    this.start = start;
    this.end = end;
    this.position = end;
    return kind;
  }

  // Returns the offset after a comment or a white-space character outside ASCII; `at` itself if there is neither.
  #afterBlank(at: number, code: number): number {
    const { text } = this;
    if (code >= 128) return UNICODE_SPACE.test(text.charAt(at)) ? at + 1 : at;
    const following = text.charCodeAt(at + 1);
    if (code === MINUS && following === MINUS) {
      this.dashComments.push(at);
      return this.#lineEnd(at);
    }
    if (code === SLASH && following === SLASH) return this.#lineEnd(at);
    if (code === SLASH && following === STAR) return this.#blockCommentEnd(at);
    // `#` alone is an error in ClickHouse; only a blank or `!` after it makes a comment.
    if (code === HASH && (following === 32 || following === EXCLAMATION)) return this.#lineEnd(at);
    return at;
  }

  #lineEnd(at: number): number {
    const lineFeed = this.text.indexOf('\n', at);
    return lineFeed === -1 ? this.text.length : lineFeed;
  }

  #blockCommentEnd(at: number): number {
    const marks = /\/\*|\*\//g;
    marks.lastIndex = at + 2;
    for (let depth = 1; ; ) {
      const mark = marks.exec(this.text);
      if (mark === null) throw sqlInvalid(this.text, at, 'the comment that /* opens here is not closed');
      depth += mark[0] === '/*' ? 1 : -1;
      if (depth === 0) return marks.lastIndex;
    }
  }

  #wordEnd(at: number): number {
    for (;;) {
      at = this.#wordCharactersEnd(at);
      if (this.text.charCodeAt(at) !== DOLLAR) return at;
      at += 1;
    }
  }

  #wordCharactersEnd(at: number): number {
    const { text } = this;
    for (; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code >= 128 || (CLASS[code] ?? 0) < LETTER) break;
    }
    return at;
  }

  // Numbers are only skipped, so that the dot and the sign in `1.`, `.5e-3` and `t.1.2` are not operators.
  // As in ClickHouse, `1abc` is one bare word and a `$` does not belong to it.
  #number(at: number): TokenKind {
    const { text } = this;
    let end = this.#wordCharactersEnd(at);
    if (text.charCodeAt(end) === DOT) end = this.#wordCharactersEnd(end + 1);
    const sign = text.charCodeAt(end);
    const isExponent = (text.charCodeAt(end - 1) & 0xdf) === UPPER_E && (sign === MINUS || sign === PLUS);
    if (isExponent && CLASS[text.charCodeAt(end + 1)] === DIGIT) end = this.#wordCharactersEnd(end + 1);
    return this.#token(TokenKind.number, at, end);
  }

  #punctuation(at: number, code: number): TokenKind {
    const mark = code < 128 ? (MARKS[code] as TokenKind) : 0;
    if (mark !== 0) return this.#token(mark, at, at + 1);
    switch (code) {
      case SINGLE_QUOTE:
        return this.#token(TokenKind.string, at, this.#quoteEnd(at, code));
      case DOUBLE_QUOTE:
      case BACK_QUOTE:
        return this.#token(TokenKind.quotedName, at, this.#quoteEnd(at, code));
      case CURLY_SINGLE:
        return this.#token(TokenKind.string, at, this.#curlyQuoteEnd(at, '\u2019'));
      case CURLY_DOUBLE:
        return this.#token(TokenKind.quotedName, at, this.#curlyQuoteEnd(at, '\u201d'));
      case DOLLAR:
        return this.#dollar(at);
      case BACKSLASH:
        if (this.text.charCodeAt(at + 1) === UPPER_G) return this.#token(TokenKind.terminator, at, at + 2);
        break;
    }
    if (code >= FIRST_RAW && code <= LAST_RAW && !isHighSurrogate(this.text.charCodeAt(at - 1))) {
      const byte = (code & 0xff).toString(16).toUpperCase();
      const hint =
        'save the file as UTF-8; other bytes are allowed only in comments, strings and quoted names';
      throw sqlInvalid(this.text, at, `the file is not UTF-8: byte 0x${byte}`, hint);
    }
    return this.#token(TokenKind.other, at, at + 1);
  }

  #quoteEnd(at: number, quote: number): number {
    const { text } = this;
    for (let next = at + 1; next < text.length; next += 1) {
      const code = text.charCodeAt(next);
      if (code === BACKSLASH) next += 1;
      else if (code === quote) {
        if (text.charCodeAt(next + 1) !== quote) return next + 1;
        next += 1;
      }
    }
    throw this.#unclosedQuote(at);
  }

  #curlyQuoteEnd(at: number, closing: string): number {
    const end = this.text.indexOf(closing, at + 1);
    if (end === -1) throw this.#unclosedQuote(at);
    return end + 1;
  }

  #unclosedQuote(at: number): Error {
    const quote = this.text.charAt(at);
    const what = quote === "'" || quote === '\u2018' ? 'string' : 'identifier';
    return sqlInvalid(this.text, at, `the ${what} that ${quote} opens here is not closed`);
  }

  // `$tag$ ... $tag$` with a tag of word characters or none. ClickHouse reads a tag without its end as an identifier
  // such as $tag$. Nobody names a column like that, and a forgotten end deserves a clear message.
  #dollar(at: number): TokenKind {
    const { text } = this;
    const tagEnd = this.#wordCharactersEnd(at + 1);
    if (text.charCodeAt(tagEnd) === DOLLAR) {
      const tag = text.slice(at, tagEnd + 1);
      const end = text.indexOf(tag, tagEnd + 1);
      if (end !== -1) return this.#token(TokenKind.string, at, end + tag.length);
      const hint = `end it with ${tag}; a column of this name needs backquotes`;
      throw sqlInvalid(text, at, `the heredoc that ${tag} opens here is not closed`, hint);
    }
    if (tagEnd === at + 1) return this.#token(TokenKind.other, at, at + 1);
    return this.#token(TokenKind.word, at, this.#wordEnd(tagEnd));
  }
}
