import type { FailureKind, QueryError } from '../model.js';

/**
 * How an attempt failed: what is recorded ({@link QueryError}) and what the pool must know to go on.
 */
export interface Failure extends QueryError {
  /**
   * `true` when the statement surely never started (connection refused, name not resolved, refused before
   * execution): running it again is always safe.
   */
  readonly neverStarted: boolean;
  /**
   * `true` when the failure may be about the server and not about the query: it is down, not reachable, something else
   * answers in its place, or it refuses us whatever we ask. Whoever gets it asks the server whether it is there.
   */
  readonly serverGone: boolean;
  /**
   * What this process or machine had too little of, as the code of a system call (EMFILE, ENFILE, ENOMEM, ...): it says
   * nothing of the query, and is never its result.
   */
  readonly shortage?: string;
  /** `true` when the statement could not be cancelled and may run on beside what comes next. */
  readonly mayStillRun?: boolean;
  /** Wait at least so long before the next attempt (an HTTP `Retry-After`). */
  readonly retryAfterMs?: number;
}

/** A failure of a ClickHouse statement as its text names it. */
export interface ServerErrorText {
  readonly code: number;
  readonly name: string;
  readonly message: string;
}

// `Code: 62. DB::Exception: Syntax error: ... (SYNTAX_ERROR)` (20.x and later),
// `Code: 62, e.displayText() = DB::Exception: Syntax error: ..., e.what() = DB::Exception` (before), and the
// exceptions of the libraries below: `Poco::Exception. Code: 1000, e.code() = 111, ...`.
const SERVER_ERROR =
  /^(?:Code: (\d+)(?:, e\.displayText\(\) = |\. )DB::(?:\w+)?Exception: |(?:Poco|std)::exception\. Code: (\d+)[,.])/i;
// The name stands last, or before the version, which holds parentheses itself:
// `... (UNKNOWN_TABLE) (version 26.7.2.1 (official build))`.
const TRAILING_NAME = /\(([A-Z][A-Z0-9_]+)\)(?:\s*\(version [^()]*(?:\([^()]*\))?[^()]*\))?\s*$/;
// Where the name can stand: the longest is 60 characters, a version 100. The expression takes time by the square of
// what it is given, and a message may be as long as the server likes.
const NAME_WITHIN = 400;

/**
 * ClickHouse's error in a text, or `undefined` where the text does not begin with one. The message is the
 * text itself; the name is ClickHouse's where the text or {@link errorName} knows it, else `CODE_<n>`.
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
  if (!text.startsWith('{"exception"')) return undefined;
  try {
    const { exception } = JSON.parse(text) as { exception?: unknown };
    return typeof exception === 'string' ? exception.trim() : undefined;
  } catch {
    return undefined;
  }
}

const MARKER = '__exception__';
const LINE_OF_ERROR =
  /(?:^|\n)(?=(?:Code: \d+(?:, e\.displayText\(\) = |\. )DB::|(?:Poco|std)::exception\. Code: ))/i;

/**
 * The exception that a server wrote behind rows it had already sent, or `undefined`. `tail` is the end of the
 * body, from a line start on; `tag` is the answer's `X-ClickHouse-Exception-Tag`.
 *
 * All forms are known: a last line of text (up to 24.x), `__exception__` and the text (25.1 on), and the block
 * `__exception__ <tag> <message> <length> <tag> __exception__` (25.11 on). Call it only for a body that is not
 * whole or not rows: inside a good result the same words are data.
 */
