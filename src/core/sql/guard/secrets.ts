import { namesHiddenValue } from '../../text/secret-names.js';
import { type LooseToken, looseTokens } from '../lexer/loose-tokens.js';

// A text must contain one of these for anything to be found in it here; most texts contain none.
const WORTH_A_LOOK =
  /passw|pass\b|pwd|\bpw\b|secret|token|credential|auth|cookie|signature|\bsig\b|\bsas\b|salt|key|bearer|\bby\b|\buser\b|collection|headers?\b|s3|gcs|cosn|oss\b|azure|mysql|postgresql|mongo|redis|remote|iceberg|deltalake|hudi|externaldistributed|ytsaurus|arrowflight|crypt|hmac/i;

/** What is at the place of a secret: the token, or the parameter that supplies its value. */
export interface SecretPlace {
  readonly token: LooseToken;
  /** The name in `{name:Type}`, if there is one. */
  readonly parameter: string | undefined;
}

/**
 * Returns the places of credentials in a text that is SQL or contains SQL: after IDENTIFIED ... BY, after a name such
 * as PASSWORD, secret_access_key or Authorization, and as arguments of functions and engines that take them by
 * position. Comments are searched too. Linear in the length of the text.
 */
export function secretPlaces(text: string, how: { readonly prose: boolean }): SecretPlace[] {
  if (!WORTH_A_LOOK.test(text)) return [];
  const tokens = looseTokens(text, how);
  const places = new Finder(tokens).find();
  for (const token of tokens) {
    if (token.kind !== 'comment') continue;
    const from = token.end - token.text.length;
    for (const { token: inner, parameter } of secretPlaces(token.text, { prose: true })) {
      places.push({ token: { ...inner, start: inner.start + from, end: inner.end + from }, parameter });
    }
  }
  return places;
}

interface Call {
  /** In lower case; empty for brackets without a name before them. */
  readonly name: string;
  /** Those of its arguments that consist of one literal, by their index. */
  readonly literals: Map<number, SecretPlace>;
  argument: number;
  /** Tokens of the argument so far. */
  size: number;
}

// By the lower-cased name of a table function or engine: the first argument (from 0) that may be a secret.
const FROM_ARGUMENT: readonly (readonly [RegExp, number])[] = [
  [/^(?:s3|s3queue|gcs|cosn|oss|hudi|deltalake|deltalakes3|iceberg|icebergs3|paimon|paimons3)$/, 1],
  [/^(?:s3|gcs|cosn|oss|hudi|deltalake|deltalakes3|iceberg|icebergs3|paimon|paimons3)cluster$/, 2],
  [/^(?:azureblobstorage|azurequeue|deltalakeazure|icebergazure|paimonazure)$/, 3],
  [/^(?:azureblobstorage|deltalakeazure|icebergazure|paimonazure)cluster$/, 4],
  [/^redis$/, 2],
  [/^(?:try)?(?:aes_)?(?:en|de)crypt(?:_mysql)?$/, 2],
  [/^hmac$/, 2],
  [/^(?:arrowflight|ytsaurus)$/, 2],
  [/^(?:password|secret|bearer)$/, 0],
];
// Functions with a password after the user, and databases of the same kind with one argument less.
const WITH_USER = /^(?:(?:materialized)?(?:mysql|postgresql)|mongodb|remote(?:secure)?|externaldistributed)$/;
// Arguments of the same functions that are not secrets: formats, compressions, structures.
const NO_SECRET =
  /^(?:nosign|auto|none|gzip|gz|brotli|br|xz|lzma|zstd|zst|lz4|bz2|snappy|(?:tsv|csv|tabseparated|json|parquet|orc|avro|arrow|native|values|vertical|lineasstring|rawblob|rowbinary|protobuf|capnproto|msgpack|one|regexp|template|npy|markdown|xml|pretty|customseparated|tskv)\w{0,40})$/i;
