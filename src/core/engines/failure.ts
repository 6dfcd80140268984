import type { FailureKind, QueryError } from '../model.js';
import { jsonObject } from '../text/json.js';
import { shownUrl } from '../text/shown-urls.js';
import { SHORT } from './shortage.js';

/**
 * How an attempt failed: what is recorded ({@link QueryError}) and what the pool must know to continue.
 */
export interface Failure extends QueryError {
  /**
   * `true` when the statement certainly never started (connection refused, name not resolved, refused before
   * execution): running it again is always safe.
   */
  readonly neverStarted: boolean;
  /**
   * `true` when the failure may be about the server and not about the query: the server is down or unreachable,
   * something else answers for it, or it refuses us whatever we ask. The caller then checks whether the server is
   * there.
   */
  readonly serverGone: boolean;
  /**
   * What this process or machine ran short of, as the code of a system call (EMFILE, ENFILE, ENOMEM, ...). It says
   * nothing about the query and is never its result.
   */
  readonly shortage?: string;
  /** `true` when the statement could not be cancelled and may still run alongside what comes next. */
  readonly mayStillRun?: boolean;
  /** Wait at least this long before the next attempt (an HTTP `Retry-After`). */
  readonly retryAfterMs?: number;
}

/** The failure of a ClickHouse statement, as described by its text. */
export type ServerErrorText = Pick<QueryError, 'code' | 'name' | 'message'>;

// `Code: 62. DB::Exception: Syntax error: ... (SYNTAX_ERROR)` (20.x and later),
// `Code: 62, e.displayText() = DB::Exception: Syntax error: ..., e.what() = DB::Exception` (earlier), and the
// exceptions of the underlying libraries: `Poco::Exception. Code: 1000, e.code() = 111, ...`.
const SERVER_ERROR =
  /^(?:Code: (\d+)(?:, e\.displayText\(\) = |\. )DB::(?:\w+)?Exception: |(?:Poco|std)::exception\. Code: (\d+)[,.])/i;
// The name is last, or before the version, which contains parentheses itself:
// `... (UNKNOWN_TABLE) (version 26.7.2.1 (official build))`.
const TRAILING_NAME = /\(([A-Z][A-Z0-9_]+)\)(?:\s*\(version [^()]*(?:\([^()]*\))?[^()]*\))?\s*$/;
// How far from the end the name can be: the longest has 60 characters, a version 100. The expression takes quadratic
// time, and a message may be as long as the server likes.
const NAME_WITHIN = 400;

/**
 * Returns ClickHouse's error in a text; `undefined` if the text does not begin with one. The message is the text
 * itself. The name is ClickHouse's if the text or {@link errorName} knows it, otherwise `CODE_<n>`.
 */
export function parseServerError(text: string): ServerErrorText | undefined {
  const message = exceptionField(text) ?? text.trim();
  const match = SERVER_ERROR.exec(message);
  if (match === null) return undefined;
  const code = Number(match[1] ?? match[2]);
  const name = TRAILING_NAME.exec(message.slice(-NAME_WITHIN))?.[1] ?? errorName(code);
  return { code, name, message };
}

// With http_write_exception_in_output_format (the default of some versions) an error is a JSON object.
function exceptionField(text: string): string | undefined {
  const exception = text.startsWith('{"exception"') ? jsonObject(text)?.exception : undefined;
  return typeof exception === 'string' ? exception.trim() : undefined;
}

const MARKER = '__exception__';
const LINE_OF_ERROR =
  /(?:^|\n)(?=(?:Code: \d+(?:, e\.displayText\(\) = |\. )DB::|(?:Poco|std)::exception\. Code: ))/i;

/**
 * Returns the exception that a server wrote after rows it had already sent, or `undefined`. `tail` is the end of the
 * body, beginning at the start of a line; `tag` is the answer's `X-ClickHouse-Exception-Tag`.
 *
 * Handles all forms: a last line of text (up to 24.x), `__exception__` and the text (since 25.1), and the block
 * `__exception__ <tag> <message> <length> <tag> __exception__` (since 25.11). Call it only for a body that is
 * incomplete or does not consist of rows: inside a good result the same words are data.
 */
