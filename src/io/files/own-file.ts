import type { Stats } from 'node:fs';
import type { FileChecks, Problem } from './open-file.js';
import { distrustAt } from './owner.js';

// Where a directory is shared on purpose, by a group or over a file system that shows other owners than there are.
const OWNER_HINT =
  'remove it, take it over (chown), or name another place with --log-dir; where you share it on purpose: qrun trust';

/** Why a file of qrun's own is not to be believed; see {@link distrustAt}. */
function distrusted(stat: Stats, path: string): Problem | undefined {
  const message = distrustAt(stat, path);
  return message === undefined ? undefined : { message, hint: OWNER_HINT };
}

function unfitToWrite(stat: Stats, path: string): Problem | undefined {
  if (stat.nlink <= 1) return distrusted(stat, path);
  // What is appended to it would be appended to a file of another name, which may be anybody's. And its lock goes by
  // its name: a run by another name would neither see this one nor wait for its appends.
  return {
    message: `it has ${stat.nlink} names (hard links), and may have one here`,
    hint: 'copy it, and move the copy to this name: cp FILE FILE.new && mv FILE.new FILE',
  };
}

/** What is asked of a file that qrun wrote and reads: no link, and nobody else's. */
export const OWN_TO_READ: FileChecks = { follow: false, refuse: distrusted };

/** As {@link OWN_TO_READ}, where the path may end in a link: it was named by the user. */
export const OWN_AS_NAMED: FileChecks = { refuse: distrusted };

/** What is asked of a file that qrun appends to or empties: no link of either kind, and nobody else's. */
export const OWN_TO_WRITE: FileChecks = { follow: false, refuse: unfitToWrite };

/**
 * As {@link OWN_TO_WRITE}, of a lock. To lock a file it is enough to be able to open it: whoever may read a lock or a
 * lease could stop every run. One that all may write to is taken all the same: whoever opens it takes that right away.
 */
export const OWN_LOCK: FileChecks = {
  follow: false,
  mode: 0o660,
  refuse: (stat, path) => unfitToWrite(withoutOthers(stat), path),
};

function withoutOthers(stat: Stats): Stats {
  return Object.assign(Object.create(stat) as Stats, { mode: stat.mode & ~0o007 });
}
