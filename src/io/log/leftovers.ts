/**
 * Something that qrun keeps beneath a sweep's root and that can be removed.
 *
 * - `old`: nothing that exists now would use it again.
 * - `current`: a run would use it, and makes it again if it was removed.
 * - `in use`: a process is working with it; it is never removed.
 */
export interface Leftover {
  /** What kind it is, in a word or two. */
  readonly kind: string;
  readonly path: string;
  /** What it is or was for. */
  readonly about: string;
  /** Space that it takes on the disk. */
  readonly sizeBytes: number;
  readonly state: 'old' | 'current' | 'in use';
  /** Who uses it, if that is known. */
  readonly holder?: string;
  /**
   * Removes it. If somebody has started to use it, it stays, and this resolves with who that is. Something half
   * removed never has a name that anybody opens. Rejects with the error of the system call.
   */
  remove(): Promise<string | undefined>;
}

/** Finds all leftovers of a kind; changes nothing. */
export type FindLeftovers = () => Promise<Leftover[]>;
