import { type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isBeneath } from './paths.js';

/** The number of the user of this process; `undefined` where users have none (Windows). */
export function ownUser(): number | undefined {
  return process.geteuid?.();
}

/**
 * Whether files of a user decide anything here: those of the user of this process and of root; where root was reached
 * by sudo, also those of the user who called it.
 */
export function isOwn(uid: number): boolean {
  const own = ownUser();
  // Where there are no owners to compare (Windows).
  if (own === undefined || uid === own || uid === 0) return true;
  return own === 0 && process.env.SUDO_UID === String(uid);
}

/**
 * Why a file or directory is not to be believed, for a message, or `undefined`: it belongs to another local user, or
 * everybody may write to it (a directory with the sticky bit aside, in which files of others cannot be replaced). The
 * group may write: trees of a group are shared on purpose. It fits {@link FileChecks.refuse} of open-file.ts.
 */
export function distrust(stat: Stats): string | undefined {
  // By number: the name may stand in a database that is far away.
  if (!isOwn(stat.uid)) return `it belongs to another user (uid ${stat.uid}), and neither to you nor to root`;
  const isOpenToAll = (stat.mode & 0o002) !== 0 && !(stat.isDirectory() && (stat.mode & 0o1000) !== 0);
  return isOpenToAll ? `every user of this machine may write to it: chmod o-w` : undefined;
}

/** As {@link distrust}, of what a path leads to; `undefined` also where nothing is there. Errors: those of stat(2). */
export function distrustPath(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : distrust(stat);
}

const believed = new Map<string, () => boolean>();

/**
 * From now on what lies at or below a directory is believed in this process, whoever it belongs to, if the user has said
 * that he trusts this tree: `isTrusted` is asked when somebody else's file is met, and only then. It changes nothing about
 * links and hard links.
 */
export function believeBelow(directory: string, isTrusted: () => boolean = () => true): void {
  believed.set(resolve(directory), isTrusted);
}

/** The directories that are believed, for a thread of this process, which has to learn of them anew. */
export function believedDirectories(): string[] {
  return [...believed].flatMap(([directory, isTrusted]) => (isTrusted() ? [directory] : []));
}

/** As {@link distrust}, of what was found at a path; `undefined` beneath what the user said to believe. */
export function distrustAt(stat: Stats, path: string): string | undefined {
  const problem = distrust(stat);
  return problem !== undefined && isBelieved(path) ? undefined : problem;
}

/**
 * Why a file of SQL is not read, for a message, or `undefined`: another user has put it into a directory where everybody
 * may put files, and nobody said to believe that. Of a directory of another user each file of his own is read: whoever
 * named the directory named him. Cost: one stat(2), of the directory of a file of another user.
 */
export function strangerAt(stat: Stats, path: string): string | undefined {
  if (isOwn(stat.uid)) return undefined;
  const directory = statSync(dirname(path));
  if ((directory.mode & 0o002) === 0 || directory.uid === stat.uid || isBelieved(path)) return undefined;
  return `it belongs to another user (uid ${stat.uid}), and everybody may put files into its directory: look at it, and accept it with --trust or qrun trust`;
}

/** Whether a path lies at or below a directory that {@link believeBelow} was called with. */
export function isBelieved(path: string): boolean {
  const at = resolve(path);
  return [...believed].some(([directory, isTrusted]) => isBeneath(at, directory) && isTrusted());
}
