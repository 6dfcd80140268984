import type { Parameters } from './model.js';

/**
 * The most combinations that a matrix may have. More are a mistake: each is a task in pueue's state, which pueue
 * rewrites whole with each change.
 */
export const MAX_COMBINATIONS = 100_000;

/** Returns how many combinations a matrix has, without making them; Infinity where the number is beyond counting. */
export function countCombinations(matrix: Readonly<Record<string, readonly string[]>>): number {
  return Object.values(matrix).reduce((product, values) => product * values.length, 1);
}

/**
 * Every combination of a matrix of parameters, each once: the order is that of the keys and values as they are
 * written, and the first key varies slowest. An empty matrix has the one combination without parameters; a key
 * without values leaves no combination at all. Keys of a combination have the order of the matrix.
 */
export function expandMatrix(matrix: Readonly<Record<string, readonly string[]>>): Parameters[] {
  let combinations: Parameters[] = [{}];
  for (const [name, values] of Object.entries(matrix)) {
    combinations = combinations.flatMap(before => values.map(value => ({ ...before, [name]: value })));
  }
  return combinations;
}
