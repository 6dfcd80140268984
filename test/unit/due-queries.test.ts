import { describe, expect, it } from 'vitest';
import { DueQueries, type PlannedQuery } from '../../src/app/due-queries.js';

function query(number: number): PlannedQuery {
  const fingerprint = (0xfedcba9876543210n ^ BigInt(number)).toString(16).padStart(16, '0');
  const reasons = ['new', 'changed', 'failed', 'rerun'] as const;
  return {
    name: `2down/q${number}`,
    fingerprint,
    reason: reasons[number % 4] ?? 'new',
    rows: number % 3 === 0 ? number : undefined,
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
});
