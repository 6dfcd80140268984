import type { Stats } from 'node:fs';
import type { FileChecks, Problem } from './open-file.js';
import { distrustAt } from './owner.js';

// A directory may be shared on purpose, by a group or over a file system that does not show the real owners.
const OWNER_HINT =
  'remove it, take it over (chown), or name another place with --log-dir; if you share it on purpose: qrun trust';

/** Why one of qrun's own files must not be believed; see {@link distrustAt}. */
function distrusted(stat: Stats, path: string): Problem | undefined {
  const message = distrustAt(stat, path);
  return message === undefined ? undefined : { message, hint: OWNER_HINT };
}

function unfitToWrite(stat: Stats, path: string): Problem | undefined {
  if (stat.nlink <= 1) return distrusted(stat, path);
  // Appending to it would append to a file with another name, which may be anybody's. And locks go by name: a run
  // under the other name would neither see this one nor wait for its appends.
  return {
    message: `it has ${stat.nlink} names (hard links), but may have only one here`,
    hint: 'copy it, and move the copy to this name: cp FILE FILE.new && mv FILE.new FILE',
  };
}

/** Checks for a file that qrun wrote and reads: it must not be a link, nor somebody else's. */
export const OWN_TO_READ: FileChecks = { follow: false, refuse: distrusted };

/** Like {@link OWN_TO_READ}, but the path was named by the user and may end in a link. */
export const OWN_AS_NAMED: FileChecks = { refuse: distrusted };

/** Checks for a file that qrun appends to or empties: it must not be a link of either kind, nor somebody else's. */
export const OWN_TO_WRITE: FileChecks = { follow: false, refuse: unfitToWrite };

/**
 * Like {@link OWN_TO_WRITE}, for a lock. Whoever can open a file can lock it, so that anybody who may read a lock or a
 * lease could stop every run. A lock that everybody may write to is accepted nevertheless: its owner removes that
 * permission when opening it.
 */
export const OWN_LOCK: FileChecks = {
  follow: false,
  mode: 0o660,
  refuse: (stat, path) => unfitToWrite(withoutOthers(stat), path),
};

function withoutOthers(stat: Stats): Stats {
  return Object.assign(Object.create(stat) as Stats, { mode: stat.mode & ~0o007 });
}
