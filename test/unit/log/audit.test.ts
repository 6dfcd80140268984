import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Audit, type AuditFindings, type ExpectedQuery, formula } from '../../../src/core/log/audit.js';
import type { GroupHead } from '../../../src/core/log/record.js';
import { LogScanner } from '../../../src/core/log/scan/index.js';
import { errorGroup, linesOf, normalGroup, skippedGroup, UNIT } from './log-samples.js';

const NOW = '9f86d081884c7d65';
const BEFORE = '0000000000000000';
const rows = (count: number): string[] => Array.from({ length: count }, (_, i) => `{"v":${i}}`);
const normal = (query: string, count = 3, head: Partial<GroupHead> = {}): Buffer =>
  normalGroup({ query, ...head }, rows(count));
const skipped = (query: string, head: Partial<GroupHead> = {}): Buffer => skippedGroup({ query, ...head });
const failed = (query: string, head: Partial<GroupHead> = {}): Buffer => errorGroup({ query, ...head });
const expected = (name: string, width?: number): ExpectedQuery => ({ name, fingerprint: NOW, rows: width });

function audit(log: Buffer | readonly Buffer[], queries: readonly (string | ExpectedQuery)[]): AuditFindings {
  const collected = new Audit();
  const found = collected.begin('x.ndjson');
  const scanner = new LogScanner(UNIT, found);
  scanner.push(Buffer.isBuffer(log) ? log : Buffer.concat(log));
  found.end(scanner.tail());
  return collected.report(
    UNIT,
    'x.ndjson',
    queries.map(query => (typeof query === 'string' ? expected(query) : query)),
  );
}

// What an audit reports beyond a complete log: only the fields that are not empty.
function deviations(report: AuditFindings): Partial<AuditFindings> {
  const { missing, failed: errors, partial, duplicate, stale, foreign, wrong_width, unreadable } = report;
  const lists = { missing, failed: errors, partial, duplicate, stale, foreign, wrong_width, unreadable };
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
}

describe('the formula', () => {
  it('has the numbers of a sweep with 95 normal and 5 skipped queries', () => {
    const names = Array.from({ length: 100 }, (_, i) => `q${i}`);
    const report = audit(
      names.map((name, i) => (i < 95 ? normal(name) : skipped(name))),
      names,
    );
    expect(formula(report)).toBe('290 = 95 x 3 + 5 x 1 + 0 x 1');
    expect(report).toMatchObject({
      unit: UNIT,
      log: 'x.ndjson',
      verdict: 'complete',
      queries: 100,
      expected_lines: 290,
      found_lines: 290,
      total_lines: 290,
      superseded: { groups: 0, lines: 0 },
    });
    expect(deviations(report)).toEqual({});
  });

  it('has a term for each width, most queries first', () => {
    const log = [normal('a', 2), normal('b', 1), normal('c', 1), skipped('d'), failed('e')];
    const report = audit(log, ['a', 'b', 'c', 'd', 'e']);
    expect(formula(report)).toBe('6 = 2 x 1 + 1 x 2 + 1 x 1 + 1 x 1');
    expect(report.verdict).toBe('errors');
  });

  it('counts a query with a width that is not due by the width that is', () => {
    const report = audit([normal('a', 2), normal('b', 3)], [expected('a', 3), expected('b', 3)]);
    expect(formula(report)).toBe('6 = 2 x 3 + 0 x 1 + 0 x 1');
    expect(report.found_lines).toBe(5);
    expect(deviations(report)).toEqual({ wrong_width: [{ query: 'a', rows: 2, expected: 3 }] });
    expect(report.verdict).toBe('inconsistent');
  });

  it('is zero for a log without a normal result', () => {
    expect(formula(audit([], []))).toBe('0 = 0 x 1 + 0 x 1 + 0 x 1');
    expect(formula(audit([skipped('a')], ['a']))).toBe('1 = 0 x 1 + 1 x 1 + 0 x 1');
  });

  it('has a width for each query, where the queries say so', () => {
    const report = audit([normal('a', 1), normal('b', 3)], [expected('a', 1), expected('b', 3)]);
    expect(report.verdict).toBe('complete');
    expect(report.normal).toEqual([
      { queries: 1, rows: 1 },
      { queries: 1, rows: 3 },
    ]);
  });
});

