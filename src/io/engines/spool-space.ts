import { type StatsFs, statfsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { type Failure, localFailure, ownFailure } from '../../core/engines/failure.js';
import { formatSize } from '../../core/text/bytes.js';

/** No result that is meant is larger; what is, would fill most disks before somebody looks. */
const MOST_RESULT_BYTES = 16 * 1024 ** 3;

// What waits in memory needs no place to wait. Where even the log has no room for it, writing it says so, and nothing
// is held against the query. On disks that keep a reserve for root, root goes on where nothing is free.
const LEAST_RESULT_BYTES = 1024 * 1024;

/** How large results may be, and how much of them may wait in spools at once. */
export interface ResultLimits {
  /** Of one result, in bytes. */
  readonly limitBytes: number;
  /** Shared by all queries of a run; absent where the free space is not known. */
  readonly space?: SpoolSpace;
}

/**
 * The limits for results that wait in a directory and are appended to a log there. Without `maxResultBytes` one result
 * may take half of the space that is free now, because it needs it twice while it is recorded: 1 MiB at least, and 16 GiB at most.
 *
 * Free is what is so for users without privileges; where the file system does not tell it, only the 16 GiB count.
 */
export function resultLimits(directory: string, maxResultBytes: number | undefined): ResultLimits {
  let free: number | undefined;
  try {
    free = freeIn(statfsSync(directory));
  } catch {
    // Whoever writes there first says why that cannot be.
  }
  const limitBytes = maxResultBytes ?? largestFor(free);
  if (free === undefined) return { limitBytes };
  return { limitBytes, space: new SpoolSpace(async () => freeIn(await statfs(directory))) };
}

/** The largest result where so much is free, in bytes; where that is not known, only what nobody means is too large. */
export function largestFor(freeBytes: number | undefined): number {
  if (freeBytes === undefined) return MOST_RESULT_BYTES;
  return Math.min(MOST_RESULT_BYTES, Math.max(LEAST_RESULT_BYTES, Math.floor(freeBytes / 2)));
}

function freeIn({ bavail, bsize, blocks }: StatsFs): number | undefined {
  // Some virtual file systems have no blocks, and no limit either.
  return blocks === 0 ? undefined : bavail * bsize;
}

// A look takes microseconds, and so much is written in ten milliseconds.
const LOOK_BYTES = 8 * 1024 * 1024;

/**
 * The space for results in spools, which must all have room a second time, in the log. It is looked at while they grow,
 * because the log grows too, and so do files of others.
 */
export class SpoolSpace {
  readonly #look: () => Promise<number | undefined>;
  #freeBytes: number | undefined;
  #isKnown = false;
  // Written since the last look.
  #sinceBytes = 0;
  #usedBytes = 0;

  /** `look` tells how much is free, or `undefined`. */
  constructor(look: () => Promise<number | undefined>) {
    this.#look = look;
  }

  /** What all results take that are in spools now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** A share for one result, empty. */
  share(): SpoolShare {
    return new SpoolShare(this);
  }

  /** Whether so many bytes more may be written. They count as used from now on, unless they may not. */
  async take(bytes: number): Promise<boolean> {
    this.#usedBytes += bytes;
    this.#sinceBytes += bytes;
    if (this.#isKnown && this.#sinceBytes < LOOK_BYTES && this.#hasRoom()) return true;
    // Before a refusal as well.
    this.#freeBytes = await this.#look().catch(() => undefined);
    this.#isKnown = true;
    this.#sinceBytes = bytes;
    if (this.#hasRoom()) return true;
    this.free(bytes);
    return false;
  }

  /** They are used no more. */
  free(bytes: number): void {
    this.#usedBytes -= bytes;
  }

  #hasRoom(): boolean {
    return this.#freeBytes === undefined || this.#freeBytes - this.#sinceBytes >= this.#usedBytes;
  }
}

/** What one result takes of a {@link SpoolSpace}. */
export class SpoolShare {
  readonly #space: SpoolSpace;
  #bytes = 0;
  #isFree = false;

  constructor(space: SpoolSpace) {
    this.#space = space;
  }

  /**
   * Why so many bytes more may not be written, or `undefined` where they may: where other results wait too, this one
   * can try again when they are recorded; else it is too large for the disk.
   */
  async grow(bytes: number): Promise<Failure | undefined> {
    if (await this.#space.take(bytes)) {
      if (this.#isFree) this.#space.free(bytes);
      else this.#bytes += bytes;
      return undefined;
    }
    return this.#space.usedBytes > this.#bytes ? noSpace() : tooLargeForDisk(this.#bytes);
  }

  /** Gives all of it back. Safe to call twice. */
  free(): void {
    this.#isFree = true;
    this.#space.free(this.#bytes);
    this.#bytes = 0;
  }
}

/** A result is larger than it may be: the query's own failure, each time. */
export function tooLarge(limitBytes: number): Failure {
  const message = `the result is larger than ${formatSize(limitBytes)}, and was not recorded: select less, split the query, or raise --max-result (without it: half of the space that was free beside the log, at most 16G)`;
  return ownFailure('RESULT_TOO_LARGE', 'permanent', message);
}

function tooLargeForDisk(bytes: number): Failure {
  const message = `the result is larger than what the file system of the log has room for (${formatSize(bytes)} of it, and the same again to record it), and was not recorded: free space there, or choose another place with --log-dir`;
  return ownFailure('RESULT_TOO_LARGE', 'permanent', message);
}

// Nothing of the query, which runs again when others are recorded.
function noSpace(): Failure {
  const message = 'the results that wait to be recorded take what is free on the file system of the log';
  return { ...localFailure('ENOSPC', message), neverStarted: false };
}
