import { describe, expect, test } from 'vitest';
import { type Claim, checkBytes, checkKept } from './checker.js';
import { type Call, checkLedger } from './ledger.js';

// The checker judges everything else here, so it must itself be able to say no.

const LOG = '/logs/u.ndjson';
const DIRECTORY = '/logs';
const JOURNAL = '/aside/journal';
const ROWS = ['{"a":1}', '{"a":2}'];

function record(query: string, part: number, parts: number, overrides: Record<string, unknown> = {}): string {
  const head = { unit: 'u', query, part, parts, outcome: 'normal', fingerprint: 'f', attempt: 1, run: 'r' };
  return `${JSON.stringify({ ...head, ...overrides, row: { a: part } })}\n`;
}

function group(query: string, overrides: Record<string, unknown> = {}): string {
  return record(query, 1, 2, overrides) + record(query, 2, 2, overrides);
}

function violations(text: string, claim: Partial<Claim> = {}): readonly string[] {
  const ack = { query: 'one', recorded: { run: 'r', attempt: 1 }, pid: 1 };
  const whole = { unit: 'u', acks: [ack], rows: () => ROWS, settled: ['one'], ...claim };
  return checkBytes(Buffer.from(text), whole).violations;
}

describe('the checker', () => {
  test('accepts what was acknowledged, once, and others', () => {
    expect(violations(group('one') + group('two'))).toEqual([]);
  });

  test.each([
    ['a lost group', group('two'), /acknowledged, and 0 times there: one/],
    ['a doubled group', group('one') + group('one'), /acknowledged, and 2 times there: one/],
    ['a query that is settled twice', group('one') + group('one', { run: 's' }), /one is settled 2 times/],
    ['a group without its end', group('one') + record('two', 1, 2), /two .* has 1 of 2 records/],
    ['a group without its beginning', group('one') + record('two', 2, 2), /part 2 of two/],
    ['a split group', record('one', 1, 2) + group('two') + record('one', 2, 2), /one .* has 1 of 2 records/],
    ['a torn line', group('one').slice(0, -9), /no newline at its end/],
    ['a bad line', `${group('one')}{"unit":\n`, /bad line at byte/],
    ['NULs', `${group('one')}\0\0\0\n`, /bad line at byte/],
    ['a line that is no record', `${group('one')}{"a":1}\n`, /no record at byte/],
    ['another unit', group('one') + group('two', { unit: 'v' }), /no record at byte/],
    ['other rows', group('one').replace('"a":2', '"a":3'), /one .* holds other rows/],
    ['a row too few', record('one', 1, 1), /one .* holds other rows/],
    ['a query that is not settled', group('one', { outcome: 'error' }), /one is not settled/],
  ])('refuses %s', (_, text, message) => {
    expect(violations(text).join('\n')).toMatch(message);
  });

  test('refuses "recorded by someone else" for what nobody recorded', () => {
    const acks = [{ query: 'three', pid: 1 }];
    expect(violations(group('one'), { acks }).join()).toMatch(/three was said to be recorded, and is not/);
  });

  test('refuses split and lost groups of shell writers', () => {
    const shell = (part: number) => `${JSON.stringify({ shell: 'a', number: 1, part, parts: 2 })}\n`;
    const ok = group('one') + shell(1) + shell(2);
    expect(violations(ok, { shellAcks: ['a/1'] })).toEqual([]);
    expect(violations(ok, { shellAcks: ['a/2'] }).join()).toMatch(/shell group 0 times there: a\/2/);
    const split = shell(1) + group('one') + shell(2);
    expect(violations(split, { shellAcks: ['a/1'] }).join()).toMatch(/a\/1 is split/);
  });

  test('misses bytes that were seen and are gone', () => {
    const [seen, log] = [Buffer.from('whole\ntorn'), Buffer.from('whole\nmore\n')];
    const side = { path: 'x', from: 6, bytes: Buffer.from('torn') };
    expect(checkKept(seen, log, [side])).toEqual([]);
    expect(checkKept(seen, log, [])).toHaveLength(1);
    expect(checkKept(seen, log, [{ ...side, bytes: Buffer.from('tor') }])).toHaveLength(1);
    expect(checkKept(seen, Buffer.from('Whole\nmore\n'), [side])).toHaveLength(1);
  });
});