const STRUCTURE =
  /^\s*[`"\w]{1,200}\s+(?:string|u?int\d|float|date|nullable|lowcardinality|array|map|tuple|decimal|enum|uuid|ipv|bool|fixedstring|json|nested|variant|dynamic|point)/i;
// Keys of a named collection that say where to connect, not with what.
const PLAIN_KEY =
  /^(?:url|host|hostname|port|database|db|schema|table|user|username|format|structure|compression|compression_method|filename|container|blob_path|region|collection|cluster|endpoint|topic_list|topic|overridable)$/i;

class Finder {
  readonly #tokens: readonly LooseToken[];
  readonly #found: SecretPlace[] = [];
  readonly #calls: Call[] = [];
  // Since the last semicolon.
  #firstWords: string[] = [];

  constructor(tokens: readonly LooseToken[]) {
    this.#tokens = tokens.filter(({ kind }) => kind !== 'comment');
  }

  find(): SecretPlace[] {
    for (let index = 0; index < this.#tokens.length; index += 1) this.#pass(index);
    while (this.#calls.length > 0) this.#close();
    return this.#found;
  }

  #pass(index: number): void {
    const token = this.#tokens[index] as LooseToken;
    const { kind, text } = token;
    const call = this.#calls.at(-1);
    if (kind === 'mark') {
      if (text === ';') this.#firstWords = [];
      else if (text === ')' || text === ']' || text === '}') this.#close();
      else if (text === ',') {
        if (call !== undefined) {
          call.argument += 1;
          call.size = 0;
        }
        return;
      }
    }
    if (call !== undefined) {
      call.size += 1;
      call.literals.delete(call.argument);
    }
    const parameter = text === '{' && kind === 'mark' ? this.#parameterAt(index) : undefined;
    if (kind === 'word' && this.#firstWords.length < 8) this.#firstWords.push(text.toUpperCase());
    const isLiteral = kind === 'string' || kind === 'name' || kind === 'number' || parameter !== undefined;
    if (isLiteral || kind === 'word') {
      const place = { token, parameter };
      if (this.#isSecret(index, kind)) this.#found.push(place);
      else if (call?.size === 1 && isLiteral) call.literals.set(call.argument, place);
    }
    if (kind === 'mark' && (text === '(' || text === '[' || text === '{')) {
      const before = this.#tokens[index - 1];
      const name = before?.kind === 'word' && text === '(' ? before.text.toLowerCase() : '';
      this.#calls.push({ name, literals: new Map(), argument: 0, size: 0 });
    }
  }

  #parameterAt(index: number): string | undefined {
    const name = this.#tokens[index + 1];
    return name?.kind === 'word' && this.#tokens[index + 2]?.text === ':' ? name.text : undefined;
  }

  #isSecret(index: number, kind: LooseToken['kind']): boolean {
    const before = this.#tokens[index - 1];
    if (before === undefined) return false;
    // BY 'x', unless it is ORDER BY, GROUP BY or LIMIT 1 BY.
    if (isWord(before, 'BY') && kind !== 'number' && kind !== 'word') {
      const earlier = this.#tokens[index - 2];
      return earlier?.kind !== 'number' && !(earlier !== undefined && ORDERING.test(earlier.text));
    }
    const isAssigned = before.kind === 'mark' && (before.text === '=' || before.text === ':');
    const key = isAssigned ? this.#tokens[index - 2] : before;
    if (key === undefined || key.kind === 'mark' || key.kind === 'number') return false;
    // A word after a word is a value only where dictionaries name their source, and if it is not a keyword.
    if (kind === 'word' && !(this.#calls.length > 0 && (isAssigned || this.#isIn('DICTIONARY'))))
      return false;
    if (kind === 'name' && !isAssigned && !this.#isIn('DICTIONARY')) return false;
    if ((isAssigned || key.kind === 'word') && !this.#isUnreadable(key, index)) {
      if (namesHiddenValue(key.text)) return true;
    }
    if (kind === 'word') return false;
    const call = this.#calls.at(-1)?.name ?? '';
    if (isAssigned && call === 'headers') return true;
    if (isWord(key, 'VALUE') && call === 'header') return true;
    if (isAssigned && this.#isIn('COLLECTION') && kind !== 'number') return !PLAIN_KEY.test(key.text);
    return this.#isIn('USER') && isWord(before, 'SALT');
  }

  // `Unrecognized token: '...` is not a key with its value.
  #isUnreadable(key: LooseToken, index: number): boolean {
    const before = this.#tokens[index - 3];
    return isWord(key, 'TOKEN') && before !== undefined && /^(?:unrecognized|unexpected)$/i.test(before.text);
  }

  #isIn(word: string): boolean {
    return this.#firstWords.includes(word);
  }

  // The meaning of an argument depends on how many there are.
  #close(): void {
    const call = this.#calls.pop();
    if (call === undefined || call.literals.size === 0 || call.name === '') return;
    const from = FROM_ARGUMENT.find(([name]) => name.test(call.name))?.[1] ?? this.#passwordAt(call);
    if (from === undefined) return;
    for (const [argument, place] of call.literals) {
      const { kind, text } = place.token;
      if (argument < from || (kind !== 'string' && place.parameter === undefined)) continue;
      if (!NO_SECRET.test(text) && !STRUCTURE.test(text)) this.#found.push(place);
    }
  }

  #passwordAt({ name, argument, literals }: Call): number | undefined {
    if (!WITH_USER.test(name)) return undefined;
    // In ('host', db.table, 'user', 'password') and for databases it is the fourth.
    if (name === 'externaldistributed') return 5;
    return argument === 3 || !literals.has(4) || this.#isIn('DATABASE') ? 3 : 4;
  }
}

const ORDERING = /^(?:order|group|partition|cluster|sample|primary|distinct|limit|interpolate)$/i;

function isWord({ kind, text }: LooseToken, word: string): boolean {
  return kind === 'word' && text.length === word.length && text.toUpperCase() === word;
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '0': '\0',
  a: '\x07',
  v: '\v',
  e: '\x1b',
};

/** Returns the value of a literal, from what is written between its quotes. */
export function literalValue(written: string): string {
  return written.replace(/\\x([\da-f]{2})|\\([\s\S])|''/gi, (whole, hex?: string, escaped?: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    if (escaped !== undefined) return ESCAPES[escaped] ?? escaped;
    return whole === "''" ? "'" : whole;
  });
}