export function parseExceptionTail(tail: string, tag: string | undefined): ServerErrorText | undefined {
  const start = tag === undefined ? -1 : tail.lastIndexOf(`${MARKER}\r\n${tag}\r\n`);
  if (tag !== undefined && start !== -1) {
    const from = start + MARKER.length + tag.length + 4;
    const block = tail.slice(from);
    // The message may hold anything, so its end is searched for from the end of the block.
    const end = /\r?\n\d+ \S+\r\n__exception__\r\n$/.exec(block);
    return parseServerError(end === null ? block : block.slice(0, end.index));
  }
  const marked = /(?:^|\n)__exception__\r?\n/.exec(tail);
  if (marked !== null) {
    const text = parseServerError(tail.slice(marked.index + marked[0].length));
    if (text !== undefined) return text;
  }
  const line = LINE_OF_ERROR.exec(tail);
  return line === null ? undefined : parseServerError(tail.slice(line.index + line[0].length));
}

// Codes that may pass when the same statement runs again, with ClickHouse's names (system.errors of 26.7).
const TRANSIENT: Readonly<Record<number, string>> = {
  // load
  202: 'TOO_MANY_SIMULTANEOUS_QUERIES',
  203: 'NO_FREE_CONNECTION',
  439: 'CANNOT_SCHEDULE_TASK',
  173: 'CANNOT_ALLOCATE_MEMORY',
  745: 'SERVER_OVERLOADED',
  749: 'TCP_CONNECTION_LIMIT_REACHED',
  762: 'HTTP_CONNECTION_LIMIT_REACHED',
  700: 'USER_SESSION_LIMIT_EXCEEDED',
  364: 'RECEIVED_ERROR_TOO_MANY_REQUESTS',
  777: 'MEMORY_RESERVATION_KILLED',
  778: 'MEMORY_RESERVATION_FAILED',
  252: 'TOO_MANY_PARTS',
  201: 'QUOTA_EXCEEDED',
  // network between the server and others
  209: 'SOCKET_TIMEOUT',
  210: 'NETWORK_ERROR',
  95: 'CANNOT_READ_FROM_SOCKET',
  3: 'UNEXPECTED_END_OF_FILE',
  32: 'ATTEMPT_TO_READ_AFTER_EOF',
  198: 'DNS_ERROR',
  279: 'ALL_CONNECTION_TRIES_FAILED',
  519: 'NO_REMOTE_SHARD_AVAILABLE',
  410: 'EXTERNAL_SERVER_IS_NOT_RESPONDING',
  499: 'S3_ERROR',
  // cluster
  999: 'KEEPER_EXCEPTION',
  225: 'NO_ZOOKEEPER',
  242: 'TABLE_IS_READ_ONLY',
  254: 'NO_ACTIVE_REPLICAS',
  285: 'TOO_FEW_LIVE_REPLICAS',
  369: 'ALL_REPLICAS_ARE_STALE',
  236: 'ABORTED',
  733: 'TABLE_IS_BEING_RESTARTED',
  722: 'ASYNC_LOAD_WAIT_FAILED',
  473: 'DEADLOCK_AVOIDED',
  425: 'SYSTEM_ERROR',
  // the session or query id is still in use by an attempt that is ending
  373: 'SESSION_IS_LOCKED',
  216: 'QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING',
  372: 'SESSION_NOT_FOUND',
};

