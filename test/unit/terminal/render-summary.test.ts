import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderSummary } from '../../../src/cli/commands/unit/render.js';
import { renderHistogram } from '../../../src/cli/progress/histogram.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { displayWidth } from '../../../src/cli/terminal/text.js';
import type { RunSummary } from '../../../src/core/unit/events.js';

const style = createStyle({ color: false, unicode: true, columns: 80 });
const memoryMessage =
  'Code: 241. DB::Exception: Memory limit (total) exceeded: would use 9.31 GiB (attempt to allocate chunk of ' +
  '4194304 bytes), maximum: 9.00 GiB. OvercommitTracker decision: Query was selected to stop by ' +
  'OvercommitTracker: While executing AggregatingTransform. (MEMORY_LIMIT_EXCEEDED) (version 26.7.3.1)';

const complete: RunSummary = {
  run: 'r1',
  unit: '2down/BTCUSDT_750',
  log: '/sweep/results/2down__BTCUSDT_750.ndjson',
  selected: 1368,
  settled_before: 300,
  recorded: { normal: 1009, skipped: 59, error: 0 },
  records: 3086,
  not_run: 0,
  retries: 31,
  elapsed_ms: 20_300,
  durations: { p50_ms: 140, p95_ms: 547, p99_ms: 986, max_ms: 12_040 },
  histogram: null,
  servers: [],
  slowest: [
    { query: '2down__ofi_lt_p19', duration_ms: 12_040 },
    { query: '2down__ofi_gt_p516', duration_ms: 850 },
  ],
  errors: [],
  cannot_run: [],
  no_statement: [],
  stopped: null,
  exit_code: 0,
};

const withErrors: RunSummary = {
  ...complete,
  recorded: { normal: 984, skipped: 59, error: 25 },
  errors: [
    {
      code: 241,
      name: 'MEMORY_LIMIT_EXCEEDED',
      count: 22,
      example: '2down__ofi_gt_p516',
      message: memoryMessage,
    },
    { code: 0, name: 'TIMEOUT', count: 3, example: '2down__ofi_lt_p19', message: 'longer than 30 s' },
  ],
  exit_code: 20,
};

