import { previewUnit } from '../../app/preview-unit.js';
import { isDue, REASON_TEXT } from '../../core/plan.js';
import { readLog } from '../../io/log-read.js';
import { directorySource } from '../../io/unit-files.js';
import { unitContext } from '../context.js';
import { configFlags, type Flags, flagName } from '../options.js';
import { formatCount } from '../render/format.js';
import { renderTable } from '../render/table.js';
import type { Terminal } from '../terminal.js';

/** `qrun plan DIR`: prints what a run would do and why; starts nothing. Gives the exit code. */
export async function showPlan(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const { config, unit, logPath, inputs, ...context } = unitContext(
    directory,
    configFlags(flags),
    terminal,
    flagName,
  );
  const plan = await previewUnit(
    {
      source: directorySource(context.directory),
      inputs,
      selection: config,
      limit: config.limit,
      rerun: config.rerun,
      allowPlaceholders: config.allow_placeholders,
    },
    visitor => readLog(logPath, unit, visitor),
  );
  const due = new Set(plan.due);
  if (flags.json === true) {
    const queries = plan.queries.map(query => ({
      query: query.name,
      fingerprint: query.fingerprint,
      reason: query.reason,
      runs: due.has(query),
    }));
    terminal.out.write(`${JSON.stringify({ unit, log: logPath, due: plan.due.length, queries })}\n`);
    return 0;
  }
  const style = terminal.outStyle;
  const rows = plan.queries.map(query => [
    query.reason,
    isDue(query.reason) && !due.has(query) ? 'no (--limit)' : isDue(query.reason) ? 'yes' : 'no',
    query.name,
  ]);
  const columns = [{ title: 'reason' }, { title: 'runs' }, { title: 'query', shrink: 'middle' as const }];
  const reasons = new Map<string, number>();
  for (const { reason } of plan.queries) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const counts = [...reasons].map(
    ([reason, n]) => `${formatCount(n)} ${reason} (${REASON_TEXT[reason as keyof typeof REASON_TEXT]})`,
  );
  terminal.out.write(`${renderTable(columns, rows, style)}\n\n`);
  terminal.out.write(
    `${formatCount(plan.due.length)} of ${formatCount(plan.queries.length)} queries of ${style.foreign(unit)} would run: ${counts.join(', ')}\n`,
  );
  return 0;
}
