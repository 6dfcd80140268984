import { expect, it, vi } from 'vitest';
import { newRunId } from '../../../src/local/unit/run-id.js';

it('a run that begins a millisecond later has a greater id, also than one of the older form', () => {
  vi.useFakeTimers();
  try {
    vi.setSystemTime(new Date('2026-01-31T12:00:00.000Z'));
    const ids = ['20260131T120000-ffffffff'];
    for (const _ of Array.from({ length: 200 })) {
      ids.push(newRunId());
      vi.advanceTimersByTime(7);
    }
    expect([...ids].sort()).toEqual(ids);
    expect(ids[1]).toMatch(/^20260131T120000000-[0-9a-f]{8}$/);
  } finally {
    vi.useRealTimers();
  }
});

it('runs that begin in the same millisecond have ids of their own', () => {
  vi.useFakeTimers();
  const ids = Array.from({ length: 1000 }, newRunId);
  vi.useRealTimers();
  expect(new Set(ids).size).toBe(ids.length);
});
