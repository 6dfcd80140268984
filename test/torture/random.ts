import { createHash } from 'node:crypto';

/** Numbers that are the same for the same seed. */
export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number in [from, to]. */
  int(from: number, to: number): number;
  chance(probability: number): boolean;
  pick<T>(values: readonly [T, ...T[]]): T;
  /** A copy in random order. */
  shuffled<T>(values: readonly T[]): T[];
}

/** A generator for a seed (mulberry32: 32 bits of state, good enough to choose faults with). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const int = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    int,
    chance: probability => next() < probability,
    pick: values => values[int(0, values.length - 1)] ?? values[0],
    shuffled: values => {
      const copy = [...values];
      for (let i = copy.length - 1; i > 0; i -= 1) {
        const j = int(0, i);
        [copy[i], copy[j]] = [copy[j] as (typeof copy)[0], copy[i] as (typeof copy)[0]];
      }
      return copy;
    },
  };
}

/** A generator for a seed and a name. */
export function namedRandom(seed: number, name: string): Random {
  return randomOf(createHash('sha256').update(`${seed}:${name}`).digest().readUInt32LE(0));
}
