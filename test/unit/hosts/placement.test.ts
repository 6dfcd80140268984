import { describe, expect, it } from 'vitest';
import { placeUnits } from '../../../src/core/hosts/placement.js';

const units = Array.from({ length: 4_000 }, (_, index) => `2down/S${index % 40}_${index}`);
const host = (name: string, slots: number) => ({ name, slots });

function counts(hosts: readonly { name: string; slots: number }[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const { name } of placeUnits(units, hosts).values()) result[name] = (result[name] ?? 0) + 1;
  return result;
}

describe('placeUnits', () => {
  it('gives each host a share by its slots', () => {
    const { a = 0, b = 0, c = 0 } = counts([host('a', 8), host('b', 4), host('c', 4)]);
    expect(a + b + c).toBe(4_000);
    // Three standard deviations of 4,000 draws are 95.
    expect(Math.abs(a - 2_000)).toBeLessThan(95);
    expect(Math.abs(b - 1_000)).toBeLessThan(95);
  });

  it('moves only the units of a host that goes, and none among the others', () => {
    const all = placeUnits(units, [host('a', 2), host('b', 2), host('c', 2)]);
    const left = placeUnits(units, [host('a', 2), host('c', 2)]);
    for (const [unit, { name }] of all) {
      if (name !== 'b') expect(left.get(unit)?.name).toBe(name);
      else expect(['a', 'c']).toContain(left.get(unit)?.name);
    }
  });

  it('does not depend on the order of hosts or units', () => {
    const one = placeUnits(units, [host('a', 3), host('b', 1)]);
    const other = placeUnits([...units].reverse(), [host('b', 1), host('a', 3)]);
    for (const [unit, { name }] of one) expect(other.get(unit)?.name).toBe(name);
  });

  it('places nothing without hosts', () => {
    expect(placeUnits(units, []).size).toBe(0);
  });
});
