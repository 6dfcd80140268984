import { statfsSync } from 'node:fs';
import { formatSize } from '../core/bytes.js';
import { type Failure, localFailure, ownFailure } from '../core/failure.js';

/** No result that is meant is larger; what is, would fill most disks before somebody looks. */
const MOST_RESULT_BYTES = 16 * 1024 ** 3;

/** How large results may be, and how much of them may wait in spools at once. */
export interface ResultLimits {
  /** Of one result, in bytes. */
  readonly limitBytes: number;
  /** Shared by all queries of a run; absent where the free space is not known. */
  readonly space?: SpoolSpace;
}

/**
 * The limits for results that wait in a directory and are appended to a log there. Without `maxResultBytes` one result
 * may take half of the free space, because it needs it twice while it is recorded, and 16 GiB at most. Beside the
 * oldest result that is still growing, others may fill a quarter.
 *
 * The free space is that of now, for users without privileges; where the file system does not tell it, nothing but
 * the 16 GiB is a limit.
 */
export function resultLimits(directory: string, maxResultBytes: number | undefined): ResultLimits {
  const free = freeBytes(directory);
  const limitBytes = maxResultBytes ?? Math.min(MOST_RESULT_BYTES, free === undefined ? Infinity : free / 2);
  return { limitBytes, ...(free === undefined ? {} : { space: new SpoolSpace(free / 4) }) };
}

function freeBytes(directory: string): number | undefined {
  try {
    const { bavail, bsize, blocks } = statfsSync(directory);
    // Some virtual file systems have no blocks, and no limit either.
    return blocks === 0 ? undefined : bavail * bsize;
  } catch {
    return undefined;
  }
}

/**
 * What results in spools may take together. One that grows beyond it is refused unless it is the oldest that still
 * grows: so one query at a time gets through whatever is free, and no query that fits is ended by its neighbours for
 * good.
 */
export class SpoolSpace {
  readonly #totalBytes: number;
  #usedBytes = 0;
  // In the order in which they began.
  readonly #growing = new Set<SpoolShare>();

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** A share for one result, empty. */
  share(): SpoolShare {
    const share: SpoolShare = new SpoolShare(
      bytes => {
        const [oldest] = this.#growing;
        if (oldest !== share && this.#usedBytes + bytes > this.#totalBytes) return false;
        this.#usedBytes += bytes;
        return true;
      },
      () => void this.#growing.delete(share),
      bytes => {
        this.#usedBytes -= bytes;
      },
    );
    this.#growing.add(share);
    return share;
  }
}

/** What one result takes of a {@link SpoolSpace}. */
export class SpoolShare {
  readonly #take: (bytes: number) => boolean;
  readonly #whole: () => void;
  readonly #free: (bytes: number) => void;
  #bytes = 0;

  constructor(take: (bytes: number) => boolean, whole: () => void, free: (bytes: number) => void) {
    this.#take = take;
    this.#whole = whole;
    this.#free = free;
  }

  /** Whether so many bytes more may be written. */
  grow(bytes: number): boolean {
    const may = this.#take(bytes);
    if (may) this.#bytes += bytes;
    return may;
  }

  /** It does not grow any more. */
  whole(): void {
    this.#whole();
  }

  /** Gives all of it back. Safe to call twice. */
  free(): void {
    this.#whole();
    this.#free(this.#bytes);
    this.#bytes = 0;
  }
}

/** A result is larger than it may be: the query's own failure, each time. */
export function tooLarge(limitBytes: number): Failure {
  const message = `the result is larger than ${formatSize(limitBytes)}, and was not recorded: select less, split the query, or raise --max-result (without it: half of the space that was free beside the log, at most 16G)`;
  return ownFailure('RESULT_TOO_LARGE', 'permanent', message);
}

/** Others take what is free: nothing of the query, which runs again when they are recorded. */
export function noSpace(): Failure {
  const message = 'the results that wait to be recorded take a quarter of the free space beside the log';
  return { ...localFailure('ENOSPC', message), neverStarted: false };
}
