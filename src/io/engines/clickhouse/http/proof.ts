import { explainLongUrl } from '../../../../core/engines/clickhouse/long-url.js';
import {
  errorName,
  excerpt,
  type Failure,
  httpFailure,
  ownFailure,
  parseExceptionTail,
  parseServerError,
  type ServerErrorText,
  serverFailure,
  type TransportError,
  transportFailure,
} from '../../../../core/engines/failure.js';
import type { QueryStats } from '../../../../core/model.js';
import {
  type NotRows,
  notRows,
  type ResultBody,
  ResultWriter,
  type RowShape,
  TAIL_BYTES,
} from '../../result-body.js';
import {
  type AnswerHeaders,
  type HttpAnswer,
  type HttpCall,
  MAX_HEADER_BYTES,
  type Reply,
  type ReplyBody,
  type RequestSignal,
} from './call.js';
import {
  contradiction,
  countIn,
  headerOf,
  type ServerIdentity,
  type Summary,
  summaryOf,
} from './identity.js';

/**
 * Reads an answer and proves it.
 *
 * It counts as a result only if its status is 200 without an exception header, it bears ClickHouse's marks
 * ({@link ServerIdentity}), its end is proven by a length or by chunks, and its body is nothing but whole rows, as many
 * as the server counted if it says so. Everything else is a {@link Failure}. Rejects only with QrunError
 * `WRITE_FAILED` (spool). When `stop` aborts, the connection is cut and the answer is a failure.
 */
export async function proven(
  { status, headers, body }: Reply,
  call: HttpCall,
  identity: ServerIdentity,
  stop: RequestSignal,
): Promise<HttpAnswer> {
  const isRows = status === 200 && headers['x-clickhouse-exception-code'] === undefined;
  const why = isRows ? identity.foreign(headers, call.queryId) : undefined;
  const isOurs = isRows ? why === undefined : identity.isMarked(headers);
  if (isOurs) stop.answered?.();
  const cut = (): void => body.destroy();
  stop.addEventListener('abort', cut, { once: true });
  if (stop.aborted) cut();
  try {
    if (why !== undefined) return { ok: false, status, failure: await readForeign(body, headers, why) };
    return isRows
      ? await readRows(body, headers, call)
      : { ok: false, status, failure: explained(await readError(body, status, headers), call) };
  } finally {
    stop.removeEventListener('abort', cut);
  }
}

/** The answer for a call whose signal was aborted before it. */
export function notSent(): HttpAnswer {
  return { ok: false, failure: ownFailure('ABORTED', 'transient', 'not sent') };
}

// The codes of undici and of Node.
const HEADERS_TOO_LARGE: ReadonlySet<unknown> = new Set(['UND_ERR_HEADERS_OVERFLOW', 'HPE_HEADER_OVERFLOW']);

/** The answer for a request that ended before the headers of its answer arrived. */
export function unanswered(error: unknown, call: HttpCall): HttpAnswer {
  const why = transportError(error);
  if (!HEADERS_TOO_LARGE.has(why.code)) {
    return { ok: false, failure: explained(transportFailure(why), call) };
  }
  // It fails in the same way each time, and says nothing against a server that answers others.
  const limit = `the headers of the answer are larger than ${MAX_HEADER_BYTES} bytes`;
  const help = 'with send_progress_in_http_headers set http_headers_progress_interval_ms higher';
  return { ok: false, failure: ownFailure('HEADERS_TOO_LARGE', 'permanent', `${limit} (${help})`) };
}

function explained(failure: Failure, { form, query }: HttpCall): Failure {
  return explainLongUrl(failure, () => ({
    urlBytes: new URLSearchParams(query).toString().length,
    pairs: form ?? query,
  }));
}

