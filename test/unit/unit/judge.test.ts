import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { auditUnit } from '../../../src/app/unit/audit.js';
import { planUnit, queryReader } from '../../../src/app/unit/plan.js';
import { selectedBy } from '../../../src/app/unit/summary.js';
import { QrunError } from '../../../src/core/errors.js';
import type { AuditReport } from '../../../src/core/log/audit.js';
import type { AuditedLog } from '../../../src/core/log/scan/index.js';
import type { RecordHead } from '../../../src/core/log/scan/record-head.js';
import type { Outcome, Parameters } from '../../../src/core/model.js';
import { fingerprinter } from '../../../src/core/unit/fingerprint.js';
import {
  type AllowedPlaceholders,
  Judge,
  type Judgement,
  sharedLines,
} from '../../../src/core/unit/judge.js';
import type { FinalState } from '../../../src/core/unit/plan.js';
import type { UnitSource } from '../../../src/io/unit/unit-files.js';

function judge(
  sql: string | Buffer,
  allowPlaceholders: AllowedPlaceholders = false,
  parameters: Parameters = {},
): Judgement {
  return new Judge({ inputs: { parameters, settings: {} }, allowPlaceholders }).judge(Buffer.from(sql));
}

const problemsOf = (judgement: Judgement): readonly string[] =>
  judgement.kind === 'refused' ? judgement.problems : [];

describe('a file', () => {
  it.each([
    ['nothing', ''],
    ['blanks', ' \n\t\r\n'],
    ['a byte order mark', '\ufeff'],
    ['comments of all kinds', '-- a\n# b\n#! c\n/* d\n */'],
    ['semicolons', ';;\n;'],
    ['an open line comment at the end', ';-- a'],
    ['limits of its own alone', '-- qrun: rows=3'],
    ['a comment with a bad limit', '-- a\n-- qrun: rows=x'],
  ])('of %s is no query', (_, sql) => {
    expect(judge(sql)).toEqual({ kind: 'no_statement' });
  });

  it.each([
    ['an open block comment', '/* a'],
    ['an open string', "'a"],
    ['a NUL', '--\0'],
    ['UTF-16 of a comment', Buffer.from('\ufeff-- a', 'utf16le')],
  ])('of %s is bad, and not none', (_, sql) => {
    expect(judge(sql)).toMatchObject({ kind: 'refused', code: 'SQL_INVALID' });
  });

  it('that the server would refuse is for the server to say', () => {
    expect(judge('SELEC 1').kind).toBe('query');
  });

  it('tells of each parameter once, however often and with whatever types it is used', () => {
    const sql = 'SELECT {a:UInt8}, {a:UInt8}; SELECT {a:String}, {b:Date}; SELECT {b:Date}';
    expect(problemsOf(judge(sql))).toEqual(['{a:UInt8} has no value', '{b:Date} has no value']);
    expect(problemsOf(judge(sql, false, { b: '' }))).toEqual(['{a:UInt8} has no value']);
  });

  it.each<[AllowedPlaceholders, readonly string[]]>([
    [false, ['unreplaced placeholder __X__, __Y__']],
    [[], ['unreplaced placeholder __X__, __Y__']],
    [['__X__'], ['unreplaced placeholder __Y__']],
    [['__x__', '__X'], ['unreplaced placeholder __X__, __Y__']],
    [['__Y__', ' __X__ '], []],
    [true, []],
  ])('with placeholders, of which %j may stand', (allowed, problems) => {
    expect(problemsOf(judge("SELECT __X__, '__Y__'", allowed))).toEqual(problems);
  });
});

describe('sharedLines', () => {
  const of = (problem: string, count: number) =>
    Array.from({ length: count }, (_, n) => ({ query: `${problem}${n}`, problem }));

  it('names each file of a few, the first of many, and a problem of the unit without a file', () => {
    const lines = sharedLines([...of('a', 3), ...of('b', 4), { query: null, problem: 'c' }]);
    expect(lines).toEqual([
      'a0.sql: a',
      'a1.sql: a',
      'a2.sql: a',
      'b0.sql, b1.sql, b2.sql and 1 more: b',
      'c',
    ]);
  });
});

// Texts of every kind that a file may have.
const TEXTS = [
  'SELECT 1',
  'SELECT 2',
  'SELECT {p:UInt8}',
  'SELECT {q:UInt8}',
  "SELECT '__A__'",
  "SELECT '__B__'",
  "SELECT 'open",
  'SELECT 1 INTO OUTFILE x',
  '-- nothing',
  '',
  "SELECT 1 SETTINGS timeout_overflow_mode = 'break'",
];

const anyRules = fc.record({
  parameters: fc.constantFrom<Parameters>({}, { p: '1' }, { p: '1', q: '2' }),
  settings: fc.constantFrom<Record<string, string>>({}, { join_use_nulls: '1' }),
  limits: fc.constantFrom<Record<string, string>>({}, { max_execution_time: '1' }),
  allowPlaceholders: fc.constantFrom<AllowedPlaceholders>(false, true, ['__A__']),
});

type Rules = typeof anyRules extends fc.Arbitrary<infer T> ? T : never;

