import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Audit } from '../../../src/core/log/audit.js';
import {
  type Fate,
  LogScanner,
  NewGroups,
  type PresentQueries,
  RecordedAttempts,
} from '../../../src/core/log/scan/index.js';
import { errorGroup, normalGroup, skippedGroup, UNIT } from './log-samples.js';

const PRESENT = 'aaaaaaaaaaaaaaaa';
const OLD = 'bbbbbbbbbbbbbbbb';
const OLDER = 'cccccccccccccccc';

/** A group as a test describes it. */
interface Given {
  readonly query?: string;
  readonly outcome?: 'normal' | 'skipped' | 'error';
  readonly fingerprint?: string;
  readonly run?: string;
  readonly attempt?: number;
  readonly rerun?: boolean;
}

function bytesOf({ outcome = 'normal', fingerprint = PRESENT, ...head }: Given): Buffer {
  if (outcome === 'skipped') return skippedGroup({ fingerprint, ...head });
  if (outcome === 'error') return errorGroup({ fingerprint, ...head });
  return normalGroup({ fingerprint, ...head }, ['{"x":1}', '{"x":2}']);
}

const logOf = (groups: readonly Given[]): Buffer => Buffer.concat(groups.map(bytesOf));

const present: PresentQueries = {
  has: query => query !== 'gone',
  fingerprint: query => (query === 'broken' || query === 'gone' ? undefined : PRESENT),
};

function scan(bytes: Buffer, into: RecordedAttempts | NewGroups): void {
  const scanner = new LogScanner(UNIT, into);
  scanner.push(bytes);
  scanner.tail();
}

const IGNORED = { foreign() {}, newer() {}, unreadable() {} };

/** Imports a log into another one as the importer does, in memory. */
function imported(log: Buffer, other: Buffer, files = present): { log: Buffer; groups: NewGroups } {
  const known = new RecordedAttempts();
  scan(log, known);
  const groups = new NewGroups(known, files, IGNORED);
  scan(other, groups);
  const chosen = groups.ranges.map(([start, end]) => other.subarray(start, end));
  return { log: Buffer.concat([log, ...chosen]), groups };
}

/** The fate of one group, imported into a log with these. */
function fate(log: readonly Given[], group: Given): Fate {
  const { fates } = imported(logOf(log), bytesOf(group)).groups;
  return Object.entries(fates).find(([, count]) => count === 1)?.[0] as Fate;
}

describe('a group of another host', () => {
  const here = { run: 'here' };
  const there = { run: 'there' };

  it.each<[string, readonly Given[], Given, Fate]>([
    ['of a query without a result', [], there, 'new'],
    ['that is there already', [there], there, 'there'],
    [
      'that is there already, and something else after it',
      [{ ...there, outcome: 'error' }, here],
      { ...there, outcome: 'error' },
      'there',
    ],
    [
      'that is an error and there already',
      [{ ...there, outcome: 'error' }],
      { ...there, outcome: 'error' },
      'there',
    ],
    ['whose query is settled', [here], there, 'ran_twice'],
    ['whose query is settled without rows', [{ ...here, outcome: 'skipped' }], there, 'ran_twice'],
    ['that failed, where the query is settled', [here], { ...there, outcome: 'error' }, 'ran_twice'],
    ['that was run again on purpose', [here], { ...there, rerun: true }, 'new'],
    ['whose query failed here', [{ ...here, outcome: 'error' }], there, 'new'],
    [
      'that failed where it failed here',
      [{ ...here, outcome: 'error' }],
      { ...there, outcome: 'error' },
      'new',
    ],
    [
      'that is another attempt of the same run',
      [{ ...there, outcome: 'error' }],
      { ...there, attempt: 2 },
      'new',
    ],
    ['of an old text, where the present one has a result', [here], { ...there, fingerprint: OLD }, 'stale'],
    [
      'of an old text, where the present one failed',
      [{ ...here, outcome: 'error' }],
      { ...there, fingerprint: OLD },
      'stale',
    ],
    ['of an old text, run again on purpose', [here], { ...there, fingerprint: OLD, rerun: true }, 'stale'],
    ['of an old text, where nothing is', [], { ...there, fingerprint: OLD }, 'new'],
    [
      'of an old text, where only an older one has a result',
      [{ ...here, fingerprint: OLDER }],
      { ...there, fingerprint: OLD },
      'stale',
    ],
    ['of the present text, where an old one has a result', [{ ...here, fingerprint: OLD }], there, 'new'],
    ['of a query that the unit does not have', [], { ...there, query: 'gone' }, 'unknown'],
    [
      'of a file that cannot run, and of another text than the result here',
      [{ ...here, query: 'broken' }],
      { ...there, query: 'broken', fingerprint: OLD },
      'stale',
    ],
    ['of a file that cannot run, without a result here', [], { ...there, query: 'broken' }, 'new'],
  ])('%s', (_, log, group, expected) => {
    expect(fate(log, group)).toBe(expected);
  });

  it('is judged by those that were chosen before it', () => {
    const { groups } = imported(
      Buffer.alloc(0),
      logOf([{ ...there, outcome: 'error' }, { ...there, attempt: 2 }, { run: 'later' }, there, here]),
    );
    expect(groups.fates).toEqual({ new: 2, there: 1, ran_twice: 2, stale: 0, unknown: 0 });
    expect(groups.size.lines).toBe(3);
  });

  it('keeps its bytes, and neighbours are one range', () => {
    const a = bytesOf({ ...there, query: 'a' });
    const b = bytesOf({ ...there, query: 'b' });
    const c = bytesOf({ ...there, query: 'c' });
    const { log, groups } = imported(bytesOf({ ...here, query: 'b' }), Buffer.concat([a, b, c]));
    expect(groups.ranges).toEqual([
      [0, a.length],
      [a.length + b.length, a.length + b.length + c.length],
    ]);
    expect(log.subarray(-(a.length + c.length))).toEqual(Buffer.concat([a, c]));
    expect(imported(Buffer.alloc(0), Buffer.concat([a, b, c])).groups.ranges).toHaveLength(1);
  });

  it('that is not whole counts for nothing', () => {
    const whole = bytesOf({ ...there, query: 'a' });
    const cut = bytesOf({ ...there, query: 'b' });
    const firstLine = cut.subarray(0, cut.indexOf(10) + 1);
    const { groups, log } = imported(Buffer.alloc(0), Buffer.concat([firstLine, whole, firstLine]));
    expect([groups.fates.new, groups.unfinished]).toEqual([1, 1]);
    expect(log).toEqual(whole);
  });
});

