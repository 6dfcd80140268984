import { type StatsFs, statfsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { type Failure, localFailure, ownFailure } from '../../core/engines/failure.js';
import { formatSize } from '../../core/text/bytes.js';

/** No intended result is larger. A larger one would fill most disks before anybody noticed. */
const MOST_RESULT_BYTES = 16 * 1024 ** 3;

// A result of up to this size waits in memory and needs no spool. If even the log has no room for it, writing the log
// reports that, and the query is not blamed. On disks with a reserve for root, root can go on when nothing is free.
const LEAST_RESULT_BYTES = 1024 * 1024;

/** How large results may be, and how much of them may wait in spools at once. */
export interface ResultLimits {
  /** Of one result, in bytes. */
  readonly limitBytes: number;
  /** Shared by all queries of a run; absent if the free space is not known. */
  readonly space?: SpoolSpace;
}

/**
 * The limits for results that wait in a directory and are appended to a log there. Without `maxResultBytes`, one result
 * may take half of the space that is free now, because it exists twice while it is recorded; but at least 1 MiB, and at
 * most 16 GiB.
 *
 * Free space is what users without privileges may use. If the file system does not state it, only the 16 GiB apply.
 */
export function resultLimits(directory: string, maxResultBytes: number | undefined): ResultLimits {
  let free: number | undefined;
  try {
    free = freeIn(statfsSync(directory));
  } catch {
    // The first write there will report the reason.
  }
  const limitBytes = maxResultBytes ?? largestFor(free);
  if (free === undefined) return { limitBytes };
  return { limitBytes, space: new SpoolSpace(async () => freeIn(await statfs(directory))) };
}

/** The largest result allowed when `freeBytes` are free, in bytes; if that is not known, the most for any result. */
export function largestFor(freeBytes: number | undefined): number {
  if (freeBytes === undefined) return MOST_RESULT_BYTES;
  return Math.min(MOST_RESULT_BYTES, Math.max(LEAST_RESULT_BYTES, Math.floor(freeBytes / 2)));
}

function freeIn({ bavail, bsize, blocks }: StatsFs): number | undefined {
  // Some virtual file systems report no blocks, and have no limit either.
  return blocks === 0 ? undefined : bavail * bsize;
}

// A look takes microseconds; writing this much takes ten milliseconds.
const LOOK_BYTES = 8 * 1024 * 1024;

/**
 * The space for results in spools. Each of them needs the same room again in the log. The free space is checked while
 * they grow, because the log and files of others grow too.
 */
export class SpoolSpace {
  readonly #look: () => Promise<number | undefined>;
  #freeBytes: number | undefined;
  // Written since the last look; there was none yet.
  #sinceBytes = Number.POSITIVE_INFINITY;
  #usedBytes = 0;

  /** `look` returns how many bytes are free, or `undefined` if that is not known. */
  constructor(look: () => Promise<number | undefined>) {
    this.#look = look;
  }

  /** What all results that are in spools now take together. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Returns an empty share for one result. */
  share(): SpoolShare {
    return new SpoolShare(this);
  }

  /** Whether `bytes` more may be written. If so, they count as used from now on. */
  async take(bytes: number): Promise<boolean> {
    this.#usedBytes += bytes;
    this.#sinceBytes += bytes;
    if (this.#sinceBytes < LOOK_BYTES && this.#hasRoom()) return true;
    // Look again before a refusal too.
    this.#freeBytes = await this.#look().catch(() => undefined);
    this.#sinceBytes = bytes;
    if (this.#hasRoom()) return true;
    this.free(bytes);
    return false;
  }

  /** Counts `bytes` as no longer used. */
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
   * Returns `undefined` if `bytes` more may be written, otherwise the reason why not. If other results wait too, this
   * one can try again when they are recorded; otherwise it is too large for the disk.
   */
  async grow(bytes: number): Promise<Failure | undefined> {
    if (await this.#space.take(bytes)) {
      if (this.#isFree) this.#space.free(bytes);
      else this.#bytes += bytes;
      return undefined;
    }
    return this.#space.usedBytes > this.#bytes ? noSpace() : tooLargeForDisk(this.#bytes);
  }

  /** Gives the whole share back. Safe to call twice. */
  free(): void {
    this.#isFree = true;
    this.#space.free(this.#bytes);
    this.#bytes = 0;
  }
}

/** The failure of a result that exceeds the limit: the query's own, and the same on every attempt. */
export function tooLarge(limitBytes: number): Failure {
  const message = `the result is larger than ${formatSize(limitBytes)}, and was not recorded: select less, split the query, or raise --max-result (without it: half of the space that was free beside the log, at most 16G)`;
  return ownFailure('RESULT_TOO_LARGE', 'permanent', message);
}

function tooLargeForDisk(bytes: number): Failure {
  const message = `the result is larger than what the file system of the log has room for (${formatSize(bytes)} of it, and the same again to record it), and was not recorded: free space there, or choose another place with --log-dir`;
  return ownFailure('RESULT_TOO_LARGE', 'permanent', message);
}

// Not the query's fault: it runs again when other results are recorded.
function noSpace(): Failure {
  const message = 'the results that wait to be recorded take what is free on the file system of the log';
  return { ...localFailure('ENOSPC', message), neverStarted: false };
}