// The most common codes that fail every time; every other code is permanent too.
const PERMANENT: Readonly<Record<number, string>> = {
  6: 'CANNOT_PARSE_TEXT',
  27: 'CANNOT_PARSE_INPUT_ASSERTION_FAILED',
  36: 'BAD_ARGUMENTS',
  41: 'CANNOT_PARSE_DATETIME',
  42: 'NUMBER_OF_ARGUMENTS_DOESNT_MATCH',
  43: 'ILLEGAL_TYPE_OF_ARGUMENT',
  46: 'UNKNOWN_FUNCTION',
  47: 'UNKNOWN_IDENTIFIER',
  50: 'UNKNOWN_TYPE',
  53: 'TYPE_MISMATCH',
  57: 'TABLE_ALREADY_EXISTS',
  60: 'UNKNOWN_TABLE',
  62: 'SYNTAX_ERROR',
  81: 'UNKNOWN_DATABASE',
  113: 'THERE_IS_NO_SESSION',
  115: 'UNKNOWN_SETTING',
  153: 'ILLEGAL_DIVISION',
  158: 'TOO_MANY_ROWS',
  159: 'TIMEOUT_EXCEEDED',
  160: 'TOO_SLOW',
  164: 'READONLY',
  167: 'TOO_DEEP_PIPELINE',
  192: 'UNKNOWN_USER',
  193: 'WRONG_PASSWORD',
  194: 'REQUIRED_PASSWORD',
  195: 'IP_ADDRESS_NOT_ALLOWED',
  241: 'MEMORY_LIMIT_EXCEEDED',
  358: 'INTO_OUTFILE_NOT_ALLOWED',
  394: 'QUERY_WAS_CANCELLED',
  395: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO',
  396: 'TOO_MANY_ROWS_OR_BYTES',
  456: 'UNKNOWN_QUERY_PARAMETER',
  457: 'BAD_QUERY_PARAMETER',
  497: 'ACCESS_DENIED',
  516: 'AUTHENTICATION_FAILED',
  720: 'USER_EXPIRED',
  767: 'REQUIRED_SECOND_FACTOR',
  1000: 'POCO_EXCEPTION',
  1001: 'STD_EXCEPTION',
  1002: 'UNKNOWN_EXCEPTION',
};

// Of those that fail every time, what fails only while the server has too much to do: limits of time and memory, a
// query that somebody cancelled, and exceptions of libraries (network, disk).
const OF_LOAD: ReadonlySet<number> = new Set([159, 160, 241, 394, 1000, 1001, 1002]);

/**
 * Returns whether an error is certainly the query's own: it would fail in the same way alone on an idle server. An error
 * that qrun does not know is not.
 */
export function isOfQueryAlone({ code, kind }: Pick<QueryError, 'code' | 'kind'>): boolean {
  return kind === 'permanent' && PERMANENT[code] !== undefined && !OF_LOAD.has(code);
}

/** Returns ClickHouse's name of an error number, or `CODE_<n>` if qrun does not know it. */
export function errorName(code: number): string {
  return TRANSIENT[code] ?? PERMANENT[code] ?? `CODE_${code}`;
}

/**
 * The codes with which a server refuses the user, as opposed to one query: all that concern who asks, from where (195),
 * until when (720) and with what (767).
 */
export const REFUSED_CODES: ReadonlySet<number> = new Set([192, 193, 194, 195, 516, 720, 767]);

/**
 * The codes with which a server turns a query away because it has too many: TOO_MANY_SIMULTANEOUS_QUERIES,
 * USER_SESSION_LIMIT_EXCEEDED, SERVER_OVERLOADED, TCP_ and HTTP_CONNECTION_LIMIT_REACHED (ErrorCodes.cpp).
 */
export const FULL_CODES: ReadonlySet<number> = new Set([202, 700, 745, 749, 762]);

// The server refused these before it executed anything. Not 364, which a query gets from another HTTP server (`url()`,
// S3) while it runs.
const REFUSED_BEFORE_START: ReadonlySet<number> = new Set([216, 373, ...FULL_CODES, ...REFUSED_CODES]);

// A quota of queries or errors is checked before a query begins; others (rows, time) also while it runs.
const QUOTA_BEFORE_START = /\bhas been exceeded[.:] (?:queries|query_selects|query_inserts|errors)\b/i;

/**
 * Returns whether the server only passes on another server's error; it is then about the query that asks that server.
 */
export function isFromElsewhere(message: string): boolean {
  return message.includes('Received from ');
}