describe('renderSummary', () => {
  it('of a complete run', () => {
    const histogram = [
      { up_to_ms: 50, count: 0 },
      { up_to_ms: 100, count: 120 },
      { up_to_ms: 200, count: 600 },
      { up_to_ms: 500, count: 347 },
      { up_to_ms: 1000, count: 0 },
      { up_to_ms: 20_000, count: 1 },
      { up_to_ms: 50_000, count: 0 },
    ];
    expect(renderSummary({ ...complete, histogram }, style, { directory: './2down/BTCUSDT_750' })).toBe(
      `✓ 2down/BTCUSDT_750: all 1,368 queries are settled

  queries   1,368 selected           300 settled before       0 not run
  recorded  1,009 normal              59 skipped              0 error
  work      3,086 lines appended      31 retries
  elapsed   20.3 s, 52.6 q/s
  duration  p50 140 ms   p95 547 ms   p99 986 ms   max 12.0 s

  spread    to 100 ms  120  ████████
            to 200 ms  600  ████████████████████████████████████████
            to 500 ms  347  ███████████████████████▏
            to    1 s    0
            to   20 s    1  ▏

  slowest   12.0 s  2down__ofi_lt_p19
            850 ms  2down__ofi_gt_p516

  log       /sweep/results/2down__BTCUSDT_750.ndjson
  next      qrun audit ./2down/BTCUSDT_750  checks the log against the files
`,
    );
  });

  it('of a run with errors names each with its count, its message and an example', () => {
    const text = renderSummary(withErrors, style);
    expect(text).toMatch(/^✗ 2down\/BTCUSDT_750: ran to the end, 25 of 1,368 queries stand as error\n/);
    expect(text).toContain(
      `  errors    22  MEMORY_LIMIT_EXCEEDED (241)
                Memory limit (total) exceeded: would use 9.31 GiB (attempt to
                allocate chunk of 4194304 bytes), maximum: 9.00 GiB.
                OvercommitTracker decision: Query was selected to stop by
                OvercommitTracker: While executing AggregatingTransform.
                e.g. 2down__ofi_gt_p516
             3  TIMEOUT
                longer than 30 s
                e.g. 2down__ofi_lt_p19
`,
    );
    expect(text).toContain('  next      the same command again runs only the 25 queries that failed\n');
    expect(text).toContain('            qrun audit 2down/BTCUSDT_750  lists what is not settled\n');
  });

  it.each<[string, Partial<RunSummary>, RegExp]>([
    [
      'nothing was due',
      { recorded: { normal: 0, skipped: 0, error: 0 } },
      /: nothing to do, all 1,368 queries are settled$/,
    ],
    ['one query', { selected: 1, recorded: { normal: 1, skipped: 0, error: 0 } }, /: the query is settled$/],
    [
      'nothing was selected',
      { selected: 0, recorded: { normal: 0, skipped: 0, error: 0 } },
      /^! .*the selection holds no query$/,
    ],
    [
      'a drained run',
      { stopped: 'SIGINT', not_run: 556, exit_code: 130 },
      /^! .*: stopped early \(SIGINT\): 556 queries not run$/,
    ],
    [
      'a halted run with errors',
      {
        stopped: 'halted: 5 errors',
        not_run: 1,
        recorded: { normal: 1, skipped: 0, error: 1 },
        exit_code: 25,
      },
      /^! .*: stopped early \(halted: 5 errors\): 1 query not run, 1 stands as error$/,
    ],
    ['a failure without a name', { exit_code: 23 }, /^✗ .*: ended with exit code 23$/],
    [
      'one error',
      { recorded: { normal: 1, skipped: 0, error: 1 }, exit_code: 20 },
      /1 of 1,368 queries stands as error$/,
    ],
  ])('says in its first line: %s', (_title, change, wanted) => {
    const wide = createStyle({ color: false, unicode: true, columns: 100 });
    expect(renderSummary({ ...complete, ...change }, wide).split('\n')[0]).toMatch(wanted);
  });

  it.each<[Partial<RunSummary>, string]>([
    [{ stopped: 'SIGTERM', not_run: 9, exit_code: 143 }, 'the same command again runs the 9 queries left'],
    [{ not_run: 9, exit_code: 24 }, 'when the engine answers again, the same command again runs the 9'],
    [{ exit_code: 23 }, 'start the same command again'],
  ])('says what to do next %#', (change, wanted) => {
    expect(renderSummary({ ...complete, ...change }, style)).toContain(`  next      ${wanted}`);
  });

  it('gives a command that a shell reads back as it is', () => {
    const directory = `it's a $(unit) with spaces`;
    const command = /qrun audit (.*)/.exec(renderSummary(complete, style, { directory }))?.[1];
    const word = execFileSync('sh', ['-c', `printf %s ${command}`], { encoding: 'utf8' });
    expect(word).toBe(directory);
  });

  it('gives the options without which the audit would look for another log', () => {
    const auditOptions = ['--log-dir', '/my logs', '--param', 'threshold=750'];
    expect(renderSummary(complete, style, { directory: 'sql', auditOptions })).toContain(
      "  next      qrun audit sql --log-dir '/my logs' --param threshold=750\n            checks the log",
    );
  });

  it('has neither figures of durations nor lists where there are none', () => {
    const { durations: _durations, ...rest } = complete;
    const text = renderSummary({ ...rest, durations: null, slowest: [] }, style);
    for (const label of ['duration', 'spread', 'slowest', 'errors']) expect(text).not.toContain(label);
  });

  it.each([40, 60, 80, 200])(
    'keeps to %i columns, except for the path of the log and the command',
    columns => {
      const narrow = createStyle({ color: false, unicode: true, columns });
      const lines = renderSummary(
        {
          ...withErrors,
          slowest: [{ query: 'x'.repeat(300), duration_ms: 5 }],
          histogram: [
            { up_to_ms: 1, count: 1 },
            { up_to_ms: 5, count: 123_456 },
          ],
        },
        narrow,
      ).split('\n');
      for (const line of lines.filter(text => !/qrun audit|\.ndjson/.test(text))) {
        expect(displayWidth(line)).toBeLessThanOrEqual(Math.min(columns, 100));
        expect(line).toBe(line.trimEnd());
      }
    },
  );

  it('names what was left out, shared problems in one line, and says what is to be done', () => {
    const cannot_run = [
      ...Array.from({ length: 5 }, (_, n) => ({ query: `q${n}`, problem: 'unreplaced placeholder __X__' })),
      { query: 'z', problem: '1:8: not closed' },
    ];
    const text = renderSummary(
      { ...complete, cannot_run, no_statement: ['later', 'never'], exit_code: 20 },
      style,
    );
    expect(text).toContain('ran to the end, 6 queries left out because they cannot run');
    expect(text).toMatch(/left out {2}q0\.sql, q1\.sql, q2\.sql and 2 more: unreplaced placeholder __X__\n/);
    expect(text).toMatch(/ z\.sql: 1:8: not closed\n/);
    expect(text).toContain('2 files hold no statement, such as later.sql');
    expect(text).toContain('correct the files, and start the same command again');
    const both = renderSummary(
      { ...complete, recorded: { ...complete.recorded, error: 2 }, cannot_run, exit_code: 20 },
      createStyle({ color: false, unicode: true, columns: 100 }),
    );
    expect(both.replace(/\s+/g, ' ')).toContain(
      'ran to the end, 2 of 1,368 queries stand as error, 6 queries left out because they cannot run',
    );
  });

  it('speaks of one file that was left out as of one', () => {
    const one = { ...complete, cannot_run: [{ query: 'a', problem: 'x' }], exit_code: 20 } as const;
    expect(renderSummary(one, style)).toContain('1 query left out because it cannot run');
  });

  it('says that errors of before stand, and how they would run again', () => {
    const text = renderSummary(
      { ...complete, recorded: { normal: 0, skipped: 0, error: 0 }, durations: null, exit_code: 20 },
      style,
    );
    expect(text).toContain('errors of earlier runs stand (--rerun none)');
    expect(text).toContain('start the same command again, without --rerun none');
  });

  it('escapes what comes from elsewhere', () => {
    const evil = 'a\x1b[2J\r\nb';
    const text = renderSummary(
      {
        ...withErrors,
        unit: evil,
        log: evil,
        stopped: evil,
        slowest: [{ query: evil, duration_ms: 1 }],
        errors: [{ code: 1, name: evil, count: 1, example: evil, message: evil }],
      },
      style,
    );
    expect(text).not.toMatch(/[^\P{Cc}\n]/u);
    expect(text).toContain('a\\x1b[2J\\r\\nb');
  });

  it('is the same text with colours and without', () => {
    const colored = renderSummary(withErrors, createStyle({ color: true, unicode: true, columns: 80 }));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
    expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(renderSummary(withErrors, style));
    expect(colored).toContain('\x1b[31m✗\x1b[39m');
  });

  it('is plain ASCII where the locale is', () => {
    const ascii = createStyle({ color: false, unicode: false, columns: 80 });
    const histogram = [
      { up_to_ms: 1, count: 1 },
      { up_to_ms: 2, count: 30 },
    ];
    expect(renderSummary({ ...withErrors, histogram }, ascii)).toMatch(/^[\n\x20-\x7e]+$/);
  });

  it('shows ten kinds of errors and counts the others', () => {
    const errors = Array.from({ length: 13 }, (_, code) => ({
      code,
      name: `E${code}`,
      count: 1,
      example: 'q',
      message: 'm',
    }));
    const text = renderSummary({ ...withErrors, errors }, style);
    expect(text).toContain('E9 (9)');
    expect(text).not.toContain('E10');
    expect(text).toContain('and 3 other errors');
  });
});

