import { describe, expect, it } from 'vitest';
import { DueQueries, type PlannedQuery } from '../../../src/app/unit/due-queries.js';

function query(number: number): PlannedQuery {
  const fingerprint = (0xfedcba9876543210n ^ BigInt(number)).toString(16).padStart(16, '0');
  const reasons = ['new', 'changed', 'failed', 'rerun'] as const;
  return {
    name: `2down/q${number}`,
    fingerprint,
    reason: reasons[number % 4] ?? 'new',
  };
}

function taken(due: DueQueries): PlannedQuery[] {
  const all: PlannedQuery[] = [];
  for (let next = due.take(); next !== undefined; next = due.take()) all.push(next);
  return all;
}

describe('the due queries', () => {
  it.each([0, 1, 127, 128, 129, 5000])('are given as they came, each once (%i)', count => {
    const due = new DueQueries();
    const queries = Array.from({ length: count }, (_, number) => query(number));
    for (const each of queries) due.add(each);
    expect([due.total, due.left]).toEqual([count, count]);
    expect(taken(due)).toEqual(queries);
    expect([due.total, due.left]).toEqual([count, 0]);
    expect(due.take()).toBeUndefined();
  });

  it('end at the limit', () => {
    const due = new DueQueries(2);
    for (let number = 0; number < 5; number += 1) due.add(query(number));
    expect(due.total).toBe(2);
    expect(taken(due)).toEqual([query(0), query(1)]);
  });

  it('go behind all others by their rank, whatever the number, and keep what belongs to them', () => {
    for (const count of [1, 5, 128, 300]) {
      const due = new DueQueries();
      const queries = Array.from({ length: count }, (_, number) => query(number));
      for (const each of queries) due.add(each);
      const rankOf = (name: string): number => (Number(name.slice(7)) * 7) % 4;
      const postponed = due.postpone((name, fingerprint) => {
        expect(fingerprint).toBe(query(Number(name.slice(7))).fingerprint);
        return rankOf(name);
      });
      const ordered = [0, 1, 2, 3].map(rank => queries.filter(each => rankOf(each.name) === rank));
      expect(postponed).toEqual(ordered.slice(1).flat());
      expect([due.total, due.left]).toEqual([count, count]);
      expect(taken(due)).toEqual(ordered.flat());
    }
  });

  it('stay as they are where none is postponed', () => {
    const due = new DueQueries();
    for (let number = 0; number < 5; number += 1) due.add(query(number));
    expect(due.postpone(() => 0)).toEqual([]);
    expect(taken(due)).toEqual([0, 1, 2, 3, 4].map(query));
  });
});
