import { auditUnit } from '../../app/audit-unit.js';
import type { AuditReport, Verdict } from '../../core/audit.js';
import { type ExitCode, QrunError } from '../../core/errors.js';
import { readLog } from '../../io/log-read.js';
import { lastStart, readRuns } from '../../io/run-sidecar.js';
import { directorySource } from '../../io/unit-files.js';
import { type UnitContext, unitContext } from '../context.js';
import { configFlags, type Flags, flagName } from '../options.js';
import { renderAudits } from '../render/audit.js';
import { usedBySetup } from '../setup-files.js';
import type { Terminal } from '../terminal.js';

/** `qrun audit DIR...`: proves or refutes that each unit is complete; gives 0, 20 (only errors stand) or 21. */
export async function auditCommand(
  directories: readonly string[],
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const given = configFlags(flags);
  if (directories.length > 1 && given.log !== undefined) {
    throw new QrunError('USAGE', '--log names the log of one unit, and several units are given', {
      hint: 'name the directory of the logs with --log-dir, or audit one unit at a time',
    });
  }
  const reports: AuditReport[] = [];
  for (const directory of directories) {
    const context = unitContext(directory, given, terminal, flagName);
    // A run with --set or --database is audited without naming them again.
    const named = given.settings !== undefined || given.database !== undefined;
    reports.push(await auditOne(context, !named));
  }
  if (flags.json === true) {
    const json = reports.length === 1 ? reports[0] : reports;
    terminal.out.write(`${JSON.stringify(json)}\n`);
  } else {
    terminal.out.write(renderAudits(reports, terminal.outStyle));
  }
  return verdictExit(reports.map(report => report.verdict));
}

/** The exit code of an audit, by the worst verdict. */
export function verdictExit(verdicts: readonly Verdict[]): ExitCode {
  if (verdicts.includes('incomplete') || verdicts.includes('inconsistent')) return 21;
  return verdicts.includes('errors') ? 20 : 0;
}

/**
 * The audit of one unit: by the settings of its last run, which its sidecar knows, or by those of the configuration
 * (`bySidecar` false).
 */
export function auditOne(context: UnitContext, bySidecar: boolean): Promise<AuditReport> {
  const start = lastStart(readRuns(context.logPath));
  const settings = bySidecar && start !== undefined ? start.settings : context.inputs.settings;
  const rows = context.config.rows_per_query ?? start?.rows_per_query ?? undefined;
  return auditUnit({
    unit: context.unit,
    log: context.logPath,
    inputs: { ...context.inputs, settings },
    rowsPerQuery: rows,
    include: context.config.include,
    exclude: context.config.exclude,
    usedElsewhere: usedBySetup(context),
    source: directorySource(context.directory),
    readLog: visitor => readLog(context.logPath, context.unit, visitor),
  });
}