async function readRows(
  body: ReplyBody,
  headers: AnswerHeaders,
  { spool, shape, limitBytes = Number.POSITIVE_INFINITY }: HttpCall,
): Promise<HttpAnswer> {
  const writer = new ResultWriter(spool, shape);
  let sizeBytes = 0;
  const cutRefused = (): void => {
    if (writer.isRefused) body.destroy();
  };
  const error = await body.read(chunk => {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) {
      body.destroy();
      return undefined;
    }
    const written = writer.write(chunk);
    cutRefused();
    return written?.then(cutRefused);
  });
  if (sizeBytes > limitBytes) {
    await writer.discard();
    const message = `the answer is larger than ${limitBytes} bytes`;
    return failed(ownFailure('ANSWER_TOO_LARGE', 'permanent', message));
  }
  if (writer.isRefused) {
    const refused = await writer.finish();
    if ('reason' in refused) {
      return { ...failed(refused.failure ?? notResult(refused, headers)), isUnread: true };
    }
  }
  const broken = error === undefined ? undefined : transportError(error);
  const tag = headerOf(headers, 'x-clickhouse-exception-tag');
  if (broken !== undefined || !isFramed(headers)) {
    await writer.discard();
    const exception = parseExceptionTail(writer.tail, tag);
    return failed(exception ? serverFailure(exception) : cutAnswer(broken, headers));
  }
  const result = await writer.finish();
  if (!('reason' in result)) {
    const error = shape?.mayEndWithException ? exceptionInLastRow(writer.tail) : undefined;
    if (error === undefined) return whole(result, headers, shape);
    await result.dispose();
    return failed(serverFailure(error));
  }
  const exception = parseExceptionTail(result.tail, tag);
  return failed(exception === undefined ? notResult(result, headers) : serverFailure(exception));
}

// The answer for a body that is no result, although its status says so.
function failed(failure: Failure): Extract<HttpAnswer, { ok: false }> {
  return { ok: false, status: 200, failure };
}

async function whole(
  body: ResultBody,
  headers: AnswerHeaders,
  shape: RowShape | undefined,
): Promise<HttpAnswer> {
  const summary = summaryOf(headers);
  // Rows of an array, or rows followed by an exception, are counted differently.
  const why = shape === undefined ? contradiction(headers, summary, body.rows) : undefined;
  if (why === undefined) return { ok: true, body, stats: statsOf(summary) };
  await body.dispose();
  return failed(ownFailure('RESULT_CUT', 'unknown', `the result is not whole: ${why}`));
}

/** Something between qrun and the server has answered; it is not known whether the statement ran. */
async function readForeign(body: ReplyBody, headers: AnswerHeaders, why: string): Promise<Failure> {
  const encoding = headerOf(headers, 'content-encoding') ?? 'identity';
  const isHtml = /\bhtml\b/i.test(headerOf(headers, 'content-type') ?? '');
  const text = await firstOf(body);
  const what = isHtml ? ' with an HTML page instead of a result' : '';
  const shown = encoding === 'identity' ? excerpt(text) : `(compressed: ${encoding.slice(0, 50)})`;
  const message = `HTTP 200${what}, which is not an answer of ClickHouse: ${why}; it says ${shown}`;
  return { ...ownFailure('NOT_CLICKHOUSE', 'transient', message), serverGone: true };
}

function exceptionInLastRow(tail: string): ServerErrorText | undefined {
  const rows = tail.trimEnd();
  return parseServerError(rows.slice(rows.lastIndexOf('\n') + 1));
}

// A body that ends with the connection cannot be distinguished from one that was cut.
function isFramed(headers: AnswerHeaders): boolean {
  return (
    /\bchunked\b/i.test(headerOf(headers, 'transfer-encoding') ?? '') ||
    headers['content-length'] !== undefined
  );
}

function cutAnswer(broken: TransportError | undefined, headers: AnswerHeaders): Failure {
  if (broken === undefined && !isFramed(headers)) {
    return ownFailure(
      'RESULT_CUT',
      'unknown',
      'the answer has neither a length nor chunks, so that its end cannot be proven (a proxy that speaks HTTP/1.0?)',
    );
  }
  const { code, message } = broken ?? { code: undefined, message: 'it is not complete' };
  return transportFailure({
    code,
    message: `the connection broke off in the middle of the answer: ${message}`,
  });
}

