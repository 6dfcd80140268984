import { realpathSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** Whether a path is the directory or in it. Both must be absolute, and of one kind (as written, or without links). */
export function isBeneath(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

/** Whether a path beneath a directory is hidden: its name, or that of a directory on the way, begins with a dot. */
export function isHiddenIn(directory: string, path: string): boolean {
  return relative(directory, path)
    .split(sep)
    .some(name => name.startsWith('.'));
}

/**
 * Returns the real path of something whose last parts may not exist yet. Parts that cannot be resolved stay as they are
 * written.
 */
export function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return dirname(path) === path ? path : join(realOf(dirname(path)), path.slice(dirname(path).length));
  }
}
