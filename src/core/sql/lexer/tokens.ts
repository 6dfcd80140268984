import { type Lexer, TokenKind } from './lexer.js';
import { SPLIT_HINT, sqlInvalid } from './position.js';

// Each token takes three places: its kind, its start and its end.
const WIDTH = 3;

const NO_PLACES = new Int32Array(0);
// Each takes about 20 bytes. A list of numbers that fills a file of 64 MiB has fewer.
const MOST_TOKENS = 16_777_216;
// Room for 512 tokens, which most query files never exceed; doubled when it is full.
const FIRST_PLACES = 512 * WIDTH;
// The array of one file serves the next: allocating one takes as long as lexing a small file.
let spare: Int32Array | undefined;

/**
 * The tokens of one statement, in one array of numbers: a large file has more than a million tokens, and an object
 * for each would cost more than the lexing. One instance serves all statements of a file, one after the other.
 * Indexes beyond either end are allowed and match nothing.
 */
export class Tokens {
  readonly text: string;
  length = 0;
  #places: Int32Array;

  constructor(text: string) {
    this.text = text;
    this.#places = spare ?? new Int32Array(FIRST_PLACES);
    spare = undefined;
  }

  /** Hands the memory over to the next file. No token may be read afterwards. */
  release(): void {
    // Not the memory of a file with a million tokens, which would stay forever.
    if (this.#places.length === FIRST_PLACES) spare = this.#places;
    this.#places = NO_PLACES;
    this.length = 0;
  }

  /** Forgets all tokens. */
  clear(): void {
    this.length = 0;
  }

  /** Appends the last token of the lexer. */
  push(kind: TokenKind, lexer: Lexer): void {
    const place = this.length * WIDTH;
    if (place === this.#places.length) {
      if (this.length >= MOST_TOKENS) {
        const message = `the statement has more than ${MOST_TOKENS} words`;
        throw sqlInvalid(this.text, this.start(0), message, SPLIT_HINT);
      }
      const larger = new Int32Array(2 * place);
      larger.set(this.#places);
      this.#places = larger;
    }
    this.#places[place] = kind;
    this.#places[place + 1] = lexer.start;
    this.#places[place + 2] = lexer.end;
    this.length += 1;
  }

  /** Returns the kind of a token; {@link TokenKind.end} beyond the ends. */
  kind(index: number): TokenKind {
    return this.#has(index) ? (this.#places[index * WIDTH] as TokenKind) : TokenKind.end;
  }

  /** Returns the offset of the token's first character; the length of the text beyond the ends. */
  start(index: number): number {
    return this.#place(index, 1);
  }

  /** Returns the offset after the token's last character; the length of the text beyond the ends. */
  end(index: number): number {
    return this.#place(index, 2);
  }

  #has(index: number): boolean {
    return index >= 0 && index < this.length;
  }

  #place(index: number, offset: number): number {
    return (this.#has(index) ? this.#places[index * WIDTH + offset] : undefined) ?? this.text.length;
  }

  /** Returns the token as written; empty beyond the ends. */
  written(index: number): string {
    return this.text.slice(this.start(index), this.end(index));
  }

  /** Returns whether the token is a bare word equal to `keyword`, in any case. Pass `keyword` in upper case. */
  isWord(index: number, keyword: string): boolean {
    const start = this.start(index);
    if (this.end(index) - start !== keyword.length || this.kind(index) !== TokenKind.word) return false;
    for (let offset = 0; offset < keyword.length; offset += 1) {
      // Clearing bit 5 makes a letter upper case and leaves `_` as it is; keywords contain nothing else.
      if ((this.text.charCodeAt(start + offset) & 0xdf) !== keyword.charCodeAt(offset)) return false;
    }
    return true;
  }

  /** Returns whether the token is exactly the one character `character`. */
  isCharacter(index: number, character: string): boolean {
    return this.end(index) - this.start(index) === 1 && this.text[this.start(index)] === character;
  }

  /** Returns whether the token can be a name: a bare word (it may begin with a digit) or a quoted identifier. */
  isName(index: number): boolean {
    const kind = this.kind(index);
    return kind === TokenKind.word || kind === TokenKind.quotedName || kind === TokenKind.number;
  }

  /** Returns the name that the token stands for; `undefined` for other tokens and for quoted names with escapes. */
  name(index: number): string | undefined {
    if (!this.isName(index)) return undefined;
    const written = this.written(index);
    if (this.kind(index) !== TokenKind.quotedName) return written;
    const inner = written.slice(1, -1);
    return /[\\"`]/.test(inner) ? undefined : inner;
  }
}
