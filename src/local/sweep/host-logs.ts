import { readdirSync, type Stats, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { logName } from '../../core/unit/names.js';
import { isMissing, readError } from '../../io/files/failures.js';
import { unitOfLog } from '../../io/log/follow.js';
import type { LogSource } from '../../io/log/import-logs.js';
import { realLogPath } from '../../io/log/place.js';
import type { UnitContext } from '../unit/context.js';
import type { ResolvedSweep } from './context.js';

/** Where the logs of other hosts are kept, beneath the logs here: a directory for each host. */
export const FROM_HOSTS = '.from';

/** A unit with the logs that other hosts have of it. */
export type UnitWithSources = UnitContext & { readonly sources: readonly LogSource[] };

/** What was found. */
export interface HostLogs {
  /** In the order of the sweep. */
  readonly units: readonly UnitWithSources[];
  /** Logs of no unit that was asked for. */
  readonly leftOut: readonly string[];
}

const LOG = /\.ndjson$/;

/** Returns whether there is a directory for logs of other hosts. */
export function hasHostLogs({ logDirectory }: Pick<ResolvedSweep, 'logDirectory'>): boolean {
  return names(join(logDirectory, FROM_HOSTS), true) !== undefined;
}

/** Returns the directories of the logs of other hosts, absolute, sorted. Errors: QrunError `READ_FAILED`. */
export function hostDirectories(logDirectory: string): string[] {
  const kept = join(logDirectory, FROM_HOSTS);
  return (names(kept, true) ?? []).map(host => join(kept, host));
}

/**
 * Finds the logs of other hosts: those that `from` names (logs, or directories of logs), otherwise all in the
 * directories beneath `results/.from`. A log is of the unit whose log has its name; if no unit has that, of the unit of
 * its first record. Changes nothing.
 *
 * Errors: QrunError `USAGE` for a name that leads to nothing, to no log, or to the logs here; `READ_FAILED`.
 */
export async function findHostLogs(
  sweep: ResolvedSweep,
  from: readonly string[],
  cwd: string,
): Promise<HostLogs> {
  const sources = from.length === 0 ? keptLogs(sweep) : from.flatMap(one => namedLogs(sweep, one, cwd));
  return await byUnit(sweep, sources);
}

/**
 * Finds the logs in `results/.from` of hosts with these names; with `all` of others too. Changes nothing. Errors:
 * QrunError `READ_FAILED`.
 */
export async function findKeptLogs(
  sweep: ResolvedSweep,
  hosts: readonly string[],
  all: boolean,
): Promise<HostLogs> {
  const kept = join(sweep.logDirectory, FROM_HOSTS);
  const known = new Set([...hosts, ...(all ? (names(kept, true) ?? []) : [])]);
  return await byUnit(
    sweep,
    [...known].sort().flatMap(host => logsIn(join(kept, host))),
  );
}

// Gives each log to its unit.
async function byUnit(sweep: ResolvedSweep, sources: readonly LogSource[]): Promise<HostLogs> {
  const known = new Map(sweep.units.map(unit => [logName(unit.unit), unit]));
  const byId = new Map(sweep.units.map(unit => [unit.unit, unit]));
  const found = new Map<UnitContext, LogSource[]>();
  const seen = new Set<string>();
  const leftOut: string[] = [];
  for (const source of sources) {
    const { path } = source;
    const real = realLogPath(path);
    if (seen.has(real)) continue;
    seen.add(real);
    const unit = known.get(basename(path)) ?? byId.get((await unitOfLog(path)) ?? '');
    if (unit === undefined && source.isNamed) throw unitUnknown(path, sweep);
    if (unit === undefined) leftOut.push(path);
    else if (real === unit.logPath) throw isOwn(path);
    else found.set(unit, [...(found.get(unit) ?? []), source]);
  }
  return {
    units: sweep.units.flatMap(unit => {
      const sources = found.get(unit);
      return sources === undefined ? [] : [{ ...unit, sources }];
    }),
    leftOut,
  };
}

function keptLogs({ logDirectory }: ResolvedSweep): LogSource[] {
  if (!hasHostLogs({ logDirectory })) {
    const kept = join(logDirectory, FROM_HOSTS);
    throw new QrunError('USAGE', `there are no logs of other hosts: there is no directory ${kept}`, {
      hint: `copy the logs of each host into ${kept}/HOST, or name them with --from`,
    });
  }
  return hostDirectories(logDirectory).flatMap(logsIn);
}

function logsIn(directory: string): LogSource[] {
  return (names(directory) ?? []).map(name => ({ path: join(directory, name), isNamed: false }));
}

function namedLogs({ logDirectory }: ResolvedSweep, given: string, cwd: string): LogSource[] {
  const path = resolve(cwd, given);
  const stat = statOf(path, given);
  if (!stat.isDirectory()) return [{ path, isNamed: true }];
  if (realLogPath(path) === realLogPath(logDirectory)) throw isOwn(path);
  const all = logsIn(path);
  if (all.length === 0 && readdirSync(path).length > 0) {
    throw new QrunError('USAGE', `--from ${given}: there is no log (*.ndjson) in this directory`, {
      hint: 'name the directory that holds the logs themselves, such as HOST/results',
    });
  }
  return all;
}

function statOf(path: string, given: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    if (!isMissing(cause)) throw readError(path, cause, 'make it readable');
    throw new QrunError('USAGE', `--from ${given}: there is no such file or directory`, {
      hint: 'name a log of another host, or the directory that holds its logs',
    });
  }
}

// The logs in a directory, or the directories in it, sorted; `undefined` if there is no such directory.
function names(directory: string, directories = false): string[] | undefined {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(entry => (directories ? entry.isDirectory() : !entry.isDirectory() && LOG.test(entry.name)))
      .map(({ name }) => name)
      .sort();
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw readError(directory, cause, 'make it readable');
  }
}

function isOwn(path: string): QrunError {
  return new QrunError('USAGE', `--from ${path}: this is where the logs of this sweep are`, {
    hint: 'name the logs of another host, or a copy of them',
  });
}

function unitUnknown(path: string, { name }: ResolvedSweep): QrunError {
  return new QrunError('USAGE', `--from ${path}: this is no log of a unit of ${name} that is asked for`, {
    hint: 'a log has the name that it has on its host, or records of its unit; look at --include, --exclude and --param',
  });
}
