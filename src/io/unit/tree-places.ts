import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { pasteablePath } from '../../core/text/shell.js';
import { distrustAt, isOwn } from '../files/owner.js';
import { isBeneath, isHiddenIn, statOf } from '../files/paths.js';

/** A directory in which qrun keeps something. */
export interface Place {
  /** Absolute. */
  readonly path: string;
  /** For messages: `the directory of the logs`. */
  readonly what: string;
  /** The option that names another one: `--log-dir`. */
  readonly option: string;
  /** Whether the user named it, by a flag or in the environment, and not a file of the tree. */
  readonly isNamed: () => boolean;
  /** Whether qrun made the entry with this name. A directory outside of the tree that holds one belongs to qrun. */
  readonly isOurs: (name: string, directory: string) => boolean;
}

/**
 * Refuses a directory that must not be written to, or whose content must not be believed, because of another user or
 * because of whoever wrote the tree. A directory that does not exist is accepted.
 *
 * Each directory from the root of the tree down to the place must belong to the user or to root, and must not be
 * writable by everybody. A place that a link, or a file of the tree, puts outside of the tree must be empty or hold
 * files of qrun, and must not be a directory of settings (the home directory, one beneath a dot directory in it, or one
 * of the system), unless the user named it.
 *
 * Cost: one lstat(2) for each directory; more only for links. Errors: QrunError `CONFIG`.
 */
export function checkPlace(root: string, place: Place): void {
  let leaves = !isBeneath(place.path, root);
  for (const path of leaves ? [place.path] : stepsFrom(root, place.path)) {
    const own = statOf(path, lstatSync);
    // Nothing is there, or it may not be entered: whoever uses it reports that.
    if (own === undefined) return;
    if (own.isSymbolicLink()) {
      if (!isOwn(own.uid))
        refuse(root, place, path, `it is a symbolic link of another user (uid ${own.uid})`);
      leaves = true;
    }
    const stat = own.isSymbolicLink() ? statOf(path) : own;
    if (stat === undefined) refuse(root, place, path, 'it is a symbolic link to something that is not there');
    // A file instead of a directory is reported by whoever creates the directory.
    if (!stat.isDirectory()) return;
    const problem = distrustAt(stat, path);
    if (problem !== undefined) refuse(root, place, path, problem);
  }
  if (leaves && !place.isNamed()) checkTarget(root, place);
}

function checkTarget(root: string, place: Place): void {
  const real = realpathSync.native(place.path);
  if (isBeneath(real, realpathSync.native(root))) return;
  const stat = statSync(real);
  const problem = distrustAt(stat, real);
  if (problem !== undefined) refuse(root, place, real, problem);
  const by = `the tree names it, and it lies outside of ${root}`;
  if (isOfSettings(real)) refuse(root, place, real, `${by}, where programs keep their settings`);
  const names = readdirSync(real);
  if (names.length === 0 || names.some(name => place.isOurs(name, real))) return;
  refuse(root, place, real, `${by}: it is not empty and holds nothing of qrun`);
}

// Where programs may read, and obey, a file of any name.
const OF_SYSTEM = ['/etc', '/usr', '/bin', '/sbin', '/lib', '/boot', '/dev', '/proc', '/sys', '/run'];
// Where disks that a user plugs in are mounted.
const OF_DISKS = '/run/media';

function isOfSettings(real: string): boolean {
  if (OF_SYSTEM.some(directory => isBeneath(real, directory)) && !isBeneath(real, OF_DISKS)) return true;
  let home: string;
  try {
    home = realpathSync.native(homedir());
  } catch {
    return false;
  }
  return real === home || (isBeneath(real, home) && isHiddenIn(home, real));
}

// The directories between the root and the path, outermost first, without the root.
function stepsFrom(root: string, path: string): string[] {
  const steps: string[] = [];
  for (let at = path; at !== root && dirname(at) !== at; at = dirname(at)) steps.unshift(at);
  return steps;
}

function refuse(root: string, { what, option, path: asked }: Place, path: string, problem: string): never {
  const at = path === asked ? path : `${asked} (${path})`;
  throw new QrunError('CONFIG', `${what} ${at} is not used: ${problem}`, {
    hint: `remove or fix it, or name the place yourself with ${option}; if you share it on purpose: qrun trust ${pasteablePath(root, true)}, or --trust`,
  });
}
