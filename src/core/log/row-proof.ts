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

const NEWLINE = 10;
const SPACE = 32;
const CLOSE_BRACKET = 93;
const CLOSE_BRACE = 125;

// What may stand at the next byte. A state is four times one of these, and one of the places below.
const TEXT = 0;
const DIGITS = 1;
const FRACTION = 2;
const EXPONENT_DIGITS = 3;
const ZERO = 4;
const START = 5;
const FIRST_KEY = 6;
const KEY = 7;
const COLON = 8;
const VALUE = 9;
const FIRST_VALUE = 10;
const AFTER = 11;
const END = 12;
const ESCAPE = 13;
// Four hexadecimal digits, and those of the second half of a pair.
const HEX_1 = 14;
const HEX_2 = 15;
const HEX_3 = 16;
const HEX_4 = 17;
const HEX_2_OF_D = 18;
const HIGH_3 = 19;
const HIGH_4 = 20;
const LOW_ESCAPE = 21;
const LOW_U = 22;
const LOW_1 = 23;
const LOW_2 = 24;
const MINUS = 25;
const POINT = 26;
const EXPONENT = 27;
const EXPONENT_SIGN = 28;
// The rest of true, false and null. Behind the n of null; nan begins as well as it does.
const LITERALS = 29;
const NULL_U = LITERALS + 'rue'.length + 'alse'.length;
// What more is to be done than to go on.
const OPEN_OBJECT = NULL_U + 'ull'.length;
const OPEN_ARRAY = OPEN_OBJECT + 1;
const CLOSE = OPEN_OBJECT + 2;
const ROW = OPEN_OBJECT + 3;
const BAD = OPEN_OBJECT + 4;

// Where a state is: in an array, in an object, in a key of one.
const IN_ARRAY = 0;
const IN_OBJECT = 1;
const IN_KEY = 2;

const WHAT_BELONGS: Readonly<Record<number, string>> = {
  [FIRST_KEY]: 'a key or "}"',
  [KEY]: 'a key',
  [COLON]: '":"',
  [VALUE]: 'a value',
  [FIRST_VALUE]: 'a value or "]"',
  [AFTER]: '"," or the end of the object or array',
  [ESCAPE]: 'one of "\\/bfnrtu',
};

// In the states before it, one byte after the other is of the same kind.
const FIRST_WITHOUT_RUN = ZERO * 4;
const FIRST_ACTION = OPEN_OBJECT * 4;
// NEXT[state * 256 + byte]: the next state, or what is to be done.
const NEXT = transitions();

