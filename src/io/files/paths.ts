import { realpathSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** Whether a path is a directory or lies in it: both absolute, and of one kind (as written, or without links). */
export function isBeneath(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

/** Whether something beneath a directory is hidden there: it, or a directory on the way, has a name that begins with a dot. */
export function isHiddenIn(directory: string, path: string): boolean {
  return relative(directory, path)
    .split(sep)
    .some(name => name.startsWith('.'));
}

/**
 * The real path of something of which the last parts may not be there yet; what cannot be looked at is taken as it is
 * written.
 */
export function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return dirname(path) === path ? path : join(realOf(dirname(path)), path.slice(dirname(path).length));
  }
}
