import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { QrunError } from '../../core/errors.js';
import type { Parameters } from '../../core/model.js';
import { logName, unitId } from '../../core/unit/names.js';
import { realLogPath } from '../../io/log/place.js';
import { unitName } from '../../io/unit/unit-files.js';
import type { SweepContext } from '../config/sweep-context.js';

type Place = Pick<SweepContext, 'root' | 'config' | 'logDirectory' | 'respelled'>;

/**
 * Returns where the log of the unit in `directory` lies: what `--log` names, relative to `cwd`, otherwise the place
 * that follows from its id.
 *
 * Errors: QrunError `USAGE` for the name of an input; `CONFIG` if results lie under the id of an earlier version;
 * `LOG_UNUSABLE` as {@link logPathOf}.
 */
export function logPlaceOf(sweep: Place, directory: string, unit: string, cwd: string): string {
  const { log, parameters } = sweep.config;
  if (log !== undefined) {
    const named = realLogPath(resolve(cwd, log));
    refuseInput('--log', log, named);
    return named;
  }
  const path = logPathOf(sweep, unit);
  refuseRespelled(sweep, directory, parameters, path);
  return path;
}

/**
 * Returns where the log of a unit lies by its id; see {@link realLogPath}.
 *
 * Errors: QrunError `LOG_UNUSABLE` for a link that leads out of the directory of the logs.
 */
export function logPathOf({ logDirectory }: Pick<SweepContext, 'logDirectory'>, unit: string): string {
  const named = join(logDirectory, logName(unit));
  const path = realLogPath(named);
  // A link in the tree could lead to any file of the user; one that is named by --log is the user's own choice.
  if (path === named || dirname(path) === realLogPath(logDirectory)) return path;
  throw new QrunError(
    'LOG_UNUSABLE',
    `the log ${named} is not used: it is a symbolic link that leads elsewhere, to ${path}`,
    {
      hint: 'remove the link, or name its target with --log',
    },
  );
}

// What qrun reads, by name: a file with one of these names would be a query, a setup or a configuration in the next
// run.
const INPUT = /\.sql$|^(?:qrun\.toml|\.env)$/i;

/**
 * Refuses to write to a file that qrun reads as an input, whether it exists or not. `path` is where `given` leads to.
 *
 * Errors: QrunError `USAGE`.
 */
export function refuseInput(option: string, given: string, path: string): void {
  if (!INPUT.test(basename(path))) return;
  throw new QrunError('USAGE', `${option} ${given}: qrun reads files of this name as its input`, {
    hint: 'give the file another name, such as results.ndjson',
  });
}

// Up to version 0.1.0 a parameter that qrun.toml gives as 1.0 was sent as 1, under an id with that number. Its
// results are neither silently left behind nor taken for those of another text.
function refuseRespelled(
  { root, logDirectory, respelled }: Place,
  directory: string,
  parameters: Parameters,
  logPath: string,
): void {
  const found = respelled.filter(({ name, written }) => parameters[name] === written);
  if (found.length === 0) return;
  const before = Object.fromEntries(found.map(one => [one.name, one.before]));
  const old = unitId(unitName(directory, root), { ...parameters, ...before });
  const oldLog = join(logDirectory, logName(old));
  if (!existsSync(oldLog) || existsSync(logPath)) return;
  throw new QrunError(
    'CONFIG',
    'qrun.toml gives parameters as numbers that were sent in other digits before',
    {
      details: found.map(one => `${one.name} = ${one.written} was sent as ${one.before}: ${oldLog}`),
      hint: `write them as strings: ${found.map(one => `"${one.before}"`).join(', ')} to continue with that log, or ${found.map(one => `"${one.written}"`).join(', ')} for new results`,
    },
  );
}
