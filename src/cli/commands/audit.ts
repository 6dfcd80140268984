import { auditUnit } from '../../app/audit-unit.js';
import type { AuditReport, Verdict } from '../../core/audit.js';
import { type ExitCode, QrunError } from '../../core/errors.js';
import { readLog } from '../../io/log-read.js';
import { lastStart, readRuns } from '../../io/run-sidecar.js';
import { directorySource } from '../../io/unit-files.js';
import { type UnitContext, unitContext } from '../context.js';
import { configFlags, type Flags, flagName } from '../options.js';
import { renderAudits } from '../render/audit.js';
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
    reports.push(await auditOne(context, given));
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
 * The audit of one unit. A run with --set or --database is audited without naming them again: the sidecar knows
 * them; `given` are the flags of this command line.
 */
export function auditOne(
  context: UnitContext,
  given: Readonly<Record<string, unknown>>,
): Promise<AuditReport> {
  const start = lastStart(readRuns(context.logPath));
  const named = given.settings !== undefined || given.database !== undefined;
  const settings = named || start === undefined ? context.inputs.settings : start.settings;
  const rows = context.config.rows_per_query ?? start?.rows_per_query ?? undefined;
  return auditUnit({
    unit: context.unit,
    log: context.logPath,
    inputs: { ...context.inputs, settings },
    rowsPerQuery: rows,
    include: context.config.include,
    exclude: context.config.exclude,
    source: directorySource(context.directory),
    readLog: visitor => readLog(context.logPath, context.unit, visitor),
  });
}
