import type { QueryParameter } from '../statement.js';
import { TokenKind } from './lexer.js';
import { sqlInvalid } from './position.js';

// A word in capitals between double underscores, as in templates. It may be part of a longer name
// (`bars___SYMBOL__`, `p__QUANTILE_PCT_1__`) but not of one in capitals (`STG__ORDERS__V1`), which is just a name.
const CAPITALS = /(?<![A-Z])__[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*__(?![A-Z])/;
// In small letters only as a word of its own: `a__b__c` is a name that tools generate.
const SMALL = /(?<!\w)__[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*__(?!\w)/;
// Shells, envsubst, Hive, Spark: `${X}`, `${X:-none}`, `${hiveconf:x}`. A digit, as in `${1}`, is not a name.
const DOLLAR = /\$\{[ \t]*[A-Za-z_][^{}\n]*\}/;
// Jinja, dbt, mustache: `{{ x }}`, `{{ var("x") | upper }}`. format() prints `{{}}` and `{{0}}` as {} and {0}.
const BRACES = /\{\{-?\s*[A-Za-z_][^{}\n]*\}\}/;
// Not just any `{% ... %}`: LIKE '{%"a"%}' looks for JSON.
const TAG =
  /\{%[-+]?\s*(?:if|elif|else|endif|for|endfor|set|endset|macro|endmacro|block|endblock|call|endcall|filter|endfilter|raw|endraw|with|endwith|include|import|from|extends|do)\b[^{}]*%\}/;

const anyOf = (flags: string, ...patterns: readonly RegExp[]): RegExp =>
  new RegExp(patterns.map(({ source }) => source).join('|'), flags);

const IN_QUOTES = anyOf('g', CAPITALS, SMALL, DOLLAR, BRACES, TAG);
const IN_DATA = anyOf('g', CAPITALS, DOLLAR, BRACES, TAG);
const IN_WORD = anyOf('g', CAPITALS);
// In ClickHouse nothing between tokens begins like this except a map whose first key is a map: `{{1: 2}: 3}`. That
// contains a colon.
const IN_CODE = anyOf('y', DOLLAR, /\{\{[^{}:\w]*\w[^{}:]*\}\}/, TAG);
const ANYWHERE = anyOf('', CAPITALS, SMALL, DOLLAR, /\{\{/, TAG);

// Neither a name nor a type: `{true: false}` is a map.
const VALUES: ReadonlySet<string> = new Set(['true', 'false', 'null', 'nan', 'inf', 'infinity']);
// What ClickHouse reads as a number. To ClickHouse, anything else that begins with a digit (`1x`) is a name.
const NUMBER = /^(?:0x[\da-f_]*|0b[01_]*|\d+(?:_\d+)*(?:e\d+)?)$/i;

// More than this are a mistake, or meant to fill the memory and the screen of whoever is shown them all.
const MOST_NAMES = 10_000;

/**
 * Collects, from tokens in the order of the text, the `{name:Type}` parameters of each statement, and what looks like
 * unreplaced placeholders of templates in all of them. Pass it code and data, never comments.
 *
 * Placeholders are `__X__` in capitals, `${X}`, `{{ x }}` and `{% if ... %}`, in code, strings, quoted names,
 * heredocs and inline data, and `__x__` in any letters within quotes, if it stands alone. In code, none of them is
 * ClickHouse SQL except `__X__`, which may be a name. In quotes and data they may be intended (`labels['__name__']`,
 * `format('{{x}}')`); the user then allows them by name.
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
    this.#mayHavePlaceholders =
      (text.includes('__') || text.includes('${') || text.includes('{{') || text.includes('{%')) &&
      ANYWHERE.test(text);
  }

  /** All placeholders so far, each once. */
  get placeholders(): readonly string[] {
    return [...this.#placeholders];
  }

  /** Returns the parameters since the last call, by first use; a name that occurs twice keeps its first type. */
  takeParameters(): readonly QueryParameter[] {
    this.#state = 0;
    if (this.#parameters.size === 0) return [];
    const parameters = Array.from(this.#parameters, ([name, type]) => ({ name, type }));
    this.#parameters = new Map();
    return parameters;
  }

  /** Processes one token. */
  pass(kind: TokenKind, start: number, end: number): void {
    if (kind === TokenKind.open || this.#state !== 0) this.#passBrace(kind, start, end);
    if (this.#mayHavePlaceholders) this.#findPlaceholders(kind, start, end);
  }

  /** Searches a stretch of inline data for placeholders. */
  passText(start: number, end: number): void {
    if (this.#mayHavePlaceholders) this.#find(IN_DATA, start, end);
  }

  #findPlaceholders(kind: TokenKind, start: number, end: number): void {
    const text = this.#text;
    if (kind === TokenKind.string || kind === TokenKind.quotedName) {
      // The marks of a heredoc are not part of its content: `$${a}$$` contains {a}.
      const mark = text[start] === '$' ? text.indexOf('$', start + 1) + 1 - start : 1;
      this.#find(IN_QUOTES, start + mark, end - mark);
      return;
    }
    this.#find(IN_WORD, start, end);
    // `t_$` is a word, also in `t_${X}`.
    const at = text[end - 1] === '$' && text[end] === '{' ? end - 1 : start;
    IN_CODE.lastIndex = at;
    const found = IN_CODE.exec(text);
    if (found !== null) this.#note(found[0], start);
  }

  #find(pattern: RegExp, start: number, end: number): void {
    for (const [word] of this.#text.slice(start, end).matchAll(pattern)) this.#note(word, start);
  }

  #note(word: string, at: number): void {
    this.#placeholders.add(word);
    if (this.#placeholders.size > MOST_NAMES) throw this.#tooMany('unreplaced placeholders', at);
  }

  #tooMany(what: string, at: number): Error {
    return sqlInvalid(this.#text, at, `the file holds more than ${MOST_NAMES} different ${what}`);
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
        this.#state = this.#isParameterName(kind) ? 2 : 0;
        break;
      case 2:
        this.#typeStart = end;
        this.#state = isColon ? 3 : 0;
        break;
      case 3:
        // But not the second colon of a cast or the value of a map: `{a::Int8}`, `{true: 1}`.
        this.#state = kind === TokenKind.word && !this.#isValue(start, end) ? 4 : 0;
        break;
      case 4:
        if (this.#text[start] === '}') {
          const type = this.#text.slice(this.#typeStart, start).trim();
          if (!this.#parameters.has(this.#name)) this.#parameters.set(this.#name, type);
          if (this.#parameters.size > MOST_NAMES) throw this.#tooMany('parameters', start);
          this.#state = 0;
        }
    }
  }

  #isParameterName(kind: TokenKind): boolean {
    if (kind === TokenKind.number) return !NUMBER.test(this.#name);
    return kind === TokenKind.word;
  }

  #isValue(start: number, end: number): boolean {
    return VALUES.has(this.#text.slice(start, end).toLowerCase());
  }
}
