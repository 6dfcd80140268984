/**
 * How deep arrays and objects of a row may lie in each other. ClickHouse reads and makes up to 1,000 levels
 * (`max_parser_depth`, `input_format_json_max_depth`), and so does Python's json; a row stands one level deeper in its
 * record, and readers that recurse need room for themselves.
 */
export const MAX_ROW_DEPTH = 512;

/**
 * How long a row may be, in bytes. One row is held in memory while its record is written, and a text of V8 ends at
 * 512 MiB (v8::String::kMaxLength): a longer one could be recorded and not be read again.
 */
export const MAX_ROW_BYTES = 256 * 1024 * 1024;

/** Why bytes are not rows. */
export interface RowFault {
  /** What is wrong and where. */
  readonly reason: string;
  /** It is a row, and longer than {@link MAX_ROW_BYTES}. */
  readonly isTooLong: boolean;
}

// Where in a row the next byte stands. Those behind ESCAPE are parts of words and are looked up in NEXT.
const START = 0;
const FIRST_KEY = 1;
const KEY = 2;
const COLON = 3;
const VALUE = 4;
const FIRST_VALUE = 5;
const AFTER = 6;
const END = 7;
const TEXT = 8;
const ESCAPE = 9;
// Four hexadecimal digits, and those of the second half of a pair.
const HEX_1 = 10;
const HEX_2 = 11;
const HEX_3 = 12;
const HEX_4 = 13;
const HEX_2_OF_D = 14;
const HIGH_3 = 15;
const HIGH_4 = 16;
const LOW_ESCAPE = 17;
const LOW_U = 18;
const LOW_1 = 19;
const LOW_2 = 20;
const MINUS = 21;
const ZERO = 22;
const DIGITS = 23;
const POINT = 24;
const FRACTION = 25;
const EXPONENT = 26;
const EXPONENT_SIGN = 27;
const EXPONENT_DIGITS = 28;
const LITERALS = 29;
// Behind the n of null; nan begins as well as it does.
const NULL_U = LITERALS + 'rue'.length + 'alse'.length;
const STATES = NULL_U + 'ull'.length;

const WHAT_BELONGS: Readonly<Record<number, string>> = {
  [START]: '"{"',
  [FIRST_KEY]: 'a key or "}"',
  [KEY]: 'a key',
  [COLON]: '":"',
  [VALUE]: 'a value',
  [FIRST_VALUE]: 'a value or "]"',
  [AFTER]: '"," or the end of the object or array',
  [END]: 'the end of the line',
  [TEXT]: 'the end of the text',
  [ESCAPE]: 'one of "\\/bfnrtu',
};

const BAD = 255;
// NEXT[state * 256 + byte].
const NEXT = transitions();

function transitions(): Uint8Array {
  const next = new Uint8Array(STATES * 256).fill(BAD);
  const on = (from: number, bytes: string, to: number) => {
    for (const byte of Buffer.from(bytes)) next[from * 256 + byte] = to;
  };
  const digits = '0123456789';
  const hex = `${digits}abcdefABCDEF`;
  on(ESCAPE, '"\\/bfnrt', TEXT);
  on(ESCAPE, 'u', HEX_1);
  on(HEX_1, hex, HEX_2);
  on(HEX_1, 'dD', HEX_2_OF_D);
  on(HEX_2, hex, HEX_3);
  on(HEX_3, hex, HEX_4);
  on(HEX_4, hex, TEXT);
  // Half of a pair is nothing that every reader takes. The second half alone begins with d and c to f.
  on(HEX_2_OF_D, '01234567', HEX_3);
  on(HEX_2_OF_D, '89abAB', HIGH_3);
  on(HIGH_3, hex, HIGH_4);
  on(HIGH_4, hex, LOW_ESCAPE);
  on(LOW_ESCAPE, '\\', LOW_U);
  on(LOW_U, 'u', LOW_1);
  on(LOW_1, 'dD', LOW_2);
  on(LOW_2, 'cdefCDEF', HEX_3);
  on(VALUE, '-', MINUS);
  on(VALUE, '0', ZERO);
  on(VALUE, '123456789', DIGITS);
  on(MINUS, '0', ZERO);
  on(MINUS, '123456789', DIGITS);
  on(DIGITS, digits, DIGITS);
  on(POINT, digits, FRACTION);
  on(FRACTION, digits, FRACTION);
  for (const state of [ZERO, DIGITS]) on(state, '.', POINT);
  for (const state of [ZERO, DIGITS, FRACTION]) on(state, 'eE', EXPONENT);
  on(EXPONENT, '+-', EXPONENT_SIGN);
  for (const state of [EXPONENT, EXPONENT_SIGN, EXPONENT_DIGITS]) on(state, digits, EXPONENT_DIGITS);
  // A number ends where something else goes on.
  for (const state of [ZERO, DIGITS, FRACTION, EXPONENT_DIGITS]) on(state, ' ,}]', AFTER);
  let state = LITERALS;
  for (const word of ['true', 'false', 'null']) {
    on(VALUE, word.slice(0, 1), state);
    for (const [index, letter] of [...word.slice(1)].entries()) {
      on(state, letter, index === word.length - 2 ? AFTER : state + 1);
      state += 1;
    }
  }
  return next;
}

