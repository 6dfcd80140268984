import { type ExitCode, QrunError } from '../../../core/errors.js';
import type { AuditReport, Verdict } from '../../../core/log/audit.js';
import { auditIn, realLogs } from '../../../local/unit/audit.js';
import { unitContext } from '../../../local/unit/context.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { configFlags } from '../../options.js';
import { tell } from '../../terminal/streams.js';
import { renderAudits } from './render.js';

/** `qrun audit DIR...`: proves or refutes that each unit is complete; returns 0, 20 (only errors stand) or 21. */
export async function run(call: Call<readonly string[]>): Promise<number> {
  const { argument: directories, flags, terminal } = call;
  const logs = stringsFlag(flags, 'log');
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
  const [first, ...others] = reports;
  const json = first !== undefined && others.length === 0 ? first : reports;
  writeResult<AuditReport | readonly AuditReport[]>(call, json, style => renderAudits(reports, style));
  return verdictExit(reports.map(report => report.verdict));
}

/** Returns the exit code of an audit, by the worst verdict. */
export function verdictExit(verdicts: readonly Verdict[]): ExitCode {
  if (verdicts.includes('incomplete') || verdicts.includes('inconsistent')) return 21;
  return verdicts.includes('errors') ? 20 : 0;
}
