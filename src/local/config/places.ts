import { dirname, join } from 'node:path';
import { namesIn } from '../../io/files/paths.js';
import { checkPlace } from '../../io/unit/tree-places.js';

const LOGS = {
  what: 'the directory of the logs',
  option: '--log-dir',
  isOurs: (name: string) => /\.(?:lease|lock|runs)$/.test(name),
};
const DATA = {
  what: 'the data directory',
  option: '--data-dir',
  isOurs: (name: string) => /^[0-9a-f]{16}\.(?:units|lock)$/.test(name),
};

const KEPT = {
  what: 'the directory of what qrun keeps',
  option: '--data-dir',
  isOurs: (name: string, directory: string) =>
    /^(?:submit|data)\.lock$/.test(name) ||
    (name === 'data' && namesIn(join(directory, name)).some(DATA.isOurs)),
};

/**
 * Refuses a directory of job results that belongs to another user or is writable by everybody. The commands of a
 * jobs.toml run anyway, so it may also say where.
 *
 * Errors: QrunError `CONFIG`.
 */
export function checkJobResults(path: string): void {
  checkPlace(dirname(path), { ...LOGS, path, option: 'results = "..." in jobs.toml', isNamed: () => true });
}

/**
 * Refuses a directory of submissions (`.qrun/jobs`) in which nothing may be written; see `checkPlace`.
 *
 * Errors: QrunError `CONFIG`.
 */
export function checkSubmissions(root: string): void {
  const isOurs = (name: string): boolean => /^[0-9a-f]{16}\.json$/.test(name);
  const path = join(root, '.qrun', 'jobs');
  checkPlace(root, { ...KEPT, what: 'the directory of submissions', path, isNamed: () => false, isOurs });
}

/**
 * Returns where the logs of a sweep and the data of its embedded engine lie. `given`: absolute, where configured;
 * `isNamed`: whether the user configured it, and not a file of the tree.
 *
 * Errors: QrunError `CONFIG` for a place that must not be used; see `checkPlace`.
 */
export function placesOf(
  root: string,
  given: Readonly<Partial<Record<'logDir' | 'dataDir', string>>>,
  isNamed: (key: 'logDir' | 'dataDir') => boolean,
): { readonly logDirectory: string; readonly dataDirectory: string } {
  const logDirectory = given.logDir ?? join(root, 'results');
  checkPlace(root, { ...LOGS, path: logDirectory, isNamed: () => isNamed('logDir') });
  checkPlace(root, { ...KEPT, path: join(root, '.qrun'), isNamed: () => false });
  const dataDirectory = given.dataDir ?? join(root, '.qrun', 'data');
  // A configured one is checked when it is opened: it may hold one directory for each unit.
  const isOurs = given.dataDir === undefined ? DATA.isOurs : () => true;
  checkPlace(root, { ...DATA, path: dataDirectory, isNamed: () => isNamed('dataDir'), isOurs });
  return { logDirectory, dataDirectory };
}
