import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  appendRun,
  lastStart,
  type RunEnd,
  type RunStart,
  readRuns,
  sidecarPath,
} from '../../../src/io/log/run-sidecar.js';
import { CAN_MOUNT, failureOf, scratch, withSmallDisk } from '../machine/processes.js';

const START: RunStart = {
  event: 'start',
  schema: 1,
  run: 'run1',
  unit: '2down/BTCUSDT_750',
  at: '2026-01-31T12:00:00.000Z',
  user: 'me',
  host: 'host7',
  pid: 4242,
  qrun: '0.1.0',
  node: '20.12.0',
  arguments: ['unit', 'sql', '-P16'],
  directory: '/sweep/sql',
  git_commit: '0123456789ab+',
  engine: 'clickhouse',
  server_version: '26.7.3.1',
  target: 'http://host:8123',
  settings: { max_threads: '4' },
  rows_per_query: 3,
};
const END: RunEnd = {
  event: 'end',
  run: 'run1',
  at: '2026-01-31T12:00:10.000Z',
  recorded: { normal: 95, skipped: 5, error: 0 },
  records: 290,
  not_run: 0,
  exit_code: 0,
};
const freshPath = (): string => join(scratch(), 'x.ndjson');

describe('the sidecar of runs', () => {
  it('is empty when there is none', () => {
    expect(readRuns(freshPath())).toEqual([]);
    expect(lastStart([])).toBeUndefined();
  });

  it('holds the entries in order, one line each', async () => {
    const log = freshPath();
    const second = { ...START, run: 'run2', arguments: ['unit', 'a\nb'], git_commit: null };
    for (const entry of [START, END, second]) await appendRun(log, entry);
    expect(sidecarPath(log)).toBe(`${log}.runs`);
    expect(readFileSync(sidecarPath(log), 'utf8').split('\n')).toHaveLength(4);
    expect(readRuns(log)).toEqual([START, END, second]);
    expect(lastStart(readRuns(log))).toEqual(second);
    expect(lastStart([END])).toBeUndefined();
  });

  it('loses only the line that a killed run left half, wherever it was cut', async () => {
    const line = `${JSON.stringify(START)}\n`;
    for (const cut of [1, 20, line.length - 2, line.length - 1]) {
      const log = freshPath();
      await appendRun(log, START);
      appendFileSync(sidecarPath(log), line.slice(0, cut));
      await appendRun(log, END);
      const whole = cut === line.length - 1 ? [START, START, END] : [START, END];
      expect(readRuns(log), `cut at ${cut}`).toEqual(whole);
    }
  });

  it.each([
    'null',
    '123',
    '"text"',
    '[]',
    '{}',
    '{"event":"start","run":"r","schema":1}',
    '{"event":"start","run":"r","schema":1,"settings":null}',
    '{"event":"later","run":"r","schema":1,"settings":{}}',
    '{"event":"later"}',
    '',
    '\0\0',
    '{"event":"start"',
    '{"event":"start"}',
    '{"event":"end"}',
  ])('passes over a line that is %j', async line => {
    const log = freshPath();
    await appendRun(log, START);
    appendFileSync(sidecarPath(log), `${line}\n`);
    await appendRun(log, END);
    expect(readRuns(log)).toEqual([START, END]);
  });

  it('of a later version is refused', async () => {
    const log = freshPath();
    await appendRun(log, { ...START, schema: 2, qrun: '9.0.0' });
    const { code, message, hint } = await failureOf(() => readRuns(log));
    expect([code, hint]).toEqual(['LOG_SCHEMA', expect.stringContaining('update qrun')]);
    expect(message).toBe(`${log} was written by qrun 9.0.0 with records of schema 2; this qrun knows 1`);
    const other = freshPath();
    appendFileSync(sidecarPath(other), '{"event":"start","run":"r","schema":3}\n');
    expect((await failureOf(() => readRuns(other))).code).toBe('LOG_SCHEMA');
  });

  it('that cannot be read is not taken for none', async () => {
    const log = freshPath();
    mkdirSync(sidecarPath(log));
    const { code, message } = await failureOf(() => readRuns(log));
    expect([code, message]).toEqual([
      'READ_FAILED',
      expect.stringMatching(/x\.ndjson\.runs: it is a directory, not a regular file/),
    ]);
  });

  it('that cannot be written fails with its path', async () => {
    const log = freshPath();
    mkdirSync(sidecarPath(log));
    const { code, message, hint } = await failureOf(appendRun(log, START));
    expect([code, message]).toEqual([
      'WRITE_FAILED',
      expect.stringMatching(/x\.ndjson\.runs: it is a directory, not a regular file/),
    ]);
    expect(hint).toContain('free space');
  });

  it.runIf(CAN_MOUNT)('on a full disk fails, and can be read all the same', async () => {
    await withSmallDisk(async directory => {
      const log = join(directory, 'x.ndjson');
      await appendRun(log, START);
      expect(() => writeFileSync(join(directory, 'filler'), Buffer.alloc(2e6))).toThrow(/ENOSPC/);
      const long = { ...START, arguments: ['x'.repeat(10_000)] };
      const { code, message } = await failureOf(appendRun(log, long));
      expect([code, message]).toEqual(['WRITE_FAILED', expect.stringContaining('ENOSPC')]);
      expect(readRuns(log)).toEqual([START]);
    });
  });
});
