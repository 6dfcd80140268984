/** A copy of a column of numbers with room for as many again, all 0. */
export function twice<T extends Float64Array | Uint32Array>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(2 * column.length);
  larger.set(column);
  return larger;
}
