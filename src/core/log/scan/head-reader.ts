import { OUTCOMES, type Outcome } from '../../model.js';
import type { RecordHead } from './record-head.js';

/**
 * The head of a line as qrun writes it, read by position. Its strings are decoded on first use, which is possible until
 * {@link release}: whoever keeps a head copies what it needs during the visit.
 */
export class LineHead implements RecordHead {
  part = 0;
  parts = 0;
  outcome: Outcome = 'normal';
  attempt = 0;
  run = '';
  rerun = false;
  /** The length that the whole line must have, without its newline. */
  lineBytes = 0;
  /** The line's bytes, with offsets into them; `undefined` once released. */
  bytes: Buffer | undefined;
  view: DataView;
  from: number;
  queryFrom = 0;
  queryTo = 0;
  fingerprintFrom = 0;
  fingerprintTo = 0;
  partFrom = 0;
  partTo = 0;
  restFrom = 0;
  #query: string | undefined;
  #fingerprint: string | undefined;

  constructor(bytes: Buffer, view: DataView, from: number) {
    this.bytes = bytes;
    this.view = view;
    this.from = from;
  }

  get query(): string {
    this.#query ??= textAt(this.#held(), this.queryFrom, this.queryTo);
    return this.#query;
  }

  get fingerprint(): string {
    this.#fingerprint ??= textAt(this.#held(), this.fingerprintFrom, this.fingerprintTo);
    return this.#fingerprint;
  }

  /** Whether the name is plain in the line (printable ASCII without escapes) and has not been asked for yet. */
  get isPlainQuery(): boolean {
    return this.#query === undefined;
  }

  /** The same for the fingerprint. */
  get isPlainFingerprint(): boolean {
    return this.#fingerprint === undefined;
  }

  /** Decodes at once what is not plain; `false` if its escapes are not JSON. */
  decode(plainQuery: boolean, plainFingerprint: boolean): boolean {
    const bytes = this.#held();
    if (!plainQuery) {
      const text = escapedText(bytes, this.queryFrom, this.queryTo);
      if (text === undefined) return false;
      this.#query = text;
    }
    if (!plainFingerprint) {
      const text = escapedText(bytes, this.fingerprintFrom, this.fingerprintTo);
      if (text === undefined) return false;
      this.#fingerprint = text;
    }
    return true;
  }

  /** Makes its own copy of the bytes, before the chunk is used again. */
  detach(): void {
    const { from } = this;
    this.bytes = Buffer.from(this.#held().subarray(from, this.restFrom));
    this.view = viewOf(this.bytes);
    this.from = 0;
    this.queryFrom -= from;
    this.queryTo -= from;
    this.fingerprintFrom -= from;
    this.fingerprintTo -= from;
    this.partFrom -= from;
    this.partTo -= from;
    this.restFrom -= from;
  }

  /** Ends its use: a string that was never asked for is not available any more, and is never read from other bytes. */
  release(): void {
    this.bytes = undefined;
  }

  #held(): Buffer {
    if (this.bytes === undefined) throw new Error('the head of a group is used after its visit');
    return this.bytes;
  }
}

/** For {@link HeadReader.read}: one view for all lines of a chunk. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const QUOTE = 34;
const DIGIT_0 = 48;
const PART = textOf('","part":');
const PARTS = textOf(',"parts":');
const OUTCOME = textOf(',"outcome":"');
const OUTCOME_TEXTS = OUTCOMES.map(outcome => ({
  outcome,
  text: textOf(`${outcome}","fingerprint":"`),
}));
const ATTEMPT = textOf('","attempt":');
const RUN = textOf(',"run":"');
const RERUN = textOf(',"rerun":true');
const REST_BYTES = textOf(',"rest_bytes":');

// Enough for numbers of 16 digits.
const MIDDLE_BYTES = 96;

// What ends the plain part of a string: the quote, an escape, anything but printable ASCII.
const PLAIN = 0;
const IS_QUOTE = 1;
const IS_ESCAPE = 2;
const IS_OTHER = 3;
const CLASSES = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === QUOTE) return IS_QUOTE;
  if (byte === 92) return IS_ESCAPE;
  return byte < 0x20 || byte > 0x7e ? IS_OTHER : PLAIN;
});

/**
 * Reads the heads of a unit's records by position, as qrun writes them. Bytes that are the same in every line, or in
 * many of them, are compared word by word and not decoded.
 */
