import type { Parameters } from '../model.js';

/**
 * The most combinations that a matrix may have. More are a mistake: each is a task in a queue's state, and the queue
 * may rewrite all of that with each change.
 */
export const MAX_COMBINATIONS = 100_000;

/**
 * Returns how many combinations a matrix has, without making them; Infinity if the number is too large for a double.
 */
export function countCombinations(matrix: Readonly<Record<string, readonly string[]>>): number {
  return Object.values(matrix).reduce((product, values) => product * values.length, 1);
}

/**
 * The most characters that all combinations may have together. A file of 1 MiB can ask for a thousand times the
 * memory of a machine: a long value in each of many combinations. The largest allowed matrix, with 670 characters for
 * each combination, is not a mistake.
 */
export const MAX_CHARACTERS = 64 * 1024 * 1024;

/** Returns how many characters the values of all combinations have together, without making them. */
export function countCharacters(matrix: Readonly<Record<string, readonly string[]>>): number {
  const count = countCombinations(matrix);
  const lists = Object.values(matrix).filter(values => values.length > 0);
  return lists.reduce((total, values) => total + (count / values.length) * lengthOf(values), 0);
}

/** Returns the total number of characters of several strings. */
export function lengthOf(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + text.length, 0);
}

/**
 * Returns every combination of a matrix of parameters, each once, in the order in which keys and values are written;
 * the first key varies slowest. An empty matrix has one combination, without parameters; with a key without values
 * there is no combination at all. The keys of a combination have the order of the matrix.
 */
export function expandMatrix(matrix: Readonly<Record<string, readonly string[]>>): Parameters[] {
  let combinations: Parameters[] = [{}];
  for (const [name, values] of Object.entries(matrix)) {
    combinations = combinations.flatMap(before => values.map(value => ({ ...before, [name]: value })));
  }
  return combinations;
}
