import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FinalStates } from '../../../src/core/log/scan/final-states.js';
import { LogScanner } from '../../../src/core/log/scan/log-scan.js';
import { NameTable } from '../../../src/core/log/scan/name-table.js';
import type { FinalState } from '../../../src/core/unit/plan.js';
import { anyName, skippedGroup, UNIT } from './log-samples.js';

const anyFingerprint = fc.oneof(
  fc.constantFrom('9f86d081884c7d65', '0000000000000000', 'é23456789012345', '', 'a"b', '0123456789abcde\\'),
  anyName,
);

describe('FinalStates', () => {
  it('hold what a Map of objects holds, read from a log or noted', () => {
    const anyStep = fc.record({
      query: anyName,
      fingerprint: anyFingerprint,
      run: fc.oneof(fc.constantFrom('run1', 'run2'), anyName),
      how: fc.constantFrom('read' as const, 'noted' as const, 'deleted' as const),
    });
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), steps => {
        const states = new FinalStates();
        const expected = new Map<string, FinalState>();
        const scanner = new LogScanner(UNIT, states);
        for (const { query, how, ...step } of steps) {
          const state: FinalState = { ...step, outcome: 'skipped', parts: 1 };
          if (how === 'read') {
            // The encoder writes the fingerprint as it is.
            const fingerprint = JSON.stringify(step.fingerprint).slice(1, -1);
            scanner.push(skippedGroup({ query, ...step, fingerprint }));
          }
          if (how === 'noted') states.set({ query, ...state });
          if (how === 'deleted') states.clear(states.find(query));
          if (how === 'deleted') expected.delete(query);
          else expected.set(query, state);
        }
        expect(states.size).toBe(expected.size);
        expect(new Map(states)).toEqual(expected);
        for (const { query } of steps) {
          const number = states.find(query);
          expect(states.get(query)).toEqual(expected.get(query));
          expect(states.outcomeOf(number)).toBe(expected.get(query)?.outcome);
          expect(states.partsOf(number)).toBe(expected.get(query)?.parts ?? 0);
        }
        expect(states.get('in none')).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});

describe('NameTable', () => {
  it('numbers 200,000 names in their order, and finds each', () => {
    const names = new NameTable();
    const all = Array.from({ length: 200_000 }, (_, i) => `BTCUSDT_${i % 7}/2down__${i}`);
    expect(all.every((name, i) => names.addText(name) === i)).toBe(true);
    expect(all.every((name, i) => names.addText(name) === i && names.find(name) === i)).toBe(true);
    expect(all.every((name, i) => names.name(i) === name)).toBe(true);
    expect([names.size, names.find('BTCUSDT_0/2down__1'), names.find('')]).toEqual([200_000, -1, -1]);
  });

  it('keeps names apart that only half a surrogate pair, or an escape, tells apart', () => {
    const names = new NameTable();
    const all = ['', 'a', 'a\\', 'a"', '\ud800', '\udc00', '\ufffd', '\u0000', '\\u0000', 'é', 'e\u0301'];
    expect(all.map(name => names.addText(name))).toEqual(all.map((_, i) => i));
    expect(all.map((_, i) => names.name(i))).toEqual(all);
  });
});
