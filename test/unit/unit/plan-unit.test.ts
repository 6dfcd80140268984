import { describe, expect, it } from 'vitest';
import type { PlannedQuery } from '../../../src/app/unit/due-queries.js';
import {
  type LogToPreview,
  type PlanOptions,
  type PlanWatch,
  planUnit,
  previewUnit,
  queryReader,
  type UnitPlan,
} from '../../../src/app/unit/plan.js';
import { QrunError } from '../../../src/core/errors.js';
import type { FinalStates } from '../../../src/core/log/scan/index.js';
import { fingerprinter } from '../../../src/core/unit/fingerprint.js';
import type { FinalState } from '../../../src/core/unit/plan.js';
import type { UnitSource } from '../../../src/io/unit/unit-files.js';

const inputs = { parameters: {}, settings: {} };

function sourceOf(files: Readonly<Record<string, string | Buffer>>): UnitSource {
  return {
    directory: '/sql',
    list: () => Object.keys(files),
    read: name => {
      const content = files[name];
      if (content === undefined)
        throw new Error(`ENOENT: no such file or directory, open '/sql/${name}.sql'`);
      return Buffer.from(content);
    },
  };
}

function options(
  files: Readonly<Record<string, string | Buffer>>,
  more: Partial<PlanOptions> = {},
): PlanOptions {
  return {
    source: sourceOf(files),
    inputs,
    selection: { include: [], exclude: [], shard: undefined, shuffle: undefined },
    limit: undefined,
    rerun: 'errors',
    allowPlaceholders: false,
    ...more,
  };
}

const settled = (sql: string, outcome: FinalState['outcome'] = 'normal'): FinalState => ({
  fingerprint: fingerprinter(inputs)(Buffer.from(sql)),
  outcome,
  parts: 1,
  run: 'r0',
});

/** A plan with all its queries as they were visited, and those that are due as they would be taken. */
interface WholePlan extends Omit<UnitPlan, 'due'> {
  readonly queries: readonly PlannedQuery[];
  readonly due: readonly PlannedQuery[];
}

async function whole(make: (watch: PlanWatch) => Promise<UnitPlan>): Promise<WholePlan> {
  const queries: PlannedQuery[] = [];
  const plan = await make({ visit: query => queries.push(query) });
  const due: PlannedQuery[] = [];
  for (let query = plan.due.take(); query !== undefined; query = plan.due.take()) due.push(query);
  return { ...plan, queries, due };
}

const planAll = (options: PlanOptions, final: Parameters<typeof planUnit>[1]): Promise<WholePlan> =>
  whole(watch => planUnit(options, final, watch));

const reasons = (plan: WholePlan): Record<string, string> =>
  Object.fromEntries(plan.queries.map(({ name, reason }) => [name, reason]));

async function problem(plan: Promise<unknown>): Promise<QrunError> {
  const error: unknown = await plan.then(
    () => undefined,
    caught => caught,
  );
  if (!(error instanceof QrunError)) throw new Error(`no QrunError: ${String(error)}`);
  return error;
}

describe('what is due', () => {
  const files = {
    fresh: 'SELECT 1',
    edited: 'SELECT 2',
    failed: 'SELECT 3',
    done: 'SELECT 4',
    none: 'SELECT 5',
  };
  const final = new Map([
    ['edited', settled('SELECT 22')],
    ['failed', settled('SELECT 3', 'error')],
    ['done', settled('SELECT 4')],
    ['none', settled('SELECT 5', 'skipped')],
    ['gone', settled('SELECT 6')],
  ]);

  it.each([
    ['errors', ['fresh', 'edited', 'failed'], 2, 0],
    ['all', ['fresh', 'edited', 'failed', 'done', 'none'], 0, 0],
    ['none', ['fresh', 'edited'], 2, 1],
  ] as const)('--rerun %s', async (rerun, due, settledCount, keptErrors) => {
    const plan = await planAll(options(files, { rerun }), final);
    expect(plan.due.map(({ name }) => name)).toEqual([...due]);
    expect(plan).toMatchObject({ settled: settledCount, keptErrors });
  });

  it('says why of each', async () => {
    const plan = await planAll(options(files), final);
    expect(reasons(plan)).toEqual({
      fresh: 'new',
      edited: 'changed',
      failed: 'failed',
      done: 'settled',
      none: 'settled',
    });
  });

  it('an error of an older text is a changed query, whatever --rerun says', async () => {
    const old = new Map([['fresh', settled('SELECT 0', 'error')]]);
    const plan = await planAll(options({ fresh: 'SELECT 1' }, { rerun: 'none' }), old);
    expect(reasons(plan)).toEqual({ fresh: 'changed' });
  });

  it('--limit counts what runs, not what is settled', async () => {
    const plan = await planAll(options(files, { limit: 2 }), final);
    expect(plan.due.map(({ name }) => name)).toEqual(['fresh', 'edited']);
    expect(plan.queries).toHaveLength(5);
  });

  it('every byte, every parameter and every setting counts', async () => {
    const fingerprints = async (sql: string, parameters = {}, settings = {}): Promise<string | undefined> =>
      (await planAll(options({ q: sql }, { inputs: { parameters, settings } }), new Map())).queries[0]
        ?.fingerprint;
    const all = await Promise.all([
      fingerprints('SELECT {a:String}', { a: '1' }),
      fingerprints('SELECT {a:String} ', { a: '1' }),
      fingerprints('SELECT {a:String}', { a: '2' }),
      fingerprints('SELECT {a:String}', { a: '1' }, { s: '1' }),
      fingerprints('SELECT {a:String}', { a: '1' }, { s: '2' }),
    ]);
    expect(new Set(all).size).toBe(5);
    expect(await fingerprints('SELECT {a:String}', { a: '1' })).toBe(all[0]);
  });

  it('knows whether anything takes parameters', async () => {
    const plan = await planUnit(
      options({ a: 'SELECT 1', b: 'SELECT {p:UInt8}' }, { inputs: { parameters: { p: '1' }, settings: {} } }),
      new Map(),
    );
    expect(plan.usesParameters).toBe(true);
    expect((await planUnit(options({ a: 'SELECT 1' }), new Map())).usesParameters).toBe(false);
  });
});

