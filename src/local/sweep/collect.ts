import { collectUnits } from '../../app/sweep/collect.js';
import { presentQueries } from '../../app/unit/survey.js';
import {
  type CollectedLog,
  type CollectReport,
  collectExit,
  type FetchedHost,
} from '../../core/sweep/collect.js';
import { orWriteError } from '../../io/files/failures.js';
import { makeDirectories } from '../../io/files/write-file.js';
import { localDisk } from '../../io/log/disk.js';
import { importLogs } from '../../io/log/import-logs.js';
import { takeLease } from '../../io/log/lease.js';
import { appendRun, readRuns } from '../../io/log/run-sidecar.js';
import { thisProcess } from '../../io/machine/this-process.js';
import { directorySource } from '../../io/unit/unit-files.js';
import { newRunId } from '../unit/run-id.js';
import type { ResolvedSweep } from './context.js';
import { findHostLogs, findKeptLogs, type HostLogs } from './host-logs.js';

/** How an import is watched and stopped. */
export interface CollectWatch {
  /** Ends it between two units. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each log that is done. */
  readonly onLog?: (log: CollectedLog) => void;
  /** Called with what a person should know, such as the repair of a torn end. */
  readonly onNotice?: (message: string) => void;
}

/** Hosts whose logs were copied into `results/.from` first. */
export interface KeptFrom {
  readonly names: readonly string[];
  /** Whether what else is in `results/.from` is imported too. */
  readonly isAll: boolean;
  /** What became of each. */
  readonly fetched: readonly FetchedHost[];
}

/**
 * Imports the logs of other hosts into those of a sweep, as {@link collectUnits} does. `from`: logs and directories of
 * logs, relative to `cwd`; without any, the directories in `results/.from`.
 *
 * Errors: QrunError `USAGE` for something in `from` that leads to no log; then nothing was imported. What is wrong
 * with a log or a unit is in the report.
 */
export async function collectSweep(
  sweep: ResolvedSweep,
  cwd: string,
  from: readonly string[],
  watch: CollectWatch,
): Promise<CollectReport> {
  return await importFound(sweep, await findHostLogs(sweep, from, cwd), [], watch);
}

/**
 * Imports the copies in `results/.from` of what hosts have recorded, as {@link collectUnits} does.
 *
 * Errors: QrunError `READ_FAILED`; the reason of the signal. What is wrong with a log or a unit is in the report.
 */
export async function importKept(
  sweep: ResolvedSweep,
  { names, isAll, fetched }: KeptFrom,
  watch: CollectWatch,
): Promise<CollectReport> {
  return await importFound(sweep, await findKeptLogs(sweep, names, isAll), fetched, watch);
}

async function importFound(
  sweep: ResolvedSweep,
  { units, leftOut }: HostLogs,
  hosts: readonly FetchedHost[],
  { signal, onLog, onNotice }: CollectWatch,
): Promise<CollectReport> {
  const { pid, host } = thisProcess();
  const owner = { pid, host, run: newRunId(), since: new Date().toISOString() };
  const logs = await collectUnits(
    {
      present: ({ directory, linksWithin, inputs, config }) =>
        presentQueries(directorySource(directory, 0, linksWithin), {
          inputs,
          allowPlaceholders: config.allowPlaceholders,
        }),
      takeLease: async ({ logDirectory, logPath, unit }) => {
        await orWriteError(
          `the log directory ${logDirectory}`,
          'choose a writable place with --log-dir',
          () => makeDirectories(logDirectory),
        );
        return await takeLease(logPath, unit, owner);
      },
      readRuns,
      appendRun,
      importLogs: async ({ logPath, unit }, sources, present, onReport) => {
        const onRepair = ({ bytes, savedAs }: { bytes: number; savedAs: string }): void =>
          onNotice?.(`${logPath} had a torn end of ${bytes} bytes, which is kept in ${savedAs}`);
        await importLogs({ path: logPath, unit, disk: localDisk, onRepair }, sources, present, onReport);
      },
      ...(onLog === undefined ? {} : { onLog }),
    },
    units,
    signal,
  );
  return {
    sweep: sweep.name,
    log_directory: sweep.logDirectory,
    hosts: [...hosts],
    logs,
    left_out: leftOut,
    exit_code: collectExit(logs, leftOut, hosts),
  };
}
