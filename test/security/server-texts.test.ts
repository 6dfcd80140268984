import { describe, expect, it } from 'vitest';
import { explainLongUrl } from '../../src/core/engines/clickhouse/long-url.js';
import { tlsHint } from '../../src/core/engines/clickhouse/tls-hint.js';
import {
  classifyServerError,
  excerpt,
  httpFailure,
  isFromElsewhere,
  ownFailure,
  parseExceptionTail,
  parseServerError,
  serverFailure,
  transportFailure,
} from '../../src/core/engines/failure.js';
import { quotaEndsInMs, refusalOf } from '../../src/core/engines/refusal.js';
import { engineShortage } from '../../src/core/engines/shortage.js';
import { failureKey } from '../../src/core/unit/halt.js';
import { NO_SUCH_ANSWER, shownVersion, textsOf } from '../../src/io/engines/answer-texts.js';
import {
  contradiction,
  countIn,
  ServerIdentity,
  summaryOf,
} from '../../src/io/engines/clickhouse/http/identity.js';
import { openError } from '../../src/io/engines/clickhouse/open-error.js';
import { type ResultBody, ResultWriter } from '../../src/io/engines/result-body.js';
import { rows, type StubServer, startStubServer } from '../engines/stub-server.js';
import { qrun, removeTree, tree } from '../integration/qrun.js';

const NOW_MS = Date.parse('2026-01-31T12:00:00Z');
const ENDPOINT = { origin: 'http://h', path: '/', url: 'http://h/', user: 'u', password: 'p', ca: undefined };
const failureOf = (message: string) => serverFailure({ code: 201, name: 'QUOTA_EXCEEDED', message });

// Everything that looks into a text that a server has written; none may throw.
const PARSERS: Readonly<Record<string, (text: string) => unknown>> = {
  parseServerError,
  'parseExceptionTail, with a tag': text => parseExceptionTail(text, 'tag'),
  'parseExceptionTail, with the text as tag': text => parseExceptionTail(text, text),
  'parseExceptionTail, without': text => parseExceptionTail(text, undefined),
  'classifyServerError, memory': text => classifyServerError({ code: 241, name: 'A', message: text }),
  'classifyServerError, library': text => classifyServerError({ code: 1000, name: 'A', message: text }),
  serverFailure: failureOf,
  isFromElsewhere,
  httpFailure: text =>
    httpFailure({ status: 503, body: text, retryAfter: text, location: text }, NOW_MS).message.length,
  transportFailure: text => transportFailure({ code: text, syscall: text, message: text }),
  excerpt,
  refusalOf: text => refusalOf(failureOf(text)),
  quotaEndsInMs: text => quotaEndsInMs(text, NOW_MS),
  engineShortage,
  'tlsHint, another name': text => tlsHint(`ERR_TLS_CERT_ALTNAME_INVALID ${text}`, true),
  tlsHint: text => tlsHint(text, false),
  explainLongUrl: text =>
    explainLongUrl(ownFailure('HTTP_400', 'permanent', text), () => ({ urlBytes: 9000, pairs: { a: text } })),
  failureKey: text => failureKey({ code: 1, name: 'A', kind: 'permanent', message: text }),
  openError: text => openError(ownFailure('HTTP_500', 'permanent', text), ENDPOINT, {}),
  summaryOf: text => summaryOf({ 'x-clickhouse-summary': text }),
  contradiction: text => contradiction({ 'x-clickhouse-format': text }, { result_rows: text }, 1),
  'foreign, the id': text => {
    const identity = new ServerIdentity();
    identity.settle();
    return identity.foreign(
      { 'x-clickhouse-server-display-name': text, 'x-clickhouse-query-id': text },
      'id',
    );
  },
  shownVersion,
};

// Units that a text is made of, with what stands before them.
const SHAPES: readonly (readonly [begin: string, unit: string])[] = [
  ['', 'a'],
  ['', '/'],
  ['', ' '],
  ['', '\n'],
  ['', '1'],
  ['', '\u0000'],
  ['', '//a@'],
  ['', ':// '],
  ['Code: ', '1'],
  ['Code: 1. DB::', 'A'],
  ['Code: 1. DB::Exception: ', '(AA) (version a'],
  ['Code: 1. DB::Exception: ', '(version (a) '],
  ['Code: 1. DB::Exception: ', '(A'],
  ['Code: 1. DB::ErrnoException: ', ', errno: '],
  ['', '\nCode: 1'],
  ['', '\nCode: 1. DB::'],
  ['', '\n__exception__\r\n1 a'],
  ['__exception__\r\ntag\r\n', '\n1 x'],
  ['__exception__\r\ntag\r\n', '1'],
  ['', '__exception__\r\n'],
  ['{"exception":"', 'Code: 1. '],
  ['{"exception":', '['],
  ['{"exception":', '{"a":'],
  ['{', '"a":1,'],
  ['', '[['],
  ['time', 'd'],
  ['', 'timed '],
  ['for ', '9'],
  ['', 'for 9s Interval will end at 2026-'],
  ['', 'has been exceeded: '],
  ['', '(the certificate is for '],
  ['', 'Received from'],
  ['', 'in scope'],
  ['HTTP 3', '0'],
];

function cpuMs(work: () => void): number {
  const from = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
}

