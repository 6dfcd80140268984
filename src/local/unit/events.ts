import type { Stats } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { isBeneath, realOf, statOf } from '../../io/files/paths.js';
import { type EventsFile, openEventsFile } from '../../io/log/events-file.js';
import { realLogPath } from '../../io/log/place.js';
import type { UnitContext } from './context.js';
import { refuseInput } from './log-place.js';

/**
 * Refuses an events file that is the log of the unit, or an input: events are appended without the lock of the log,
 * and would damage it between its records.
 *
 * Errors: QrunError `USAGE`.
 */
export function refuseEventsIn({ config, logPath }: UnitContext, cwd: string): void {
  if (config.events === undefined) return;
  const path = realLogPath(resolve(cwd, config.events));
  refuseInput('--events', config.events, path);
  if (path !== logPath) return;
  throw new QrunError('USAGE', `--events ${config.events}: that is the log of the unit`, {
    hint: 'name a separate file for the events',
  });
}

/** Opens the events file that a configuration names, if it names one; `onFailure` is called at its first failure. */
export function openEventsOf(
  { config, root, logPath }: UnitContext,
  cwd: string,
  onFailure: (message: string) => void,
): EventsFile | undefined {
  if (config.events === undefined) return undefined;
  const path = resolve(cwd, config.events);
  return openEventsFile(
    path,
    Date.now,
    error => onFailure(`no more events to ${config.events}: ${error.message}`),
    {
      // Whoever wrote the tree may have made a link in it to any file of the user.
      follow: !liesIn(root, path),
      refuse: stat => (isFile(stat, logPath) ? 'it is the log of the unit' : undefined),
    },
  );
}

// As written, or by another path to the same tree.
function liesIn(root: string, path: string): boolean {
  return isBeneath(path, root) || isBeneath(realOf(dirname(path)), realOf(root));
}

function isFile({ dev, ino }: Stats, path: string): boolean {
  const stat = statOf(path);
  return stat?.dev === dev && stat.ino === ino;
}
