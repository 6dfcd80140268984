import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgressView, type ProgressView } from '../../../src/cli/progress/view.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { createSafeWriter } from '../../../src/cli/terminal/writer.js';
import type { RunEvent, RunSummary } from '../../../src/core/unit/events.js';

const START_MS = Date.parse('2026-01-31T12:00:00.000Z');
const views: ProgressView[] = [];

beforeEach(() => {
  vi.useFakeTimers({
    now: START_MS,
    toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
  });
});

afterEach(() => {
  for (const view of views.splice(0)) view.close();
  vi.useRealTimers();
});

/**
 * A terminal that draws what it is sent, as far as log-update and qrun use it; anything else that begins with
 * an escape fails the test. Lines that leave the screen at the top are kept.
 */
class Screen extends Writable {
  readonly isTTY = true;
  columns: number;
  rows: number;
  readonly writes: string[] = [];
  readonly #lines: string[][] = [[]];
  #row = 0;
  #column = 0;

  constructor(columns: number, rows = 30) {
    super({ decodeStrings: false });
    this.columns = columns;
    this.rows = rows;
  }

  override _write(chunk: string, _encoding: BufferEncoding, done: () => void): void {
    this.writes.push(chunk);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are driven with them
    const parts = chunk.matchAll(/\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b|[\s\S]/gu);
    for (const [text, mode, numbers = '', action] of parts) {
      if (action === undefined) this.#print(text);
      else if (mode === '?') expect(['2026h', '2026l']).toContain(numbers + action);
      else this.#control(action, numbers === '' ? undefined : Number(numbers.split(';')[0]));
    }
    done();
  }

  #print(text: string): void {
    expect(text).not.toBe('\x1b');
    if (text === '\r') this.#column = 0;
    else if (text === '\n') this.#to(this.#row + 1, 0);
    else {
      expect(text).toMatch(/\P{Cc}/u);
      if (this.#column === this.columns) this.#to(this.#row + 1, 0);
      this.#line()[this.#column++] = text;
    }
  }

  #control(action: string, count: number | undefined): void {
    if (action === 'A') this.#to(this.#row - (count ?? 1), this.#column);
    else if (action === 'B') this.#to(this.#row + (count ?? 1), this.#column);
    else if (action === 'G') this.#column = (count ?? 1) - 1;
    else if (action === 'K' && count === 2) this.#lines[this.#row] = [];
    else if (action === 'K') this.#line().length = Math.min(this.#line().length, this.#column);
    else expect(action).toBe('m');
  }

  #to(row: number, column: number): void {
    expect(row).toBeGreaterThanOrEqual(0);
    while (this.#lines.length <= row) this.#lines.push([]);
    this.#row = row;
    this.#column = column;
  }

  #line(): string[] {
    const line = this.#lines[this.#row] ?? [];
    this.#lines[this.#row] = line;
    return line;
  }

  /** Another width: lines that no longer fit are wrapped, and the cursor stays at its place in the text. */
  resize(columns: number): void {
    const lines = this.#lines.splice(0);
    let cursorRow = 0;
    lines.forEach((line, index) => {
      if (index === this.#row) cursorRow = this.#lines.length;
      for (let start = 0; start === 0 || start < line.length; start += columns) {
        this.#lines.push(line.slice(start, start + columns));
      }
    });
    this.#row = cursorRow;
    this.columns = columns;
    this.emit('resize');
  }

  /** What is to be seen, without empty lines at the end. */
  text(): string {
    return this.#lines
      .map(line =>
        Array.from(line, character => character ?? ' ')
          .join('')
          .trimEnd(),
      )
      .join('\n')
      .trimEnd();
  }

  /** The lines that hold a text. */
  linesWith(part: string): string[] {
    return this.text()
      .split('\n')
      .filter(line => line.includes(part));
  }
}

class Sink extends Writable {
  text = '';
  constructor() {
    super({ decodeStrings: false });
  }
  override _write(chunk: string, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk;
    done();
  }
  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }
}

