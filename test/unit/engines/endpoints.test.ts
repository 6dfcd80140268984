import { describe, expect, it } from 'vitest';
import {
  type Candidate,
  isOfEndpoint,
  isSuspicious,
  lostWithServer,
  lowerVersion,
  mildest,
  needsRest,
  nextEndpoint,
  permitsOfEach,
} from '../../../src/core/engines/endpoints.js';
import {
  type Failure,
  httpFailure,
  localFailure,
  ownFailure,
  parseServerError,
  serverFailure,
  transportFailure,
} from '../../../src/core/engines/failure.js';

const server = (changes: Partial<Candidate> = {}): Candidate => ({
  running: 0,
  permits: 4,
  isIn: true,
  restsUntilMs: 0,
  ...changes,
});

function failureOf(text: string): Failure {
  const error = parseServerError(text);
  if (error === undefined) throw new Error(text);
  return serverFailure(error);
}
const FULL = failureOf('Code: 202. DB::Exception: Too many. (TOO_MANY_SIMULTANEOUS_QUERIES)');
const SERVER_MEMORY = failureOf(
  'Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)',
);
const QUERY_MEMORY = failureOf(
  'Code: 241. DB::Exception: Memory limit (for query) exceeded. (MEMORY_LIMIT_EXCEEDED)',
);
const USER = failureOf('Code: 516. DB::Exception: no. (AUTHENTICATION_FAILED)');
const QUOTA = failureOf('Code: 201. DB::Exception: Quota has been exceeded: queries = 2/1. (QUOTA_EXCEEDED)');
const KILLED = failureOf('Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)');
const SYNTAX = failureOf('Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)');
const UNREACHABLE = transportFailure({ code: 'ECONNREFUSED', syscall: 'connect', message: 'refused' });
const LOST = transportFailure({ code: 'ECONNRESET', message: 'reset' });
const TOO_LARGE = httpFailure({ status: 413, body: '' }, 0);

describe('the next server', () => {
  it('is the one with the smallest share of its permits in use, in turn between equals', () => {
    expect(nextEndpoint([server(), server()], -1, 0)).toBe(0);
    expect(nextEndpoint([server(), server()], 0, 0)).toBe(1);
    expect(nextEndpoint([server(), server()], 1, 0)).toBe(0);
    expect(nextEndpoint([server({ running: 2 }), server({ running: 1 })], 1, 0)).toBe(1);
    expect(nextEndpoint([server({ running: 2, permits: 16 }), server({ running: 1 })], 1, 0)).toBe(0);
  });

  it('is none that is full, away, resting or excluded', () => {
    const free = server();
    for (const other of [server({ running: 4 }), server({ isIn: false }), server({ restsUntilMs: 11 })]) {
      expect(nextEndpoint([other, free], 1, 10)).toBe(1);
      expect(nextEndpoint([other], -1, 10)).toBeUndefined();
    }
    expect(nextEndpoint([server({ restsUntilMs: 10 })], -1, 10)).toBe(0);
    expect(nextEndpoint([free, free], 1, 0, index => index === 0)).toBe(1);
    expect(nextEndpoint([], -1, 0)).toBeUndefined();
  });

  it('leaves an even spread: no two servers of a run differ by more than one, all being equal', () => {
    const servers = [0, 0, 0].map(() => ({ ...server({ permits: 100 }) }));
    let last = -1;
    for (let n = 0; n < 100; n += 1) {
      last = nextEndpoint(servers, last, 0) as number;
      (servers[last] as { running: number }).running += 1;
    }
    expect(servers.map(({ running }) => running).toSorted()).toEqual([33, 33, 34]);
  });
});

it('places are divided in equal parts, rounded up', () => {
  expect([permitsOfEach(16, 2), permitsOfEach(16, 3), permitsOfEach(1, 2)]).toEqual([8, 6, 1]);
});

it('what never started for a reason of the server goes elsewhere, and nothing else', () => {
  for (const failure of [FULL, USER, QUOTA, UNREACHABLE])
    expect(isOfEndpoint(failure), failure.name).toBe(true);
  const aborted = { ...ownFailure('ABORTED', 'transient', ''), neverStarted: true };
  const others = [LOST, KILLED, SYNTAX, TOO_LARGE, SERVER_MEMORY, localFailure('EMFILE', ''), aborted];
  for (const failure of others) expect(isOfEndpoint(failure), failure.name).toBe(false);
});

it('a full server rests, and one whose memory is full; not for the limit of a query', () => {
  expect([FULL, SERVER_MEMORY].every(needsRest)).toBe(true);
  expect([QUERY_MEMORY, SYNTAX, LOST, UNREACHABLE].some(needsRest)).toBe(false);
});

it('what a server that is away said is not a result', () => {
  expect([LOST, UNREACHABLE, KILLED, USER].every(isSuspicious)).toBe(true);
  expect([SYNTAX, FULL, QUERY_MEMORY].some(isSuspicious)).toBe(false);
  expect(lostWithServer(KILLED)).toMatchObject({ kind: 'unknown', serverGone: true, code: 394 });
  expect(lostWithServer(USER)).toMatchObject({ kind: 'permanent', neverStarted: true });
});

it('of several reasons the one that may pass decides how long to wait', () => {
  expect(mildest([USER, QUOTA, UNREACHABLE])).toBe(UNREACHABLE);
  expect(mildest([USER, QUOTA])).toBe(QUOTA);
  expect(mildest([])).toBeUndefined();
});

it('versions are compared by their numbers', () => {
  expect(lowerVersion('25.11.1.1', '25.8.1')).toBe('25.8.1');
  expect(lowerVersion('18.16.1', '25.1')).toBe('18.16.1');
  expect(lowerVersion('25.1', '25.1.0')).toBe('25.1');
});