describe('each class of defects', () => {
  it('missing', () => {
    const report = audit([skipped('a')], ['a', 'b', 'c']);
    expect(deviations(report)).toEqual({ missing: ['b', 'c'] });
    expect(report.verdict).toBe('incomplete');
  });

  it('error, with the attempt that failed last', () => {
    const report = audit([failed('a', { attempt: 4 })], ['a']);
    expect(deviations(report)).toEqual({ failed: [{ query: 'a', attempt: 4 }] });
    expect([report.verdict, report.errors, report.expected_lines]).toEqual(['errors', 1, 1]);
  });

  it('partial: a record of the group is gone, whichever', () => {
    for (const gone of [0, 1, 2]) {
      const lines = linesOf(normal('a')).filter((_, i) => i !== gone);
      const report = audit([...lines, skipped('b')], ['a', 'b']);
      const found = gone === 2 ? 2 : 1;
      expect(deviations(report)).toEqual({ partial: [{ query: 'a', found, parts: 3 }] });
      expect(report).toMatchObject({ verdict: 'incomplete', expected_lines: 1, found_lines: found + 1 });
    }
  });

  it('duplicate: settled again with the same fingerprint', () => {
    const again = { run: 'run2' };
    const report = audit([normal('a'), normal('a', 2, again), skipped('a', again), skipped('b')], ['a', 'b']);
    expect(deviations(report)).toEqual({ duplicate: [{ query: 'a', times: 3, lines: 5 }] });
    expect(report).toMatchObject({ verdict: 'inconsistent', expected_lines: 2, found_lines: 7 });
  });

  it('duplicate: the same attempt recorded twice, also a failed one', () => {
    const report = audit([failed('a'), failed('a'), normal('a', 3, { run: 'run2' })], ['a']);
    expect(deviations(report)).toEqual({ duplicate: [{ query: 'a', times: 2, lines: 1 }] });
    expect(report.verdict).toBe('inconsistent');
  });

  it('duplicate: the beginning of a group is there twice', () => {
    const [first] = linesOf(normal('a'));
    const report = audit([first as Buffer, normal('a')], ['a']);
    expect(deviations(report)).toEqual({ duplicate: [{ query: 'a', times: 2, lines: 1 }] });
    expect(report.verdict).toBe('inconsistent');
  });

  it('stale: recorded for other SQL', () => {
    const report = audit([normal('a', 3, { fingerprint: BEFORE }), skipped('b')], ['a', 'b']);
    expect(deviations(report)).toEqual({ stale: ['a'] });
    expect([report.verdict, report.expected_lines, report.found_lines]).toEqual(['incomplete', 1, 1]);
  });

  it('foreign: a query that the unit does not have, and lines that are no records of it', () => {
    const other = skippedGroup({ unit: 'other' });
    const json = Buffer.from('{"no":"record"}\n');
    const log = [
      skipped('a'),
      normal('gone'),
      other,
      json,
      linesOf(normal('half'))[0] as Buffer,
      skipped('b'),
    ];
    const offsets = log.map((_, i) => Buffer.concat(log.slice(0, i)).length);
    const report = audit(log, ['a', 'b']);
    expect(deviations(report)).toEqual({
      foreign: [
        { query: 'gone', lines: 3, offset: offsets[1], log: 'x.ndjson' },
        { query: 'half', lines: 1, offset: offsets[4], log: 'x.ndjson' },
        { query: null, lines: 1, offset: offsets[2], log: 'x.ndjson' },
        { query: null, lines: 1, offset: offsets[3], log: 'x.ndjson' },
      ],
    });
    expect(report).toMatchObject({ verdict: 'inconsistent', total_lines: 8 });
  });

  it('unreadable: no JSON, NUL bytes, a record of a later version, a torn end', () => {
    const newer = Buffer.from('{"unit":"u","query":"q","schema":2}\n');
    const log = [Buffer.from('no json\n'), Buffer.from('\0\n'), newer, skipped('a'), Buffer.from('{"un')];
    const report = audit(log, ['a']);
    expect(deviations(report)).toEqual({
      unreadable: [
        { offset: 0, bytes: 8, reason: 'not JSON', log: 'x.ndjson' },
        { offset: 8, bytes: 2, reason: 'not JSON', log: 'x.ndjson' },
        { offset: 10, bytes: 0, reason: 'record of schema 2, newer than this qrun', log: 'x.ndjson' },
        {
          offset: Buffer.concat(log).length - 4,
          bytes: 4,
          reason: 'torn end: the last line has no end (4 bytes)',
          log: 'x.ndjson',
        },
      ],
    });
    expect(report).toMatchObject({ verdict: 'inconsistent', total_lines: 4 });
  });

  it('a torn end hides the query whose group it is', () => {
    const report = audit([skipped('a'), normal('b').subarray(0, -1)], ['a', 'b']);
    expect(Object.keys(deviations(report))).toEqual(['missing', 'unreadable']);
  });
});