async function open(
  stream: Writable & { columns?: number },
  mode: 'auto' | 'live' | 'plain' | 'quiet',
  { isTTY = false, color = false, unicode = true } = {},
): Promise<ProgressView> {
  const style = createStyle({ color, unicode, columns: stream.columns });
  const view = await createProgressView({ stream, isTTY, style, now: Date.now, mode });
  views.push(view);
  return view;
}

const started: Extract<RunEvent, { type: 'run_started' }> = {
  type: 'run_started',
  run: 'r1',
  unit: '2down/BTCUSDT_750',
  directory: '/sweep/2down/BTCUSDT_750',
  log: '/sweep/results/2down__BTCUSDT_750.ndjson',
  engine: 'clickhouse',
  version: '26.7.3.1',
  target: 'http://127.0.0.1:8123',
  concurrency: 4,
  selected: 1368,
  settled: 368,
  due: 1000,
};

const runStarted: RunEvent = started;

const summary: RunSummary = {
  run: 'r1',
  unit: '2down/BTCUSDT_750',
  log: '/sweep/results/2down__BTCUSDT_750.ndjson',
  selected: 1368,
  settled_before: 368,
  recorded: { normal: 1, skipped: 0, error: 1 },
  records: 4,
  not_run: 998,
  retries: 0,
  elapsed_ms: 12_000,
  durations: null,
  histogram: null,
  servers: [],
  slowest: [],
  errors: [],
  cannot_run: [],
  no_statement: [],
  stopped: 'SIGINT',
  exit_code: 130,
};

