import type { Parameters } from '../model.js';

/**
 * The most combinations that a matrix may have. More are a mistake: each is a task in a queue's state, which the
 * queue may write whole with each change.
 */
export const MAX_COMBINATIONS = 100_000;

/** Returns how many combinations a matrix has, without making them; Infinity where the number is beyond counting. */
export function countCombinations(matrix: Readonly<Record<string, readonly string[]>>): number {
  return Object.values(matrix).reduce((product, values) => product * values.length, 1);
}

/**
 * The most characters that all combinations may have together. A file of 1 MiB can ask for a thousand times the memory of
 * a machine: a long value in each of many combinations. As many as the limit, with 670 characters each, are no mistake.
 */
export const MAX_CHARACTERS = 64 * 1024 * 1024;

/** Returns how many characters the values of all combinations have together, without making them. */
export function countCharacters(matrix: Readonly<Record<string, readonly string[]>>): number {
  const count = countCombinations(matrix);
  const lists = Object.values(matrix).filter(values => values.length > 0);
  return lists.reduce((total, values) => total + (count / values.length) * lengthOf(values), 0);
}

/** Returns the characters of some texts together. */
export function lengthOf(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + text.length, 0);
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
