import type { Outcome, Parameters, QueryError, QueryStats } from './model.js';

/** Version of the record format; a log with a higher one is refused. It stands in the sidecar of runs. */
export const RECORD_SCHEMA_VERSION = 1;

/** Length of a fingerprint: 16 hexadecimal digits, 64 bits of SHA-256. */
export const FINGERPRINT_DIGITS = 16;

/** What all records of a group share. */
export interface GroupHead {
  readonly unit: string;
  readonly query: string;
  readonly fingerprint: string;
  /** Number of the attempt that ended, from 1. */
  readonly attempt: number;
  readonly run: string;
  /** Recorded on purpose although the query was settled (`--rerun all`): supersedes the group before it. */
  readonly rerun: boolean;
  readonly queryId: string;
  /** Start of the attempt, milliseconds since the epoch. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly parameters: Parameters;
}

/** A group without rows: exactly one record. */
export type RowlessOutcome =
  | { readonly outcome: 'skipped'; readonly stats: QueryStats | undefined }
  | { readonly outcome: 'error'; readonly error: QueryError };

const NEWLINE = 10;

/** The bytes of the one record of a skipped or failed query, with its newline. */
export function encodeRowless(head: GroupHead, result: RowlessOutcome): Buffer {
  const { before, middle, rest } = envelope(head, 1, result.outcome);
  const end =
    result.outcome === 'error' ? `,"error":${errorJson(result.error)}}` : `${statsField(result.stats)}}`;
  return Buffer.from(`${before}1${middle}${Buffer.byteLength(rest) + Buffer.byteLength(end)}${rest}${end}\n`);
}

function errorJson({ code, name, kind, message }: QueryError): string {
  return JSON.stringify({ code, name, kind, message });
}

/**
 * Turns the rows of a normal result into records, without parsing them: the row's own bytes are spliced in.
 *
 * Feed the result's bytes in order, in any pieces. Each call gives the bytes of the records that are complete
 * so far, as pieces that may alias this and earlier chunks, which must therefore not be used again; after the
 * last piece all `rows` records were given, which `finish` checks. Memory: the longest row, where it is cut
 * between pieces.
 */
export class RecordEncoder {
  readonly #before: Buffer;
  readonly #middle: Buffer;
  readonly #firstRest: Buffer;
  readonly #rest: Buffer;
  readonly #rows: number;
  #part = 0;
  #cutRow: Buffer[] = [];
  #cutBytes = 0;

  constructor(head: GroupHead, rows: number, stats: QueryStats | undefined) {
    const { before, middle, rest } = envelope(head, rows, 'normal');
    this.#rows = rows;
    this.#before = Buffer.from(before);
    this.#middle = Buffer.from(middle);
    this.#firstRest = Buffer.from(`${rest}${statsField(stats)},"row":`);
    this.#rest = Buffer.from(`${rest},"row":`);
  }

