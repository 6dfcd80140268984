import { basename, join } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { statOf } from '../../io/files/paths.js';
import { leaseHolder } from '../../io/log/lease.js';
import { machineName } from '../../io/queue/queues.js';
import type { Surroundings } from '../config/sweep-context.js';
import { type CollectWatch, importInto } from '../sweep/collect.js';
import { FROM_HOSTS, hostDirectories } from '../sweep/host-logs.js';
import type { UnitContext } from '../unit/context.js';

/**
 * Returns a unit as it runs on one of several machines that share a directory: it records into a log of this machine
 * alone, `results/.from/<machine>/<log>`, so that no log ever has two writers.
 *
 * Errors: QrunError `USAGE` if a log is named too.
 */
export function withOwnLog(unit: UnitContext, env: Surroundings['env']): UnitContext {
  if (unit.config.log !== undefined) {
    throw new QrunError('USAGE', '--host-logs: the log is named by --log', {
      hint: 'give one of them; --log-dir says where the logs of all hosts are',
    });
  }
  const logDirectory = join(unit.logDirectory, FROM_HOSTS, directoryOf(machineName(env)));
  return { ...unit, logDirectory, logPath: join(logDirectory, basename(unit.logPath)) };
}

// A name of a host has no others.
function directoryOf(machine: string): string {
  return machine.replace(/[^\w.-]/g, '-').replace(/^\.+/, '') || 'unnamed';
}

/**
 * Imports what is known of a unit, here and on other machines, into the log `own` of this one, so that it goes on where
 * another one ended. What cannot be read is told, and runs again.
 *
 * Errors: the reason of the signal.
 */
export async function fetchKnown(unit: UnitContext, own: UnitContext, watch: CollectWatch): Promise<void> {
  const others = otherLogs(unit.logPath, unit.logDirectory).filter(path => path !== own.logPath);
  const sources = [unit.logPath, ...others]
    .filter(path => statOf(path) !== undefined)
    .map(path => ({ path, isNamed: false }));
  if (sources.length === 0) return;
  for (const { problem, from } of await importInto([{ ...own, sources }], watch)) {
    if (problem !== null && problem.exit_code !== 22) {
      watch.onNotice?.(`what ${from} knows was not used: ${problem.message}`);
    }
  }
}

/** Returns the logs that other machines have of the unit with this log, whether they exist or not. */
export function otherLogs(logPath: string, logDirectory: string): string[] {
  return hostDirectories(logDirectory).map(directory => join(directory, basename(logPath)));
}

/**
 * Returns who runs the unit with this log, here or on a machine that shares its directory, for people; `undefined` if
 * nobody does, as far as the locks of that disk tell.
 */
export async function holderOf(logPath: string, logDirectory: string): Promise<string | undefined> {
  for (const path of [logPath, ...otherLogs(logPath, logDirectory)]) {
    const holder = await leaseHolder(path);
    if (holder !== undefined) return holder;
  }
  return undefined;
}
