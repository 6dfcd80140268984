import { randomUUID } from 'node:crypto';
import { HTTP_PARAMETERS } from '../../../../core/engines/engine-settings.js';
import { encodeSql } from '../../../../core/sql/lexer/encoding.js';
import type { StopSignal } from '../../stop.js';
import type { Caller, HttpCall } from './call.js';

// Parameters of up to this length are sent in the URL: nginx accepts a request line of 8 KiB, and qrun's own part takes
// about 1 KiB.
const URL_ROOM_BYTES = 4 * 1024;
// A field of a form has a limit too (http_max_field_value_size, 128 KiB by default), and the SQL is one of the fields.
const FIELD_BYTES = 128 * 1024;
// If the body is a form, the server takes URL parameters with these endings for descriptions of external tables and
// ignores them, although some settings have such names (HTTPHandler.cpp).
const OVERLOOKED = /(?:_format|_types|_structure)$/;
const PARAMETER = /^param_\w+$/;
const PROBE = 'SELECT {v:UInt8} AS v';

/**
 * Decides where the parameters of a statement are sent: in the URL if they are short, otherwise in fields of a form
 * (multipart/form-data), if the server reads parameters from a form (22.8 and later; it is asked when this first
 * matters). What cannot be sent in any other way stays in the URL.
 */
export class ParameterPlace {
  readonly #queries: Caller;
  #formsWork: boolean | undefined;

  /** `queries`: the route of the forms; the server is asked over it. */
  constructor(queries: Caller) {
    this.#queries = queries;
  }

  /** Returns the call as it is to be sent; as a promise only if the server may have to be asked. */
  of(call: HttpCall, stop: StopSignal): HttpCall | Promise<HttpCall> {
    return !isLong(call.query) || !fitsForm(call) ? call : this.#inForm(call, stop);
  }

  async #inForm(call: HttpCall, stop: StopSignal): Promise<HttpCall> {
    if (!(await this.#asked(stop))) return call;
    const [query, form]: [Record<string, string>, Record<string, string>] = [{}, { query: textOf(call) }];
    for (const [name, value] of Object.entries(call.query)) {
      if (name.startsWith('param_')) form[name] = value;
      else query[name] = value;
    }
    return { ...call, query, form };
  }

  async #asked(stop: StopSignal): Promise<boolean> {
    if (this.#formsWork !== undefined) return this.#formsWork;
    const form = { query: PROBE, param_v: '1' };
    const call = { sql: PROBE, form, queryId: '', query: HTTP_PARAMETERS };
    const answer = await this.#queries.call(call, stop);
    if (answer.ok) {
      this.#formsWork = answer.body.rows === 1;
      await answer.body.dispose();
    } else if (answer.failure.code > 0 && !answer.failure.serverGone && answer.failure.kind === 'permanent') {
      this.#formsWork = false;
    }
    return this.#formsWork ?? false;
  }
}

/** Returns the SQL of a call followed by its inline data, which the server reads as one. */
export function textOf({ sql, data }: Pick<HttpCall, 'sql' | 'data'>): string {
  // Data begins after the first line end, whatever it is, so leading blanks in the data are kept.
  return data === undefined ? sql : `${sql}\n${data}`;
}

/** The body of a request, and its content type if it is not plain SQL. */
export interface RequestBody {
  readonly bytes: string | Buffer;
  readonly contentType?: string;
}

/** Returns the request body for a form. */
export function formBody(fields: Readonly<Record<string, string>>): RequestBody {
  const boundary = `qrun-${randomUUID()}`;
  const parts = Object.entries(fields).flatMap(([name, value]) => [
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n`,
    name === 'query' ? encodeSql(value) : value,
    '\r\n',
  ]);
  return {
    bytes: Buffer.concat([...parts, `--${boundary}--\r\n`].map(part => Buffer.from(part as string))),
    contentType: `multipart/form-data; boundary=${boundary}`,
  };
}

function isLong(query: Readonly<Record<string, string>>): boolean {
  let bytes = 0;
  for (const name in query) {
    if (!name.startsWith('param_')) continue;
    const value = query[name] as string;
    // A character takes up to nine bytes when encoded.
    bytes += value.length * 9 < URL_ROOM_BYTES / 4 ? value.length * 3 : encodeURIComponent(value).length;
  }
  return bytes > URL_ROOM_BYTES;
}

function fitsForm(call: HttpCall): boolean {
  if (Buffer.byteLength(textOf(call)) > FIELD_BYTES) return false;
  return Object.entries(call.query).every(([name, value]) =>
    name.startsWith('param_')
      ? PARAMETER.test(name) && Buffer.byteLength(value) <= FIELD_BYTES
      : name === 'default_format' || !OVERLOOKED.test(name),
  );
}
