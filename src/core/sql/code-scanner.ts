import { TokenKind } from './lexer.js';
import type { QueryParameter } from './statement.js';

// A word in capitals between double underscores, as templates use. It may be a part of a longer name
// (`bars___SYMBOL__`, `p__QUANTILE_PCT_1__`) but not of one in capitals (`STG__ORDERS__V1`), which is just a name.
const PLACEHOLDER = /(?<![A-Z])__[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*__(?![A-Z])/g;

/**
 * Collects, from tokens in the order of the text, the `{name:Type}` parameters of each statement and the
 * unreplaced `__PLACEHOLDER__` words of all of them. It is fed code and data, never comments.
 */
export class CodeScanner {
  readonly #text: string;
  readonly #mayHavePlaceholders: boolean;
  readonly #placeholders = new Set<string>();
  #parameters = new Map<string, string>();
  // Where in `{name:Type}` we are: 0 outside, 1 after `{`, 2 after the name, 3 after the colon, 4 in the type.
  #state = 0;
  #name = '';
  #typeStart = 0;

  constructor(text: string) {
    this.#text = text;
    this.#mayHavePlaceholders = text.includes('__') && text.search(PLACEHOLDER) !== -1;
  }

  /** All placeholders so far, each once. */
  get placeholders(): readonly string[] {
    return [...this.#placeholders];
  }

  /** The parameters since the last call, by first use; a name that comes twice keeps its first type. */
  takeParameters(): readonly QueryParameter[] {
    this.#state = 0;
    if (this.#parameters.size === 0) return [];
    const parameters = Array.from(this.#parameters, ([name, type]) => ({ name, type }));
    this.#parameters = new Map();
    return parameters;
  }

  /** Takes in one token. */
  pass(kind: TokenKind, start: number, end: number): void {
    if (kind === TokenKind.open || this.#state !== 0) this.#passBrace(kind, start, end);
    if (this.#mayHavePlaceholders) this.passText(start, end);
  }

  /** Looks for placeholders in a stretch of inline data. */
  passText(start: number, end: number): void {
    if (!this.#mayHavePlaceholders) return;
    for (const [word] of this.#text.slice(start, end).matchAll(PLACEHOLDER)) this.#placeholders.add(word);
  }

  #passBrace(kind: TokenKind, start: number, end: number): void {
    if (this.#text[start] === '{') {
      this.#state = 1;
      return;
    }
    const isColon = this.#text[start] === ':';
    switch (this.#state) {
      case 1:
        this.#name = this.#text.slice(start, end);
        this.#state = kind === TokenKind.word || kind === TokenKind.number ? 2 : 0;
        break;
      case 2:
        this.#typeStart = end;
        this.#state = isColon ? 3 : 0;
        break;
      case 3:
        // A second colon is the cast operator, and a type is not empty.
        this.#state = isColon || kind === TokenKind.close ? 0 : 4;
        break;
      case 4:
        if (this.#text[start] === '}') {
          const type = this.#text.slice(this.#typeStart, start).trim();
          if (!this.#parameters.has(this.#name)) this.#parameters.set(this.#name, type);
          this.#state = 0;
        }
    }
  }
}
