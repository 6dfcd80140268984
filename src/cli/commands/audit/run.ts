import { resolve } from 'node:path';
import { auditUnit } from '../../../app/unit/audit.js';
import { type ExitCode, QrunError } from '../../../core/errors.js';
import type { AuditReport, Verdict } from '../../../core/log/audit.js';
import type { Settings } from '../../../core/model.js';
import { jsonLine } from '../../../core/text/json.js';
import { readLog } from '../../../io/log/follow.js';
import { realLogPath } from '../../../io/log/place.js';
import { lastStart, type RunStart, readRuns } from '../../../io/log/run-sidecar.js';
import { directorySource } from '../../../io/unit/unit-files.js';
import { type UnitContext, unitContext } from '../../../local/unit/context.js';
import { type ReadSetups, setupOutlook } from '../../../local/unit/setup-files.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import { renderAudits } from './render.js';

/** `qrun audit DIR...`: proves or refutes that each unit is complete; gives 0, 20 (only errors stand) or 21. */
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
    reports.push(await auditOne(context, realPaths(logs, terminal.cwd)));
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

// Read twice, a log would hold everything twice.
function realPaths(logs: readonly string[], cwd: string): string[] {
  const paths = new Map<string, string>();
  for (const log of logs) {
    const path = realLogPath(resolve(cwd, log));
    const before = paths.get(path);
    if (before !== undefined) {
      throw new QrunError('USAGE', `--log ${before} and --log ${log} are the same file ${path}`);
    }
    paths.set(path, log);
  }
  return [...paths.keys()];
}

/** The exit code of an audit, by the worst verdict. */
export function verdictExit(verdicts: readonly Verdict[]): ExitCode {
  if (verdicts.includes('incomplete') || verdicts.includes('inconsistent')) return 21;
  return verdicts.includes('errors') ? 20 : 0;
}

/**
 * The audit of one unit by its resolved configuration: the one that a run, a plan and the audit of the sweep have. It
 * tells where the last run had other settings. `logs`: where they are not the one of the context.
 * `read`: setup files that the audits of other units have read.
 */
export async function auditOne(
  context: UnitContext,
  logs: readonly string[] = [],
  read?: ReadSetups,
): Promise<AuditReport> {
  const { config, inputs, unit } = context;
  const paths = logs.length === 0 ? [context.logPath] : logs;
  const starts = paths.flatMap(path => lastStart(readRuns(path)) ?? []);
  const setup = setupOutlook(context, read);
  const report = await auditUnit({
    unit,
    log: paths[0] as string,
    logs: paths,
    inputs,
    allowPlaceholders: config.allowPlaceholders,
    rowsPerQuery:
      config.rowsPerQuery ?? starts.find(start => start.rows_per_query !== null)?.rows_per_query ?? undefined,
    include: config.include,
    exclude: config.exclude,
    shard: config.shard,
    usedElsewhere: setup.used,
    setupCannotRun: setup.cannotRun,
    source: directorySource(context.directory, 0, context.linksWithin),
    readLog: (found, log) => readLog(log, unit, found),
  });
  return { ...report, last_run: otherSettings(starts, inputs.settings) };
}

function otherSettings(starts: readonly RunStart[], settings: Settings): AuditReport['last_run'] {
  const other = starts.find(start => sorted(start.settings) !== sorted(settings));
  return other === undefined ? null : { run: other.run, settings: other.settings };
}

function sorted(settings: Settings): string {
  return JSON.stringify(Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)));
}
