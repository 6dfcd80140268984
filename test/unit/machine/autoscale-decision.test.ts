import { describe, expect, it } from 'vitest';
import {
  decideSlots,
  type GroupLoad,
  type HostLoad,
  type ScaleLimits,
  watchViolations,
} from '../../../src/core/machine/autoscale.js';

const G = 1024 ** 3;
const GROUP: GroupLoad = { name: 'qrun-a', slots: 4, paused: false, queued: 9, running: 4 };
const HOST: HostLoad = { cpuPercent: 10, memoryPercent: 10, memoryAvailableBytes: 20 * G };
const LIMITS: ScaleLimits = { min: 1, max: 8, total: 8, memoryPerJobBytes: 8 * G };

interface Case {
  readonly group?: Partial<GroupLoad>;
  readonly host?: Partial<HostLoad>;
  readonly limits?: Partial<ScaleLimits>;
}

describe('a round for one group of 4 slots', () => {
  it.each<[string, Case, number, string]>([
    ['idle', {}, 5, 'idle'],
    ['cpu just below its mark', { host: { cpuPercent: 39.9 } }, 5, 'idle'],
    ['cpu at the lower mark', { host: { cpuPercent: 40 } }, 4, 'between'],
    ['memory just below its mark', { host: { memoryPercent: 59.9 } }, 5, 'idle'],
    ['memory at the lower mark', { host: { memoryPercent: 60 } }, 4, 'between'],
    ['cpu at the upper mark', { host: { cpuPercent: 80 } }, 4, 'between'],
    ['cpu just above it', { host: { cpuPercent: 80.1 } }, 3, 'busy'],
    ['memory at the upper mark', { host: { memoryPercent: 80 } }, 4, 'between'],
    ['memory just above it', { host: { memoryPercent: 80.1 } }, 3, 'busy'],
    ['cpu idle, memory busy', { host: { cpuPercent: 0, memoryPercent: 90 } }, 3, 'busy'],
    ['cpu busy, memory idle', { host: { cpuPercent: 90, memoryPercent: 0 } }, 3, 'busy'],
    ['busy at the least', { host: { cpuPercent: 90 }, group: { slots: 1 } }, 1, 'at min'],
    [
      'busy at a least of 3',
      { host: { cpuPercent: 90 }, group: { slots: 3 }, limits: { min: 3 } },
      3,
      'at min',
    ],
    ['idle at the most', { group: { slots: 8, running: 8 } }, 8, 'at max'],
    ['one below the most', { group: { slots: 7, running: 7 } }, 8, 'idle'],
    ['above the most: a step down', { group: { slots: 12 } }, 11, 'above max'],
    ['above the most, also when idle', { group: { slots: 9, running: 9 } }, 8, 'above max'],
    ['no limit at all', { group: { slots: 0, running: 30 } }, 8, 'above max'],
    ['below the least', { group: { slots: 1 }, limits: { min: 3 } }, 2, 'below min'],
    ['a slot is free', { group: { running: 3 } }, 4, 'slots free'],
    [
      'a slot is free, but the machine is busy',
      { group: { running: 3 }, host: { cpuPercent: 90 } },
      3,
      'busy',
    ],
    ['a job just fits', { host: { memoryAvailableBytes: 8 * G } }, 5, 'idle'],
    ['a job does not fit by a byte', { host: { memoryAvailableBytes: 8 * G - 1 } }, 4, 'does not fit'],
    [
      'nobody knows what a job takes',
      { host: { memoryAvailableBytes: 1 }, limits: { memoryPerJobBytes: undefined } },
      5,
      'idle',
    ],
    ['nothing queued', { group: { queued: 0 } }, 4, 'nothing queued'],
    ['nothing queued, busy', { group: { queued: 0 }, host: { cpuPercent: 99 } }, 4, 'nothing queued'],
    ['nothing queued, above the most', { group: { queued: 0, slots: 99 } }, 99, 'nothing queued'],
    ['paused', { group: { paused: true } }, 4, 'paused'],
    ['paused and busy', { group: { paused: true }, host: { cpuPercent: 99 } }, 4, 'paused'],
    ['the machine has no more slots', { limits: { total: 4 } }, 4, 'machine full'],
  ])('%s', (_title, { group, host, limits }, to, reason) => {
    const [decision] = decideSlots([{ ...GROUP, ...group }], { ...HOST, ...host }, { ...LIMITS, ...limits });
    expect(decision).toMatchObject({ to, reason, from: group?.slots ?? 4 });
  });
});

