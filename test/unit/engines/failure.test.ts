import { describe, expect, it } from 'vitest';
import {
  classifyServerError,
  errorName,
  excerpt,
  failureOfQuery,
  httpFailure,
  ownFailure,
  parseExceptionTail,
  parseServerError,
  REFUSED_CODES,
  serverFailure,
  transportFailure,
} from '../../../src/core/engines/failure.js';

const NOW_MS = Date.UTC(2026, 0, 31, 12, 0, 0);

describe('parseServerError', () => {
  it.each([
    [
      'Code: 62, e.displayText() = DB::Exception: Syntax error: failed at position 1, e.what() = DB::Exception',
      62,
      'SYNTAX_ERROR',
    ],
    [
      'Code: 210, e.displayText() = DB::NetException: Connection refused (127.0.0.1:9000), e.what() = DB::NetException',
      210,
      'NETWORK_ERROR',
    ],
    ['Code: 62. DB::Exception: Syntax error: failed at position 1. (SYNTAX_ERROR)', 62, 'SYNTAX_ERROR'],
    ['Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE) (version 24.3.1.1)', 60, 'UNKNOWN_TABLE'],
    [
      'Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE) (version 26.7.2.1 (official build))',
      60,
      'UNKNOWN_TABLE',
    ],
    [
      'Code: 9999. DB::Exception: New. (BRAND_NEW_ERROR) (version 30.1 (official build))',
      9999,
      'BRAND_NEW_ERROR',
    ],
    ['Code: 9999. DB::Exception: New.', 9999, 'CODE_9999'],
    ['Code: 6. DB::ParsingException: Cannot parse.', 6, 'CANNOT_PARSE_TEXT'],
    [
      'Code: 394. DB::Exception: Query was cancelled\nsecond line (x). (QUERY_WAS_CANCELLED)',
      394,
      'QUERY_WAS_CANCELLED',
    ],
    [
      'Poco::Exception. Code: 1000, e.code() = 111, e.displayText() = Connection refused',
      1000,
      'POCO_EXCEPTION',
    ],
    ['std::exception. Code: 1001, type: std::bad_alloc, e.what() = std::bad_alloc', 1001, 'STD_EXCEPTION'],
  ])('%s', (text, code, name) => {
    expect(parseServerError(`${text}\n`)).toEqual({ code, name, message: text });
  });

  it('reads the object that some versions write', () => {
    const message = 'Code: 395. DB::Exception: "stop". (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)';
    expect(parseServerError(JSON.stringify({ exception: message }))).toEqual({
      code: 395,
      name: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO',
      message,
    });
  });

  it.each([
    '',
    'Ok.',
    '<html>Code: 62. DB::Exception: x</html>',
    'Code: x',
    '{"exception":',
    '{"exception":7}',
  ])('is undefined for %j', text => expect(parseServerError(text)).toBeUndefined());
});

describe('parseExceptionTail', () => {
  const OLD = 'Code: 395, e.displayText() = DB::Exception: stop, e.what() = DB::Exception';
  const NEW = 'Code: 395. DB::Exception: stop\nhere. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)';
  const TAG = 'PU1FNUFH98TS2CKZ';
  const block = (message: string) =>
    `\r\n__exception__\r\n${TAG}\r\n${message}\r\n${message.length + 2} ${TAG}\r\n__exception__\r\n`;

  it.each<[string, string, string | undefined, string]>([
    ['old text', `{"a":1}\n${OLD}\n`, undefined, OLD],
    ['old text alone', OLD, undefined, OLD],
    ['old text of several lines', `{"a":1}\n${NEW}`, undefined, NEW],
    ['marker', `{"a":1}\n__exception__\n${NEW}\n`, undefined, NEW],
    ['marker with \\r\\n', `{"a":1}\r\n__exception__\r\n${NEW}`, undefined, NEW],
    ['block', `{"a":1}\n${block(NEW)}`, TAG, NEW],
    ['block in a cut row', `{"a":1}\n{"a"${block(NEW)}`, TAG, NEW],
    ['block without its end', `{"a":1}\n${block(NEW).slice(0, -20)}`, TAG, ''],
    [
      'block that quotes a block',
      block(`Code: 1. DB::Exception: __exception__\r\n5 x`),
      TAG,
      'Code: 1. DB::Exception: __exception__\r\n5 x',
    ],
    ['old text although the answer has a tag', `{"a":1}\n${OLD}\n`, TAG, OLD],
    [
      'library',
      '{"a":1}\nPoco::Exception. Code: 1000, e.code() = 0, Timeout\n',
      undefined,
      'Poco::Exception. Code: 1000, e.code() = 0, Timeout',
    ],
  ])('finds the exception: %s', (_, tail, tag, message) => {
    const found = parseExceptionTail(tail, tag);
    expect(found?.message.startsWith(message)).toBe(true);
    if (message !== '') expect(found?.message).toBe(message);
  });

  it.each([
    '',
    '{"a":1}\n',
    `{"a":"${OLD}"}\n`,
    '{"a":"\\n__exception__\\nCode: 1. DB::Exception: x"}\n',
    '{"a":1}\n__exception__\nno code\n',
    'Code: 62 is what I say',
  ])('finds none in %j', tail => {
    expect(parseExceptionTail(tail, undefined)).toBeUndefined();
    expect(parseExceptionTail(tail, TAG)).toBeUndefined();
  });
});