describe('what cannot run', () => {
  it('is all told at once, by file, before anything runs', async () => {
    const error = await problem(
      planUnit(
        options({
          a: "SELECT 'open",
          b: 'SELECT __X__, __Y__, {p:UInt8}',
          c: 'SELECT {q:String}, {q:String}, {r:String}',
          d: 'SELECT 1',
          e: Buffer.from([0xff, 0xfe, 0x53, 0]),
        }),
        new Map(),
      ),
    );
    expect(error).toMatchObject({ code: 'SQL_INVALID', message: '4 query files cannot run', exitCode: 2 });
    expect(error.details.map(line => line.split(':')[0])).toEqual([
      'a.sql',
      'b.sql',
      'b.sql',
      'c.sql',
      'c.sql',
      'e.sql',
    ]);
    expect(error.details[1]).toBe('b.sql: unreplaced placeholder __X__, __Y__');
    expect(error.hint).toContain('--allow-placeholders');
  });

  it('a file that is gone is one of these', async () => {
    const source = { ...sourceOf({ a: 'SELECT 1' }), list: () => ['a', 'gone'] };
    const error = await problem(planUnit(options({}, { source }), new Map()));
    expect(error.code).toBe('SQL_INVALID');
    expect(error.details).toEqual([
      "gone.sql: cannot be read: ENOENT: no such file or directory, open '/sql/gone.sql'",
    ]);
  });

  it('parameters: missing and superfluous together', async () => {
    const given = { inputs: { parameters: { a: '1', spare: '2' }, settings: {} } };
    const error = await problem(planUnit(options({ q: 'SELECT {a:UInt8}, {b:Date}' }, given), new Map()));
    expect(error.code).toBe('PARAMETERS');
    expect(error.details).toEqual(['q.sql: {b:Date} has no value', '--param spare: no query uses it']);
  });

  it('a parameter named like a property of every object has no value either', async () => {
    const error = await problem(planUnit(options({ q: 'SELECT {constructor:String}' }), new Map()));
    expect(error.details).toEqual(['q.sql: {constructor:String} has no value']);
  });

  it('a parameter that only queries outside the selection use is not superfluous', async () => {
    const plan = await planAll(
      options(
        { a: 'SELECT 1', b: 'SELECT {p:UInt8}' },
        {
          inputs: { parameters: { p: '1' }, settings: {} },
          selection: { include: ['a'], exclude: [], shard: undefined, shuffle: undefined },
        },
      ),
      new Map(),
    );
    expect(plan.queries).toHaveLength(1);
  });

  it('placeholders run where they are allowed', async () => {
    const plan = await planAll(options({ q: 'SELECT __X__' }, { allowPlaceholders: true }), new Map());
    expect(plan.due).toHaveLength(1);
  });

  it('an empty selection is a mistake, not an empty run', async () => {
    const selection = { include: ['nosuch'], exclude: [], shard: undefined, shuffle: undefined };
    const error = await problem(planUnit(options({ q: 'SELECT 1' }, { selection }), new Map()));
    expect(error).toMatchObject({ code: 'USAGE', exitCode: 2 });
    expect(error.message).toContain('none of the 1 quer');
  });

  it('a stop ends the planning with its reason', async () => {
    const stop = new AbortController();
    // Long enough for the planning to look round.
    const list = Array.from({ length: 50 }, (_, n) => `q${n}`);
    let reads = 0;
    const source: UnitSource = {
      directory: '/sql',
      list: () => list,
      read: () => {
        reads += 1;
        if (reads === 3) stop.abort('Ctrl-C');
        const until = performance.now() + 10;
        while (performance.now() < until);
        return Buffer.from('SELECT 1');
      },
    };
    await expect(planUnit(options({}, { source }), new Map(), { signal: stop.signal })).rejects.toBe(
      'Ctrl-C',
    );
    expect(reads).toBeLessThan(10);
  });

  it('a bug in a source is no message to the user', async () => {
    const source: UnitSource = {
      ...sourceOf({}),
      list: () => {
        throw new TypeError('oops');
      },
    };
    await expect(planUnit(options({}, { source }), new Map())).rejects.toBeInstanceOf(TypeError);
  });
});