// The ASCII bytes that a text holds as they are: all but quotes, backslashes and control bytes.
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === 0x22 || byte === 0x5c || byte > 0x7f ? 0 : 1,
);

const SPACE = 32;
const QUOTE = 34;
const COMMA = 44;
const COLON_BYTE = 58;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const NEWLINE = 10;
// From so many plain bytes on four of them are looked at at once.
const LONG_TEXT_BYTES = 32;

/**
 * Proves, byte for byte, that an answer is rows: lines of one JSON object each (RFC 8259) with a newline behind it
 * and nothing else, so that a row spliced into a record is its value and nothing more.
 *
 * Stricter than JSON in what no server writes and some reader does not survive: no white space but blanks, no half of
 * a surrogate pair, at most {@link MAX_ROW_DEPTH} levels and {@link MAX_ROW_BYTES}. A key may stand twice. That bytes
 * above 0x7f are UTF-8 is for the caller to prove; {@link sawNonAscii} says whether there are any.
 *
 * Pieces may be cut anywhere. Linear in time, and of constant memory.
 */
export class RowProof {
  #state = START;
  #isKey = false;
  // Whether what is open now is an object; of what is open around it, whether each is one.
  #isObject = false;
  #depth = 0;
  #around: Uint8Array | undefined;
  // Of the open row, in the pieces before.
  #bytesBefore = 0;
  #rows = 0;
  #sawNonAscii = false;

  /** Rows that are whole. */
  get rows(): number {
    return this.#rows;
  }

  /** Whether a row has begun that is not whole yet. */
  get isOpen(): boolean {
    return this.#state !== START;
  }

  /** Whether the last piece held a byte above 0x7f. */
  get sawNonAscii(): boolean {
    return this.#sawNonAscii;
  }

