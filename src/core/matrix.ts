import type { Parameters } from './model.js';

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
