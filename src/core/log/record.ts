import type { Outcome, Parameters, QueryError, QueryStats } from '../model.js';

/** Version of the record format; a log with a higher one is refused. The sidecar of runs holds it. */
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
  /** Recorded on purpose although the query was settled (`--rerun all`); replaces the group before it. */
  readonly rerun: boolean;
  readonly queryId: string;
  /** The server that the attempt ended on; only in a run on several. */
  readonly server?: string | undefined;
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

/** Returns the bytes of the single record of a skipped or failed query, with its newline. */
export function encodeRowless(head: GroupHead, result: RowlessOutcome): Buffer {
  const { before, middle, rest } = envelope(head, 1, result.outcome);
  const end =
    result.outcome === 'error' ? `,"error":${errorJson(result.error)}}` : `${statsField(result.stats)}}`;
  return Buffer.from(`${before}1${middle}${Buffer.byteLength(rest) + Buffer.byteLength(end)}${rest}${end}\n`);
}

function errorJson({ code, name, kind, message }: QueryError): string {
  return JSON.stringify({ code, name, kind, message });
}

// As errorJson writes it. Strings in JSON hold no bare quotes, so that nothing before it looks like this.
const ERROR_FIELD = /,"error":\{"code":(\d{1,9}),"name":"([^"\\]{1,100})","kind":"([a-z]{1,20})"/;

/** Returns which error a record of a failed query holds, from its first part; `undefined` if it is not in it. */
export function errorOfRecord(text: string): Pick<QueryError, 'code' | 'name' | 'kind'> | undefined {
  const [, code, name, kind] = ERROR_FIELD.exec(text) ?? [];
  if (name === undefined || kind === undefined) return undefined;
  return { code: Number(code), name, kind: kind as QueryError['kind'] };
}

/**
 * Turns the rows of a normal result into records without parsing them: the row's own bytes are spliced in.
 *
 * Pass the result's bytes in order, in pieces of any size. Each call returns the bytes of the records that are complete
 * so far, as pieces that may alias this and earlier chunks; do not reuse the chunks. After the last piece all `rows`
 * records were returned, which `finish` checks. Memory: the longest row that is cut between pieces.
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

  /** Returns the record bytes that a further piece of the result completes. */
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

  /** Throws if the result did not have the announced number of whole rows; its records must not be kept then. */
  finish(): void {
    if (this.#part === this.#rows && this.#rows > 0 && this.#cutBytes === 0) return;
    throw new Error(`a result of ${this.#rows} rows gave ${this.#part} whole ones`);
  }
}

const RECORD_END = Buffer.from('}\n');

/**
 * Returns the strings that a group's records consist of: `before` + part + `middle` + number of bytes that follow up to
 * the newline + `rest` + the end of each record. The scanner reads the keys up to `rest_bytes` in this order without
 * parsing. The number lets it detect a line that was torn and joined to another.
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
      `,"query_id":${JSON.stringify(head.queryId)}${head.server === undefined ? '' : serverField(head.server)}` +
      `,"started_at":"${isoTime(head.startedAtMs)}"` +
      `,"duration_ms":${Math.round(head.durationMs * 10) / 10}${parametersField(head.parameters)}`,
  };
}

/** Returns `,"stats":{...}`, or nothing if there are none. */
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
const serverField = remembered((server: string) => `,"server":${JSON.stringify(server)}`);
// The time up to the point before the milliseconds, kept for as long as the second is the same.
const isoSecond = remembered((second: number) => new Date(second * 1000).toISOString().slice(0, -4));

/** Returns the same as `Date.toISOString` in a fifth of its time. */
function isoTime(ms: number): string {
  const whole = Math.trunc(ms);
  const rest = whole % 1000;
  // Before 1970: only a clock that was never set says that.
  if (rest < 0) return new Date(whole).toISOString();
  return `${isoSecond((whole - rest) / 1000)}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
}

// Returns a function that keeps its last answer.
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
