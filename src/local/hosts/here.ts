import { join, relative } from 'node:path';
import { QrunError } from '../../core/errors.js';
import type { HereReport } from '../../core/hosts/look.js';
import { nameOfTask, sweepInLabel } from '../../core/queue/labels.js';
import { isLive } from '../../core/queue/queue.js';
import { lockMechanism } from '../../io/files/flock.js';
import { statOf } from '../../io/files/paths.js';
import { leaseHolder } from '../../io/log/lease.js';
import { lookAtLogPlace } from '../../io/log/place.js';
import { packageRoot, version } from '../../io/machine/this-process.js';
import { QUEUE } from '../../io/queue/queues.js';
import type { Given, Surroundings } from '../config/sweep-context.js';
import { resolveSweep } from '../sweep/context.js';

/**
 * Returns what this machine has for sweeps, and for the one at `root` if there is one. What is missing or broken is in
 * the report and ends nothing. Reads only.
 */
export async function lookHere(
  root: string,
  given: Given,
  surroundings: Surroundings,
  nodeVersion: string,
): Promise<HereReport> {
  const [queue, place, locks, sweep] = await Promise.all([
    lookAtQueue(surroundings.env),
    lookAtLogPlace(root),
    lockMechanism(),
    lookAtSweep(root, given, surroundings),
  ]);
  return {
    version: version(),
    program: packageRoot(),
    node: nodeVersion,
    ...queue,
    locks: locks ?? null,
    root,
    ...sweep,
    network: place.network,
    free_bytes: place.freeBytes ?? null,
  };
}

async function lookAtQueue(env: Surroundings['env']): Promise<Pick<HereReport, 'queue' | 'tasks'>> {
  const { name } = QUEUE;
  let known: string | null = null;
  try {
    const queue = await QUEUE.open({ env });
    known = queue.version;
    const { tasks } = await queue.state();
    return {
      queue: { name, version: known, problem: null, mend: null },
      tasks: tasks.filter(isLive).flatMap(task => {
        const sweep = sweepInLabel(task.label);
        const unit = sweep === undefined ? undefined : nameOfTask('unit', sweep, task);
        const { phase } = task;
        return sweep === undefined || unit === undefined || phase === 'done'
          ? []
          : [{ sweep, name: unit, phase }];
      }),
    };
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    const { message, hint } = error;
    return { queue: { name, version: known, problem: message, mend: hint ?? null }, tasks: [] };
  }
}

async function lookAtSweep(
  root: string,
  given: Given,
  surroundings: Surroundings,
): Promise<Pick<HereReport, 'sweep' | 'problem'>> {
  if (statOf(join(root, 'qrun.toml')) === undefined) return { sweep: null, problem: null };
  try {
    const sweep = resolveSweep(root, given, surroundings, { include: [], exclude: [] });
    const held: { unit: string; holder: string }[] = [];
    for (const { unit, logPath } of sweep.units) {
      const holder = await leaseHolder(logPath);
      if (holder !== undefined) held.push({ unit, holder });
    }
    const directories = new Set(sweep.units.map(({ directory }) => relative(sweep.root, directory)));
    return {
      sweep: { name: sweep.name, log_directory: sweep.logDirectory, directories: [...directories], held },
      problem: null,
    };
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    const says = [error.message, ...error.details].join('; ');
    return { sweep: null, problem: error.hint === undefined ? says : `${says} (${error.hint})` };
  }
}