export class HeadReader {
  readonly #prefix: DataView;
  // `,"run":"...","rest_bytes":` of the last head, including `"rerun"` if it had one.
  #end: DataView | undefined;
  #run = '';
  #rerun = false;
  // From the end of the name to the fingerprint, in the last head; none if its length is 0.
  readonly #lastMiddle = new DataView(new ArrayBuffer(MIDDLE_BYTES));
  #lastLength = 0;
  #lastPart = 0;
  #lastPartDigits = 0;
  #lastParts = 0;
  #lastOutcome: Outcome = 'normal';
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = viewOf(this.#bytes);
  #at = 0;
  #limit = 0;
  #isPlain = true;

  constructor(unit: string) {
    this.#prefix = textOf(`{"unit":${JSON.stringify(unit)},"query":"`);
  }

  /**
   * Returns the head of the record that begins at `from`; `undefined` if the bytes deviate from the written form. A
   * line that is not `lineBytes` long was torn, joined to another or reformatted. The caller then parses it as JSON,
   * which fails for a torn or joined line. `end`: where the available bytes end.
   */
  read(bytes: Buffer, from: number, end: number, view = viewOf(bytes)): LineHead | undefined {
    this.#bytes = bytes;
    this.#view = view;
    this.#at = from;
    this.#limit = end;
    if (!this.#expect(this.#prefix)) return undefined;
    const head = new LineHead(bytes, view, from);
    head.queryFrom = this.#at;
    if (!this.#text()) return undefined;
    head.queryTo = this.#at;
    const isPlainQuery = this.#isPlain;
    if (!this.#isMiddleOfLast(head) && !this.#middle(head)) return undefined;
    head.fingerprintFrom = this.#at;
    if (!this.#text()) return undefined;
    head.fingerprintTo = this.#at;
    const isPlainFingerprint = this.#isPlain;
    if (!this.#expect(ATTEMPT)) return undefined;
    head.attempt = this.#integer();
    if (head.attempt < 1 || !this.#runToRest()) return undefined;
    head.run = this.#run;
    head.rerun = this.#rerun;
    head.restFrom = this.#at;
    const restBytes = this.#integer();
    if (restBytes < 0) return undefined;
    head.lineBytes = this.#at - from + restBytes;
    if ((!isPlainQuery || !isPlainFingerprint) && !head.decode(isPlainQuery, isPlainFingerprint)) {
      return undefined;
    }
    return head;
  }

  /**
   * Returns the length that a line must have if its head equals that of `open` byte for byte, except for the part
   * number, which is `part`, and the number of bytes; -1 if it does not.
   */
  continues(open: LineHead, part: number, bytes: Buffer, from: number, end: number, view: DataView): number {
    const before = open.partFrom - open.from;
    const middle = open.restFrom - open.partTo;
    if (from + before + middle >= end || !isSame(view, from, open.view, open.from, before)) return -1;
    this.#bytes = bytes;
    this.#at = from + before;
    this.#limit = end;
    if (this.#integer() !== part) return -1;
    const at = this.#at;
    if (at + middle >= end || !isSame(view, at, open.view, open.partTo, middle)) return -1;
    this.#at = at + middle;
    const restBytes = this.#integer();
    return restBytes < 0 ? -1 : this.#at - from + restBytes;
  }

  #isMiddleOfLast(head: LineHead): boolean {
    const at = this.#at;
    if (this.#lastLength === 0 || at + this.#lastLength > this.#limit) return false;
    if (!isSame(this.#view, at, this.#lastMiddle, 0, this.#lastLength)) return false;
    this.#at = at + this.#lastLength;
    head.part = this.#lastPart;
    head.parts = this.#lastParts;
    head.outcome = this.#lastOutcome;
    head.partFrom = at + PART.byteLength;
    head.partTo = head.partFrom + this.#lastPartDigits;
    return true;
  }

  // From the end of the name to the fingerprint.
  #middle(head: LineHead): boolean {
    const from = this.#at;
    if (!this.#expect(PART)) return false;
    head.partFrom = this.#at;
    head.part = this.#integer();
    head.partTo = this.#at;
    if (!this.#expect(PARTS)) return false;
    head.parts = this.#integer();
    if (head.part < 1 || head.parts < head.part || !this.#expect(OUTCOME)) return false;
    const outcome = this.#outcome();
    if (outcome === undefined) return false;
    head.outcome = outcome;
    this.#lastLength = this.#at - from;
    if (this.#lastLength > MIDDLE_BYTES) this.#lastLength = 0;
    for (let i = 0; i < this.#lastLength; i += 1) this.#lastMiddle.setInt8(i, this.#view.getInt8(from + i));
    this.#lastPart = head.part;
    this.#lastParts = head.parts;
    this.#lastOutcome = outcome;
    this.#lastPartDigits = head.partTo - head.partFrom;
    return true;
  }

  #outcome(): Outcome | undefined {
    for (const { outcome, text } of OUTCOME_TEXTS) if (this.#expect(text)) return outcome;
    return undefined;
  }

  #runToRest(): boolean {
    if (this.#end !== undefined && this.#expect(this.#end)) return true;
    this.#end = undefined;
    const start = this.#at;
    if (!this.#expect(RUN)) return false;
    const from = this.#at;
    if (!this.#text()) return false;
    const decode = this.#isPlain ? textAt : escapedText;
    const run = decode(this.#bytes, from, this.#at);
    if (run === undefined) return false;
    this.#at += 1;
    const rerun = this.#expect(RERUN);
    if (!this.#expect(REST_BYTES)) return false;
    this.#run = run;
    this.#rerun = rerun;
    this.#end = viewOf(Buffer.from(this.#bytes.subarray(start, this.#at)));
    return true;
  }

  #expect(text: DataView): boolean {
    const length = text.byteLength;
    const at = this.#at;
    if (at + length > this.#limit || !isSame(this.#view, at, text, 0, length)) return false;
    this.#at = at + length;
    return true;
  }

  // Returns -1 if there is no digit.
  #integer(): number {
    const bytes = this.#bytes;
    const limit = this.#limit;
    let at = this.#at;
    let value = 0;
    for (; at < limit; at += 1) {
      const digit = (bytes[at] as number) - DIGIT_0;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === this.#at) return -1;
    this.#at = at;
    return value;
  }

  // Advances to the closing quote; `false` if there is none.
  #text(): boolean {
    const bytes = this.#bytes;
    const limit = this.#limit;
    this.#isPlain = true;
    for (let at = this.#at; at < limit; at += 1) {
      const kind = CLASSES[bytes[at] as number];
      if (kind === PLAIN) continue;
      if (kind === IS_QUOTE) {
        this.#at = at;
        return true;
      }
      this.#isPlain = false;
      if (kind === IS_ESCAPE) at += 1;
    }
    return false;
  }
}

function textOf(text: string): DataView {
  return viewOf(Buffer.from(text));
}

// One branch per 16 bytes is twice as fast as one for each word of four.
function isSame(a: DataView, atA: number, b: DataView, atB: number, length: number): boolean {
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    const x = atA + i;
    const y = atB + i;
    const differs =
      (a.getInt32(x) ^ b.getInt32(y)) |
      (a.getInt32(x + 4) ^ b.getInt32(y + 4)) |
      (a.getInt32(x + 8) ^ b.getInt32(y + 8)) |
      (a.getInt32(x + 12) ^ b.getInt32(y + 12));
    if (differs !== 0) return false;
  }
  for (; i + 4 <= length; i += 4) if (a.getInt32(atA + i) !== b.getInt32(atB + i)) return false;
  for (; i < length; i += 1) if (a.getInt8(atA + i) !== b.getInt8(atB + i)) return false;
  return true;
}

function textAt(bytes: Buffer, from: number, to: number): string {
  return bytes.toString('latin1', from, to);
}

// Returns the meaning of the bytes of a JSON string; `undefined` if its escapes are not JSON.
function escapedText(bytes: Buffer, from: number, to: number): string | undefined {
  const text = bytes.toString('utf8', from, to);
  if (!text.includes('\\')) return text;
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return undefined;
  }
}