describe('what is no defect', () => {
  it.each<[string, Buffer[], { groups: number; lines: number }]>([
    ['an error, then a result', [failed('a'), normal('a', 3, { run: 'run2' })], { groups: 1, lines: 1 }],
    [
      'errors of several runs',
      [failed('a'), failed('a', { run: 'run2' }), normal('a', 3, { run: 'run3' })],
      { groups: 2, lines: 2 },
    ],
    [
      'a result of other SQL, then one of the present',
      [normal('a', 5, { fingerprint: BEFORE }), normal('a', 3, { run: 'run2' })],
      { groups: 1, lines: 5 },
    ],
    [
      'a rerun on purpose',
      [normal('a'), normal('a', 3, { run: 'run2', rerun: true })],
      { groups: 1, lines: 3 },
    ],
    [
      'the same SQL again after another',
      [normal('a'), normal('a', 2, { fingerprint: BEFORE, run: 'run2' }), normal('a', 3, { run: 'run3' })],
      { groups: 2, lines: 5 },
    ],
    [
      'a group that a killed run left half, then a whole one',
      [...linesOf(normal('a')).slice(0, 2), normal('a', 3, { run: 'run2' })],
      { groups: 1, lines: 2 },
    ],
  ])('%s', (_, log, superseded) => {
    const report = audit(log, [expected('a', 3)]);
    expect(deviations(report)).toEqual({});
    expect(report).toMatchObject({ verdict: 'complete', expected_lines: 3, found_lines: 3, superseded });
    expect(report.total_lines).toBe(3 + superseded.lines);
  });

  it('but the last state counts: a rerun that failed, or was cut, is what stands', () => {
    const again = { run: 'run2', rerun: true };
    expect(audit([normal('a'), failed('a', again)], ['a']).verdict).toBe('errors');
    const half = linesOf(normal('a', 3, again)).slice(0, 1);
    expect(audit([normal('a'), ...half, skipped('b')], ['a', 'b']).verdict).toBe('incomplete');
    expect(audit([normal('a'), normal('a', 3, { ...again, fingerprint: BEFORE })], ['a']).verdict).toBe(
      'incomplete',
    );
  });

  it('a second group that fails is no duplicate: the query stands as error', () => {
    const report = audit([normal('a'), failed('a', { run: 'run2' })], ['a']);
    expect(deviations(report)).toEqual({ failed: [{ query: 'a', attempt: 1 }] });
  });
});

