import { dirname } from 'node:path';
import type { LastAudit } from '../../app/sweep/status.js';
import { QrunError } from '../../core/errors.js';
import { resourcesOf } from '../../core/queue/clusters.js';
import {
  type Audited,
  keptAudit,
  type SweepAudit,
  sweepAudit,
  unaudited,
  unitAudit,
} from '../../core/sweep/audit.js';
import { FileLock } from '../../io/files/flock.js';
import { makeDirectories } from '../../io/files/write-file.js';
import { auditReportPath, readAuditReport, writeAuditReport } from '../../io/log/audit-report.js';
import { queueOf } from '../../io/queue/queues.js';
import { unitName } from '../../io/unit/unit-files.js';
import type { Surroundings } from '../config/sweep-context.js';
import { holderOf } from '../log/own-logs.js';
import { type Awaited, untilEnded } from '../queue/until-ended.js';
import { auditIn } from '../unit/audit.js';
import type { UnitContext } from '../unit/context.js';
import { logPathOf } from '../unit/log-place.js';
import type { ReadSetups } from '../unit/setup-files.js';
import { collectOwn } from './collect.js';
import { lastAudit, type ResolvedSweep } from './context.js';
import { checkedCommands, runFinalizers } from './finalizers.js';

/** What follows an audit. */
export interface SweepAuditOptions {
  /** Commands that run after a complete audit, one after the other, in the root of the sweep. */
  readonly finalizers?: readonly string[];
  /** Does not run them if they ran after an audit of the same records. By hand a command runs each time. */
  readonly onlyOnce?: boolean;
}

/** The callbacks of an audit. */
export interface AuditWatch {
  /** Ends the audit, and the running command. */
  readonly signal: AbortSignal;
  /** Called before each command. */
  readonly onCommand?: (command: string) => void;
  /** Called with what a person should know. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Called with the audit, before the commands run. */
  readonly onAudit?: (audit: SweepAudit) => void;
  /** Called before the first command. */
  readonly onBegin?: () => void;
  /** Called with the time of an audit whose commands count for this one too. */
  readonly onDoneBefore?: (at: string) => void;
}

// An OPTIMIZE of a large table takes hours.
const FINALIZER_WAIT_MS = 24 * 3_600_000;

/** Waits until no unit of a sweep runs; as {@link untilEnded}. */
export async function untilSweepEnded(
  sweep: ResolvedSweep,
  surroundings: Surroundings,
  who: Pick<Awaited, 'arguments' | 'priority' | 'signal' | 'onWaiting'>,
): Promise<boolean> {
  const { name, group, root, table } = sweep;
  const orphans = () => running(sweep);
  const resources = resourcesOf(table, undefined).audit;
  return await untilEnded(
    { ...who, kind: 'unit', sweep: name, group, directory: root, orphans, queue: queueOf(table), resources },
    surroundings,
  );
}

/**
 * Audits every unit of a sweep, keeps the result beside the logs (with what is known about units that it did not
 * cover), and runs the commands that follow a complete audit. One bad unit does not hide the state of the others.
 *
 * The commands of a sweep run one set at a time, whoever audits: another audit's commands are waited for, for up to a
 * day.
 *
 * Errors: QrunError `LOG_*`; `FINALIZER_FAILED` when a command fails; `USAGE` for a command with a secret.
 */