describe('a round for several groups', () => {
  const group = (name: string, more: Partial<GroupLoad> = {}): GroupLoad => ({
    ...GROUP,
    name,
    slots: 2,
    running: 2,
    ...more,
  });
  const steps = (groups: GroupLoad[], host: Partial<HostLoad> = {}, limits: Partial<ScaleLimits> = {}) =>
    decideSlots(groups, { ...HOST, ...host }, { ...LIMITS, ...limits }).map(
      ({ to, from, reason }) => `${from}>${to} ${reason}`,
    );

  it('moves each of them by one', () => {
    expect(steps([group('a'), group('b')])).toEqual(['2>3 idle', '2>3 idle']);
    expect(steps([group('a'), group('b')], { cpuPercent: 90 })).toEqual(['2>1 busy', '2>1 busy']);
  });

  it('does not count on the same memory twice', () => {
    expect(steps([group('a'), group('b'), group('c')], {}, { total: 20 })).toEqual([
      '2>3 idle',
      '2>3 idle',
      '2>2 does not fit',
    ]);
  });

  it('does not give out more slots than the machine has', () => {
    expect(steps([group('a'), group('b'), group('c')], {}, { total: 7, memoryPerJobBytes: 1 })).toEqual([
      '2>3 idle',
      '2>2 machine full',
      '2>2 machine full',
    ]);
  });

  it('does not count the slots of groups without tasks', () => {
    const empty = group('b', { slots: 6, queued: 0, running: 0 });
    expect(steps([group('a'), empty], {}, { total: 7 })).toEqual(['2>3 idle', '6>6 nothing queued']);
    expect(steps([group('a'), { ...empty, running: 6 }], {}, { total: 8 })[0]).toBe('2>2 machine full');
  });

  it('lets a group not grow that was stepped back, and still takes slots from it', () => {
    const notA = (name: string) => name !== 'a';
    const round = (cpuPercent: number) =>
      decideSlots([group('a'), group('b')], { ...HOST, cpuPercent }, LIMITS, notA).map(({ to, reason }) => [
        to,
        reason,
      ]);
    expect(round(10)).toEqual([
      [2, 'settling'],
      [3, 'idle'],
    ]);
    expect(round(90)).toEqual([
      [1, 'busy'],
      [1, 'busy'],
    ]);
  });
});

describe('watchViolations', () => {
  const GOOD = { load1: 3.5, cores: 4, swapPages: 0, exceptions: 0 };
  it.each([
    ['nothing', {}, []],
    ['what is not known', { swapPages: undefined, exceptions: undefined }, []],
    ['load just below', { load1: 3.59 }, []],
    ['load at 0.9 x cores', { load1: 3.6 }, ['load 3.6 (must be < 3.6: 0.9 x 4 cores)']],
    ['one page', { swapPages: 1 }, ['1 page moved to or from swap']],
    ['one query', { exceptions: 1 }, ['1 query failed while running']],
    [
      'everything',
      { load1: 9, swapPages: 7, exceptions: 2 },
      [
        'load 9.0 (must be < 3.6: 0.9 x 4 cores)',
        '7 pages moved to or from swap',
        '2 queries failed while running',
      ],
    ],
  ])('%s', (_title, change, found) => {
    expect(watchViolations({ ...GOOD, ...change })).toEqual(found);
  });
});
