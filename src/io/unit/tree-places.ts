import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { pasteablePath } from '../../core/text/shell.js';
import { distrustAt, isOwn } from '../files/owner.js';
import { isBeneath, isHiddenIn } from '../files/paths.js';

/** A directory in which qrun keeps something. */
export interface Place {
  /** Absolute. */
  readonly path: string;
  /** For messages: `the directory of the logs`. */
  readonly what: string;
  /** How another one is named: `--log-dir`. */
  readonly option: string;
  /** Whether the user named it himself, by a flag or in his environment, and no file of the tree. */
  readonly isNamed: () => boolean;
  /** Whether qrun has made what has this name in the directory: one outside of the tree that holds such is one of qrun's. */
  readonly isOurs: (name: string, directory: string) => boolean;
}

/**
 * Refuses a directory that is not to be written to, or whose content is not to be believed, because of another user or
 * because of whoever wrote the tree. One that is not there is none of that.
 *
 * Each directory from the root of the tree down to the place must be the user's own or root's, and not open to all. One
 * that a link, or a file of the tree, puts outside of the tree must be empty or hold files of qrun's, and be no
 * directory of settings (beneath one of the home directory that begins with a dot, or of the system's), unless the user
 * named it himself.
 *
 * Cost: one lstat(2) for each directory; more only for links. Errors: QrunError `CONFIG`.
 */
export function checkPlace(root: string, place: Place): void {
  let leaves = !isBeneath(place.path, root);
  for (const path of leaves ? [place.path] : stepsFrom(root, place.path)) {
    const own = look(path, lstatSync);
    if (own === undefined) return;
    if (own.isSymbolicLink()) {
      if (!isOwn(own.uid))
        refuse(root, place, path, `it is a symbolic link of another user (uid ${own.uid})`);
      leaves = true;
    }
    const stat = own.isSymbolicLink() ? look(path, statSync) : own;
    if (stat === undefined) refuse(root, place, path, 'it is a symbolic link to something that is not there');
    // What is wrong with a file in place of a directory is for whoever makes the directory to say.
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
  refuse(root, place, real, `${by}: it is neither empty nor holds anything of qrun`);
}

// Where a file of any name may be read by a program, and obeyed.
const OF_SYSTEM = ['/etc', '/usr', '/bin', '/sbin', '/lib', '/boot', '/dev', '/proc', '/sys', '/run'];
// Where disks are mounted for whoever plugs them in.
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

function look(path: string, stat: typeof lstatSync | typeof statSync): Stats | undefined {
  try {
    return stat(path, { throwIfNoEntry: false }) as Stats | undefined;
  } catch {
    // Through something that is no directory, or one that may not be entered: whoever uses it says so.
    return undefined;
  }
}

function refuse(root: string, { what, option, path: asked }: Place, path: string, problem: string): never {
  const at = path === asked ? path : `${asked} (${path})`;
  throw new QrunError('CONFIG', `${what} ${at} is not used: ${problem}`, {
    hint: `remove or mend it, or name the place yourself with ${option}; where you share it on purpose: qrun trust ${pasteablePath(root, true)}, or --trust`,
  });
}
