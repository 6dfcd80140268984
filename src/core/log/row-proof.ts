/**
 * How deep arrays and objects of a row may nest. ClickHouse reads and writes up to 1,000 levels (`max_parser_depth`,
 * `input_format_json_max_depth`), and so does Python's json. A row is one level deeper in its record, and readers that
 * recurse need some room of their own.
 */
export const MAX_ROW_DEPTH = 512;

/**
 * How long a row may be, in bytes. One row is held in memory while its record is written, and a V8 string ends at 512
 * MiB (v8::String::kMaxLength): a longer row could be recorded but not read again.
 */
export const MAX_ROW_BYTES = 256 * 1024 * 1024;

/** Why bytes are not rows. */
export interface RowFault {
  /** What is wrong and where. */
  readonly reason: string;
  /** It is a row, but longer than {@link MAX_ROW_BYTES}. */
  readonly isTooLong: boolean;
}

const NEWLINE = 10;
const SPACE = 32;
const CLOSE_BRACKET = 93;
const CLOSE_BRACE = 125;

// What may come at the next byte. A state is four times one of these, plus one of the places below.
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
// Four hexadecimal digits, and those of the second half of a surrogate pair.
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
// The remaining letters of true, false and null. NULL_U is the state after the n of null; nan begins in the same way.
const LITERALS = 29;
const NULL_U = LITERALS + 'rue'.length + 'alse'.length;
// What has to be done besides going to the next state.
const OPEN_OBJECT = NULL_U + 'ull'.length;
const OPEN_ARRAY = OPEN_OBJECT + 1;
const CLOSE = OPEN_OBJECT + 2;
const ROW = OPEN_OBJECT + 3;
const BAD = OPEN_OBJECT + 4;

// Where a state is: in an array, in an object, or in a key of one.
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

// States before this one expect runs of bytes of the same kind.
const FIRST_WITHOUT_RUN = ZERO * 4;
const FIRST_ACTION = OPEN_OBJECT * 4;
// NEXT[state * 256 + byte]: the next state, or an action.
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
    // Not every reader accepts half of a pair. A second half begins with d and then c to f.
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
    // Whatever comes after a number ends it.
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

// Tests four bytes at once: the highest bit of each byte marks a hit. Bytes above the first hit may be marked wrongly,
// because a subtraction borrowed from them, so only the first hit counts.
const EACH_HIGHEST = 0x80808080 | 0;
const EACH_01 = 0x01010101;
const EACH_02 = 0x02020202;
const EACH_21 = 0x21212121;
const EACH_30 = 0x30303030;
const EACH_46 = 0x46464646;
const EACH_BACKSLASH = 0x5c5c5c5c;

// A slice is short, so that V8 has seen all of its code, including its end, before compiling it. What V8 compiles
// earlier it discards again, which costs tens of milliseconds.
const SLICE_BYTES = 4096;
// A shorter slice is not worth a view.
const LEAST_VIEW_BYTES = 128;
const NO_VIEW = new DataView(new ArrayBuffer(0));

/**
 * Proves, byte by byte, that an answer consists of rows: lines of one JSON object each (RFC 8259), each with a newline
 * after it, and nothing else. A row spliced into a record is therefore its value and nothing more.
 *
 * Stricter than JSON in what no server writes and some readers do not survive: no white space but blanks, no half of
 * a surrogate pair, at most {@link MAX_ROW_DEPTH} levels and {@link MAX_ROW_BYTES}. A key may occur twice. The caller
 * must prove that bytes above 0x7f are UTF-8; {@link sawNonAscii} says whether there are any.
 *
 * Pieces may be cut anywhere. Linear time, constant memory.
 */
export class RowProof {
  /**
   * V8 forgets the layout of a class without objects and discards the code it has compiled for it. If garbage was
   * collected between two answers, all of it would be compiled again for each answer. So one object always exists.
   */
  static readonly kept = new RowProof();
  #state = START * 4;
  // How many arrays and objects are open in the row, and what each of them is in.
  #depth = 0;
  #around: Uint8Array | undefined;
  // Bytes of the open row in earlier pieces.
  #bytesBefore = 0;
  #rows = 0;
  #sawNonAscii = false;

  /** The number of complete rows. */
  get rows(): number {
    return this.#rows;
  }

  /** Whether a row has begun and is not complete yet. */
  get isOpen(): boolean {
    return this.#state !== START * 4;
  }

  /** Whether the last piece held a byte above 0x7f. */
  get sawNonAscii(): boolean {
    return this.#sawNonAscii;
  }

  /** Returns what is wrong with the next piece, or `undefined`. After a fault the proof must not be used again. */
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

  // Most of an answer is strings and digits, which are read four bytes at a time; everything else is one table lookup
  // per byte. Little code matters as much as fast code, because V8 compiles it while the first large answer arrives.
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
            // With this bit flipped, control bytes stay below 0x20, and a quote is 0x20.
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
            // Below 0 or above 9. The sum alone would miss bytes above 0xb9; the difference does not.
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
    if (state === END) return fault(`${place}, after its end, is ${shown(byte)}`);
    const isStart = state === VALUE || state === FIRST_VALUE || state === MINUS;
    if ((isStart && NOT_NUMBERS.has(byte)) || (state === NULL_U && byte === 0x61)) {
      return fault(
        `${place} is in a number that JSON does not have, such as nan or inf (--set output_format_json_quote_denormals=1 turns them into strings)`,
      );
    }
    // The wrong closing bracket, which ended a number.
    const isEnd = state <= ZERO && (byte === CLOSE_BRACE || byte === CLOSE_BRACKET);
    return fault(`${place} is ${shown(byte)} instead of ${belongsAt(isEnd ? AFTER : state)}`);
  }

  #tooDeep(offset: number): RowFault {
    const place = `byte ${offset + 1} of row ${this.#rows + 1}`;
    return fault(`${place} opens more than ${MAX_ROW_DEPTH} nested arrays and objects`);
  }
}

// Returns how many of the four bytes are before the first one that is marked.
function bytesBefore(told: number): number {
  return (31 - Math.clz32(told ^ (told - 1))) >> 3;
}

function tooLong(rows: number): RowFault {
  return { reason: `row ${rows + 1} is longer than ${MAX_ROW_BYTES} bytes`, isTooLong: true };
}

// How servers wrote values that are not numbers, with or without a sign or capitals: nan, inf, +inf, NaN, Infinity.
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
