import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Caller, HttpAnswer, HttpCall } from '../../src/io/engines/clickhouse/http/call.js';
import { HttpChannel } from '../../src/io/engines/clickhouse/http/channel.js';
import { ControlClient } from '../../src/io/engines/clickhouse/http/control.js';
import { ServerIdentity } from '../../src/io/engines/clickhouse/http/identity.js';
import {
  cutChunks,
  cutLength,
  foreign,
  noHeaders,
  notHttp,
  rows,
  type Shape,
  type StubServer,
  startStubServer,
  status,
  taggedException,
  untilClose,
  wholeChunks,
} from './stub-server.js';

// Queries and control traffic go in two ways to a server, and believe the same of what comes back.

const LIMIT_BYTES = 100_000;
const never = new AbortController().signal;
const TAG = 'abcdefghijklmnop';
const EXCEPTION =
  "Code: 395. DB::Exception: Value passed to 'throwIf' is non-zero. (FUNCTION_THROW_IF_VALUE)";

let stub: StubServer;
let other: StubServer;
beforeAll(async () => {
  [stub, other] = await Promise.all([startStubServer(), startStubServer()]);
});
afterAll(async () => {
  await Promise.all([stub.stop(), other.stop()]);
});

/** Rows without an end, as fast as they are taken. */
const endless: Shape = ({ response, socket }) => {
  response.writeHead(200);
  const more = (): void => {
    while (!socket.destroyed && response.write(`{"a":"${'x'.repeat(1000)}"}\n`));
  };
  response.on('drain', more);
  more();
};

/** What a call came to, in one line. */
function said(answer: HttpAnswer): string {
  return answer.ok ? `${answer.body.rows} rows` : answer.failure.name;
}

