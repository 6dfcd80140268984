/**
 * Something that qrun keeps beneath a sweep's root and that can be removed.
 *
 * - `old`: nothing that is there now would use it again.
 * - `current`: a run would use it; removed it would be made anew.
 * - `in use`: a process works on it; it is never removed.
 */
export interface Leftover {
  /** What kind it is, in a word or two. */
  readonly kind: string;
  readonly path: string;
  /** What it is or was for. */
  readonly about: string;
  /** On the disk. */
  readonly sizeBytes: number;
  readonly state: 'old' | 'current' | 'in use';
  /** Who uses it, where that is known. */
  readonly holder?: string;
  /**
   * Removes it, unless somebody has begun to use it: then who that is. What is half removed has no name that anybody
   * opens. Rejects with the error of the system call.
   */
  remove(): Promise<string | undefined>;
}

/** Finds all leftovers of a kind; changes nothing. */
export type FindLeftovers = () => Promise<Leftover[]>;
