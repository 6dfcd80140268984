import { join, relative, sep } from 'node:path';
import { QrunError } from '../../core/errors.js';
import type { SqlDirectory } from '../../core/sweep/units.js';
import { sqlFilesIn } from '../files/foreign-names.js';
import { statOf } from '../files/paths.js';
import { TreeLinks } from './tree-links.js';
import { kindOf, readDirectory, realPathOf, refuseLink } from './unit-files.js';

/**
 * Returns every directory at or below `start` that holds SQL files, directly or deeper, by the rules by which a unit
 * lists its queries: names with a leading `_` or `.` do not count, and links are followed, never in a circle. A
 * directory whose name is not UTF-8 is listed as it looks, as one entry for everything in it.
 *
 * `tree`: where links may lead, `null` for anywhere.
 *
 * Errors: QrunError `UNIT_NOT_FOUND`, `UNIT_UNREADABLE`.
 */
export function findSqlDirectories(start: string, root: string, tree: string | null = root): SqlDirectory[] {
  if (!statOf(start)?.isDirectory()) {
    throw new QrunError('UNIT_NOT_FOUND', `there is no directory ${start}`, {
      hint: 'name the directory that holds the units of the sweep',
    });
  }
  const found: SqlDirectory[] = [];
  walk(start, root, found, new Set(), new TreeLinks(start, tree));
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

// Returns whether there are SQL files at or below the directory. `above` holds the real paths of the directories that
// it is in: a link to one of them leads in a circle.
function walk(
  directory: string,
  root: string,
  found: SqlDirectory[],
  above: ReadonlySet<string>,
  links: TreeLinks,
): boolean {
  const real = realPathOf(directory);
  if (above.has(real)) return false;
  const seen = new Set([...above, real]);
  let files = 0;
  let holds = false;
  for (const entry of readDirectory(directory)) {
    const kind = kindOf(directory, entry);
    if (kind === 'query') files += 1;
    else if (kind === 'foreign') {
      const below = sqlFilesIn(directory, entry.name).length;
      if (below > 0)
        found.push({ path: pathIn(root, join(directory, entry.name)), files: below, above: false });
      holds ||= below > 0;
    } else if (kind === 'directory') {
      const path = join(directory, entry.name);
      const holdsSome = walk(path, root, found, seen, links);
      if (holdsSome && entry.isSymbolicLink()) refuseLink(path, links);
      holds ||= holdsSome;
    }
  }
  if (files === 0 && !holds) return false;
  found.push({ path: pathIn(root, directory), files, above: holds });
  return true;
}

function pathIn(root: string, directory: string): string {
  return relative(root, directory).split(sep).join('/');
}
