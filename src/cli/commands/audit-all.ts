import { setTimeout as delay } from 'node:timers/promises';
import { waitForTasks } from '../../app/wait-for-tasks.js';
import type { AuditReport } from '../../core/audit.js';
import { QrunError } from '../../core/errors.js';
import { type SweepAudit, sweepAudit } from '../../core/sweep-audit.js';
import { auditReportPath, writeAuditReport } from '../../io/audit-report.js';
import { FileLock } from '../../io/flock.js';
import { leaseHolder } from '../../io/lease.js';
import { runShell } from '../../io/program.js';
import { Pueue } from '../../io/pueue.js';
import type { Flags } from '../options.js';
import { renderSweepAudit } from '../render/sweep-audit.js';
import { untilStopped } from '../signals.js';
import type { Sweep } from '../sweep-context.js';
import { repeatedCommand } from '../sweep-jobs.js';
import { sweepOf, wholeNumberFlag } from '../sweep-options.js';
import type { Terminal } from '../terminal.js';
import { auditOne, verdictExit } from './audit.js';

/**
 * `qrun audit-all ROOT`: audits every unit of a sweep, keeps the result beside the logs, and gives 0 only when all
 * are complete, 20 when only errors stand, else 21. The commands of `--then` run after a complete audit, one after
 * the other. With `--when-ended`, as the task behind the units, it first waits until none of them runs.
 *
 * Errors: QrunError of the units and logs; `FINALIZER_FAILED` when a command of `--then` fails.
 */
export async function auditAllCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  return await untilStopped(terminal.proc, signal => auditAll(directory, flags, terminal, signal));
}

async function auditAll(
  directory: string,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const sweep = sweepOf(directory, flags, terminal);
  if (flags.whenEnded === true && !(await untilEnded(sweep, flags, terminal, signal))) return 0;
  const audit = await auditUnits(sweep, signal);
  await writeAuditReport(auditReportPath(sweep.logDirectory, sweep.name), audit);
  if (flags.json === true) terminal.out.write(`${JSON.stringify(audit)}\n`);
  else terminal.out.write(renderSweepAudit(audit, terminal.outStyle));
  if (audit.verdict === 'complete')
    await runFinalizers(sweep, (flags.then as string[]) ?? [], terminal, signal);
  return verdictExit([audit.verdict]);
}

async function auditUnits(sweep: Sweep, signal: AbortSignal): Promise<SweepAudit> {
  const at = new Date().toISOString();
  const reports: AuditReport[] = [];
  for (const unit of sweep.units) {
    signal.throwIfAborted();
    reports.push(await auditOne(unit, {}));
  }
  return sweepAudit(sweep.name, at, reports);
}

// Whether the work is still ours: a later audit task may have taken it.
async function untilEnded(
  sweep: Sweep,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<boolean> {
  const pueue = await Pueue.open({ env: terminal.env, signal });
  const held = new Map<string, string>();
  const result = await waitForTasks(
    {
      pueue,
      orphans: async () => {
        held.clear();
        for (const { unit, logPath } of sweep.units) {
          const holder = await leaseHolder(logPath);
          if (holder !== undefined) held.set(unit, holder);
        }
        return [...held.keys()];
      },
      clock: { delay: (ms, aborted) => delay(ms, undefined, { signal: aborted }).catch(() => {}) },
      onWaiting: text => terminal.err.write(`${text}\n`),
    },
    {
      sweep: sweep.name,
      // What pueue says of the group that this task runs in counts more than a configuration.
      group: terminal.env.PUEUE_GROUP ?? sweep.group,
      again: {
        command: repeatedCommand(terminal),
        directory: sweep.root,
        priority: wholeNumberFlag(flags, 'priority', { min: -1_000_000_000 }) ?? -1,
      },
      signal,
    },
  );
  return result === 'ended';
}

// One sweep's commands at a time: an orphan of a dead daemon may be at them still.
async function runFinalizers(
  sweep: Sweep,
  commands: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  if (commands.length === 0) return;
  const lock = await FileLock.open(`${auditReportPath(sweep.logDirectory, sweep.name)}.lock`);
  try {
    await lock.acquire({ limitMs: FINALIZER_WAIT_MS, signal });
    for (const command of commands) {
      terminal.err.write(`then: ${terminal.errStyle.foreign(command)}\n`);
      const { exitCode, signal: killedBy } = await runShell(command, sweep.root, signal);
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
  } finally {
    lock.close();
  }
}

// An OPTIMIZE of a large table takes hours.
const FINALIZER_WAIT_MS = 24 * 3_600_000;