const begin = (query: string): RunEvent => ({ type: 'query_started', query, attempt: 1, query_id: query });
const done = (query: string): RunEvent => ({
  type: 'query_recorded',
  query,
  outcome: 'normal',
  rows: 3,
  attempt: 1,
  duration_ms: 12,
  error: null,
});
const failed = (
  query: string,
  message = 'Code: 62. DB::Exception: Syntax error (SYNTAX_ERROR)',
): RunEvent => ({
  ...(done(query) as Extract<RunEvent, { type: 'query_recorded' }>),
  outcome: 'error',
  error: { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent', message },
});

/** Events of each kind in which every text is the one given. */
function hostileEvents(text: string): RunEvent[] {
  const error = { code: 62, name: text, kind: 'permanent', message: text } as const;
  return [
    { type: 'setup_started', file: text },
    { ...started, unit: text, directory: text, log: text, version: text, target: text },
    { type: 'setup_done', file: text, duration_ms: 1, target: text, database: text },
    begin(text),
    { type: 'query_retry', query: text, attempt: 1, wait_ms: 100, error },
    { type: 'query_recorded', query: text, outcome: 'error', rows: 0, attempt: 1, duration_ms: 1, error },
    begin(text),
    { type: 'warning', message: text },
    { type: 'log_repaired', bytes: 1, saved_as: text },
    { type: 'stopping', how: 'drain', reason: text },
    { type: 'engine_lost', reason: text },
  ];
}

describe('plain view', () => {
  it('is one aligned line for each event, with the time in UTC', async () => {
    const stream = new Sink();
    const view = await open(stream, 'auto');
    view.sink({ type: 'log_repaired', bytes: 1234, saved_as: '/sweep/results/x.torn-0' });
    view.sink(runStarted);
    view.sink(begin('a'));
    view.sink(done('a'));
    view.sink(failed('b'));
    view.sink({ type: 'engine_lost', reason: 'connect ECONNREFUSED 127.0.0.1:8123' });
    vi.advanceTimersByTime(1000);
    view.sink({ type: 'engine_back', after_ms: 1000 });
    view.sink({ type: 'stopping', how: 'drain', reason: 'SIGINT' });
    view.sink({ type: 'run_ended', ...summary });
    view.close();
    expect(stream.lines).toEqual([
      '2026-01-31T12:00:00Z  repair    the log ended in an incomplete record; 1.2K were cut off and saved as /sweep/results/x.torn-0',
      '2026-01-31T12:00:00Z  start     2down/BTCUSDT_750: 1,368 queries, 368 settled before, 1,000 due, 4 at once',
      '2026-01-31T12:00:00Z  engine    clickhouse 26.7.3.1 at http://127.0.0.1:8123',
      '2026-01-31T12:00:00Z  error     b  SYNTAX_ERROR (62): Syntax error',
      '2026-01-31T12:00:00Z  lost      engine lost: connect ECONNREFUSED 127.0.0.1:8123',
      '2026-01-31T12:00:01Z  back      engine back after 1.0 s',
      '2026-01-31T12:00:01Z  stopping  SIGINT: running queries are finished',
      '2026-01-31T12:00:01Z  progress      2/1,000   0%  normal     1  skipped     0  error     1  running   0    2.0 q/s  p50   12 ms  p95   12 ms  elapsed     1 s  ETA       -  stopping (SIGINT): finishing 0',
      '2026-01-31T12:00:01Z  end       2 recorded (1 normal, 0 skipped, 1 error), 998 not run, in 12.0 s; exit 130',
    ]);
  });

  it('says how it stands every 10 s, and once a minute while nothing changes', async () => {
    const stream = new Sink();
    const view = await open(stream, 'plain');
    view.sink(runStarted);
    view.sink(begin('a'));
    const progressTimes = (): string[] =>
      stream.lines.filter(line => line.includes('  progress  ')).map(line => line.slice(11, 20));
    for (let second = 0; second < 30; second++) {
      vi.advanceTimersByTime(1000);
      view.sink(done(`q${second}`));
    }
    expect(progressTimes()).toEqual(['12:00:10Z', '12:00:20Z', '12:00:30Z']);
    vi.advanceTimersByTime(10_000);
    expect(progressTimes()).toHaveLength(4);
    vi.advanceTimersByTime(119_000);
    expect(progressTimes().slice(4)).toEqual(['12:01:40Z']);
    view.close();
  });

  it('holds no escape codes and no carriage returns, whatever comes from elsewhere and whatever the style', async () => {
    const stream = new Sink();
    const view = await open(stream, 'plain', { color: true });
    for (const event of hostileEvents('q\x1b]0;title\x07\r\nnext\x9b31m\u2028end')) view.sink(event);
    vi.advanceTimersByTime(10_000);
    view.close();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(stream.text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]/);
    expect(stream.lines.map(line => line.slice(22, 30).trim())).toEqual([
      'setup',
      'start',
      'engine',
      'setup',
      'retry',
      'error',
      'warning',
      'repair',
      'stopping',
      'lost',
      'progress',
    ]);
    expect(stream.text.match(/\\x1b\]0;title/g)?.length).toBeGreaterThanOrEqual(12);
  });

  it('shows the first five lines of each error, and says that it only counts the others', async () => {
    const stream = new Sink();
    const view = await open(stream, 'plain');
    for (let index = 0; index < 500; index++) view.sink(failed(`q${index}`));
    view.sink({
      ...(failed('other') as Extract<RunEvent, { type: 'query_recorded' }>),
      error: { code: 0, name: 'TIMEOUT', kind: 'permanent', message: 'longer than 30 s' },
    });
    expect(stream.lines.map(line => line.slice(32))).toEqual([
      'q0  SYNTAX_ERROR (62): Syntax error',
      'q1  SYNTAX_ERROR (62): Syntax error',
      'q2  SYNTAX_ERROR (62): Syntax error',
      'q3  SYNTAX_ERROR (62): Syntax error',
      'q4  SYNTAX_ERROR (62): Syntax error',
      'more of these are only counted: SYNTAX_ERROR (62)',
      'other  TIMEOUT: longer than 30 s',
    ]);
  });

  it('cuts a message of megabytes', async () => {
    const stream = new Sink();
    (await open(stream, 'plain')).sink(failed('q', 'x'.repeat(5_000_000)));
    expect(stream.text.length).toBeLessThan(400);
  });

  it('leaves out of ClickHouse messages what the line says already', async () => {
    const stream = new Sink();
    const tail = '(MEMORY_LIMIT_EXCEEDED) (version 26.7.3.1 (official build))';
    const view = await open(stream, 'plain');
    view.sink(failed('a', `Code: 241. DB::Exception: Memory limit (total) exceeded. ${tail}`));
    view.sink(failed('b', 'Code: 62, e.displayText() = DB::Exception: Syntax error (line 1)'));
    expect(stream.lines.map(line => line.split(': ').slice(1).join(': '))).toEqual([
      'Memory limit (total) exceeded.',
      'Syntax error (line 1)',
    ]);
  });
});