describe.each(['queries', 'control traffic'])('%s', way => {
  const opened: (HttpChannel | ControlClient)[] = [];
  function open(identity = new ServerIdentity()): Caller {
    const endpoint = { path: '/', url: stub.url, user: 'me', password: 'secret', ca: undefined };
    const at = { ...endpoint, origin: stub.url };
    const caller = way === 'queries' ? new HttpChannel(at, 4, identity) : new ControlClient(at, identity);
    opened.push(caller);
    return caller;
  }
  afterEach(async () => {
    await Promise.all(opened.splice(0).map(caller => caller.close()));
  });

  const spool = { directory: '', thresholdBytes: LIMIT_BYTES };
  const ask = (caller: Caller, changes: Partial<HttpCall> = {}, stop: AbortSignal = never) =>
    caller.call(
      { sql: 'SELECT 1 AS a', queryId: 'mine', query: {}, spool, limitBytes: LIMIT_BYTES, ...changes },
      stop,
    );

  it.each<[string, Shape, string]>([
    ['whole rows', rows('{"a":1}\n{"a":2}\n'), '2 rows'],
    ['whole rows in chunks', wholeChunks('{"a":1}\n'), '1 rows'],
    ['chunks that stop', cutChunks('{"a":1}\n', 'fin'), 'CONNECTION_LOST'],
    ['chunks that are reset', cutChunks('{"a":1}\n', 'rst'), 'CONNECTION_LOST'],
    ['a length that does not come', cutLength('{"a":1}\n', 'fin'), 'CONNECTION_LOST'],
    ['an end that nothing proves', untilClose('{"a":1}\n'), 'RESULT_CUT'],
    ['no answer', noHeaders('fin'), 'CONNECTION_LOST'],
    ['what is not HTTP', notHttp(), 'CONNECTION_LOST'],
    ['a page', foreign(200, '<html>sign in</html>', { 'content-type': 'text/html' }), 'NOT_CLICKHOUSE'],
    ['a page with an error', foreign(502, '<html>bad gateway</html>'), 'HTTP_502'],
    ['no content', status(204, ''), 'HTTP_204'],
    ['rows without their end', wholeChunks('{"a":1}\n{"a":'), 'RESULT_CUT'],
    ['more than was asked for', endless, 'ANSWER_TOO_LARGE'],
    ['headers without an end', rows('', { 'x-much': 'x'.repeat(70_000) }), 'HEADERS_TOO_LARGE'],
    ['an exception as an error', status(500, EXCEPTION), 'FUNCTION_THROW_IF_VALUE'],
    ['an exception behind rows', wholeChunks(`{"a":1}\n${EXCEPTION}\n`), 'FUNCTION_THROW_IF_VALUE'],
    [
      'a tagged exception behind rows',
      wholeChunks(`{"a":1}\n${taggedException(TAG, EXCEPTION)}`, { 'x-clickhouse-exception-tag': TAG }),
      'FUNCTION_THROW_IF_VALUE',
    ],
    [
      'a success with the code of an exception',
      rows('', { 'x-clickhouse-exception-code': '60' }),
      'UNKNOWN_TABLE',
    ],
  ])('%s', async (_what, shape, outcome) => {
    stub.shape = shape;
    const answer = await ask(open());
    expect(said(answer)).toBe(outcome);
    if (answer.ok) await answer.body.dispose();
  });

  it('follows no redirect, and gives the password to no other server', async () => {
    stub.shape = status(307, '', { location: other.url });
    expect(said(await ask(open()))).toBe('HTTP_307');
    expect(other.requests).toEqual([]);
  });

  it('takes no answer to another query', async () => {
    const identity = new ServerIdentity();
    const caller = open(identity);
    stub.shape = rows('{"a":1}\n', { 'x-clickhouse-query-id': 'mine' });
    expect(said(await ask(caller))).toBe('1 rows');
    identity.settle();
    expect(said(await ask(caller))).toBe('1 rows');
    expect(said(await ask(caller, { queryId: 'yours' }))).toBe('NOT_CLICKHOUSE');
  });

  it('ends with its signal, before the answer and within it, and sends nothing behind it', async () => {
    const caller = open();
    for (const shape of [noHeaders('hang'), cutChunks('{"a":1}\n', 'hang')]) {
      stub.shape = shape;
      const stop = new AbortController();
      const before = stub.requests.length;
      const asked = ask(caller, {}, stop.signal);
      await stub.arrived(before + 1);
      const gone = new Promise(resolve => stub.requests[before]?.socket.once('close', resolve));
      stop.abort();
      expect((await asked).ok).toBe(false);
      await gone;
      expect(said(await ask(caller, {}, stop.signal))).toBe('ABORTED');
      expect(stub.requests).toHaveLength(before + 1);
    }
  });

  it('sends the parameters, the id and the credentials as they are', async () => {
    let credentials: string | undefined;
    stub.shape = request => {
      credentials = request.response.req.headers.authorization;
      rows('{"a":1}\n')(request);
    };
    await ask(open(), { query: { default_format: 'JSONEachRow', log_comment: "it's 1&2=3 % ä" } });
    const { sql, url } = stub.requests.at(-1) ?? {};
    expect(sql).toBe('SELECT 1 AS a');
    expect(Object.fromEntries(url ?? [])).toEqual({
      default_format: 'JSONEachRow',
      log_comment: "it's 1&2=3 % ä",
      query_id: 'mine',
    });
    expect(credentials).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`);
  });
});

it('control traffic has a connection for each request, and so many at once', async () => {
  const endpoint = { origin: stub.url, path: '/', url: stub.url, user: 'me', password: '', ca: undefined };
  const control = new ControlClient(endpoint, new ServerIdentity());
  const before = stub.requests.length;
  let open = 0;
  let most = 0;
  const ports = new Set<number | undefined>();
  stub.shape = request => {
    open += 1;
    most = Math.max(most, open);
    ports.add(request.socket.remotePort);
    setImmediate(() => {
      open -= 1;
      rows('{"a":1}\n')(request);
    });
  };
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      control.call({ sql: 'SELECT 1', queryId: `id-${n}`, query: {} }, never),
    ),
  );
  expect(answers.every(({ ok }) => ok)).toBe(true);
  expect(stub.requests).toHaveLength(before + 20);
  expect(ports.size).toBe(20);
  expect(most).toBeLessThanOrEqual(8);
  await control.close();
});
