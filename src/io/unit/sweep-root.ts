import { lstatSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isOwn } from '../files/owner.js';
import { isBeneath, statOf } from '../files/paths.js';
import { isNamed } from './unit-files.js';

/** The sweep that a unit belongs to. */
export interface SweepRoot {
  readonly directory: string;
  /** The `qrun.toml` that makes it the root, if there is one. */
  readonly configFile: string | undefined;
  /** Set if nothing says that it is a root: neither a `qrun.toml` nor the current directory. */
  readonly guessed?: true;
  /** A `qrun.toml` further up that does not count, and why. */
  readonly passedOver?: { readonly file: string; readonly why: string };
}

/**
 * Returns the root of a unit's sweep: the directory of the nearest `qrun.toml` at or above the unit; otherwise `cwd` if
 * the unit is beneath it; otherwise the unit's parent. So a unit has one id, however it is started.
 *
 * Like git, the search does not go up into a directory of another user (unless `accepts` returns true for it), or into
 * another file system (unless the root found there is `cwd`, or `accepts` returns true for it). A `qrun.toml` of
 * another user in a directory where everybody may put files (such as /tmp) is passed over.
 */
export function findSweepRoot(
  unitDirectory: string,
  cwd: string,
  accepts: (directory: string) => boolean = () => false,
): SweepRoot {
  const unit = resolve(unitDirectory);
  let passedOver: SweepRoot['passedOver'];
  let below: Stats | undefined;
  // Once this is set, the directories above are looked at only to report a `qrun.toml` that does not count.
  let border: string | undefined;
  let disk: string | undefined;
  for (let at = unit; ; at = dirname(at)) {
    const here = statOf(at);
    border ??= borderTo(at, here, below, accepts);
    if (here !== undefined && below !== undefined && here.dev !== below.dev) disk = OTHER_DISK;
    const file = join(at, 'qrun.toml');
    if (isNamed(file)) {
      const isMeant = disk !== undefined && (at === cwd || accepts(at));
      const why = border ?? (isMeant ? undefined : disk) ?? strangerIn(file, here, accepts);
      if (why === undefined) return { directory: at, configFile: file };
      passedOver ??= { file, why };
    }
    below = here ?? below;
    if (dirname(at) === at) break;
  }
  const beneath = unit !== cwd && isBeneath(unit, cwd);
  return {
    directory: beneath ? cwd : dirname(unit),
    configFile: undefined,
    ...(beneath ? {} : { guessed: true }),
    ...(passedOver === undefined ? {} : { passedOver }),
  };
}

const OTHER_DISK =
  'it is on a different file system than what is below it (to use it, start qrun in its directory, or trust it)';

// Returns why the search does not go up from the directory below into this one.
function borderTo(
  at: string,
  here: Stats | undefined,
  below: Stats | undefined,
  accepts: (directory: string) => boolean,
): string | undefined {
  if (here === undefined || below === undefined) return undefined;
  if (isOwn(here.uid) || here.uid === below.uid || accepts(at)) return undefined;
  return `its directory belongs to a different user (uid ${here.uid}) than those below it`;
}

/**
 * Returns why a file is passed over: another user has put it into a directory that is open to everybody (such as /tmp)
 * and that is not accepted. Otherwise returns `undefined`. In such a directory a user can neither choose nor prevent
 * what others put there.
 */
export function strangerIn(
  file: string,
  directory: Stats | undefined,
  accepts: (directory: string) => boolean,
): string | undefined {
  if (directory === undefined || (directory.mode & 0o1002) !== 0o1002) return undefined;
  const uid = (statOf(file) ?? statOf(file, lstatSync))?.uid;
  if (uid === undefined) return undefined;
  return isOwn(uid) || accepts(dirname(file)) ? undefined : `it belongs to another user (uid ${uid})`;
}