describe('quiet view', () => {
  it('shows warnings and what happens to the engine, nothing else', async () => {
    const stream = new Sink();
    const view = await open(stream, 'quiet', { isTTY: true });
    view.sink(runStarted);
    view.sink(failed('a'));
    view.sink({ type: 'warning', message: 'the clock was set back' });
    view.sink({ type: 'engine_lost', reason: 'refused' });
    vi.advanceTimersByTime(60_000);
    view.sink({ type: 'run_ended', ...summary });
    view.close();
    expect(stream.lines.map(line => line.slice(22))).toEqual([
      'warning   the clock was set back',
      'lost      engine lost: refused',
    ]);
  });
});

describe('live view', () => {
  async function running(columns: number, rows?: number): Promise<{ screen: Screen; view: ProgressView }> {
    const screen = new Screen(columns, rows);
    const view = await open(screen, 'auto', { isTTY: true, color: true });
    view.sink(runStarted);
    for (let index = 0; index < 4; index++) view.sink(begin(`2down__ofi_gt_p${index}`));
    vi.advanceTimersByTime(2500);
    return { screen, view };
  }

  it.each([40, 80, 120])(
    'redraws in place at %i columns, with errors and warnings above it',
    async columns => {
      const { screen, view } = await running(columns);
      for (let index = 0; index < 400; index++) {
        view.sink(index % 50 === 7 ? failed(`bad${index}`) : done(`q${index}`));
        vi.advanceTimersByTime(20);
      }
      view.sink({ type: 'warning', message: 'the log grows beyond 10 GB' });
      vi.advanceTimersByTime(200);
      expect(screen.linesWith('/1,000')).toHaveLength(1);
      expect(screen.linesWith('elapsed')).toHaveLength(1);
      expect(screen.linesWith('/1,000')[0]).toContain('400/1,000  40%');
      expect(screen.linesWith('bad')).toHaveLength(5);
      expect(screen.linesWith('more of these are only counted')).toHaveLength(1);
      const lines = screen.text().split('\n');
      const bar = lines.findIndex(line => line.includes('/1,000'));
      expect(lines.findIndex(line => line.includes('10 GB'))).toBeLessThan(bar);
      expect(lines.length - bar).toBeLessThanOrEqual(4);
      expect(Math.max(...lines.map(line => line.length))).toBeLessThan(columns);
    },
  );

  it('draws at most ten times a second, each time with one write, and at least once a second', async () => {
    const { screen, view } = await running(80);
    screen.writes.length = 0;
    for (let index = 0; index < 1000; index++) {
      view.sink(done(`q${index}`));
      vi.advanceTimersByTime(1);
    }
    expect(screen.writes.length).toBeGreaterThanOrEqual(9);
    expect(screen.writes.length).toBeLessThanOrEqual(11);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are driven with them
    for (const text of screen.writes) expect(text).toMatch(/^\x1b\[\?2026h[\s\S]+\x1b\[\?2026l$/);
    screen.writes.length = 0;
    vi.advanceTimersByTime(5000);
    expect(screen.writes.length).toBeGreaterThanOrEqual(4);
    expect(screen.writes.length).toBeLessThanOrEqual(6);
  });

  it('takes its lines off the screen when the run has ended, and keeps what stood above them', async () => {
    const { screen, view } = await running(80);
    view.sink(failed('bad'));
    view.sink({ type: 'run_ended', ...summary });
    view.close();
    view.close();
    screen.write('the summary\n');
    expect(screen.text()).toBe(
      [
        '  2down/BTCUSDT_750: 1,368 queries, 368 settled before, 1,000 due, 4 at once',
        '  clickhouse 26.7.3.1 at http://127.0.0.1:8123',
        '✗ bad  SYNTAX_ERROR (62): Syntax error',
        'the summary',
      ].join('\n'),
    );
  });

  it('leaves its last frame behind when the run did not end', async () => {
    const { screen, view } = await running(80);
    view.sink(done('q'));
    view.close();
    screen.write('qrun: the disk is full\n');
    expect(screen.linesWith('1/1,000')).toHaveLength(1);
    expect(screen.text()).toMatch(/\nqrun: the disk is full$/);
  });

  it.each([
    [120, 40],
    [120, 60],
    [80, 60],
    [40, 120],
  ])('leaves nothing behind when the terminal goes from %i to %i columns', async (from, to) => {
    const { screen, view } = await running(from);
    screen.resize(to);
    view.sink(done('q'));
    vi.advanceTimersByTime(1000);
    expect(screen.linesWith('/1,000')).toHaveLength(1);
    expect(screen.linesWith('ETA')).toHaveLength(1);
    expect(screen.linesWith('longest')).toHaveLength(1);
    expect(screen.text().match(/[░█]+/g)).toHaveLength(1);
    expect(screen.text().replace(/\s+/g, '')).toContain('clickhouse26.7.3.1athttp://127.0.0.1:8123');
  });

  it('leaves nothing behind and takes nothing away when its last line is empty', async () => {
    const screen = new Screen(80);
    const view = await open(screen, 'live', { isTTY: true });
    view.sink(runStarted);
    for (const columns of [65, 110, 73, 60, 40, 80]) {
      vi.advanceTimersByTime(2000);
      screen.resize(columns);
    }
    view.sink(begin('slow'));
    vi.advanceTimersByTime(3000);
    view.sink(done('slow'));
    vi.advanceTimersByTime(1000);
    view.sink({ type: 'run_ended', ...summary });
    view.close();
    expect(screen.text().replace(/\s+/g, '')).toBe(
      '2down/BTCUSDT_750:1,368queries,368settledbefore,1,000due,4atonceclickhouse26.7.3.1athttp://127.0.0.1:8123',
    );
  });

  it('shows a long list of warnings whole, also in a window of a few rows', async () => {
    const { screen, view } = await running(80, 5);
    for (let index = 0; index < 30; index++)
      view.sink({ type: 'warning', message: `warning number ${index}.` });
    vi.advanceTimersByTime(200);
    for (let index = 0; index < 30; index++) expect(screen.linesWith(`number ${index}.`)).toHaveLength(1);
    expect(screen.linesWith('/1,000')).toHaveLength(1);
  });

  it('lets nothing drive the terminal that comes from elsewhere', async () => {
    const screen = new Screen(80);
    const view = await open(screen, 'live', { isTTY: true, color: true });
    for (const event of hostileEvents('q\x1b[2J\x1b[5A\r\nnext\x9b31m\t')) {
      // The screen fails the test at each control that is not the view's own.
      view.sink(event);
      vi.advanceTimersByTime(3000);
    }
    expect(view.failed).toBeUndefined();
    expect(screen.linesWith('\\x1b[2J').length).toBeGreaterThanOrEqual(5);
  });

  it('shows setup before the run has started', async () => {
    const screen = new Screen(80);
    const view = await open(screen, 'live');
    view.sink({ type: 'setup_started', file: '_setup.sql' });
    vi.advanceTimersByTime(4000);
    expect(screen.text()).toBe('setup _setup.sql for 4 s');
    view.sink({ type: 'setup_done', file: '_setup.sql', duration_ms: 4100, target: null, database: null });
    view.sink(runStarted);
    vi.advanceTimersByTime(1000);
    expect(screen.linesWith('setup')).toEqual(['  _setup.sql done in 4.1 s']);
  });

  it('starts anew below what a shell has written when the process goes on after a stop', async () => {
    const { screen } = await running(80);
    screen.write('[1]+  Stopped\n$ fg\n');
    process.emit('SIGCONT');
    vi.advanceTimersByTime(1000);
    expect(screen.text()).toContain('[1]+  Stopped\n$ fg\n');
    expect(screen.linesWith('/1,000')).toHaveLength(2);
  });

  it('takes its listeners and timers with it', async () => {
    const before = process.listenerCount('SIGCONT');
    const { screen, view } = await running(80);
    expect(process.listenerCount('SIGCONT')).toBe(before + 1);
    view.close();
    expect(process.listenerCount('SIGCONT')).toBe(before);
    expect(screen.listenerCount('resize')).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gives a terminal that takes nothing no more frames, and the warnings when it takes again', async () => {
    const writes: string[] = [];
    let held: (() => void) | undefined;
    let stuck = true;
    const slow = new Writable({
      highWaterMark: 64,
      decodeStrings: false,
      write(chunk: string, _encoding, next) {
        writes.push(chunk);
        if (stuck) held = next;
        else next();
      },
    });
    const view = await open(slow, 'live', { isTTY: true });
    view.sink(runStarted);
    for (let index = 0; index < 100; index++) {
      view.sink(index === 50 ? failed('bad') : done(`q${index}`));
      vi.advanceTimersByTime(100);
    }
    expect(slow.writableLength).toBeLessThan(2000);
    stuck = false;
    const drained = once(slow, 'drain');
    held?.();
    await drained;
    vi.advanceTimersByTime(1000);
    expect(writes.join('')).toContain('bad  SYNTAX_ERROR');
  });
});

describe('a stream that fails', () => {
  it.each(['live', 'plain', 'quiet'] as const)('makes the %s view go quiet and is remembered', async mode => {
    let writes = 0;
    const broken = new Writable({
      write(_chunk, _encoding, next) {
        writes++;
        next(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const view = await open(broken, mode, { isTTY: true });
    view.sink(runStarted);
    view.sink({ type: 'warning', message: 'first' });
    vi.advanceTimersByTime(1000);
    await new Promise(resolve => setImmediate(resolve));
    expect(view.failed).toMatchObject({ code: 'EPIPE' });
    const before = writes;
    for (let index = 0; index < 10; index++) view.sink({ type: 'warning', message: `w${index}` });
    vi.advanceTimersByTime(60_000);
    view.close();
    expect(writes).toBe(before);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('may throw from write itself', async () => {
    const throwing = new Writable();
    throwing.write = () => {
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    };
    const view = await open(throwing, 'plain');
    expect(() => view.sink(runStarted)).not.toThrow();
    expect(view.failed).toMatchObject({ code: 'ENOSPC' });
  });

  it('may have been destroyed before', async () => {
    vi.useRealTimers();
    const gone = new Sink();
    gone.destroy();
    await once(gone, 'close');
    const writer = createSafeWriter(gone);
    writer.write('x');
    await new Promise(resolve => setImmediate(resolve));
    expect(writer.failed).toBeInstanceOf(Error);
  });

  it.runIf(existsSync('/dev/full'))('may be a full disk', async () => {
    vi.useRealTimers();
    const full = createWriteStream('/dev/full');
    const writer = createSafeWriter(full);
    writer.write('x\n');
    await new Promise<void>(resolve => full.once('close', () => resolve()));
    expect(writer.failed).toMatchObject({ code: 'ENOSPC' });
    writer.write('y\n');
  });

  it('a fault of the view itself does not reach the run', async () => {
    const stream = new Sink();
    const view = await open(stream, 'plain');
    expect(() => view.sink({ type: 'warning' } as unknown as RunEvent)).not.toThrow();
    expect(view.failed).toBeInstanceOf(TypeError);
    view.sink(runStarted);
    expect(stream.text).toBe('');
  });
});
