import fc from 'fast-check';
import { explainLongUrl } from '../../../src/core/engines/clickhouse/long-url.js';
import { tlsHint } from '../../../src/core/engines/clickhouse/tls-hint.js';
import {
  classifyServerError,
  failureOfQuery,
  httpFailure,
  isFromElsewhere,
  parseExceptionTail,
  parseServerError,
  serverFailure,
  transportFailure,
} from '../../../src/core/engines/failure.js';
import { quotaEndsInMs, refusalOf } from '../../../src/core/engines/refusal.js';
import { engineShortage } from '../../../src/core/engines/shortage.js';
import { QrunError } from '../../../src/core/errors.js';
import { shownUrl } from '../../../src/core/text/shown-urls.js';
import { failureKey, likelyReason } from '../../../src/core/unit/halt.js';
import { type ResultBody, ResultWriter } from '../../../src/io/engines/result-body.js';
import { cut, cuts, grown, must, mutated, textOf } from './grammar.js';
import { type Target, target } from './trial.js';

const PIECES: readonly string[] = [
  ...'{}[],:"\n\\\0 \r\t',
  ...[
    '{"a":1}\n',
    '"unit":"x"',
    '{"exception": "Code: 1. DB::x"}\n',
    '\\u0000',
    '\\ud800',
    '1e400',
    '[\n',
    '\n]\n',
    ',\n',
  ],
];
const TEXTS: readonly string[] = [
  ...[
    'Code: 62. DB::Exception: ',
    'Code: 241, e.displayText() = DB::Exception: ',
    '(SYNTAX_ERROR)',
    ' (version 26.7.2.1',
  ],
  ...[
    '(official build))',
    '__exception__\r\n',
    'tag\r\n',
    '\n12 tag\r\n__exception__\r\n',
    'Received from h:9000. ',
    'DB::',
  ],
  ...[
    'http://u:p@h/',
    '//',
    '@',
    'https:',
    'std::exception. Code: ',
    '{"exception":',
    ' in scope ',
    'while processing ',
  ],
  ...[
    'Quota for user',
    ' will end at ',
    '2026-01-31 12:00:00',
    '(total)',
    'memory limit',
    'certificate',
    '\n',
    ' ',
    '(',
    ')',
    '0',
  ],
];
const VALID = fc.constantFrom(
  "Code: 62. DB::Exception: Syntax error: failed at position 1 ('x'): x. Expected one of: SELECT. (SYNTAX_ERROR) (version 26.7.2.1 (official build))",
  'Code: 241, e.displayText() = DB::Exception: Memory limit (total) exceeded: would use 9 GiB (version 18.16.1)',
  '{"a":1}\nCode: 159. DB::Exception: Timeout exceeded (TIMEOUT_EXCEEDED)\n',
  // Cut where something may go on for long.
  'Code: 62. DB::Exception: x (AA) (version ',
  'Code: 62. DB::Exception: x (A',
  'Code: 201. DB::Exception: Quota for user `u` for 3600s has been exceeded. Interval will end at ',
  'Code: 1000. DB::Exception: Received from ',
  'http://h/',
  '__exception__\r\ntag\r\nCode: 1. DB::Exception: x (A)\n21 tag\r\n__exception__\r\n',
  'Code: 201. DB::Exception: Quota for user `u` for 3600s has been exceeded: queries = 11/10. Interval will end at 2026-01-31 12:00:00. (QUOTA_EXCEEDED)',
);
const message = fc.oneof(
  { weight: 2, arbitrary: mutated(VALID, TEXTS) },
  { weight: 3, arbitrary: textOf(TEXTS) },
  { weight: 1, arbitrary: grown(VALID, ['a', 'A', '0', ' ', '(', '@', '/', '.', '\n', ...TEXTS]) },
);

const jsonRow = fc
  .dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
  .map(value => JSON.stringify(value));
const someRows = fc
  .array(fc.oneof(jsonRow, fc.constantFrom('{}', '{"a":18446744073709551615}', '{"d":1.10}')), {
    maxLength: 5,
  })
  .map(texts => texts.map(text => `${text}\n`).join(''));