describe('a copy of the chosen groups', () => {
  const a = bytesOf({ query: 'a', run: 'there' });
  const b = bytesOf({ query: 'b', run: 'there' });
  const isWhole = (copy: Buffer): boolean => {
    const { groups } = imported(Buffer.alloc(0), Buffer.concat([a, b]));
    const check = groups.copyAt(100);
    const scanner = new LogScanner(UNIT, check, 100);
    scanner.push(copy);
    return check.isWhole && scanner.tail().tornBytes === 0;
  };

  it('holds them and nothing else', () => {
    expect(isWhole(Buffer.concat([a, b]))).toBe(true);
  });

  it.each<[string, Buffer]>([
    ['one is missing', a],
    ['one is there twice', Buffer.concat([a, b, b])],
    ['their order is another', Buffer.concat([bytesOf({ query: 'long name' }), a])],
    ['one is torn', Buffer.concat([a, b.subarray(0, -3)])],
    ['a line is not whole', Buffer.concat([a.subarray(0, 20), a.subarray(21), b])],
    ['something foreign is between them', Buffer.concat([a, Buffer.from('{"shell":1}\n'), b])],
    ['parts are missing', Buffer.concat([a.subarray(a.indexOf(10) + 1), b])],
  ])('is not one where %s', (_, copy) => {
    expect(isWhole(copy)).toBe(false);
  });
});

describe('any histories of several hosts', () => {
  const group = fc.record({
    query: fc.constantFrom('a', 'b', 'c'),
    outcome: fc.constantFrom('normal' as const, 'skipped' as const, 'error' as const),
    fingerprint: fc.constantFrom(PRESENT, PRESENT, PRESENT, OLD, OLDER),
  });
  // Each attempt ends once; ids of runs are those of one host.
  const host = (name: string) =>
    fc
      .array(group, { maxLength: 8 })
      .map(groups =>
        groups.map((one, n) => ({ ...one, run: `${name}${Math.floor(n / 3)}`, attempt: n + 1 })),
      );
  const hosts = fc.tuple(host('x'), host('y'), host('z'));

  const stateOf = (log: Buffer): Map<string, string> => {
    const states = new RecordedAttempts();
    scan(log, states);
    return new Map(
      [...states].map(([query, { fingerprint, outcome }]) => [
        query,
        fingerprint === PRESENT ? (outcome === 'error' ? 'failed' : 'settled') : 'stale',
      ]),
    );
  };
  const duplicates = (log: Buffer): readonly unknown[] => {
    const audit = new Audit();
    const found = audit.begin('log');
    const scanner = new LogScanner(UNIT, found);
    scanner.push(log);
    found.end(scanner.tail());
    const queries = ['a', 'b', 'c'].map(name => ({ name, fingerprint: PRESENT, rows: undefined }));
    const { duplicate, foreign, unreadable, partial } = audit.report(UNIT, 'log', queries);
    return [...duplicate, ...foreign, ...unreadable, ...partial];
  };
  const together = (logs: readonly (readonly Given[])[]): Buffer =>
    logs.reduce((log: Buffer, other) => imported(log, logOf(other)).log, Buffer.alloc(0));

  it('become a log in which nothing is doubled, and importing them again appends nothing', () => {
    fc.assert(
      fc.property(hosts, logs => {
        const log = together(logs);
        expect(duplicates(log)).toEqual([]);
        for (const other of logs) expect(imported(log, logOf(other)).groups.fates.new).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('count the same in any order', () => {
    fc.assert(
      fc.property(hosts, ([x, y, z]) => {
        const counts = stateOf(together([x, y, z]));
        for (const order of [
          [x, z, y],
          [y, x, z],
          [y, z, x],
          [z, x, y],
          [z, y, x],
        ])
          expect(stateOf(together(order))).toEqual(counts);
      }),
      { numRuns: 500 },
    );
  });

  it('settle what any of them has settled under the present text', () => {
    fc.assert(
      fc.property(hosts, logs => {
        const settled = logs
          .flat()
          .filter(({ fingerprint, outcome }) => fingerprint === PRESENT && outcome !== 'error')
          .map(({ query }) => query);
        const counts = stateOf(together(logs));
        for (const query of settled) expect(counts.get(query)).toBe('settled');
      }),
      { numRuns: 500 },
    );
  });
});
