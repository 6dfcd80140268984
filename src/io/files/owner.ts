import { type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isBeneath } from './paths.js';

/** The user id of this process; `undefined` on a system without user ids (Windows). */
export function ownUser(): number | undefined {
  return process.geteuid?.();
}

/**
 * Whether the files of a user may decide anything here: those of the user of this process and of root may; under sudo,
 * also those of the user who called it.
 */
export function isOwn(uid: number): boolean {
  const own = ownUser();
  // `undefined`: there are no owners to compare (Windows).
  if (own === undefined || uid === own || uid === 0) return true;
  return own === 0 && process.env.SUDO_UID === String(uid);
}

/**
 * Returns why a file or directory must not be believed, for a message, or `undefined`. The reasons: it belongs to
 * another local user, or everybody may write to it (except a directory with the sticky bit, in which the files of
 * others cannot be replaced). The group may write: trees of a group are shared on purpose. It fits
 * {@link FileChecks.refuse} of open-file.ts.
 */
export function distrust(stat: Stats): string | undefined {
  // Only the number: the name may be in a remote database.
  if (!isOwn(stat.uid)) return `it belongs to another user (uid ${stat.uid}), and neither to you nor to root`;
  const isOpenToAll = (stat.mode & 0o002) !== 0 && !(stat.isDirectory() && (stat.mode & 0o1000) !== 0);
  return isOpenToAll ? `every user of this machine may write to it: chmod o-w` : undefined;
}

/** Like {@link distrust}, for what a path leads to; `undefined` also if nothing is there. Errors: those of stat(2). */
export function distrustPath(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : distrust(stat);
}

const believed = new Map<string, () => boolean>();

/**
 * Makes this process believe everything at or below a directory from now on, whoever owns it, if the user trusts the
 * tree. `isTrusted` is called only when somebody else's file is met. The rules for links and hard links do not change.
 */
export function believeBelow(directory: string, isTrusted: () => boolean = () => true): void {
  believed.set(resolve(directory), isTrusted);
}

/** The directories that are believed, to be passed on to a thread of this process, which does not know them. */
export function believedDirectories(): string[] {
  return [...believed].flatMap(([directory, isTrusted]) => (isTrusted() ? [directory] : []));
}

/** Like {@link distrust}, for what was found at a path; `undefined` at or below a directory that the user trusts. */
export function distrustAt(stat: Stats, path: string): string | undefined {
  const problem = distrust(stat);
  return problem !== undefined && isBelieved(path) ? undefined : problem;
}

/**
 * Returns why a file of SQL is not read, for a message, or `undefined`. The reason: another user has put it into a
 * directory where everybody may put files, and the user does not trust that directory. In a directory of another user,
 * the files of its owner are read: whoever named the directory accepted its owner. Cost: one stat(2) of the directory,
 * only for a file of another user.
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