function transitions(): Uint8Array {
  const next = new Uint8Array(FIRST_ACTION * 256).fill(BAD * 4);
  let place = IN_KEY;
  const on = (from: number, bytes: string, to: number, toPlace = place) => {
    for (let at = 0; at < bytes.length; at += 1) {
      next[(from * 4 + place) * 256 + bytes.charCodeAt(at)] = to * 4 + toPlace;
    }
  };
  const digits = '0123456789';
  const hex = `${digits}abcdefABCDEF`;
  for (; place >= IN_ARRAY; place -= 1) {
    const text = (TEXT * 4 + place) * 256;
    next.fill(TEXT * 4 + place, text + SPACE, text + 256);
    on(TEXT, '\\', ESCAPE);
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
    if (place === IN_KEY) {
      on(TEXT, '"', COLON, IN_OBJECT);
      continue;
    }
    on(TEXT, '"', AFTER);
    for (const state of [VALUE, FIRST_VALUE]) {
      on(state, ' ', state);
      on(state, '"', TEXT);
      on(state, '{', OPEN_OBJECT);
      on(state, '[', OPEN_ARRAY);
      on(state, '-', MINUS);
      on(state, '0', ZERO);
      on(state, '123456789', DIGITS);
    }
    on(MINUS, '0', ZERO);
    on(MINUS, '123456789', DIGITS);
    on(DIGITS, digits, DIGITS);
    on(POINT, digits, FRACTION);
    on(FRACTION, digits, FRACTION);
    for (const state of [ZERO, DIGITS]) on(state, '.', POINT);
    for (const state of [ZERO, DIGITS, FRACTION]) on(state, 'eE', EXPONENT);
    on(EXPONENT, '+-', EXPONENT_SIGN);
    for (const state of [EXPONENT, EXPONENT_SIGN, EXPONENT_DIGITS]) on(state, digits, EXPONENT_DIGITS);
    // What is behind a number ends it.
    for (const state of [AFTER, ZERO, DIGITS, FRACTION, EXPONENT_DIGITS]) {
      on(state, ' ', AFTER);
      on(state, ',', place === IN_OBJECT ? KEY : VALUE);
      on(state, place === IN_OBJECT ? '}' : ']', CLOSE);
    }
    let literal = LITERALS;
    for (const word of ['true', 'false', 'null']) {
      for (const state of [VALUE, FIRST_VALUE]) on(state, word.charAt(0), literal);
      for (let index = 1; index < word.length; index += 1) {
        on(literal, word.charAt(index), index === word.length - 1 ? AFTER : literal + 1);
        literal += 1;
      }
    }
  }
  place = IN_ARRAY;
  on(FIRST_VALUE, ']', CLOSE);
  on(START, '{', FIRST_KEY, IN_OBJECT);
  on(END, '\n', ROW);
  place = IN_OBJECT;
  for (const state of [FIRST_KEY, KEY]) {
    on(state, ' ', state);
    on(state, '"', TEXT, IN_KEY);
  }
  on(FIRST_KEY, '}', CLOSE);
  on(COLON, ' ', COLON);
  on(COLON, ':', VALUE);
  return next;
}

// Four bytes at once, where the highest bit of each tells what it is. Above the first that is told others may be told
// without reason, because a subtraction borrowed from them: only the first counts.
const EACH_HIGHEST = 0x80808080 | 0;
const EACH_01 = 0x01010101;
const EACH_02 = 0x02020202;
const EACH_21 = 0x21212121;
const EACH_30 = 0x30303030;
const EACH_46 = 0x46464646;
const EACH_BACKSLASH = 0x5c5c5c5c;