describe('a query whose turn comes', () => {
  const rules = { inputs, allowPlaceholders: false };
  const readerOf = (sql: string | Buffer, more = {}) =>
    queryReader(sourceOf({ q: sql }), { ...rules, ...more });

  it('is read as it is now', async () => {
    const read = await readerOf('\ufeffSELECT 1; -- end\n')('q');
    expect(read?.bytes.toString()).toBe('\ufeffSELECT 1; -- end\n');
    expect(read?.query.statements.map(({ text }) => text)).toEqual(['SELECT 1']);
    expect(read?.asPlanned).toBeUndefined();
  });

  it('is taken from the plan while its file is unchanged', () => {
    const kept = Buffer.from('SELECT 2');
    const source = { ...sourceOf({}), unchanged: () => kept };
    expect(queryReader(source, rules)('q')).toMatchObject({ bytes: kept, asPlanned: true });
  });

  it.each([
    ['a placeholder', "SELECT '__SYMBOL__'", 'SQL_INVALID', 'unreplaced placeholder __SYMBOL__'],
    ['a parameter without a value', 'SELECT {p:UInt8}', 'PARAMETERS', '{p:UInt8} has no value'],
    [
      'both',
      'SELECT {p:UInt8}, __X__',
      'SQL_INVALID',
      'unreplaced placeholder __X__; {p:UInt8} has no value',
    ],
    ['an open quote', "SELECT 'a", 'SQL_INVALID', '1:8'],
    ['INTO OUTFILE', "SELECT 1 INTO OUTFILE 'x'", 'SQL_INVALID', 'OUTFILE'],
    ['UTF-16', Buffer.from('\ufeffSELECT 1', 'utf16le'), 'SQL_INVALID', 'UTF-16'],
  ])('is refused by what the plan refuses: %s', async (_, sql, code, text) => {
    let error: unknown;
    try {
      readerOf(sql)('q');
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ name: 'QrunError', code });
    expect((error as QrunError).message).toContain(text);
    await expect(planUnit(options({ q: sql }), new Map())).rejects.toMatchObject({ exitCode: 2 });
  });

  it('is none any more when only comments are left', () => {
    expect(readerOf('-- SELECT 1\n;')('q')).toBeUndefined();
  });

  it('that is gone cannot be read', () => {
    expect(() => queryReader(sourceOf({}), rules)('q')).toThrow(
      expect.objectContaining({ code: 'UNIT_UNREADABLE' }),
    );
  });
});

describe('previewUnit', () => {
  const files = { a: 'SELECT 1', b: 'SELECT 2' };
  const group = (query: string, sql: string) => {
    const state = settled(sql);
    return { query, ...state, unit: 'u', attempt: 1, rerun: false };
  };

  const preview = (read: LogToPreview['read']) =>
    whole(watch => previewUnit(options(files), { path: 'u.ndjson', unit: 'u', read }, watch));

  it('plans from a log that is only read; a partial group is no result', async () => {
    const plan = await preview(async states => {
      feed(states, 'a', 'SELECT 1');
      feed(states, 'b', 'SELECT 2');
      states.partial(group('b', 'SELECT 2') as never);
      states.unreadable(7, 9);
      return undefined;
    });
    expect(reasons(plan)).toEqual({ a: 'settled', b: 'new' });
  });

  it('without a log everything is new', async () => {
    expect(reasons(await preview(async () => undefined))).toEqual({ a: 'new', b: 'new' });
  });

  it('refuses the log of another unit, and passes over lines of no unit', async () => {
    await preview(async states => {
      states.foreign(0, undefined);
      return undefined;
    });
    const other = preview(async states => {
      states.foreign(0, 'v');
      return undefined;
    });
    expect(await problem(other)).toMatchObject({ code: 'LOG_FOREIGN', exitCode: 23 });
  });

  function feed(states: FinalStates, query: string, sql: string): void {
    states.group(group(query, sql) as never);
  }
});