  /** The record bytes that a further piece of the result completes. */
  encode(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#part += 1;
      const rest = this.#part === 1 ? this.#firstRest : this.#rest;
      const restBytes = rest.length + this.#cutBytes + (end - from) + 1;
      pieces.push(
        this.#before,
        Buffer.from(String(this.#part)),
        this.#middle,
        Buffer.from(String(restBytes)),
        rest,
      );
      if (this.#cutBytes > 0) {
        pieces.push(...this.#cutRow);
        this.#cutRow = [];
        this.#cutBytes = 0;
      }
      pieces.push(chunk.subarray(from, end), RECORD_END);
      from = end + 1;
    }
    if (from < chunk.length) {
      this.#cutRow.push(chunk.subarray(from));
      this.#cutBytes += chunk.length - from;
    }
    return pieces;
  }

  /** Throws when the result was not the announced number of whole rows: its records must not be kept. */
  finish(): void {
    if (this.#part === this.#rows && this.#rows > 0 && this.#cutBytes === 0) return;
    throw new Error(`a result of ${this.#rows} rows gave ${this.#part} whole ones`);
  }
}

const RECORD_END = Buffer.from('}\n');

/**
 * The texts of which a group's records are made: `before` + part + `middle` + number of bytes that follow up to the
 * newline + `rest` + their end. The order of the keys up to `rest_bytes` is what the scanner reads without parsing,
 * and that number lets it see a line that was torn and glued to another.
 */
export function envelope(
  head: GroupHead,
  parts: number,
  outcome: Outcome,
): { before: string; middle: string; rest: string } {
  return {
    before: `{"unit":${unitJson(head.unit)},"query":${JSON.stringify(head.query)},"part":`,
    middle:
      `,"parts":${parts},"outcome":"${outcome}","fingerprint":"${head.fingerprint}","attempt":${head.attempt}` +
      `,"run":${runJson(head.run)}${head.rerun ? ',"rerun":true' : ''},"rest_bytes":`,
    rest:
      `,"query_id":${JSON.stringify(head.queryId)},"started_at":"${isoTime(head.startedAtMs)}"` +
      `,"duration_ms":${Math.round(head.durationMs * 10) / 10}${parametersField(head.parameters)}`,
  };
}

/** `,"stats":{...}`, or nothing where there are none. */
export function statsField(stats: QueryStats | undefined): string {
  if (stats === undefined) return '';
  const json = JSON.stringify(stats);
  return json === '{}' ? '' : `,"stats":${json}`;
}

// The same for all records of a run, and therefore not encoded again for each.
const unitJson = remembered((unit: string) => JSON.stringify(unit));
const runJson = remembered((run: string) => JSON.stringify(run));
const parametersField = remembered((parameters: Parameters) =>
  Object.keys(parameters).length === 0 ? '' : `,"params":${sortedJson(parameters)}`,
);
// Up to the point before the milliseconds; from second to second.
const isoSecond = remembered((second: number) => new Date(second * 1000).toISOString().slice(0, -4));

/** As `Date.toISOString`, in a fifth of its time. */
function isoTime(ms: number): string {
  const whole = Math.trunc(ms);
  const rest = whole % 1000;
  // Before 1970, which only a clock that was never set says.
  if (rest < 0) return new Date(whole).toISOString();
  return `${isoSecond((whole - rest) / 1000)}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
}

// A function that keeps its last answer.
function remembered<T>(of: (value: T) => string): (value: T) => string {
  let last: { readonly value: T; readonly text: string } | undefined;
  return value => {
    if (last === undefined || last.value !== value) last = { value, text: of(value) };
    return last.text;
  };
}

function sortedJson(values: Parameters): string {
  return JSON.stringify(Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** The fields of a record that resume and audit need. */
export interface RecordHead {
  readonly query: string;
  readonly part: number;
  readonly parts: number;
  readonly outcome: Outcome;
  readonly fingerprint: string;
  readonly attempt: number;
  readonly run: string;
  readonly rerun: boolean;
}

/** A head as qrun writes it, with the length that the whole line must have, without its newline. */
export interface WrittenHead extends RecordHead {
  readonly lineBytes: number;
}

const QUOTE = 34;
const BACKSLASH = 92;
const WRITTEN_OUTCOMES = (['normal', 'skipped', 'error'] as const).map(outcome => ({
  outcome,
  bytes: Buffer.from(outcome),
}));
const PART = Buffer.from(',"part":');
const PARTS = Buffer.from(',"parts":');
const OUTCOME = Buffer.from(',"outcome":"');
const FINGERPRINT = Buffer.from('","fingerprint":"');
const ATTEMPT = Buffer.from(',"attempt":');
const RUN = Buffer.from(',"run":"');
const RERUN = Buffer.from(',"rerun":true');
const REST_BYTES = Buffer.from(',"rest_bytes":');

/**
 * Reads the heads of a unit's records by position, as qrun writes them. It remembers the texts of the last head,
 * because comparing bytes costs less than decoding them and the records of a group share theirs.
 */
export class HeadReader {
  readonly #prefix: Buffer;
  readonly #query = new LastText();
  readonly #fingerprint = new LastText();
  readonly #run = new LastText();
  #line: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  constructor(unit: string) {
    this.#prefix = Buffer.from(`{"unit":${JSON.stringify(unit)},"query":"`);
  }

  /**
   * The head of the record that begins at `from`; `undefined` where the bytes deviate from the written form. A
   * line that is not `lineBytes` long was torn, glued or printed again: the caller then parses it as JSON, which
   * a torn or glued line does not survive. `end`: where the bytes at hand end.
   */
  read(line: Buffer, from: number, end: number): WrittenHead | undefined {
    this.#line = line;
    this.#at = from;
    this.#end = end;
    if (!this.#expect(this.#prefix)) return undefined;
    const query = this.#text(this.#query);
    if (query === undefined || !this.#expect(PART)) return undefined;
    const part = this.#integer();
    if (!this.#expect(PARTS)) return undefined;
    const parts = this.#integer();
    if (!this.#expect(OUTCOME)) return undefined;
    const outcome = this.#outcome();
    if (outcome === undefined || !this.#expect(FINGERPRINT)) return undefined;
    const fingerprint = this.#text(this.#fingerprint);
    if (fingerprint === undefined || !this.#expect(ATTEMPT)) return undefined;
    const attempt = this.#integer();
    if (!this.#expect(RUN)) return undefined;
    const run = this.#text(this.#run);
    if (run === undefined || part < 1 || parts < part || attempt < 1) return undefined;
    const rerun = this.#expect(RERUN);
    if (!this.#expect(REST_BYTES)) return undefined;
    const restBytes = this.#integer();
    if (restBytes < 0) return undefined;
    const lineBytes = this.#at - from + restBytes;
    return { query, part, parts, outcome, fingerprint, attempt, run, rerun, lineBytes };
  }

  #outcome(): Outcome | undefined {
    for (const { outcome, bytes } of WRITTEN_OUTCOMES) if (this.#expect(bytes)) return outcome;
    return undefined;
  }

  #expect(text: Buffer): boolean {
    const line = this.#line;
    const at = this.#at;
    if (at + text.length > this.#end) return false;
    for (let i = 0; i < text.length; i += 1) if (line[at + i] !== text[i]) return false;
    this.#at = at + text.length;
    return true;
  }

  // -1 where there is no digit.
  #integer(): number {
    const line = this.#line;
    const end = this.#end;
    let at = this.#at;
    let value = 0;
    for (; at < end; at += 1) {
      const digit = (line[at] as number) - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === this.#at) return -1;
    this.#at = at;
    return value;
  }

  // The text up to the closing quote, which is stepped over.
  #text(last: LastText): string | undefined {
    const close = last.read(this.#line, this.#at, this.#end);
    if (close === -1) return undefined;
    this.#at = close + 1;
    return last.text;
  }
}

// Longer texts are decoded each time.
const REMEMBERED_BYTES = 256;

// Reads JSON strings that tend to be the same from line to line.
class LastText {
  readonly #bytes = new Uint8Array(REMEMBERED_BYTES);
  #length = -1;
  /** `undefined` when its escapes are no JSON. */
  text: string | undefined;

  /** Reads the string whose content begins at `start`; gives where its closing quote is, or -1. */
  read(line: Buffer, start: number, end: number): number {
    const length = this.#length;
    const bytes = this.#bytes;
    if (start + length < end && line[start + length] === QUOTE) {
      let same = 0;
      while (same < length && line[start + same] === bytes[same]) same += 1;
      if (same === length) return start + length;
    }
    return this.#decode(line, start, end);
  }

  #decode(line: Buffer, start: number, end: number): number {
    const bytes = this.#bytes;
    this.#length = -1;
    let ascii = true;
    let escaped = false;
    let at = start;
    for (; at < end; at += 1) {
      const byte = line[at] as number;
      if (byte === QUOTE) break;
      if (at - start < REMEMBERED_BYTES) bytes[at - start] = byte;
      if (byte > 127) ascii = false;
      if (byte !== BACKSLASH) continue;
      escaped = true;
      at += 1;
      if (at - start < REMEMBERED_BYTES) bytes[at - start] = line[at] as number;
    }
    if (at >= end) return -1;
    if (at - start <= REMEMBERED_BYTES) this.#length = at - start;
    const text = line.toString(ascii ? 'latin1' : 'utf8', start, at);
    this.text = escaped ? unescapedText(text) : text;
    return at;
  }
}

function unescapedText(text: string): string | undefined {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return undefined;
  }
}

const OUTCOMES: ReadonlySet<unknown> = new Set(['normal', 'skipped', 'error']);

/** What a line is that does not have the written form: a record all the same, another unit's, or neither. */
export type ForeignLine =
  | { readonly kind: 'record'; readonly head: RecordHead }
  | { readonly kind: 'other_unit'; readonly unit: string }
  | { readonly kind: 'newer'; readonly schema: number }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'unreadable' };

/** Reads a line by parsing it: for records that something printed again with other spaces or key order. */
export function readForeignLine(text: string, unit: string): ForeignLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'unreadable' };
  }
  if (typeof value !== 'object' || value === null) return { kind: 'unreadable' };
  const record = value as Record<string, unknown>;
  // Records of version 1 have no such key; a later version that changes their form must write it, before the unit:
  // what begins as a record of version 1 is read by position.
  const { schema } = record;
  if ('unit' in record && 'query' in record && typeof schema === 'number' && schema > RECORD_SCHEMA_VERSION) {
    return { kind: 'newer', schema };
  }
  if (!isRecord(record)) return { kind: 'foreign' };
  if (record.unit !== unit) return { kind: 'other_unit', unit: record.unit };
  const { query, part, parts, outcome, fingerprint, attempt, run } = record;
  return {
    kind: 'record',
    head: { query, part, parts, outcome, fingerprint, attempt, run, rerun: record.rerun === true },
  };
}

function isRecord(
  value: Record<string, unknown>,
): value is Record<string, unknown> & RecordHead & { unit: string } {
  return (
    ['unit', 'query', 'fingerprint', 'run'].every(key => typeof value[key] === 'string') &&
    ['part', 'parts', 'attempt'].every(
      key => Number.isSafeInteger(value[key]) && (value[key] as number) >= 1,
    ) &&
    (value.part as number) <= (value.parts as number) &&
    OUTCOMES.has(value.outcome)
  );
}
