import { realpathSync, statSync } from 'node:fs';
import { relative } from 'node:path';
import { explained, type FileChecks, FileRefused, type OpenFile, openToRead } from '../files/open-file.js';
import { strangerAt } from '../files/owner.js';
import { isBeneath, isHiddenIn } from '../files/paths.js';
import { readBytesAsync } from '../files/read-file.js';

// How long a directory is taken to be the one that was looked at: nobody else may write to the tree, and a query is
// read in 10 microseconds.
const LOOK_AGAIN_MS = 100;

/**
 * Where the links of a unit may lead: into the tree that the unit belongs to, or into the directory that was named as
 * the unit. Whoever wrote the tree may have made a link to any file of the user's, and what is read here is sent to a
 * server. So may the user have put secrets into it: what is hidden there (`.git/config` with the token of a clone, `.ssh`
 * where the home directory is the root) is no aim of a link. A file that is no link costs nothing more than it did.
 */
export class TreeLinks {
  readonly #unit: string;
  readonly #tree: string | null;
  #allowed: readonly { readonly at: string; readonly real: string }[] | undefined;
  // Who named the unit named its owner; and to compare with him costs nothing, where to ask the system who runs this
  // costs 2 % of the read of a small query.
  readonly #checks: FileChecks = {
    follow: false,
    refuse: (stat, path) => {
      this.#owner ??= statSync(this.#unit, { throwIfNoEntry: false })?.uid ?? -1;
      return stat.uid === this.#owner ? undefined : strangerAt(stat, path);
    },
  };
  #owner: number | undefined;
  #known = { directory: '', dev: 0, ino: 0, atMs: 0 };

  /** `tree`: the root of what the unit belongs to; `null`: links may lead anywhere. */
  constructor(unit: string, tree: string | null) {
    this.#unit = unit;
    this.#tree = tree;
  }

  /** Why a link (or what lies below one) is not followed, for a message; `undefined` where it is. Errors: those of realpath(3). */
  refusal(path: string): string | undefined {
    if (this.#tree === null) return undefined;
    const real = realpathSync.native(path);
    this.#allowed ??= [this.#unit, this.#tree].map(at => ({ at, real: realpathSync.native(at) }));
    const holding = this.#allowed.filter(one => isBeneath(real, one.real));
    // Who named a unit in a hidden directory, or below one, meant it.
    if (holding.some(one => !isHiddenIn(one.real, real))) return undefined;
    if (holding.some(one => relative(one.real, real) === relative(one.at, path))) return undefined;
    if (holding.length > 0) {
      return `it is a symbolic link to ${real}, which is hidden: copy the file, or allow it with --follow-links`;
    }
    return `it is a symbolic link that leads out of ${this.#tree}, to ${real}: copy the file, or allow it with --follow-links`;
  }

  /** Opens a query file to read it; close it. Errors: FileRefused; those of open(2). */
  open(path: string): OpenFile {
    try {
      return openToRead(path, 'query', this.#checks);
    } catch (error) {
      return openToRead(this.#target(path, error), 'query', this.#checks);
    }
  }

  /** As {@link open}, its bytes, on a thread. */
  async read(path: string): Promise<Buffer> {
    try {
      return await readBytesAsync(path, 'query', this.#checks);
    } catch (error) {
      return await readBytesAsync(this.#target(path, error), 'query', this.#checks);
    }
  }

  /**
   * Sees to it that a directory between the unit and a file is not (any more) a way out of the tree; to be called
   * before the file is opened. Errors: FileRefused; nothing where the directory is not there.
   */
  enter(directory: string): void {
    if (this.#tree === null) return;
    const nowMs = performance.now();
    const known = this.#known;
    const isKnown = directory === known.directory;
    if (isKnown && nowMs - known.atMs < LOOK_AGAIN_MS) return;
    const stat = statSync(directory, { throwIfNoEntry: false });
    if (stat === undefined) return;
    const { dev, ino } = stat;
    if (!isKnown || known.ino !== ino || known.dev !== dev) {
      const problem = this.refusal(directory);
      if (problem !== undefined) throw new FileRefused(problem.replace('it is', 'its directory is'));
    }
    this.#known = { directory, dev, ino, atMs: nowMs };
  }

  // Where a link leads, without links, if that is what stopped the open and it may lead there; else the error.
  #target(path: string, error: unknown): string {
    const cause =
      error instanceof FileRefused ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
    if (cause?.code !== 'ELOOP') throw error;
    let problem: string | undefined;
    try {
      problem = this.refusal(path);
      if (problem === undefined) return realpathSync.native(path);
    } catch (failure) {
      throw explained(failure, path, 'query');
    }
    throw new FileRefused(problem);
  }
}
