import { dirname } from 'node:path';
import { SweepWatch, type UnitToWatch } from '../../app/sweep/status.js';
import { isQuery } from '../../app/unit/survey.js';
import { QrunError } from '../../core/errors.js';
import type { QueueOptions, QueueState, TaskQueue } from '../../core/queue/queue.js';
import { selectNames } from '../../core/unit/selection.js';
import { LogFollower } from '../../io/log/follow.js';
import { leaseHolder, leasePath } from '../../io/log/lease.js';
import { lastStart, readRuns, sidecarPath } from '../../io/log/run-sidecar.js';
import { reachable } from '../../io/machine/local-disks.js';
import { QUEUE } from '../../io/queue/queues.js';
import { directorySource } from '../../io/unit/unit-files.js';
import type { UnitContext } from '../unit/context.js';
import { lastAudit, type ResolvedSweep } from './context.js';

/** Returns the watch of a sweep, for any number of looks; see {@link SweepWatch}. */
export function sweepWatch(sweep: ResolvedSweep, options: QueueOptions): SweepWatch {
  return watchOf(sweep, queueReader(options));
}

/** Returns the watch of what the logs of a sweep say, and who holds its units; it asks no queue. */
export function logWatch(sweep: ResolvedSweep): SweepWatch {
  return watchOf(sweep, async () => ({ tasks: [], groups: new Map() }));
}

function watchOf(sweep: ResolvedSweep, readQueue: () => Promise<QueueState | QrunError>): SweepWatch {
  return new SweepWatch({
    sweep: sweep.name,
    group: sweep.group,
    units: sweep.units.map(unitToWatch),
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

function queueReader(options: QueueOptions): () => Promise<QueueState | QrunError> {
  let queue: TaskQueue | undefined;
  return async () => {
    try {
      queue ??= await QUEUE.open(options);
      return await queue.state();
    } catch (error) {
      if (error instanceof QrunError) return error;
      throw error;
    }
  };
}

function unitToWatch({ unit, directory, logPath, linksWithin, config }: UnitContext): UnitToWatch {
  const source = directorySource(directory, 0, linksWithin);
  return {
    unit,
    queries: () => selectNames(source.list(), config),
    isQuery: name => isQuery(source, name),
    rowsPerQuery: config.rowsPerQuery,
    follow: newStates => new LogFollower(logPath, unit, newStates),
    holder: () => leaseHolder(logPath),
    lastStart: () => lastStart(readRuns(logPath)),
  };
}
