import { dirname } from 'node:path';
import { QrunError } from '../../../core/errors.js';
import {
  type Audited,
  auditOf,
  keptAudit,
  type SweepAudit,
  sweepAudit,
  unaudited,
  unitAudit,
} from '../../../core/sweep/audit.js';
import { jsonLine } from '../../../core/text/json.js';
import { FileLock } from '../../../io/files/flock.js';
import { makeDirectories } from '../../../io/files/write-file.js';
import {
  auditReportPath,
  isOutdated,
  readAuditReport,
  writeAuditReport,
} from '../../../io/log/audit-report.js';
import { leaseHolder } from '../../../io/log/lease.js';
import { runShell } from '../../../io/machine/program.js';
import { unitName } from '../../../io/unit/unit-files.js';
import type { Sweep } from '../../../local/sweep/context.js';
import type { UnitContext } from '../../../local/unit/context.js';
import { logPathOf } from '../../../local/unit/log-place.js';
import type { ReadSetups } from '../../../local/unit/setup-files.js';
import type { Flags } from '../../command.js';
import { finalizersOf, sweepOf } from '../../sweep/options.js';
import { untilEnded } from '../../sweep/until-ended.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { auditOne, verdictExit } from '../audit/run.js';
import { renderSweepAudit } from './render.js';

/**
 * `qrun audit-all ROOT`: audits every unit of a sweep, keeps the result beside the logs (with what is known of units
 * that it was not about), and gives 0 only when all are complete, 20 when only errors stand, else 21. The commands of
 * `--then` run after a complete audit, one after the other. With `--when-ended`, as the task behind the units, it first waits until none of them runs.
 *
 * Errors: QrunError of the units and logs; `FINALIZER_FAILED` when a command of `--then` fails.
 */
export async function auditAllCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  return await untilStopped(terminal.proc, (signal, listen) =>
    auditAll(directory, flags, terminal, signal, listen),
  );
}

async function auditAll(
  directory: string,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
  listen: () => void,
): Promise<number> {
  const sweep = sweepOf(directory, flags, terminal);
  const awaited = {
    kind: 'unit' as const,
    sweep: sweep.name,
    group: sweep.group,
    directory: sweep.root,
    orphans: () => held(sweep),
  };
  if (flags.whenEnded === true && !(await untilEnded(awaited, flags, terminal, signal))) return 0;
  const commands = finalizersOf(flags);
  const path = auditReportPath(sweep.logDirectory, sweep.name);
  const work = async (held?: number): Promise<SweepAudit> => {
    const audit = await auditUnits(sweep, signal);
    const before = readAuditReport(path);
    const covers = coverage(sweep, flags);
    await writeAuditReport(path, keptAudit(before, audit, covers));
    if (flags.json === true) terminal.out.write(jsonLine<SweepAudit>(audit));
    else terminal.out.write(renderSweepAudit(audit, terminal.outStyle));
    if (audit.verdict !== 'complete' || commands.length === 0) return audit;
    // Another audit behind the same units was quicker. By hand a command runs as often as it is asked for.
    if (flags.whenEnded === true && before !== undefined && isDone(sweep, before, commands)) {
      terminal.err.write(`--then was run after the audit of ${before.at}\n`);
    } else {
      listen();
      await runFinalizers(sweep, commands, terminal, { signal, held });
    }
    // The commands may have taken hours, in which parts of the sweep were audited anew.
    await writeAuditReport(path, { ...keptAudit(readAuditReport(path), audit, covers), then_done: commands });
    return audit;
  };
  // One sweep's commands at a time: an orphan of a dead daemon may be at them still. They inherit the lock, so that it
  // is free only when all of them have ended, also when this process was killed.
  const audit = commands.length === 0 ? await work() : await locked(`${path}.lock`, work, signal);
  return verdictExit([audit.verdict]);
}

function isDone(sweep: Sweep, before: SweepAudit, commands: readonly string[]): boolean {
  const logs = new Map(sweep.units.map(({ unit, logPath }) => [unit, logPath]));
  const { then_done, verdict } = auditOf(before, logs.keys());
  const same = JSON.stringify(then_done) === JSON.stringify(commands);
  return same && verdict === 'complete' && !isOutdated(before, logs);
}

// Of which ids all that exist were looked for: none, where only some units were asked for.
function coverage({ start, root, jobUnits, config }: Sweep, flags: Flags): (unit: string) => boolean {
  const isPart = [flags.includeUnits, flags.excludeUnits, jobUnits].some(given => given !== undefined);
  if (isPart || Object.keys(config.parameters).length > 0) return () => false;
  if (start === root) return () => true;
  const directory = unitName(start, root);
  return unit => unit === directory || [`${directory}/`, `${directory}@`].some(way => unit.startsWith(way));
}

// What was asked for is judged, not what is there: a unit whose directory is gone since its submission is missing.
async function auditUnits(sweep: Sweep, signal: AbortSignal): Promise<SweepAudit> {
  const at = new Date().toISOString();
  const present = new Map(sweep.units.map(unit => [unit.unit, unit]));
  const audits: Audited[] = [];
  const read: ReadSetups = new Map();
  for (const id of sweep.jobUnits ?? present.keys()) {
    signal.throwIfAborted();
    audits.push(await auditUnitOf(sweep, id, present.get(id), read));
  }
  return sweepAudit(sweep.name, at, audits);
}

// One bad unit must not hide what the others are like.
async function auditUnitOf(
  sweep: Sweep,
  id: string,
  unit: UnitContext | undefined,
  read: ReadSetups,
): Promise<Audited> {
  if (unit === undefined) {
    return unaudited(id, logPathOf(sweep, id), 'its directory is gone');
  }
  try {
    return unitAudit(await auditOne(unit, [], read));
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    return unaudited(id, unit.logPath, [error.message, ...error.details].join('; '));
  }
}

/** Returns the units that run, whatever the queue knows of them. */
async function held(sweep: Sweep): Promise<string[]> {
  const found: string[] = [];
  for (const id of sweep.jobUnits ?? sweep.units.map(({ unit }) => unit)) {
    if ((await leaseHolder(logPathOf(sweep, id))) !== undefined) found.push(id);
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

async function runFinalizers(
  sweep: Sweep,
  commands: readonly string[],
  terminal: Terminal,
  { signal, held }: { readonly signal: AbortSignal; readonly held: number | undefined },
): Promise<void> {
  for (const command of commands) {
    terminal.err.write(`then: ${terminal.errStyle.foreign(command)}\n`);
    const { exitCode, signal: killedBy } = await runShell(command, {
      cwd: sweep.root,
      env: terminal.env,
      signal,
      held,
    });
    signal.throwIfAborted();
    if (exitCode === 0) continue;
    throw new QrunError(
      'FINALIZER_FAILED',
      `--then ${command}: ${killedBy === undefined ? `exit ${exitCode}` : `ended by ${killedBy}`}`,
      {
        hint: 'the audit is complete; correct the command and run it by hand, or qrun audit-all --then again',
      },
    );
  }
}

// An OPTIMIZE of a large table takes hours.
const FINALIZER_WAIT_MS = 24 * 3_600_000;