describe('renderHistogram', () => {
  it.each([
    ['no buckets', []],
    ['only empty ones', [{ up_to_ms: 1, count: 0 }]],
    ['one in use', [{ up_to_ms: 1, count: 5 }]],
  ])('is empty for %s', (_title, buckets) => {
    expect(renderHistogram(buckets, style, 60)).toEqual([]);
  });

  it('merges neighbours to at most twelve lines without losing a count', () => {
    const bucket = fc.record({ count: fc.nat(100_000) });
    fc.assert(
      fc.property(
        fc.array(bucket, { minLength: 2, maxLength: 80 }),
        fc.integer({ min: 10, max: 90 }),
        (list, width) => {
          const buckets = list.map(({ count }, index) => ({ up_to_ms: 2 ** (index / 3), count }));
          const lines = renderHistogram(buckets, style, width);
          expect(lines.length).toBeLessThanOrEqual(12);
          const counts = lines.map(line =>
            Number(/(?:ms|s|m|h|\d{2}[smh]) +([\d,]+)/.exec(line)?.[1]?.replaceAll(',', '')),
          );
          const used = buckets.filter(({ count }) => count > 0).length;
          const wanted = buckets.reduce((sum, { count }) => sum + count, 0);
          if (used > 1) expect(counts.reduce((sum, count) => sum + count, 0)).toBe(wanted);
        },
      ),
    );
  });
});