describe('the verdict', () => {
  // One log for each defect; the queries of different defects have different names.
  const DEFECTS: Record<
    string,
    { log: Buffer[]; queries: ExpectedQuery[]; verdict: AuditFindings['verdict'] }
  > = {
    failed: { log: [failed('e')], queries: [expected('e')], verdict: 'errors' },
    missing: { log: [], queries: [expected('m')], verdict: 'incomplete' },
    partial: { log: linesOf(normal('p')).slice(0, 2), queries: [expected('p')], verdict: 'incomplete' },
    stale: { log: [skipped('s', { fingerprint: BEFORE })], queries: [expected('s')], verdict: 'incomplete' },
    duplicate: { log: [skipped('d'), skipped('d')], queries: [expected('d')], verdict: 'inconsistent' },
    foreign: { log: [skipped('f')], queries: [], verdict: 'inconsistent' },
    wrong_width: { log: [normal('w', 2)], queries: [expected('w', 3)], verdict: 'inconsistent' },
    unreadable: { log: [Buffer.from('?\n')], queries: [], verdict: 'inconsistent' },
  };
  const RANK = ['complete', 'errors', 'incomplete', 'inconsistent'] as const;
  const names = Object.keys(DEFECTS) as (keyof typeof DEFECTS)[];

  it('is the worst of all defects, each of which is reported, in each combination', () => {
    for (let mask = 0; mask < 2 ** names.length; mask += 1) {
      const chosen = names.filter((_, i) => (mask & (1 << i)) !== 0);
      const cases = chosen.map(name => DEFECTS[name] as (typeof DEFECTS)[string]);
      const log = [...cases.flatMap(one => one.log), normal('good')];
      const report = audit(log, [expected('good'), ...cases.flatMap(one => one.queries)]);
      expect(Object.keys(deviations(report)).sort()).toEqual([...chosen].sort());
      const worst = Math.max(0, ...cases.map(one => RANK.indexOf(one.verdict)));
      expect(report.verdict, chosen.join()).toBe(RANK[worst]);
    }
  });
});

