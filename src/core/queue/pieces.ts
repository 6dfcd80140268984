/** A part of the tasks of a submission that becomes one array. */
export interface Piece<T> {
  readonly tasks: readonly T[];
  /** How many of its tasks run at a time; `undefined` for all. */
  readonly slots: number | undefined;
  /** The number of the piece that must have ended before; `undefined` for none. */
  readonly after: number | undefined;
}

/**
 * Divides tasks into arrays of at most `most` tasks, in their order, so that no more than `slots` of all of them run at
 * a time: each array gets a share of the slots. Where there are fewer slots than arrays, some wait for others.
 */
export function inPieces<T>(tasks: readonly T[], most: number, slots: number | undefined): Piece<T>[] {
  // Of equal length, so that equal shares of the slots end at about the same time.
  const length = Math.ceil(tasks.length / Math.max(1, Math.ceil(tasks.length / most)));
  const count = length === 0 ? 0 : Math.ceil(tasks.length / length);
  const lanes = Math.min(count, slots ?? count);
  return Array.from({ length: count }, (_, n) => ({
    tasks: tasks.slice(n * length, (n + 1) * length),
    slots: slots === undefined ? undefined : Math.floor(slots / lanes) + (n % lanes < slots % lanes ? 1 : 0),
    after: n < lanes ? undefined : n - lanes,
  }));
}