function notResult(result: NotRows, headers: AnswerHeaders): Failure {
  const type = headerOf(headers, 'content-type') ?? '';
  const encoding = headerOf(headers, 'content-encoding') ?? 'identity';
  if (encoding !== 'identity') {
    const message = `the answer is compressed (${encoding}), although qrun asked for plain text: a proxy rewrites it`;
    return ownFailure('NOT_CLICKHOUSE', 'permanent', message);
  }
  if (/\bhtml\b/i.test(type)) {
    const message = `HTTP 200 with an HTML page instead of a result: ${excerpt(result.tail)}`;
    return { ...ownFailure('NOT_CLICKHOUSE', 'transient', message), serverGone: true };
  }
  return notRows(result, `; it ends with ${excerpt(result.tail.slice(-200))}`);
}

async function readError(answer: ReplyBody, status: number, headers: AnswerHeaders): Promise<Failure> {
  // With a status of 200, rows may precede the error. Otherwise the body begins with it.
  const body = status === 200 ? await lastOf(answer) : await firstOf(answer);
  const error =
    parseServerError(body) ?? parseExceptionTail(body, headerOf(headers, 'x-clickhouse-exception-tag'));
  if (error !== undefined) return serverFailure(error);
  const code = Number(headerOf(headers, 'x-clickhouse-exception-code'));
  if (Number.isInteger(code) && code > 0) {
    const message = `Code: ${code}. The server gave no text: ${excerpt(body)}`;
    return serverFailure({ code, name: errorName(code), message });
  }
  return httpFailure(
    {
      status,
      body,
      retryAfter: headerOf(headers, 'retry-after'),
      location: headerOf(headers, 'location'),
    },
    Date.now(),
  );
}

// Both return what has arrived if the connection breaks off: it may still name the error.
async function firstOf(answer: ReplyBody): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  await answer.read(chunk => {
    chunks.push(chunk);
    size += chunk.length;
    // A longer message helps nobody.
    if (size >= TAIL_BYTES) answer.destroy();
    return undefined;
  });
  return Buffer.concat(chunks).subarray(0, TAIL_BYTES).toString('utf8');
}

async function lastOf(answer: ReplyBody): Promise<string> {
  const writer = new ResultWriter(undefined);
  await answer.read(chunk => writer.write(chunk));
  return writer.tail;
}

const STATS = [
  ['read_rows', 'read_rows', 1],
  ['read_bytes', 'read_bytes', 1],
  ['memory_usage', 'memory_bytes', 1],
  ['elapsed_ns', 'elapsed_ms', 1e-6],
] as const;

function statsOf(summary: Summary): QueryStats | undefined {
  const stats: Record<string, number> = {};
  for (const [from, to, factor] of STATS) {
    const value = countIn(summary, from);
    if (value !== undefined) stats[to] = factor === 1 ? value : Math.round(value * factor * 1000) / 1000;
  }
  return Object.keys(stats).length === 0 ? undefined : stats;
}

// `localhost` is tried as ::1 and as 127.0.0.1. Node then throws both errors in one that has no message.
function transportError(error: unknown): TransportError {
  const { code, syscall, message, errors } = error as NodeJS.ErrnoException & { errors?: unknown };
  if (Array.isArray(errors) && errors.length > 0) {
    const all = errors.map(transportError);
    return {
      code: code ?? all[0]?.code,
      syscall: all[0]?.syscall,
      message: all.map(each => each.message).join(', '),
    };
  }
  return { code, syscall, message: `${message ?? String(error)}${namesOf(error)}` };
}

// If the certificate does not name the host, Node does not always say which names it has.
function namesOf(error: unknown): string {
  const { code, cert } = error as {
    code?: unknown;
    cert?: { subjectaltname?: string; subject?: { CN?: string } };
  };
  if (code !== 'ERR_TLS_CERT_ALTNAME_INVALID' || cert === undefined) return '';
  const names = cert.subjectaltname ?? cert.subject?.CN;
  return ` (the certificate is for ${names === undefined || names === '' ? 'no name' : names})`;
}