const answer = fc.oneof(
  { weight: 4, arbitrary: mutated(someRows, PIECES) },
  { weight: 2, arbitrary: textOf(PIECES) },
);

interface Taken {
  readonly reason: string | undefined;
  readonly rows: number;
  readonly text: string;
}

async function take(chunks: readonly Buffer[], mayBeArray: boolean): Promise<Taken> {
  const writer = new ResultWriter({ directory: '/', thresholdBytes: 1 << 30 }, { mayBeArray });
  try {
    for (const chunk of chunks) await writer.write(Buffer.from(chunk));
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    return { reason: error.code, rows: 0, text: '' };
  }
  const end = await writer.finish();
  if ('reason' in end) return { reason: end.reason, rows: 0, text: '' };
  return { reason: undefined, rows: end.rows, text: (await bytesOf(end)).toString() };
}

async function bytesOf(body: ResultBody): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body.chunks()) chunks.push(chunk);
  await body.dispose();
  return Buffer.concat(chunks);
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The proof of answers, and everything that is read out of the texts of servers. */
export const ANSWERS: readonly Target[] = [
  target('answers', 1200, fc.tuple(answer, cuts, fc.boolean()), async ([text, shares, mayBeArray]) => {
    const bytes = Buffer.from(text);
    const taken = await take([bytes], mayBeArray);
    const again = await take(cut(bytes, shares), mayBeArray);
    must(
      (taken.reason === undefined) === (again.reason === undefined),
      'other pieces of an answer are judged otherwise',
    );
    must(taken.text === again.text && taken.rows === again.rows, 'other pieces of an answer give other rows');
    if (taken.reason !== undefined) return;
    const lines = taken.text.split('\n').slice(0, -1);
    must(lines.length === taken.rows, 'rows are counted wrong');
    for (const line of lines) must(isObject(line), `taken for a row: ${line.slice(0, 200)}`);
  }),
  target('good-answers', 400, fc.tuple(someRows, cuts), async ([text, shares]) => {
    const taken = await take(cut(Buffer.from(text), shares), false);
    must(taken.reason === undefined && taken.text === text, `rows are refused or changed: ${taken.reason}`);
  }),
  target('server-texts', 1200, message, text => {
    for (const error of [
      parseServerError(text),
      parseExceptionTail(text, 'tag'),
      parseExceptionTail(text, undefined),
    ]) {
      if (error === undefined) continue;
      const failure = serverFailure(error);
      classifyServerError(error);
      failureKey(failure);
      refusalOf(failure);
      failureOfQuery(failure, { changedBefore: true, changes: false });
      const target = 'http://h:8123';
      likelyReason(failure, {
        setupNotRun: [],
        target,
        version: '26.7',
        user: undefined,
        database: undefined,
      });
      explainLongUrl(failure, () => ({ urlBytes: 1e6, pairs: { query: text } }));
    }
    isFromElsewhere(text);
    quotaEndsInMs(text, 0);
    engineShortage(text);
    tlsHint(text, true);
  }),
  target(
    'pages',
    800,
    fc.tuple(
      message,
      fc.oneof(
        textOf(TEXTS),
        fc.constantFrom('1', '9e9', '99999999999999999999', '-1', 'Wed, 21 Oct 2099 07:28:00 GMT'),
      ),
      fc.integer({ min: 100, max: 599 }),
    ),
    ([body, header, status]) => {
      const failure = httpFailure({ status, body, retryAfter: header, location: header }, 0);
      const { retryAfterMs = 0 } = failure;
      must(retryAfterMs >= 0 && retryAfterMs < 2 ** 31, 'a wait that no timer knows');
      must(failure.message.length < 4000, 'a message without an end');
      transportFailure({ code: header, syscall: 'read', message: body });
    },
  ),
  target(
    'credentials',
    500,
    fc.tuple(textOf(['http://', 'u:', '@', '//', ' ', 'h', ':']), fc.constantFrom('PW', 'P/W', 'P@W')),
    ([text, password]) => {
      const secret = `zq${password}zq`;
      must(!shownUrl(`${text} http://u:${secret}@h/ ${text}`).includes(secret), 'a password is shown');
    },
  ),
];
