import { type lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
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

/** Returns the names in a directory; none if it cannot be read. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/**
 * Returns the state of what a path leads to, or of the path itself with `lstatSync`; `undefined` if nothing is there that
 * can be looked at.
 */
export function statOf(path: string, stat: typeof statSync | typeof lstatSync = statSync): Stats | undefined {
  try {
    return stat(path, { throwIfNoEntry: false }) as Stats | undefined;
  } catch {
    // The path goes through something that is not a directory, or through a directory that may not be entered.
    return undefined;
  }
}