  /** What is wrong with the next piece, or `undefined`; after a fault the proof is of no use any more. */
  take(bytes: Buffer): RowFault | undefined {
    const { length } = bytes;
    let state = this.#state;
    let isKey = this.#isKey;
    let isObject = this.#isObject;
    let depth = this.#depth;
    let rows = this.#rows;
    let rowStart = -this.#bytesBefore;
    let hasNonAscii = false;
    let long: LongText | undefined;
    let at = 0;
    while (at < length) {
      if (state === TEXT) {
        // Where a piece begins inside of a text, and behind an escape.
        const soon = Math.min(at + LONG_TEXT_BYTES, length);
        while (at < soon && PLAIN[bytes[at] as number] === 1) at += 1;
        if (at === soon) {
          if (at === length) break;
          long ??= new LongText(bytes);
          at = long.skip(at);
          if (at === length) break;
        }
      }
      const byte = bytes[at] as number;
      if (state === TEXT) {
        if (PLAIN[byte] === 1) continue;
        if (byte === QUOTE) {
          at += 1;
          if (!isKey) state = AFTER;
          else if (bytes[at] === COLON_BYTE) {
            state = VALUE;
            at += 1;
          } else state = COLON;
        } else if (byte === BACKSLASH) {
          at += 1;
          if (at < length && NEXT[ESCAPE * 256 + (bytes[at] as number)] === TEXT) at += 1;
          else state = ESCAPE;
        } else if (byte >= 0x80) {
          hasNonAscii = true;
          do at += 1;
          while (at < length && (bytes[at] as number) >= 0x80);
          if (length - at >= LEAST_SKIP_BYTES) {
            long ??= new LongText(bytes);
            at = long.skip(at);
          }
        } else return this.#fault(byte, at - rowStart, state, rows);
      } else if (state === AFTER) {
        at += 1;
        if (byte === COMMA) {
          if (!isObject) state = VALUE;
          else if (bytes[at] === QUOTE) {
            state = TEXT;
            isKey = true;
            at += 1;
          } else state = KEY;
        } else if (byte === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
          depth -= 1;
          if (depth === 0) state = END;
          else isObject = this.#isObjectAround(depth);
        } else if (byte !== SPACE) return this.#fault(byte, at - 1 - rowStart, state, rows);
      } else if (state === VALUE || state === FIRST_VALUE) {
        at += 1;
        if (byte === QUOTE) {
          state = TEXT;
          isKey = false;
        } else if (byte > 0x30 && byte < 0x3a) {
          state = DIGITS;
          at = behindDigits(bytes, at);
        } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
          if (depth === MAX_ROW_DEPTH) return this.#tooDeep(at - 1 - rowStart, rows);
          this.#open(depth, isObject);
          depth += 1;
          isObject = byte === OPEN_BRACE;
          state = isObject ? FIRST_KEY : FIRST_VALUE;
        } else if (byte === CLOSE_BRACKET && state === FIRST_VALUE) {
          depth -= 1;
          isObject = this.#isObjectAround(depth);
          state = AFTER;
        } else if (byte !== SPACE) {
          const next = NEXT[VALUE * 256 + byte] as number;
          if (next === BAD) return this.#fault(byte, at - 1 - rowStart, state, rows);
          state = next;
        }
      } else if (state > TEXT) {
        const next = NEXT[state * 256 + byte] as number;
        if (next === BAD) return this.#fault(byte, at - rowStart, state, rows);
        // What ends a number is looked at again.
        if (next !== AFTER || state >= LITERALS) at += 1;
        state = next;
        if (next === DIGITS || next === FRACTION) at = behindDigits(bytes, at);
      } else {
        at += 1;
        if (state === END && byte === NEWLINE) {
          if (at - rowStart > MAX_ROW_BYTES) return tooLong(rows);
          rows += 1;
          state = START;
          rowStart = at;
        } else if (state === START && byte === OPEN_BRACE) {
          depth = 1;
          isObject = true;
          state = FIRST_KEY;
        } else if (byte === QUOTE && (state === FIRST_KEY || state === KEY)) {
          state = TEXT;
          isKey = true;
        } else if (byte === COLON_BYTE && state === COLON) state = VALUE;
        else if (byte === CLOSE_BRACE && state === FIRST_KEY) {
          depth -= 1;
          if (depth > 0) isObject = this.#isObjectAround(depth);
          state = depth === 0 ? END : AFTER;
        } else if (byte !== SPACE || state === START || state === END) {
          return this.#fault(byte, at - 1 - rowStart, state, rows);
        }
      }
    }
    this.#state = state;
    this.#isKey = isKey;
    this.#isObject = isObject;
    this.#depth = depth;
    this.#rows = rows;
    this.#bytesBefore = length - rowStart;
    this.#sawNonAscii = hasNonAscii || long?.sawNonAscii === true;
    return this.#bytesBefore > MAX_ROW_BYTES ? tooLong(rows) : undefined;
  }

  #open(depth: number, isObject: boolean): void {
    this.#around ??= new Uint8Array(MAX_ROW_DEPTH);
    this.#around[depth] = isObject ? 1 : 0;
  }

  #isObjectAround(depth: number): boolean {
    return this.#around?.[depth] === 1;
  }

  #fault(byte: number, offset: number, state: number, rows: number): RowFault {
    const row = rows + 1;
    if (state === START) return fault(`line ${row} does not begin with "{"`);
    const place = `byte ${offset + 1} of row ${row}`;
    if (byte < SPACE && (state === END || (byte === NEWLINE && state !== TEXT)))
      return fault(`line ${row} does not end with "}"`);
    if (byte < SPACE) return fault(`${place} is the control byte ${hexOf(byte)}`);
    if (state === END) return fault(`${place}, behind its end, is ${shown(byte)}`);
    const isStart = state === VALUE || state === FIRST_VALUE || state === MINUS;
    if ((isStart && NOT_NUMBERS.has(byte)) || (state === NULL_U && byte === 0x61)) {
      return fault(
        `${place} is in a number that JSON does not have, such as nan or inf (--set output_format_json_quote_denormals=1 makes texts of them)`,
      );
    }
    const belongs = state < HEX_1 ? (WHAT_BELONGS[state] as string) : partOf(state);
    return fault(`${place} is ${shown(byte)} in place of ${belongs}`);
  }

  #tooDeep(offset: number, rows: number): RowFault {
    const place = `byte ${offset + 1} of row ${rows + 1}`;
    return fault(`${place} opens more than ${MAX_ROW_DEPTH} arrays and objects in each other`);
  }
}