export async function auditSweep(
  sweep: ResolvedSweep,
  { env }: Pick<Surroundings, 'env'>,
  { finalizers = [], onlyOnce = false }: SweepAuditOptions,
  watch: AuditWatch,
): Promise<SweepAudit> {
  const commands = checkedCommands(finalizers);
  const { signal } = watch;
  const path = auditReportPath(sweep.logDirectory, sweep.name);
  const work = async (held?: number): Promise<SweepAudit> => {
    await collectOwn(sweep, { signal, onNotice: watch.onNotice });
    const audit = await auditUnits(sweep, signal);
    const before = lastAudit(sweep);
    const kept = () => keptAudit(readAuditReport(path), audit, coverage(sweep));
    await writeAuditReport(path, kept());
    watch.onAudit?.(audit);
    if (audit.verdict !== 'complete' || commands.length === 0) return audit;
    // Another audit after the same units was faster.
    if (onlyOnce && before !== undefined && isDone(before, commands)) {
      watch.onDoneBefore?.(before.audit.at);
    } else {
      watch.onBegin?.();
      await runFinalizers(commands, { cwd: sweep.root, env, signal, held }, watch.onCommand);
    }
    // The commands may have taken hours, in which parts of the sweep were audited again.
    await writeAuditReport(path, { ...kept(), then_done: commands });
    return audit;
  };
  // An orphan of a server that died may still be running the commands. They inherit the lock, so it is free only when
  // all of them have ended, even if this process was killed.
  return commands.length === 0 ? await work() : await locked(`${path}.lock`, work, signal);
}

function isDone({ audit, outdated }: LastAudit, commands: readonly string[]): boolean {
  const same = JSON.stringify(audit.then_done) === JSON.stringify(commands);
  return same && audit.verdict === 'complete' && !outdated;
}

// The ids of which all existing units were looked for: none if only some units were asked for.
function coverage({
  start,
  root,
  submittedUnits,
  config,
  selection,
}: ResolvedSweep): (unit: string) => boolean {
  const isPart = submittedUnits !== undefined || [...selection.include, ...selection.exclude].length > 0;
  if (isPart || Object.keys(config.parameters).length > 0) return () => false;
  if (start === root) return () => true;
  const directory = unitName(start, root);
  return unit => unit === directory || [`${directory}/`, `${directory}@`].some(way => unit.startsWith(way));
}

/** Returns whether the results of all units are here, whether or not some of them are errors. Writes nothing. */
export async function isAllHere(sweep: ResolvedSweep, signal: AbortSignal): Promise<boolean> {
  const { verdict } = await auditUnits(sweep, signal);
  return verdict === 'complete' || verdict === 'errors';
}

// What was asked for is judged, not what exists: a unit whose directory is gone since its submission is missing.
async function auditUnits(sweep: ResolvedSweep, signal: AbortSignal): Promise<SweepAudit> {
  const at = new Date().toISOString();
  const present = new Map(sweep.units.map(unit => [unit.unit, unit]));
  const audits: Audited[] = [];
  const read: ReadSetups = new Map();
  for (const id of sweep.submittedUnits ?? present.keys()) {
    signal.throwIfAborted();
    audits.push(await auditUnitOf(sweep, id, present.get(id), read));
  }
  return sweepAudit(sweep.name, at, audits);
}

async function auditUnitOf(
  sweep: ResolvedSweep,
  id: string,
  unit: UnitContext | undefined,
  read: ReadSetups,
): Promise<Audited> {
  if (unit === undefined) {
    return unaudited(id, logPathOf(sweep, id), 'its directory is gone');
  }
  try {
    return unitAudit(await auditIn(unit, [], read));
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    return unaudited(id, unit.logPath, [error.message, ...error.details].join('; '));
  }
}

/** Returns the units that run on this machine, whatever its queue knows about them. */
export async function running(sweep: ResolvedSweep): Promise<string[]> {
  const found: string[] = [];
  for (const id of sweep.submittedUnits ?? sweep.units.map(({ unit }) => unit)) {
    if ((await holderOf(logPathOf(sweep, id), sweep.logDirectory)) !== undefined) found.push(id);
  }
  return found;
}

async function locked<T>(path: string, work: (held: number) => Promise<T>, signal: AbortSignal): Promise<T> {
  makeDirectories(dirname(path));
  const lock = await FileLock.open(path);
  try {
    await lock.acquire({ limitMs: FINALIZER_WAIT_MS, signal });
    return await work(lock.fd);
  } finally {
    lock.close();
  }
}
