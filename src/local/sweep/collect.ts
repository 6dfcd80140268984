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
import { systemClock } from '../../io/machine/clock.js';
import { thisProcess } from '../../io/machine/this-process.js';
import { queueOf } from '../../io/queue/queues.js';
import { directorySource } from '../../io/unit/unit-files.js';
import { newRunId } from '../unit/run-id.js';
import type { ResolvedSweep } from './context.js';
import { findHostLogs, findKeptLogs, type HostLogs, hasHostLogs, type UnitWithSources } from './host-logs.js';

/** How an import is watched and stopped. */
export interface CollectWatch {
  /** Ends it between two units. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each log that is done. */
  readonly onLog?: ((log: CollectedLog) => void) | undefined;
  /** Called with what a person should know, such as the repair of a torn end. */
  readonly onNotice?: ((message: string) => void) | undefined;
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
  const logs = await importInto(units, { signal, onLog, onNotice });
  return {
    sweep: sweep.name,
    log_directory: sweep.logDirectory,
    hosts: [...hosts],
    logs,
    left_out: leftOut,
    exit_code: collectExit(logs, leftOut, hosts),
  };
}

/** Imports the logs of other hosts into those of these units; see {@link collectUnits}. */
export async function importInto(
  units: readonly UnitWithSources[],
  { signal, onLog, onNotice }: CollectWatch,
): Promise<CollectedLog[]> {
  const { pid, host } = thisProcess();
  const owner = { pid, host, run: newRunId(), since: new Date().toISOString() };
  return await collectUnits(
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
}

// Another import of the same logs is soon done.
const BUSY = { tries: 30, pauseMs: 1_000 };

/**
 * Imports what the machines of a queue have recorded, each in logs of its own on the disk of this one; does nothing for
 * a queue of this machine, and before the first record. Waits for another import. What could not be imported is told,
 * and is for the audit to find.
 *
 * Errors: QrunError `READ_FAILED`; the reason of the signal.
 */
export async function collectOwn(
  sweep: ResolvedSweep,
  watch: Pick<CollectWatch, 'onNotice'> & { readonly signal: AbortSignal },
): Promise<void> {
  if (queueOf(sweep.table).isCluster !== true) return;
  for (let tried = 1; hasHostLogs(sweep); tried += 1) {
    const { units } = await findHostLogs(sweep, [], sweep.root);
    const failed = (await importInto(units, watch)).flatMap(({ problem, from }) =>
      problem === null ? [] : [{ ...problem, from }],
    );
    const isBusy = failed.some(({ exit_code: code }) => code === 22);
    if (!isBusy || tried === BUSY.tries) {
      for (const { from, message } of failed) watch.onNotice?.(`${from} was not imported: ${message}`);
      return;
    }
    await systemClock.delay(BUSY.pauseMs, watch.signal);
  }
}