describe('classification of ClickHouse errors', () => {
  it.each([
    ['Memory limit (for query) exceeded: would use 9.6 MiB', 'permanent'],
    ['Query memory limit exceeded: would use 1.10 MiB', 'permanent'],
    ['(for query) memory limit exceeded', 'permanent'],
    ['Memory limit (total) exceeded: would use 12 GiB', 'transient'],
    ['(total) memory limit exceeded: would use 12 GiB', 'transient'],
    ['Memory limit (for user) exceeded', 'transient'],
    ['User memory limit exceeded. OvercommitTracker decision: Query was selected to stop', 'transient'],
    ["(total) memory limit exceeded: while executing SELECT '(for query)'", 'transient'],
  ])('241 %s is %s', (message, kind) => {
    expect(classifyServerError({ code: 241, name: '', message })).toBe(kind);
  });

  it.each([
    ['Connection refused', 'transient'],
    ['Timeout', 'transient'],
    ['Net Exception: broken pipe', 'transient'],
    ['File not found', 'permanent'],
  ])('1000 %s is %s', (message, kind) => {
    expect(classifyServerError({ code: 1000, name: '', message })).toBe(kind);
  });

  it.each([202, 203, 439, 745, 209, 210, 279, 999, 242, 252, 373, 216, 372])('%i is transient', code => {
    expect(serverFailure({ code, name: '', message: '' }).kind).toBe('transient');
  });

  it.each([62, 60, 47, 81, 115, 159, 164, 194, 394, 395, 516, 107, 9999])('%i is permanent', code => {
    expect(serverFailure({ code, name: '', message: '' }).kind).toBe('permanent');
  });

  it.each([202, 745, 749, 762, 700, 373, 216, 516, 195, 720, 767])(
    '%i was refused before it started',
    code => {
      expect(serverFailure({ code, name: '', message: '' }).neverStarted).toBe(true);
    },
  );

  it.each([241, 209, 252, 364, 372, 62])('%i may have started', code => {
    expect(serverFailure({ code, name: '', message: '' }).neverStarted).toBe(false);
  });

  it('knows names, and makes one up for other numbers', () => {
    expect(errorName(202)).toBe('TOO_MANY_SIMULTANEOUS_QUERIES');
    expect(errorName(60)).toBe('UNKNOWN_TABLE');
    expect(errorName(4711)).toBe('CODE_4711');
    expect([...REFUSED_CODES]).toEqual([192, 193, 194, 195, 516, 720, 767]);
  });
});

describe('httpFailure', () => {
  it.each([
    [401, 'transient', true, true],
    [403, 'transient', true, true],
    [407, 'transient', true, true],
    [408, 'transient', false, true],
    [425, 'transient', false, true],
    [429, 'transient', true, false],
    [500, 'transient', false, true],
    [502, 'transient', false, true],
    [503, 'transient', true, true],
    [504, 'transient', false, true],
    [204, 'transient', false, true],
    [301, 'permanent', true, true],
    [400, 'permanent', false, true],
    [404, 'permanent', false, true],
    [413, 'permanent', true, false],
    [414, 'permanent', true, false],
    [431, 'permanent', true, false],
    [501, 'permanent', false, true],
  ])('%i', (status, kind, neverStarted, serverGone) => {
    expect(httpFailure({ status, body: 'page' }, NOW_MS)).toEqual({
      code: 0,
      name: `HTTP_${status}`,
      kind,
      message: `HTTP ${status} without a ClickHouse error: "page"`,
      neverStarted,
      serverGone,
    });
  });

  it.each([
    ['7', 7000],
    [' 0 ', 0],
    ['Sat, 31 Jan 2026 12:00:30 GMT', 30_000],
    ['Sat, 31 Jan 2026 11:00:00 GMT', 0],
  ])('waits as Retry-After %j says', (retryAfter, retryAfterMs) => {
    expect(httpFailure({ status: 429, body: '', retryAfter }, NOW_MS)).toMatchObject({ retryAfterMs });
  });

  it('has no wait when there is none or it means nothing', () => {
    for (const retryAfter of [undefined, 'soon', '-1x']) {
      expect(httpFailure({ status: 429, body: '', retryAfter }, NOW_MS)).not.toHaveProperty('retryAfterMs');
    }
  });

  it('names the target of a redirect without its credentials', () => {
    const location = 'https://user:secret@host/x';
    expect(httpFailure({ status: 302, body: '', location }, NOW_MS).message).toBe(
      'HTTP 302 (to https://***@host/x) without a ClickHouse error: (empty body)',
    );
  });

  it('shows the beginning of a page on one line', () => {
    expect(excerpt(' a\n\tb ')).toBe('"a b"');
    expect(excerpt('x'.repeat(1000))).toBe(`"${'x'.repeat(300)}..."`);
  });
});

