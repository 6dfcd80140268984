import { realpathSync, statSync } from 'node:fs';
import { relative } from 'node:path';
import { explained, type FileChecks, FileRefused, type OpenFile, openToRead } from '../files/open-file.js';
import { strangerAt } from '../files/owner.js';
import { isBeneath, isHiddenIn } from '../files/paths.js';
import { readBytesAsync } from '../files/read-file.js';

// How long a directory is taken to be the one that was checked: nobody else may write to the tree, and a query is read
// in 10 microseconds.
const LOOK_AGAIN_MS = 100;

/**
 * Decides where the links of a unit may lead: into the tree that the unit belongs to, or into the directory that was
 * named as the unit. Whoever wrote the tree may have made a link to any file of the user, and what is read here is sent
 * to a server. The tree itself may hold secrets of the user: a link must not lead to anything hidden in it
 * (`.git/config` with the token of a clone, `.ssh` if the home directory is the root). A file that is not a link costs
 * nothing extra.
 */
export class TreeLinks {
  readonly #unit: string;
  readonly #tree: string | null;
  #allowed: readonly { readonly at: string; readonly real: string }[] | undefined;
  // Whoever named the unit accepted its owner. Comparing with that owner costs nothing, whereas asking the system for
  // the user of this process costs 2 % of the read of a small query.
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

  /**
   * Why a link (or a path below one) is not followed, for a message; `undefined` if it is followed. Errors: those of
   * realpath(3).
   */
  refusal(path: string): string | undefined {
    if (this.#tree === null) return undefined;
    const real = realpathSync.native(path);
    this.#allowed ??= [this.#unit, this.#tree].map(at => ({ at, real: realpathSync.native(at) }));
    const holding = this.#allowed.filter(one => isBeneath(real, one.real));
    // Whoever named a unit in a hidden directory, or below one, meant it.
    if (holding.some(one => !isHiddenIn(one.real, real))) return undefined;
    if (holding.some(one => relative(one.real, real) === relative(one.at, path))) return undefined;
    if (holding.length > 0) {
      return `it is a symbolic link to ${real}, which is hidden: copy the file, or allow it with --follow-links`;
    }
    return `it is a symbolic link that leads out of ${this.#tree}, to ${real}: copy the file, or allow it with --follow-links`;
  }

  /** Opens a query file for reading; the caller closes it. Errors: FileRefused; those of open(2). */
  open(path: string): OpenFile {
    try {
      return openToRead(path, 'query', this.#checks);
    } catch (error) {
      return openToRead(this.#target(path, error), 'query', this.#checks);
    }
  }

  /** Like {@link open}, but reads the bytes, on a thread. */
  async read(path: string): Promise<Buffer> {
    try {
      return await readBytesAsync(path, 'query', this.#checks);
    } catch (error) {
      return await readBytesAsync(this.#target(path, error), 'query', this.#checks);
    }
  }

  /**
   * Refuses a directory between the unit and a file that leads, or by now leads, out of the tree; to be called before
   * the file is opened. Does nothing if the directory does not exist. Errors: FileRefused.
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

  // Returns the real target of a link, if the link is what stopped the open and it may be followed; otherwise throws.
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
