import { describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import {
  type CollectedLog,
  collectExit,
  collectTotals,
  hostProblemOf,
  problemOf,
  worstExit,
} from '../../../src/core/sweep/collect.js';

const LOG: CollectedLog = {
  ...{ unit: 'u', log: '/r/u.ndjson', from: '/r/.from/a/u.ndjson' },
  appended: { groups: 2, lines: 6, bytes: 600 },
  ...{ there: 1, ran_twice: 3, stale: 4, unknown: 5, unfinished: 6, torn_bytes: 7, problem: null },
};
const failed = (code: 'LOG_DAMAGED' | 'UNIT_RUNNING'): CollectedLog => ({
  ...LOG,
  problem: problemOf(new QrunError(code, 'it is', { details: ['a', 'b'] })),
});

describe('the exit code of an import', () => {
  it.each<[string, readonly CollectedLog[], readonly string[], number]>([
    ['nothing', [], [], 0],
    ['logs of no unit here alone', [], ['x.ndjson'], 2],
    ['logs that were imported, beside one of no unit', [LOG], ['x.ndjson'], 0],
    ['a damaged log and a unit that runs', [LOG, failed('UNIT_RUNNING'), failed('LOG_DAMAGED')], [], 23],
    ['a unit that runs', [failed('UNIT_RUNNING'), LOG], [], 22],
  ])('%s', (_, logs, leftOut, exitCode) => {
    expect(collectExit(logs, leftOut)).toBe(exitCode);
  });
});

describe('the exit code of an import from hosts', () => {
  const gone = hostProblemOf({ code: 'HOST_UNREACHABLE', says: 'it is gone', mend: 'look' });

  it.each<[string, readonly CollectedLog[], readonly string[], number]>([
    ['a host that is gone', [LOG], [], 26],
    ['a host that is gone, and logs of no unit here alone', [], ['x.ndjson'], 26],
    ['a host that is gone, and a unit that runs', [failed('UNIT_RUNNING')], [], 26],
    ['a host that is gone, and a damaged log', [failed('LOG_DAMAGED')], [], 23],
  ])('%s', (_, logs, leftOut, exitCode) => {
    expect(collectExit(logs, leftOut, [{ problem: null }, { problem: gone }])).toBe(exitCode);
  });

  it('is 0 if all were reached', () => {
    expect(collectExit([LOG], [], [{ problem: null }])).toBe(0);
  });

  it('tells its problem as that of a log', () => {
    expect(gone).toEqual({ code: 'HOST_UNREACHABLE', message: 'it is gone', hint: 'look', exit_code: 26 });
  });
});

it('of codes that have no rank, one that is not 0 counts', () => {
  expect([worstExit([0, 0]), worstExit([0, 25]), worstExit([])]).toEqual([0, 25, 0]);
});

it('a problem is one message with all its details', () => {
  expect(failed('LOG_DAMAGED').problem).toEqual({
    code: 'LOG_DAMAGED',
    message: 'it is; a; b',
    hint: null,
    exit_code: 23,
  });
});

it('totals add up all logs', () => {
  expect(collectTotals([LOG, LOG])).toEqual({
    ...{ groups: 4, lines: 12, there: 2, ranTwice: 6, stale: 8, unknown: 10, unfinished: 12 },
  });
});