// The statement's own limit is hit again each time; the total of the server or the user passes when other queries have
// ended. `Memory limit (for query) exceeded` up to 24.x, `Query memory limit exceeded` later.
const MEMORY_OF_QUERY = /Memory limit \(for query\)|Query memory limit exceeded|\(for query\) memory limit/i;
// A failure of the underlying C++ libraries: it may pass only if it sounds like a connection problem.
const LIBRARY_NETWORK = /time[d ]*out|connection|socket|net exception|host not found|DNS/i;

/**
 * Returns whether a failure that ClickHouse reported may pass. 241 depends on whose limit it was, 1000 on what failed.
 * All codes that are not known to pass are permanent, so that a typo never costs a retry.
 */
export function classifyServerError(error: ServerErrorText): FailureKind {
  if (error.code === 241) return MEMORY_OF_QUERY.test(error.message) ? 'permanent' : 'transient';
  if (error.code === 1000) return LIBRARY_NETWORK.test(error.message) ? 'transient' : 'permanent';
  return error.code in TRANSIENT ? 'transient' : 'permanent';
}

/** Returns the failure for an error text of ClickHouse. */
export function serverFailure(error: ServerErrorText): Failure {
  const { code, message } = error;
  const own = !isFromElsewhere(message);
  return {
    ...error,
    kind: classifyServerError(error),
    neverStarted:
      own && (REFUSED_BEFORE_START.has(code) || (code === 201 && QUOTA_BEFORE_START.test(message))),
    serverGone: own && (REFUSED_CODES.has(code) || code === 201),
  };
}

// Statuses that load balancers and proxies return for a temporary state; 500 only when its body is not ClickHouse's.
// The login pages of proxies may pass too. A firewall returns 403 for one text every time.
const TRANSIENT_STATUS: ReadonlySet<number> = new Set([401, 403, 407, 408, 425, 429, 500, 502, 503, 504]);
// These are returned before a request is forwarded. A proxy that writes its own pages may return any other status
// instead of an error of ClickHouse, for a statement that began.
const REFUSING_STATUS: ReadonlySet<number> = new Set([401, 403, 407, 413, 414, 429, 431, 503]);
// About this one request, whoever answers: its body or its URL is too large, or it came too soon after others.
const OWN_STATUS: ReadonlySet<number> = new Set([413, 414, 429, 431]);

// Showing more of a Location helps nobody.
const LOCATION_LENGTH = 300;
// A date has 29 characters.
const RETRY_AFTER_LENGTH = 100;
// A proxy that asks for more than this means that somebody has to act, which may happen sooner.
const LONGEST_RETRY_AFTER_MS = 60 * 60 * 1000;

/** An HTTP answer that is not from ClickHouse. */
export interface ForeignAnswer {
  readonly status: number;
  readonly body: string;
  /** `Retry-After`: seconds or a date. */
  readonly retryAfter?: string | undefined;
  /** `Location` of a redirect. */
  readonly location?: string | undefined;
}

/**
 * Returns the failure of an HTTP answer with an error status whose body is not a ClickHouse error: something between
 * qrun and the server answered. Redirects are never followed, because a POST would become a GET without its SQL.
 */
export function httpFailure(answer: ForeignAnswer, nowMs: number): Failure {
  const { status, location } = answer;
  const retryAfterMs = parseRetryAfter(answer.retryAfter, nowMs);
  const where = location === undefined ? '' : ` (to ${shownUrl(location).slice(0, LOCATION_LENGTH)})`;
  const redirects = status >= 300 && status < 400;
  // No server returns a 2xx other than 200, so this says nothing about the statement.
  const kind = TRANSIENT_STATUS.has(status) || status < 300 ? 'transient' : 'permanent';
  const message = `HTTP ${status}${where} without a ClickHouse error: ${excerpt(answer.body)}`;
  return {
    ...ownFailure(`HTTP_${status}`, kind, message),
    // A 502 or 504 may have cut off a running query.
    neverStarted: redirects || REFUSING_STATUS.has(status),
    serverGone: !OWN_STATUS.has(status),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.slice(0, RETRY_AFTER_LENGTH).trim();
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, LONGEST_RETRY_AFTER_MS);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - nowMs), LONGEST_RETRY_AFTER_MS);
}