it.each([
  ['letters', 'a'.repeat(1_000_000)],
  ['slashes', '/'.repeat(1_000_000)],
  ['users', '//a@'.repeat(250_000)],
  ['digits', '1'.repeat(1_000_000)],
  ['spaces', ' '.repeat(1_000_000)],
  ['names', `Code: 1. DB::Exception: ${'(AA) (version a'.repeat(70_000)}`],
  ['codes', '\nCode: 1'.repeat(120_000)],
  ['blocks', '\n__exception__\r\n1 a'.repeat(50_000)],
])('takes no time by the square of what a server says: %s', (_, text) => {
  const startMs = performance.now();
  parseServerError(text);
  parseExceptionTail(text, 'tag');
  httpFailure({ status: 302, body: text, location: text, retryAfter: text }, NOW_MS);
  excerpt(text);
  // 400 s before; the rest is for a machine with other work.
  expect(performance.now() - startMs).toBeLessThan(2000);
});

it('shows no password of a redirect, however long it is', () => {
  const location = `https://user:${'secret'.repeat(100)}@host/x?token=1`;
  expect(httpFailure({ status: 302, body: '', location }, NOW_MS).message).toMatch(
    /^HTTP 302 \(to https:\/\/\*\*\*@host\/x\?\.\.\.\) /,
  );
});

it('does not wait longer than an hour because a server says so', () => {
  for (const retryAfter of ['99999999', '9'.repeat(400), 'Fri, 31 Dec 9999 23:59:59 GMT']) {
    expect(httpFailure({ status: 503, body: '', retryAfter }, NOW_MS).retryAfterMs).toBe(3_600_000);
  }
});

describe('transportFailure', () => {
  it.each(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])(
    '%s was never sent',
    code => {
      expect(transportFailure({ code, message: 'no way' })).toEqual({
        code: 0,
        name: 'CONNECTION_FAILED',
        kind: 'transient',
        message: `no way (${code})`,
        neverStarted: true,
        serverGone: true,
      });
    },
  );

  it.each(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'HPE_INVALID_CONSTANT', undefined])(
    '%s leaves it open',
    code => {
      expect(transportFailure({ code, message: `lost ${code}` })).toEqual({
        code: 0,
        name: 'CONNECTION_LOST',
        kind: 'unknown',
        message: `lost ${code}`,
        neverStarted: false,
        serverGone: true,
      });
    },
  );

  it('a connect that timed out was never sent', () => {
    const failed = transportFailure({ code: 'ETIMEDOUT', syscall: 'connect', message: 'connect ETIMEDOUT' });
    expect(failed).toMatchObject({ kind: 'transient', neverStarted: true });
    expect(transportFailure({ code: 'ETIMEDOUT', syscall: 'read', message: '' })).toMatchObject({
      kind: 'unknown',
      message: '(ETIMEDOUT)',
    });
  });

  it.each(['EADDRNOTAVAIL', 'EMFILE', 'ENFILE'])('%s is our own lack of sockets', code => {
    expect(transportFailure({ code, message: '' })).toMatchObject({
      kind: 'transient',
      neverStarted: true,
      serverGone: false,
    });
  });

  it.each(['DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'EPROTO'])(
    '%s was never sent, and may pass with another certificate',
    code => {
      expect(transportFailure({ code, message: 'tls' })).toMatchObject({
        name: 'TLS_FAILED',
        kind: 'transient',
        neverStarted: true,
        serverGone: true,
      });
    },
  );
});

describe('failureOfQuery', () => {
  const passing = serverFailure({ code: 241, name: '', message: '(total) memory limit exceeded' });
  const refused = serverFailure({ code: 202, name: '', message: '' });
  const bad = serverFailure({ code: 62, name: '', message: '' });
  const lost = transportFailure({ code: 'ECONNRESET', message: '' });

  it.each([
    [passing, false, false, 'transient', false],
    [passing, false, true, 'unknown', false],
    [passing, true, false, 'unknown', false],
    [refused, false, false, 'transient', true],
    [refused, false, true, 'transient', true],
    [refused, true, false, 'unknown', false],
    [bad, true, true, 'permanent', false],
    [lost, false, false, 'unknown', false],
  ] as const)('%#', (failure, changedBefore, changes, kind, neverStarted) => {
    expect(failureOfQuery(failure, { changedBefore, changes })).toEqual({ ...failure, kind, neverStarted });
  });
});

it('ownFailure says nothing about the server', () => {
  expect(ownFailure('TIMEOUT', 'permanent', 'late')).toEqual({
    code: 0,
    name: 'TIMEOUT',
    kind: 'permanent',
    message: 'late',
    neverStarted: false,
    serverGone: false,
  });
});