function tooLong(rows: number): RowFault {
  return { reason: `row ${rows + 1} is longer than ${MAX_ROW_BYTES} bytes`, isTooLong: true };
}

function behindDigits(bytes: Buffer, from: number): number {
  const { length } = bytes;
  let at = from;
  while (at < length) {
    const byte = bytes[at] as number;
    if (byte < 0x30 || byte > 0x39) break;
    at += 1;
  }
  return at;
}

// What servers wrote for a number that is none, with a sign or in capitals or not: nan, inf, +inf, NaN, Infinity.
const NOT_NUMBERS: ReadonlySet<number> = new Set(Buffer.from('niNI+'));

function partOf(state: number): string {
  if (state < MINUS) return 'what belongs to an escape (\\u and four digits, surrogates in pairs)';
  return state < LITERALS ? 'what belongs to a number' : 'true, false or null';
}

function fault(reason: string): RowFault {
  return { reason, isTooLong: false };
}

function shown(byte: number): string {
  return byte > SPACE && byte < 0x7f ? JSON.stringify(String.fromCharCode(byte)) : hexOf(byte);
}

function hexOf(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}

// Texts with many escapes would ask anew for each of them.
const LEAST_SKIP_BYTES = 64;
const EACH_20 = 0x20202020;
const HIGH_BITS = 0x80808080 | 0;

/** Goes over long texts of one piece: what ends them is found by memchr, and four bytes at a time are looked at. */
class LongText {
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  readonly #firstWord: number;
  // From here on nothing was looked for yet; up to there, both at once.
  #quote = -1;
  #backslash = -1;
  sawNonAscii = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#firstWord = -bytes.byteOffset & 3;
    const count = Math.max(0, (bytes.length - this.#firstWord) >> 2);
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset + (count === 0 ? 0 : this.#firstWord), count);
  }

  /** A place at or behind `from`, up to which all bytes are plain. */
  skip(from: number): number {
    const bytes = this.#bytes;
    const { length } = bytes;
    // Each is looked for from where it was found last, so that no byte is passed over twice.
    if (this.#quote < from) this.#quote = indexOf(bytes, QUOTE, from);
    if (this.#backslash < from) this.#backslash = indexOf(bytes, BACKSLASH, from);
    const to = Math.min(this.#quote, this.#backslash, length);
    if (to - from < LEAST_SKIP_BYTES) return from;
    let at = from;
    let all = 0;
    for (; ((at - this.#firstWord) & 3) !== 0; at += 1) {
      const byte = bytes[at] as number;
      if (byte < SPACE) return at;
      all |= byte;
    }
    const words = this.#words;
    const first = (at - this.#firstWord) >> 2;
    const end = first + ((to - at) >> 2);
    let controls = 0;
    for (let word = first; word < end; word += 1) {
      const four = words[word] as number;
      all |= four;
      controls |= (four - EACH_20) & ~four;
    }
    if ((all & HIGH_BITS) !== 0) this.sawNonAscii = true;
    if ((controls & HIGH_BITS) === 0) return this.#firstWord + end * 4;
    // There is one, and with it the proof ends.
    while ((bytes[at] as number) >= SPACE) at += 1;
    return at;
  }
}

function indexOf(bytes: Buffer, byte: number, from: number): number {
  const found = bytes.indexOf(byte, from);
  return found === -1 ? Number.POSITIVE_INFINITY : found;
}
