import { QrunError } from '../../core/errors.js';
import type { PresentQueries } from '../../core/log/scan/index.js';
import { type CollectedLog, problemOf } from '../../core/sweep/collect.js';
import type { LogSource, SourceReport } from '../../io/log/import-logs.js';
import type { Lease } from '../../io/log/lease.js';
import type { RunEntry } from '../../io/log/run-sidecar.js';

/** A unit, and what other hosts have recorded of it. */
export interface CollectUnit {
  readonly unit: string;
  readonly logPath: string;
  readonly sources: readonly LogSource[];
}

/** What an import uses of its environment. */
export interface CollectDeps<Unit extends CollectUnit> {
  /** Lists the unit's files. */
  readonly present: (unit: Unit) => PresentQueries;
  readonly takeLease: (unit: Unit) => Promise<Lease>;
  readonly readRuns: (logPath: string) => readonly RunEntry[];
  readonly appendRun: (logPath: string, entry: RunEntry) => Promise<void>;
  readonly importLogs: (
    unit: Unit,
    sources: readonly LogSource[],
    present: PresentQueries,
    onReport: (report: SourceReport) => void,
  ) => Promise<void>;
  /** Called with each log that is done. */
  readonly onLog?: (log: CollectedLog) => void;
}

/**
 * Imports what other hosts have recorded into the logs here, unit by unit, each under its lease; resolves with what
 * became of each log. A unit that runs here, or whose log here is damaged, stops nobody but itself, and a source that
 * cannot be used stops only that source.
 *
 * Order for each unit: lease; the runs of the sources (whoever reads a record finds its run); their groups. Killed
 * between any two steps, the same import again does the rest and doubles nothing.
 *
 * Errors: the reason of `signal`, between two units.
 */
export async function collectUnits<Unit extends CollectUnit>(
  deps: CollectDeps<Unit>,
  units: readonly Unit[],
  signal?: AbortSignal,
): Promise<CollectedLog[]> {
  const logs: CollectedLog[] = [];
  for (const unit of units) {
    signal?.throwIfAborted();
    if (unit.sources.length > 0) logs.push(...(await collectUnit(deps, unit)));
  }
  return logs;
}

async function collectUnit<Unit extends CollectUnit>(
  deps: CollectDeps<Unit>,
  unit: Unit,
): Promise<CollectedLog[]> {
  const done = new Map<LogSource, CollectedLog>();
  const note = (source: LogSource, log: CollectedLog): void => {
    done.set(source, log);
    deps.onLog?.(log);
  };
  try {
    const present = deps.present(unit);
    const lease = await deps.takeLease(unit);
    try {
      const fit: LogSource[] = [];
      for (const source of unit.sources) {
        const problem = await importRuns(deps, unit, source);
        if (problem === undefined) fit.push(source);
        else note(source, failed(unit, source, problem));
      }
      await deps.importLogs(unit, fit, present, report => note(report.source, told(unit, report)));
    } finally {
      lease.release();
    }
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    for (const source of unit.sources) {
      if (!done.has(source)) note(source, failed(unit, source, error));
    }
  }
  return unit.sources.flatMap(source => done.get(source) ?? []);
}

// Returns what is wrong with the runs of a source. A failure to write is not the source's, and is thrown.
async function importRuns<Unit extends CollectUnit>(
  { readRuns, appendRun }: CollectDeps<Unit>,
  { logPath }: Unit,
  { path }: LogSource,
): Promise<QrunError | undefined> {
  const keyOf = ({ event, run }: RunEntry): string => `${event} ${run}`;
  const known = new Set(readRuns(logPath).map(keyOf));
  let entries: readonly RunEntry[];
  try {
    entries = readRuns(path);
  } catch (error) {
    if (error instanceof QrunError) return error;
    throw error;
  }
  for (const entry of entries) {
    const key = keyOf(entry);
    if (known.has(key)) continue;
    known.add(key);
    await appendRun(logPath, entry);
  }
  return undefined;
}

function failed(unit: CollectUnit, { path }: LogSource, error: QrunError): CollectedLog {
  return {
    unit: unit.unit,
    log: unit.logPath,
    from: path,
    appended: { groups: 0, lines: 0, bytes: 0 },
    there: 0,
    ran_twice: 0,
    stale: 0,
    unknown: 0,
    unfinished: 0,
    torn_bytes: 0,
    problem: problemOf(error),
  };
}

function told(unit: CollectUnit, report: SourceReport): CollectedLog {
  const { source, fates, lines, bytes, unfinished, tornBytes, problem } = report;
  if (problem !== undefined) return failed(unit, source, problem);
  const { new: groups, there, ran_twice, stale, unknown } = fates;
  return {
    unit: unit.unit,
    log: unit.logPath,
    from: source.path,
    appended: { groups, lines, bytes },
    there,
    ran_twice,
    stale,
    unknown,
    unfinished,
    torn_bytes: tornBytes,
    problem: null,
  };
}