describe('histories as qrun writes them', () => {
  // What a unit's runs may do to one query, in the order of the runs.
  type Step = {
    readonly kind: 'error' | 'normal' | 'skipped';
    readonly changed: boolean;
    readonly rows: number;
  };
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('error' as const, 'normal' as const, 'skipped' as const),
    changed: fc.boolean(),
    rows: fc.integer({ min: 1, max: 4 }),
  });
  const anyHistory = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 });

  interface Written {
    /** `needed`: without this line the log does not hold a present result of its query. */
    readonly lines: readonly { readonly bytes: Buffer; readonly needed: boolean }[];
    readonly queries: readonly ExpectedQuery[];
    readonly errors: number;
  }

  // Run i does the i-th step of each query, as a run does: what is settled runs again only on purpose.
  function write(history: readonly (readonly Step[])[]): Written {
    const runs = Math.max(...history.map(steps => steps.length));
    const groups: { readonly query: number; readonly bytes: Buffer; readonly rerun: boolean }[] = [];
    const versions = history.map(() => 0);
    const states = history.map(() => ({ settled: false, kind: 'none' as string }));
    for (let run = 0; run < runs; run += 1) {
      for (const [query, steps] of history.entries()) {
        const did = steps[run];
        if (did === undefined) continue;
        if (did.changed) versions[query] = (versions[query] ?? 0) + 1;
        const rerun = !did.changed && states[query]?.settled === true;
        const fingerprint = String(versions[query]).padStart(16, '0');
        const head = { fingerprint, run: `run${run}`, rerun, attempt: 1 + (run % 2) };
        const name = `q${query}`;
        const bytes =
          did.kind === 'error'
            ? failed(name, head)
            : did.kind === 'skipped'
              ? skipped(name, head)
              : normal(name, did.rows, head);
        groups.push({ query, bytes, rerun });
        states[query] = { settled: did.kind !== 'error', kind: did.kind };
      }
    }
    const lines = groups.flatMap(({ query, bytes, rerun }, i) => {
      const final = !groups.slice(i + 1).some(later => later.query === query);
      const group = linesOf(bytes);
      // Without a rerun of one line, the result that it replaced is the present one.
      return group.map(line => ({ bytes: line, needed: final && !(rerun && group.length === 1) }));
    });
    return {
      lines,
      queries: history.map((_, i) => ({
        name: `q${i}`,
        fingerprint: String(versions[i]).padStart(16, '0'),
        rows: undefined,
      })),
      errors: states.filter(({ kind }) => kind === 'error').length,
    };
  }

  const bytesOf = (lines: Written['lines']): Buffer[] => lines.map(({ bytes }) => bytes);

  it('are never inconsistent or incomplete', () => {
    fc.assert(
      fc.property(anyHistory, history => {
        const { lines, queries, errors } = write(history);
        const report = audit(bytesOf(lines), queries);
        expect(report.verdict).toBe(errors === 0 ? 'complete' : 'errors');
        expect(report.found_lines).toBe(report.expected_lines);
        expect(report.total_lines).toBe(lines.length);
        expect(report.found_lines + report.superseded.lines).toBe(lines.length);
      }),
    );
  });

  it('are not complete any more when any line of a result is deleted or doubled', () => {
    fc.assert(
      fc.property(anyHistory, history => {
        const { lines, queries, errors } = write(history);
        if (errors > 0) return;
        const whole = audit(bytesOf(lines), queries);
        for (const [i, line] of lines.entries()) {
          const deleted = audit(bytesOf(lines.toSpliced(i, 1)), queries);
          const doubled = audit(bytesOf(lines.toSpliced(i, 0, line)), queries);
          if (line.needed) expect([deleted.verdict, doubled.verdict]).not.toContain('complete');
          // The other lines are not judged, but they are counted.
          expect(deleted).not.toEqual(whole);
          expect(doubled).not.toEqual(whole);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('are not complete any more when any two lines are exchanged within a group', () => {
    const lines = linesOf(normal('a', 4));
    for (let i = 0; i < lines.length; i += 1) {
      for (let k = i + 1; k < lines.length; k += 1) {
        const exchanged = lines.with(i, lines[k] as Buffer).with(k, lines[i] as Buffer);
        expect(audit(exchanged, ['a']).verdict).not.toBe('complete');
      }
    }
  });

  // The values that are compared with nothing, so that a byte of them may change and the record stays one: what
  // stands behind "rest_bytes", that number and its key, and in a group of one record its attempt and run.
  function unguarded(line: string): boolean[] {
    const open = new Array<boolean>(line.length).fill(false);
    const single = line.includes('"parts":1,');
    const guardless = single ? /"attempt":(\d+),"run":"(.*?)",/d : /$/d;
    const spans = [
      ...(guardless.exec(line)?.indices?.slice(1) ?? []),
      ...(/"(rest_bytes)":/d.exec(line)?.indices?.slice(1) ?? []),
    ];
    spans.push([line.indexOf('"rest_bytes":') + '"rest_bytes":'.length, line.length - 1]);
    for (const [from, to] of spans as [number, number][]) open.fill(true, from, to);
    return open;
  }

  it('are not complete any more when any byte changes that says which record it is', () => {
    const log = [normal('a', 2), normal('é', 1), skipped('b')];
    const queries = ['a', 'é', 'b'];
    expect(audit(log, queries).verdict).toBe('complete');
    const bytes = Buffer.concat(log);
    const open = linesOf(bytes).flatMap(line => unguarded(line.toString('latin1')));
    let seen = 0;
    for (let i = 0; i < bytes.length; i += 1) {
      const was = bytes[i] as number;
      for (const byte of [0, 0x0a, 0x20, 0x22, 0x2c, 0x31, 0x32, 0x5c, 0xff, was ^ 1, was ^ 0x20]) {
        if (byte === was) continue;
        bytes[i] = byte;
        const { verdict } = audit(bytes, queries);
        if (!open[i]) expect(verdict, `byte ${i} as ${byte}`).not.toBe('complete');
        // A newline or a NUL is seen wherever it is.
        if (byte === 0 || byte === 0x0a) expect(verdict, `byte ${i} as ${byte}`).not.toBe('complete');
        seen += 1;
      }
      bytes[i] = was;
    }
    expect(seen).toBeGreaterThan(10_000 / 2);
  });
});

describe('the fingerprint that an audit found', () => {
  it('is that of the newest group, and of none where no group was ever whole', () => {
    const half = (query: string, head: Partial<GroupHead> = {}): Buffer =>
      linesOf(normal(query, 3, head))[0] as Buffer;
    const collected = new Audit();
    const scanner = new LogScanner(UNIT, collected.begin('x.ndjson'));
    const log = [
      normal('a', 3, { fingerprint: BEFORE }),
      normal('a', 3, { run: 'run2' }),
      half('never'),
      half('later'),
      half('first'),
      skipped('later', { run: 'run2' }),
      half('a', { run: 'run3' }),
      half('never', { run: 'run2' }),
      skipped('end'),
    ];
    scanner.push(Buffer.concat(log));
    const found = ['a', 'later', 'end', 'never', 'first', 'absent'].map(name =>
      collected.fingerprintOf(name),
    );
    expect(found).toEqual([NOW, NOW, NOW, undefined, undefined, undefined]);
  });
});

describe('several logs', () => {
  function auditLogs(logs: readonly (readonly Buffer[])[], names: readonly string[]): AuditFindings {
    const collected = new Audit();
    for (const [index, log] of logs.entries()) {
      const found = collected.begin(`${index}.ndjson`);
      const scanner = new LogScanner(UNIT, found);
      scanner.push(Buffer.concat([...log]));
      found.end(scanner.tail());
    }
    return collected.report(
      UNIT,
      '0.ndjson',
      names.map(name => expected(name)),
    );
  }
  const run = (id: number, fingerprint = NOW) => ({ run: `2026013${id}T120000-0`, fingerprint });
  /** The reports of both orders, which must not differ in what they find. */
  function bothWays(
    one: readonly Buffer[],
    other: readonly Buffer[],
    names: readonly string[],
  ): AuditFindings {
    const [first, second] = [auditLogs([one, other], names), auditLogs([other, one], names)];
    for (const key of [
      'verdict',
      'duplicate',
      'stale',
      'partial',
      'failed',
      'superseded',
      'found_lines',
    ] as const) {
      expect(second[key], key).toEqual(first[key]);
    }
    return first;
  }

  it('of shards are one unit', () => {
    const report = bothWays([normal('a'), skipped('b')], [normal('c')], ['a', 'b', 'c']);
    expect(report).toMatchObject({ verdict: 'complete', total_lines: 7, found_lines: 7, expected_lines: 7 });
    expect(auditLogs([[normal('a')], [skipped('b')]], ['a', 'b']).logs).toEqual([
      { log: '0.ndjson', lines: 3 },
      { log: '1.ndjson', lines: 1 },
    ]);
  });

  it('that settle a query with one fingerprint hold it twice, a wanted repetition among them', () => {
    const report = bothWays([normal('a', 3, run(1))], [normal('a', 3, { ...run(2), rerun: true })], ['a']);
    expect(report).toMatchObject({
      verdict: 'inconsistent',
      duplicate: [{ query: 'a', times: 2, lines: 3 }],
      found_lines: 6,
    });
    // The very same attempt, copied.
    expect(bothWays([normal('a')], [normal('a')], ['a']).duplicate).toHaveLength(1);
    expect(bothWays([normal('a')], [normal('a')], ['a']).verdict).toBe('inconsistent');
  });

  it('are judged by the newest run of each query', () => {
    const newer = bothWays([normal('a', 3, run(1, BEFORE))], [normal('a', 2, run(2))], ['a']);
    expect(newer).toMatchObject({ verdict: 'complete', superseded: { groups: 1, lines: 3 }, found_lines: 2 });
    const stale = bothWays([normal('a', 3, run(1))], [normal('a', 2, run(2, BEFORE))], ['a']);
    expect(stale).toMatchObject({ verdict: 'incomplete', stale: ['a'] });
    const failedLast = bothWays([normal('a', 3, run(1, BEFORE))], [failed('a', run(2))], ['a']);
    expect(failedLast).toMatchObject({ verdict: 'errors', failed: [{ query: 'a' }] });
    const between = bothWays(
      [normal('a', 1, run(1, BEFORE)), normal('a', 3, run(3))],
      [normal('a', 2, run(2, BEFORE))],
      ['a'],
    );
    expect(between).toMatchObject({ verdict: 'complete', superseded: { groups: 2, lines: 3 } });
  });

  it('name the log of what stands in none of them rightly', () => {
    const report = auditLogs(
      [[normal('a')], [Buffer.from('no JSON\n'), Buffer.from('{"x":1}\n'), normal('b')]],
      ['a'],
    );
    expect(report.unreadable).toMatchObject([{ offset: 0, log: '1.ndjson' }]);
    expect(report.foreign).toMatchObject([
      { query: 'b', log: '1.ndjson' },
      { query: null, offset: 8, log: '1.ndjson' },
    ]);
  });
});