export function parseExceptionTail(tail: string, tag: string | undefined): ServerErrorText | undefined {
  const start = tag === undefined ? -1 : tail.lastIndexOf(`${MARKER}\r\n${tag}\r\n`);
  if (tag !== undefined && start !== -1) {
    const from = start + MARKER.length + tag.length + 4;
    const block = tail.slice(from);
    // The message may hold anything, so its end is found from behind.
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

// The codes that users meet most among those that fail each time; every other code is permanent too.
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

/** ClickHouse's name of an error number, or `CODE_<n>` where qrun does not know it. */
export function errorName(code: number): string {
  return TRANSIENT[code] ?? PERMANENT[code] ?? `CODE_${code}`;
}

/**
 * The codes with which a server refuses the user, as opposed to one query: all that have to do with who asks, from
 * where (195), until when (720) and with what (767).
 */
export const REFUSED_CODES: ReadonlySet<number> = new Set([192, 193, 194, 195, 516, 720, 767]);

// The server refused these before it executed anything. Not 364, which a query is told by somebody else's HTTP server
// (`url()`, S3) while it runs.
const REFUSED_BEFORE_START: ReadonlySet<number> = new Set([
  202,
  216,
  373,
  700,
  745,
  749,
  762,
  ...REFUSED_CODES,
]);

// A quota of queries or errors is looked at before a query begins; others (rows, time) also while it runs.
const QUOTA_BEFORE_START = /\bhas been exceeded[.:] (?:queries|query_selects|query_inserts|errors)\b/i;

/** Whether the server only hands on what another one has told it: then it is about the query that asks that one. */
export function isFromElsewhere(message: string): boolean {
  return message.includes('Received from ');
}

// The limit of the statement itself is met again each time; the server's or the user's total passes when other
// queries have ended. `Memory limit (for query) exceeded` up to 24.x, `Query memory limit exceeded` later.
const MEMORY_OF_QUERY = /Memory limit \(for query\)|Query memory limit exceeded|\(for query\) memory limit/i;
// A failure of the C++ libraries below: only what sounds like a connection may pass.
const LIBRARY_NETWORK = /time[d ]*out|connection|socket|net exception|host not found|DNS/i;

/**
 * Whether a failure that ClickHouse reported may pass. 241 depends on whose limit it was, 1000 on what failed;
 * all codes that are not known to pass are permanent, so that a typo never costs a retry.
 */
export function classifyServerError(error: ServerErrorText): FailureKind {
  if (error.code === 241) return MEMORY_OF_QUERY.test(error.message) ? 'permanent' : 'transient';
  if (error.code === 1000) return LIBRARY_NETWORK.test(error.message) ? 'transient' : 'permanent';
  return error.code in TRANSIENT ? 'transient' : 'permanent';
}

/** The failure that a ClickHouse error text stands for. */
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

// Statuses that load balancers and proxies give for a passing state; 500 only when its body is not ClickHouse's.
// The login pages of proxies may pass too; a firewall gives 403 for one text each time.
const TRANSIENT_STATUS: ReadonlySet<number> = new Set([401, 403, 407, 408, 425, 429, 500, 502, 503, 504]);
// These are given before a request is handed on. Every other status may stand in place of an error of ClickHouse, where
// a proxy writes pages of its own: of a statement that began.
const REFUSING_STATUS: ReadonlySet<number> = new Set([401, 403, 407, 413, 414, 429, 431, 503]);
// About this one request, whoever answers: its body or its URL is too large, or it came too soon after others.
const OWN_STATUS: ReadonlySet<number> = new Set([413, 414, 429, 431]);

// More of a Location helps nobody.
const LOCATION_LENGTH = 300;
// A date has 29 characters.
const RETRY_AFTER_LENGTH = 100;
// A proxy that asks for more than this means that somebody has to do something, which may be sooner.
const LONGEST_RETRY_AFTER_MS = 60 * 60 * 1000;

/** An HTTP answer that is not ClickHouse's. */
export interface ForeignAnswer {
  readonly status: number;
  readonly body: string;
  /** `Retry-After`: seconds or a date. */
  readonly retryAfter?: string | undefined;
  /** `Location` of a redirect. */
  readonly location?: string | undefined;
}

/**
 * The failure of an HTTP answer with an error status whose body is not a ClickHouse error: something between
 * qrun and the server answered. Redirects are never followed: a POST would become a GET without its SQL.
 */
export function httpFailure(answer: ForeignAnswer, nowMs: number): Failure {
  const { status, location } = answer;
  const retryAfterMs = parseRetryAfter(answer.retryAfter, nowMs);
  const where =
    location === undefined ? '' : ` (to ${withoutCredentials(location.slice(0, LOCATION_LENGTH))})`;
  const redirects = status >= 300 && status < 400;
  return {
    code: 0,
    name: `HTTP_${status}`,
    // No server gives another 2xx than 200: it says nothing of the statement.
    kind: TRANSIENT_STATUS.has(status) || status < 300 ? 'transient' : 'permanent',
    message: `HTTP ${status}${where} without a ClickHouse error: ${excerpt(answer.body)}`,
    // A 502 or 504 may have cut a running query off.
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

/** A text without the user and password of the URLs in it. */
export function withoutCredentials(text: string): string {
  // Everything up to the last @ may be a password. Not one expression, which would take time by the square.
  if (!text.includes('//') || !text.includes('@')) return text;
  return text.replace(/\S+/g, word => {
    const from = word.indexOf('//');
    const to = word.lastIndexOf('@');
    return from === -1 || to < from ? word : word.slice(0, from + 2) + word.slice(to + 1);
  });
}

// Where the first 300 characters that are no blanks in a row stand, in any text that was written by somebody.
const EXCERPT_WITHIN = 4000;

/** The first 300 characters of a text on one line, quoted, for a message. */
export function excerpt(body: string): string {
  const text = body.trimStart().slice(0, EXCERPT_WITHIN).replace(/\s+/g, ' ').trim();
  return text === '' ? '(empty body)' : JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}...` : text);
}

// Nothing was sent: the name was not resolved, no connection was made, or this process has no socket left.
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
]);
const OUT_OF_SOCKETS: ReadonlySet<string> = new Set([
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
]);
// Node's word for the own end of a connection that was never made.
const NO_LOCAL_END = / - Local \(undefined:undefined\)$/;

// Node's codes of a certificate that was not accepted (X509_V_ERR_* without the prefix), and of a TLS handshake
// with something that does not speak TLS.
const TLS_REFUSED =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET|VERIFY)_|HOSTNAME_MISMATCH|EPROTO$)/;

/** What Node says about a request that got no answer. */
export interface TransportError {
  readonly code: string | undefined;
  /** `connect`, `getaddrinfo`, `read`, ... */
  readonly syscall?: string | undefined;
  readonly message: string;
}

/**
 * The failure of a request at the transport. With `ECONNREFUSED`, a failed `connect` and the like nothing was
 * sent, and nothing with a certificate that is not accepted; with every other error the statement may have run and
 * only its answer is lost (`unknown`).
 */
export function transportFailure({ code, syscall, message }: TransportError): Failure {
  const text = code === undefined || message.includes(code) ? message : `${message} (${code})`.trimStart();
  if (code !== undefined && TLS_REFUSED.test(code)) {
    const name = 'TLS_FAILED';
    return { code: 0, name, kind: 'transient', message: text, neverStarted: true, serverGone: true };
  }
  if (code !== undefined && OUT_OF_SOCKETS.has(code)) {
    return localFailure(code, `no socket could be opened: ${text.replace(NO_LOCAL_END, '')}`);
  }
  const neverStarted =
    syscall === 'connect' || syscall === 'getaddrinfo' || (code !== undefined && NEVER_SENT.has(code));
  return {
    code: 0,
    name: neverStarted ? 'CONNECTION_FAILED' : 'CONNECTION_LOST',
    kind: neverStarted ? 'transient' : 'unknown',
    message: text,
    neverStarted,
    serverGone: true,
  };
}

/** Whether something in front of the server answered in its place, so that the server itself may know of nothing. */
export function isForeignPage({ name }: Failure): boolean {
  return name.startsWith('HTTP_');
}

/** The failure of something that this process needed before it sent anything, and had too little of. */
export function localFailure(shortage: string, message: string): Failure {
  const failure = ownFailure('LOCAL_SHORTAGE', 'transient', message);
  return { ...failure, neverStarted: true, shortage };
}

/** A failure that qrun itself finds: a cut body, a timeout, rows that are no rows. */
export function ownFailure(name: string, kind: FailureKind, message: string): Failure {
  return { code: 0, name, kind, message, neverStarted: false, serverGone: false };
}

/**
 * The failure as it counts for the whole query when one of its statements met it.
 *
 * `changedBefore`: a statement before it was executed and may have changed data. `changes`: the one that failed
 * may change data. A passing failure of a query that may have changed something is `unknown`, because running
 * the file again could do its changes twice.
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
