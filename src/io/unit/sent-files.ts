import { lstatSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isBeneath, realOf, statOf } from '../files/paths.js';
import { TreeLinks } from './tree-links.js';
import { isNamed, readDirectory, realPathOf } from './unit-files.js';

/** What a copy of a sweep's SQL has to know of its links. */
export interface SentFiles {
  /** The number of SQL files. */
  readonly files: number;
  /** Whether there is a link to follow. */
  readonly followsLinks: boolean;
  /** Paths of links that are not followed, and of directories that a run reads under another name. */
  readonly hidden: readonly string[];
  /** Links to SQL that a run does not follow, and why. */
  readonly refused: readonly { readonly path: string; readonly says: string }[];
}

/** Which files of a tree are looked at. */
export interface SentFrom {
  /** Absolute, without links. */
  readonly root: string;
  /** Directories of units, and those above them, relative to the root, with `/`. */
  readonly units: readonly string[];
  readonly above: readonly string[];
  /** Where links may lead, `null` for anywhere. */
  readonly tree: string | null;
  /** Absolute; what is not sent under any name, such as a file with a password. */
  readonly kept: readonly string[];
}

/**
 * Looks through the directories of units as a run does, and at the setup files above them, for links. A directory whose
 * name begins with `_` or `.` is not entered, nor is one in a unit that is the root. Paths in the result are relative to
 * the root, with `/`.
 *
 * Errors: QrunError `UNIT_UNREADABLE`.
 */
export function sentFiles(from: SentFrom): SentFiles {
  const walk = new Walk(from);
  for (const path of from.above) walk.pass(path);
  for (const path of from.units) walk.unit(path);
  return walk;
}

class Walk implements SentFiles {
  files = 0;
  followsLinks = false;
  readonly hidden: string[] = [];
  readonly refused: { path: string; says: string }[] = [];
  readonly #root: string;
  readonly #tree: string | null;
  readonly #kept: readonly string[];
  #links: TreeLinks;
  #seen = new Set<string>();

  constructor({ root, tree, kept }: SentFrom) {
    this.#root = root;
    this.#tree = tree;
    this.#kept = kept.map(realOf);
    this.#links = new TreeLinks(root, tree);
    this.#file('qrun.toml');
  }

  /** A directory above units. */
  pass(path: string): void {
    this.#mayBeLink(path);
    this.#file(inside(path, '_setup.sql'));
  }

  unit(path: string): void {
    this.#mayBeLink(path);
    this.#seen = new Set();
    this.#links = new TreeLinks(join(this.#root, path), this.#tree);
    this.#visit(path);
  }

  #mayBeLink(path: string): void {
    if (path !== '' && statOf(join(this.#root, path), lstatSync)?.isSymbolicLink()) this.followsLinks = true;
  }

  #file(path: string): void {
    const own = join(this.#root, path);
    if (isNamed(own) && statOf(own, lstatSync)?.isSymbolicLink()) this.#link(path);
  }

  // In the order and with the circles of a run, which reads each directory once.
  #visit(path: string): void {
    const directory = join(this.#root, path);
    const real = realPathOf(directory);
    if (this.#seen.has(real)) {
      this.hidden.push(path);
      return;
    }
    this.#seen.add(real);
    // A link to a directory may lead above them.
    const kept = new Set(this.#kept.filter(place => dirname(place) === real).map(place => basename(place)));
    for (const entry of readDirectory(directory)) {
      const { name } = entry;
      if (name.startsWith('.')) continue;
      if (kept.has(name)) {
        this.hidden.push(inside(path, name));
        continue;
      }
      const isEntered = path !== '' && !name.startsWith('_');
      if (entry.isDirectory()) {
        if (isEntered) this.#visit(inside(path, name));
      } else if (entry.isSymbolicLink()) this.#entered(inside(path, name), isEntered);
      else if (name.endsWith('.sql')) this.files += 1;
    }
  }

  #entered(path: string, mayBeEntered: boolean): void {
    const isDirectory = statOf(join(this.#root, path))?.isDirectory() === true;
    if (isDirectory && mayBeEntered) {
      // One with SQL that is not followed is an error of the sweep, said before.
      if (this.#link(path, false)) this.#visit(path);
    } else if (!isDirectory && path.endsWith('.sql') && this.#link(path)) this.files += 1;
  }

  // Returns whether it is followed.
  #link(path: string, isSaid = true): boolean {
    const own = join(this.#root, path);
    const says = this.#refusal(own);
    this.followsLinks = true;
    if (says === undefined) return true;
    this.hidden.push(path);
    if (isSaid) this.refused.push({ path, says });
    return false;
  }

  #refusal(own: string): string | undefined {
    if (statOf(own) === undefined) return 'it is a symbolic link that leads nowhere';
    const real = realOf(own);
    if (this.#kept.some(place => isBeneath(real, place))) {
      return `it is a symbolic link to ${real}, which stays on this machine`;
    }
    return this.#links.refusal(own);
  }
}

function inside(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}
