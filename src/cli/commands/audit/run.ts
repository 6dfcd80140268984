import { type ExitCode, QrunError } from '../../../core/errors.js';
import type { AuditReport, Verdict } from '../../../core/log/audit.js';
import { jsonLine } from '../../../core/text/json.js';
import { auditIn, realLogs } from '../../../local/unit/audit.js';
import { unitContext } from '../../../local/unit/context.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import { renderAudits } from './render.js';

/** `qrun audit DIR...`: proves or refutes that each unit is complete; returns 0, 20 (only errors stand) or 21. */
export async function auditCommand(
  directories: readonly string[],
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const logs = (flags.log as readonly string[] | undefined) ?? [];
  const given = configFlags({ ...flags, log: logs[0] });
  if (directories.length > 1 && logs.length > 0) {
    throw new QrunError('USAGE', '--log names the log of one unit, and several units are given', {
      hint: 'name the directory of the logs with --log-dir, or audit one unit at a time',
    });
  }
  const reports: AuditReport[] = [];
  for (const directory of directories) {
    const context = unitContext(directory, given, terminal);
    tell(terminal, context.notices);
    reports.push(await auditIn(context, realLogs(logs, terminal.cwd)));
  }
  if (flags.json === true) {
    const [first, ...others] = reports;
    const json = first !== undefined && others.length === 0 ? first : reports;
    terminal.out.write(jsonLine<AuditReport | readonly AuditReport[]>(json));
  } else {
    terminal.out.write(renderAudits(reports, terminal.outStyle));
  }
  return verdictExit(reports.map(report => report.verdict));
}

/** Returns the exit code of an audit, by the worst verdict. */
export function verdictExit(verdicts: readonly Verdict[]): ExitCode {
  if (verdicts.includes('incomplete') || verdicts.includes('inconsistent')) return 21;
  return verdicts.includes('errors') ? 20 : 0;
}
