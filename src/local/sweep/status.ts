import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { SweepWatch, type UnitToWatch } from '../../app/sweep/status.js';
import { isQuery } from '../../app/unit/survey.js';
import { QrunError } from '../../core/errors.js';
import { tasksByName } from '../../core/queue/labels.js';
import type { QueueOptions, QueueState } from '../../core/queue/queue.js';
import type { SweepStatus } from '../../core/sweep/status.js';
import { selectNames } from '../../core/unit/selection.js';
import { statOf } from '../../io/files/paths.js';
import { LogFollower } from '../../io/log/follow.js';
import { leaseHolder, leasePath } from '../../io/log/lease.js';
import { lastStart, readRuns, sidecarPath } from '../../io/log/run-sidecar.js';
import { reachable } from '../../io/machine/local-disks.js';
import { queueOf } from '../../io/queue/queues.js';
import { directorySource } from '../../io/unit/unit-files.js';
import { holderOf, otherLogs } from '../log/own-logs.js';
import { queueReader } from '../queue/reader.js';
import type { UnitContext } from '../unit/context.js';
import { lastAudit, type ResolvedSweep } from './context.js';

/** Returns the watch of a sweep, for any number of looks; see {@link SweepWatch}. */
export function sweepWatch(sweep: ResolvedSweep, options: QueueOptions): SweepWatch {
  return watchOf(sweep, queueReader(queueOf(sweep.table), options));
}

/** Returns the watch of what the logs of a sweep say, and who holds its units; it asks no queue. */
export function logWatch(sweep: ResolvedSweep): SweepWatch {
  return watchOf(sweep, async () => ({ tasks: [], groups: new Map() }));
}

/**
 * Returns one look at those of these units that this machine has anything of: a task, a log or a lease. Whoever asks for
 * it knows the others, and how many queries a unit without a log has: no file is read for that.
 *
 * Errors: as {@link SweepWatch}.
 */
export async function lookAtOwn(
  sweep: ResolvedSweep,
  wanted: readonly string[],
  options: QueueOptions,
): Promise<SweepStatus> {
  const read = await queueReader(queueOf(sweep.table), options)();
  const tasks = read instanceof QrunError ? [] : read.tasks;
  const names = tasksByName('unit', tasks, sweep.name);
  const isWanted = new Set(wanted);
  const units = sweep.units
    .filter(({ unit }) => isWanted.has(unit))
    .map(context => ({ context, hasLog: existsSync(context.logPath) }))
    .filter(
      ({ context: { unit, logPath }, hasLog }) => hasLog || names.has(unit) || existsSync(leasePath(logPath)),
    )
    .map(({ context, hasLog }): UnitToWatch => {
      const { isQuery, ...rest } = unitToWatch(context);
      return hasLog && isQuery !== undefined ? { ...rest, isQuery } : rest;
    });
  return await watchOf(sweep, async () => read, units).look();
}

function watchOf(
  sweep: ResolvedSweep,
  readQueue: () => Promise<QueueState | QrunError>,
  units: readonly UnitToWatch[] = sweep.units.map(unit => unitToWatch({ ...unit, table: sweep.table })),
): SweepWatch {
  return new SweepWatch({
    sweep: sweep.name,
    group: sweep.group,
    units,
    readQueue,
    readAudit: () => lastAudit(sweep),
    nowMs: Date.now,
  });
}

/** Returns a function that waits until every disk that a look at a sweep reads answers; see {@link reachable}. */
export function sweepReachable({ root, units }: ResolvedSweep): () => Promise<void> {
  return reachable([
    root,
    ...units.flatMap(({ directory, logPath }) => [
      ...[directory, logPath, dirname(logPath)],
      ...[leasePath(logPath), sidecarPath(logPath)],
    ]),
  ]);
}

function unitToWatch(context: UnitContext): UnitToWatch {
  const { unit, directory, logPath, logDirectory, linksWithin, config, table } = context;
  const isElsewhere = queueOf(table).isCluster === true;
  const source = directorySource(directory, 0, linksWithin);
  return {
    unit,
    queries: () => selectNames(source.list(), config),
    isQuery: name => isQuery(source, name),
    rowsPerQuery: config.rowsPerQuery,
    follow: newStates => new LogFollower(logPath, unit, newStates),
    ...(isElsewhere
      ? {
          followOthers: followed =>
            new Map(
              otherLogs(logPath, logDirectory)
                .filter(path => !followed.has(path) && statOf(path) !== undefined)
                .map(path => [path, newStates => new LogFollower(path, unit, newStates)]),
            ),
        }
      : {}),
    holder: () => (isElsewhere ? holderOf(logPath, logDirectory) : leaseHolder(logPath)),
    // Of all machines, the last one to start.
    lastStart: () =>
      (isElsewhere ? [logPath, ...otherLogs(logPath, logDirectory)] : [logPath])
        .map(path => lastStart(readRuns(path)))
        .reduce((last, start) =>
          start !== undefined && (last === undefined || start.at > last.at) ? start : last,
        ),
  };
}