// A slice is over soon, so that V8 has seen all of its code, the end too, before it compiles it: what it compiles
// earlier is thrown away again, for tens of milliseconds.
const SLICE_BYTES = 4096;
// A shorter one is not worth a view.
const LEAST_VIEW_BYTES = 128;
const NO_VIEW = new DataView(new ArrayBuffer(0));

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
  /**
   * V8 forgets the layout of a class that has no objects, and throws away what it has compiled for it: where garbage
   * is collected between two answers, all would be compiled anew for each of them. So there is always one.
   */
  static readonly kept = new RowProof();
  #state = START * 4;
  // How many arrays and objects are open in the row, and where each of them stands.
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
    return this.#state !== START * 4;
  }

  /** Whether the last piece held a byte above 0x7f. */
  get sawNonAscii(): boolean {
    return this.#sawNonAscii;
  }

  /** What is wrong with the next piece, or `undefined`; after a fault the proof is of no use any more. */
  take(bytes: Buffer): RowFault | undefined {
    this.#sawNonAscii = false;
    const { length } = bytes;
    if (length <= SLICE_BYTES) return this.#slice(bytes);
    for (let from = 0; from < length; from += SLICE_BYTES) {
      const found = this.#slice(bytes.subarray(from, from + SLICE_BYTES));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  // Most of an answer is texts and digits, which are gone over by four bytes at once; all else is one look into a
  // table for each byte. That this is little code counts as much as that it is fast code: V8 compiles it while the
  // first large answer arrives.
  #slice(bytes: Buffer): RowFault | undefined {
    const { length } = bytes;
    const isLong = length >= LEAST_VIEW_BYTES;
    const view = isLong ? new DataView(bytes.buffer, bytes.byteOffset, length) : NO_VIEW;
    const lastFour = isLong ? length - 4 : -1;
    let state = this.#state;
    let depth = this.#depth;
    let rowStart = 0 - this.#bytesBefore;
    let seen = 0;
    let at = 0;
    while (at < length) {
      if (state < FIRST_WITHOUT_RUN) {
        if (state < TEXT * 4 + 4) {
          while (at <= lastFour) {
            const four = view.getInt32(at, true);
            seen |= four;
            // With this bit turned, control bytes stay below 0x20, and a quote is 0x20.
            const turned = four ^ EACH_02;
            const slashes = four ^ EACH_BACKSLASH;
            const stop = (((turned - EACH_21) & ~turned) | ((slashes - EACH_01) & ~slashes)) & EACH_HIGHEST;
            if (stop !== 0) {
              at += bytesBefore(stop);
              break;
            }
            at += 4;
          }
        } else {
          while (at <= lastFour) {
            const four = view.getInt32(at, true);
            // Below 0 or above 9; the sum alone would miss what is above 0xb9, the difference does not.
            const stop = ((four - EACH_30) | (four + EACH_46)) & EACH_HIGHEST;
            if (stop !== 0) {
              at += bytesBefore(stop);
              break;
            }
            at += 4;
          }
        }
        if (at === length) break;
      }
      const byte = bytes[at] as number;
      seen |= byte;
      const next = NEXT[(state << 8) | byte] as number;
      at += 1;
      if (next < FIRST_ACTION) state = next;
      else if (next < CLOSE * 4) {
        if (depth === MAX_ROW_DEPTH - 1) return this.#tooDeep(at - 1 - rowStart);
        this.#around ??= new Uint8Array(MAX_ROW_DEPTH);
        this.#around[depth] = state & 3;
        depth += 1;
        state = next < OPEN_ARRAY * 4 ? FIRST_KEY * 4 + IN_OBJECT : FIRST_VALUE * 4 + IN_ARRAY;
      } else if (next < ROW * 4) {
        if (depth === 0) state = END * 4;
        else {
          depth -= 1;
          state = AFTER * 4 + ((this.#around as Uint8Array)[depth] as number);
        }
      } else if (next < BAD * 4) {
        if (at - rowStart > MAX_ROW_BYTES) return tooLong(this.#rows);
        this.#rows += 1;
        state = START * 4;
        rowStart = at;
      } else return this.#fault(byte, at - 1 - rowStart, state >> 2);
    }
    this.#state = state;
    this.#depth = depth;
    this.#bytesBefore = length - rowStart;
    if ((seen & EACH_HIGHEST) !== 0) this.#sawNonAscii = true;
    return this.#bytesBefore > MAX_ROW_BYTES ? tooLong(this.#rows) : undefined;
  }

  #fault(byte: number, offset: number, state: number): RowFault {
    const row = this.#rows + 1;
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
    // The end of what is open has ended the number, and is the wrong one.
    const isEnd = state <= ZERO && (byte === CLOSE_BRACE || byte === CLOSE_BRACKET);
    return fault(`${place} is ${shown(byte)} instead of ${belongsAt(isEnd ? AFTER : state)}`);
  }

  #tooDeep(offset: number): RowFault {
    const place = `byte ${offset + 1} of row ${this.#rows + 1}`;
    return fault(`${place} opens more than ${MAX_ROW_DEPTH} arrays and objects in each other`);
  }
}

// How many bytes of four are before the first that is told.
function bytesBefore(told: number): number {
  return (31 - Math.clz32(told ^ (told - 1))) >> 3;
}

function tooLong(rows: number): RowFault {
  return { reason: `row ${rows + 1} is longer than ${MAX_ROW_BYTES} bytes`, isTooLong: true };
}

// What servers wrote for a number that is none, with a sign or in capitals or not: nan, inf, +inf, NaN, Infinity.
const NOT_NUMBERS: ReadonlySet<number> = new Set(Buffer.from('niNI+'));

function belongsAt(state: number): string {
  const known = WHAT_BELONGS[state];
  if (known !== undefined) return known;
  if (state >= LITERALS) return 'true, false or null';
  return state >= HEX_1 && state <= LOW_2
    ? 'what belongs to an escape (\\u and four digits, surrogates in pairs)'
    : 'what belongs to a number';
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