// In any text that a person wrote, this many characters contain 300 that remain when blanks are collapsed.
const EXCERPT_WITHIN = 4000;

/** Returns the first 300 characters of a text on one line, quoted, for a message. */
export function excerpt(body: string): string {
  const text = body.trimStart().slice(0, EXCERPT_WITHIN).replace(/\s+/g, ' ').trim();
  return text === '' ? '(empty body)' : JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}...` : text);
}

// Nothing was sent: the name was not resolved, or no connection was made.
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
// What Node says about the local end of a connection that was never made.
const NO_LOCAL_END = / - Local \(undefined:undefined\)$/;

// Node's codes for a certificate that was not accepted (X509_V_ERR_* without the prefix), and for a TLS handshake with
// something that does not speak TLS.
const TLS_REFUSED =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET|VERIFY)_|HOSTNAME_MISMATCH|EPROTO$)/;

/** What Node reports about a request that got no answer. */
export interface TransportError {
  readonly code: string | undefined;
  /** `connect`, `getaddrinfo`, `read`, ... */
  readonly syscall?: string | undefined;
  readonly message: string;
}

/**
 * Returns the failure of a request at the transport level. With `ECONNREFUSED`, a failed `connect` and the like, or
 * with a certificate that is not accepted, nothing was sent. With every other error the statement may have run and
 * only its answer is lost (`unknown`).
 */
export function transportFailure({ code, syscall, message }: TransportError): Failure {
  const text = code === undefined || message.includes(code) ? message : `${message} (${code})`.trimStart();
  if (code !== undefined && TLS_REFUSED.test(code)) {
    return { ...ownFailure('TLS_FAILED', 'transient', text), neverStarted: true, serverGone: true };
  }
  if (code !== undefined && (code === 'EADDRNOTAVAIL' || SHORT.has(code))) {
    return localFailure(code, `no socket could be opened: ${text.replace(NO_LOCAL_END, '')}`);
  }
  const neverStarted =
    syscall === 'connect' || syscall === 'getaddrinfo' || (code !== undefined && NEVER_SENT.has(code));
  const failure = neverStarted
    ? ownFailure('CONNECTION_FAILED', 'transient', text)
    : ownFailure('CONNECTION_LOST', 'unknown', text);
  return { ...failure, neverStarted, serverGone: true };
}

/**
 * Returns whether something in front of the server answered for it, so that the server itself may know nothing of it.
 */
export function isForeignPage({ name }: Failure): boolean {
  return name.startsWith('HTTP_');
}

/** Returns the failure for something that this process needed before it sent anything, and ran short of. */
export function localFailure(shortage: string, message: string): Failure {
  const failure = ownFailure('LOCAL_SHORTAGE', 'transient', message);
  return { ...failure, neverStarted: true, shortage };
}

/** Returns a failure that qrun itself detects: a cut body, a timeout, rows that are not rows. */
export function ownFailure(name: string, kind: FailureKind, message: string): Failure {
  return { code: 0, name, kind, message, neverStarted: false, serverGone: false };
}

/**
 * Returns the failure of a whole query when one of its statements failed.
 *
 * `changedBefore`: an earlier statement was executed and may have changed data. `changes`: the one that failed may
 * change data. A temporary failure of a query that may have changed something is `unknown`, because running the file
 * again could make its changes twice.
 */
export function failureOfQuery(
  failure: Failure,
  { changedBefore, changes }: { readonly changedBefore: boolean; readonly changes: boolean },
): Failure {
  const mayHaveChanged = changedBefore || (changes && !failure.neverStarted);
  return {
    ...failure,
    kind: failure.kind === 'transient' && mayHaveChanged ? 'unknown' : failure.kind,
    neverStarted: failure.neverStarted && !changedBefore,
  };
}