const anyUnit = fc.dictionary(
  fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  fc.record({
    text: fc.constantFrom(...TEXTS),
    recorded: fc.option(
      fc.record({
        text: fc.constantFrom(...TEXTS),
        outcome: fc.constantFrom<Outcome>('normal', 'skipped', 'error'),
      }),
    ),
  }),
  { minKeys: 1 },
);

type Unit = typeof anyUnit extends fc.Arbitrary<infer T> ? T : never;

const inputsOf = ({ parameters, settings, limits }: Rules) => ({ parameters, settings, limits });

function sourceOf(unit: Unit): UnitSource {
  return {
    directory: '/u',
    list: () => Object.keys(unit).sort(),
    read: name => Buffer.from((unit[name] as Unit[string]).text),
  };
}

/** What was recorded, under the rules of then: final states for a plan, and a log for an audit. */
function recordedOf(unit: Unit, then: Rules) {
  const print = fingerprinter(inputsOf(then));
  const final = new Map<string, FinalState>();
  for (const [name, { recorded }] of Object.entries(unit)) {
    if (recorded === null) continue;
    const fingerprint = print(Buffer.from(recorded.text));
    final.set(name, { fingerprint, outcome: recorded.outcome, parts: 1, run: 'r1' });
  }
  const readLog = async (found: AuditedLog) => {
    for (const [query, state] of final) {
      const head = { ...state, query, unit: 'u', part: 1, attempt: 1, rerun: false };
      found.group(head as unknown as RecordHead, 0);
    }
    return { goodEnd: 0, tornBytes: 0, reason: undefined };
  };
  return { final, readLog };
}

/** The kinds of empty units, for both sides alike. */
async function orEmpty<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof QrunError && error.code === 'UNIT_EMPTY') return undefined;
    throw error;
  }
}

describe('plan, run and audit', () => {
  it('agree on every file, whatever it holds, was recorded as, and is judged by', async () => {
    await fc.assert(
      fc.asyncProperty(anyUnit, anyRules, anyRules, async (unit, then, now) => {
        const { final, readLog } = recordedOf(unit, then);
        const source = sourceOf(unit);
        const selection = { include: [], exclude: [], shard: undefined, shuffle: undefined };
        const inputs = inputsOf(now);
        const { allowPlaceholders } = now;
        const options = {
          source,
          inputs,
          selection,
          allowPlaceholders,
          limit: undefined,
          rerun: 'errors',
        } as const;
        const plan = await orEmpty(planUnit({ ...options, bad: 'tell' }, final));
        const audit = await orEmpty(
          auditUnit({
            ...{ unit: 'u', logs: ['/log'], source, inputs, allowPlaceholders, readLog },
            ...{ selection, rowsPerQuery: undefined },
          }),
        );
        expect(audit === undefined).toBe(plan === undefined);
        if (plan === undefined || audit === undefined) return;
        expect(audit.cannot_run).toEqual(plan.cannotRun);
        expect(audit.no_statement).toEqual(plan.noStatement);
        expect(audit.queries).toBe(selectedBy(plan));
        const due: string[] = [];
        for (let query = plan.due.take(); query !== undefined; query = plan.due.take()) due.push(query.name);
        expect(incompleteOf(audit)).toEqual(due);
        // What a run sends when the turn of a file comes is what the plan let pass.
        const read = queryReader(source, { inputs, allowPlaceholders });
        const refused = new Set(plan.cannotRun.map(({ query }) => query));
        for (const name of source.list()) {
          if (refused.has(name)) expect(() => read(name)).toThrow(QrunError);
          else expect(read(name) === undefined).toBe(plan.noStatement.includes(name));
        }
        // And a run refuses the unit if and only if the audit names a reason.
        const runs = await planUnit(options, final).then(
          () => true,
          () => false,
        );
        expect(runs).toBe(audit.cannot_run.length === 0);
        if (!runs) expect(['incomplete', 'inconsistent']).toContain(audit.verdict);
        if (audit.verdict === 'complete') expect(due).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  function incompleteOf({ missing, stale, failed, partial }: AuditReport): string[] {
    return [...missing, ...stale, ...[...failed, ...partial].map(({ query }) => query)].sort();
  }
});

describe('a run on several servers that may not change data', () => {
  const judge = (sql: string, oneOfServers?: number) =>
    new Judge({ inputs: { parameters: {}, settings: {} }, allowPlaceholders: false, oneOfServers }).judge(
      Buffer.from(sql),
    );

  it.each(['INSERT INTO t VALUES (1)', 'SELECT 1; DROP TABLE t', 'OPTIMIZE TABLE t FINAL'])(
    'refuses %s',
    sql => {
      expect(judge(sql, 2)).toEqual({
        kind: 'refused',
        code: 'SQL_INVALID',
        problems: ['changes data, on only one of the 2 servers (--allow-changes)'],
        placeholders: false,
      });
      expect(judge(sql).kind).toBe('query');
    },
  );

  it.each([
    'SELECT 1',
    'SET max_threads = 1; SELECT 1',
    'CREATE TEMPORARY TABLE t (a UInt8); INSERT INTO t VALUES (1); SELECT a FROM t',
  ])('runs %s', sql => {
    expect(judge(sql, 2).kind).toBe('query');
  });
});