const text = group('one');
const SIDE = `${LOG}.torn-${text.length}-1`;
const call = (kind: Call['kind'], path: string, rest: Partial<Call> = {}): Call => ({
  ...{ kind, path, failed: false, pid: 1, offset: 0, data: Buffer.alloc(0) },
  ...rest,
});
const ack = call('W', JOURNAL, {
  data: Buffer.from(JSON.stringify({ query: 'one', recorded: { run: 'r', attempt: 1 }, pid: 1 })),
});
const opened = [call('C', LOG), call('S', DIRECTORY)];
const write = call('W', LOG, { data: Buffer.from(text) });
const torn = call('W', LOG, { offset: text.length, data: Buffer.from('{"torn'), pid: 2 });
const saved = [
  call('C', SIDE, { pid: 3 }),
  call('W', SIDE, { data: Buffer.from('{"torn'), pid: 3 }),
  call('S', SIDE, { pid: 3 }),
  call('S', DIRECTORY, { pid: 3 }),
];
const cut = call('T', LOG, { offset: text.length, pid: 3 });

function ledger(
  calls: readonly Call[],
  content = text,
  sides = [{ path: SIDE, from: text.length, bytes: Buffer.from('{"torn') }],
) {
  return checkLedger(calls, LOG, Buffer.from(content), sides, { journal: JOURNAL });
}

describe('the ledger', () => {
  test('accepts write, sync, acknowledgement, and a torn end that was saved before it was cut off', () => {
    expect(ledger([...opened, write, call('S', LOG), ack, torn, ...saved, cut])).toEqual([]);
  });

  test('accepts a batch that its writer takes back because a write failed', () => {
    const failed = [
      call('W', LOG, { offset: text.length, data: Buffer.from('{"to') }),
      call('W', LOG, { failed: true }),
    ];
    expect(ledger([...opened, write, ...failed, call('T', LOG, { offset: text.length })])).toEqual([]);
  });

  test.each<[string, readonly Call[], RegExp]>([
    ['an acknowledgement without sync', [...opened, write, ack], /without a sync/],
    ['one before the sync', [...opened, write, ack, call('S', LOG)], /without a sync/],
    ['one after a failed sync', [...opened, write, call('S', LOG, { failed: true }), ack], /without a sync/],
    [
      'one after a sync that came before the write',
      [...opened, call('S', LOG), write, ack],
      /without a sync/,
    ],
    [
      'one after the sync of another process',
      [...opened, write, call('S', LOG, { pid: 2 }), ack],
      /without a sync/,
    ],
    [
      'a log whose directory was not synced',
      [write, call('S', LOG), ack],
      /directory of the log was never synced/,
    ],
    ['a torn end that is not saved', [...opened, write, torn, cut], /were not synced before the cut/],
    [
      'a side file that is not synced',
      [...opened, write, torn, ...saved.slice(0, 2), saved[3] as Call, cut],
      /not synced/,
    ],
    [
      'a side file whose entry is not synced',
      [...opened, write, torn, ...saved.slice(0, 3), cut],
      /not synced/,
    ],
    ['a cut without reason', [...opened, write, call('T', LOG, { offset: 3 })], /are lost/],
    ['a hole', [...opened, write, { ...torn, offset: text.length + 5 }, ...saved, cut], /leaves a gap/],
    ['an overwritten byte', [...opened, write, { ...torn, offset: 4 }], /overwrites other bytes/],
    ['bytes that nobody wrote', opened, /the replay of all writes 0/],
  ])('refuses %s', (_, calls, message) => {
    expect(ledger(calls).join('\n')).toMatch(message);
  });

  test('refuses a side file with other bytes', () => {
    const sides = [{ path: SIDE, from: text.length, bytes: Buffer.from('{"tor') }];
    expect(ledger([...opened, write, torn, ...saved, cut], text, sides).join()).toMatch(/are lost/);
  });
});