// What other work on the machine, or the collection of garbage, adds is no time of the parser: of five the least counts.
function leastMs(work: () => void, enoughMs: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 5 && least >= enoughMs; n += 1) least = Math.min(least, cpuMs(work));
  return least;
}

const MEGABYTE = 1024 * 1024;
// Made once for all parsers.
const TEXTS = SHAPES.map(([begin, unit]) =>
  (begin + unit.repeat(Math.ceil(MEGABYTE / unit.length))).slice(0, MEGABYTE),
);

describe.each(Object.entries(PARSERS))('what a server says goes through %s', (_, parse) => {
  it('in linear time, whatever it is and however long', { timeout: 60_000 }, () => {
    for (const [index, text] of TEXTS.entries()) {
      const shape = JSON.stringify(SHAPES[index]);
      // Short times are mostly chance, and need no comparison.
      const took = leastMs(() => void parse(text), 50);
      if (took < 50) continue;
      expect(took, shape).toBeLessThan(100);
      const part = text.slice(0, MEGABYTE / 4);
      const tookPart = leastMs(() => void parse(part), 0);
      // Four times as long; sixteen times where it goes by the square.
      expect(took / Math.max(tookPart, 5), shape).toBeLessThan(10);
    }
  });
});

async function body(text: string): Promise<ResultBody> {
  const writer = new ResultWriter({ directory: '', thresholdBytes: 100 * MEGABYTE });
  await writer.write(Buffer.from(text));
  const result = await writer.finish();
  if ('reason' in result) throw new Error(result.reason);
  return result;
}

describe('an answer about the server', () => {
  it.each([
    '{"w":"1"}',
    '{"v":null}',
    '{"v":{}}',
    '{"v":[]}',
    '{"v":{"toString":1,"valueOf":1}}',
    '{"V":"1"}',
    '{"toString":"1"}',
    '{"__proto__":{"v":"1"}}',
    '{}',
  ])('is no answer without the column, or with something else than a text in it: %s', async row => {
    expect(await textsOf(await body(`{"v":"1"}\n${row}\n`), ['v'])).toBeUndefined();
  });

  it('may hold texts, numbers and truth values', async () => {
    const answer = await body('{"v":"a","w":1}\n{"v":1.5,"w":true}\n{"v":"","w":"x","__proto__":"y"}\n');
    expect(await textsOf(answer, ['v', 'w'])).toEqual([
      { v: 'a', w: '1' },
      { v: '1.5', w: 'true' },
      { v: '', w: 'x' },
    ]);
    expect(await textsOf(await body(''), ['v'])).toEqual([]);
  });

  it('counts what is a count, and nothing else', () => {
    const summary = summaryOf({
      'x-clickhouse-summary':
        '{"a":"12","b":12,"c":"1e999","d":"-1","e":"","f":[5],"g":{"valueOf":1},"h":null,"i":" 5","j":"0x10","__proto__":{"k":"7"}}',
    });
    expect(Object.keys(summary).map(name => countIn(summary, name))).toEqual([
      12,
      12,
      ...Array(9).fill(undefined),
    ]);
    expect(countIn(summary, 'k')).toBeUndefined();
    expect(countIn(summary, 'toString')).toBeUndefined();
    for (const text of ['[]', 'null', '1', '"a"', '{', '', '[[1]]']) {
      expect(countIn(summaryOf({ 'x-clickhouse-summary': text }), 'read_rows')).toBeUndefined();
    }
  });
});

// Each waits for its own processes.
describe.concurrent('a server that answers the first questions with something else', () => {
  const LONG = 'x'.repeat(MEGABYTE / 2);
  it.each<[string, string]>([
    ['another column', '{"w":"1"}\n'],
    ['an object', '{"v":{"toString":1}}\n'],
    ['null', '{"v":null}\n'],
    ['a prototype', '{"__proto__":{"v":"25.1"}}\n'],
    ['deep nesting', `{"v":${'['.repeat(100_000)}\n`],
    ['half a megabyte of one key', `{"${LONG}":1}\n`],
    ['more than a megabyte', `{"v":"${LONG}${LONG}"}\n`],
    ['no JSON', `${LONG}\n`],
  ])('%s: one clear message', async (_, answer) => {
    const stub: StubServer = await startStubServer();
    const root = tree({ 'u/q.sql': 'SELECT 1 AS a' });
    try {
      stub.openShape = rows(answer);
      for (const command of [['unit', 'u'], ['probe'], ['doctor']]) {
        const ended = await qrun([...command, '--url', stub.url], { cwd: root });
        expect(ended.code, `${command[0]}: ${ended.stderr}`).not.toBe(1);
        const said = ended.stdout + ended.stderr;
        expect(said).not.toMatch(/this is a bug|\n +at |Cannot convert|undefined/);
        expect(said.length).toBeLessThan(20_000);
        if (command[0] !== 'unit') continue;
        expect(ended.code).toBe(24);
        expect(ended.stderr).toMatch(/what answers at .* is not ClickHouse|no ClickHouse server answers at/);
        if (!answer.startsWith('{"v":[') && answer.length < 100) {
          expect(ended.stderr).toContain(NO_SUCH_ANSWER);
        }
      }
    } finally {
      await stub.stop();
      removeTree(root);
    }
  });
});
