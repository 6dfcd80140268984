import { previewUnit } from '../../../app/unit/preview.js';
import type { Output } from '../../../core/schema.js';
import { jsonLine } from '../../../core/text/json.js';
import { sharedLines } from '../../../core/unit/judge.js';
import { isDue, type PlanReason, REASON_TEXT } from '../../../core/unit/plan.js';
import { readLog } from '../../../io/log/follow.js';
import { directorySource } from '../../../io/unit/unit-files.js';
import { unitContext } from '../../../local/unit/context.js';
import { setupOutlook } from '../../../local/unit/setup-files.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { formatCount } from '../../terminal/format.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import type { schema } from './plan.schema.js';

const MAX_NAMES = 10;
const LIMITED = 'no (--limit)';
const RUNS_WIDTH = LIMITED.length;
const REASON_WIDTH = Math.max(...Object.keys(REASON_TEXT).map(reason => reason.length));

/**
 * `qrun plan DIR`: prints what a run would do and why; starts nothing. Gives 0, or 2 where a run would refuse: then an
 * error says why, or the JSON, which has all problems.
 *
 * Errors: QrunError of the configuration, the unit and its log.
 */
export async function showPlan(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const { config, unit, logPath, inputs, ...context } = unitContext(directory, configFlags(flags), terminal);
  // A run that was asked why says them itself.
  if (flags.why !== true) tell(terminal, context.notices);
  const setup = setupOutlook({ config, ...context });
  if (setup.error !== undefined && flags.json !== true) throw setup.error;
  const plan = await previewUnit(
    {
      source: directorySource(context.directory, 0, context.linksWithin),
      inputs,
      selection: config,
      limit: config.limit,
      rerun: config.rerun,
      allowPlaceholders: config.allowPlaceholders,
      usedElsewhere: setup.used,
      bad: config.skipBad ? 'skip' : flags.json === true ? 'tell' : 'refuse',
    },
    { path: logPath, unit, read: states => readLog(logPath, unit, states) },
  );
  const refuses = setup.error !== undefined || (!config.skipBad && plan.cannotRun.length > 0);
  const due = new Set(plan.due);
  if (flags.json === true) {
    const queries = plan.queries.map(query => ({
      query: query.name,
      fingerprint: query.fingerprint,
      reason: query.reason,
      runs: !refuses && due.has(query),
    }));
    const cannot_run = [...plan.cannotRun, ...setup.cannotRun];
    const count = refuses ? 0 : plan.due.length;
    terminal.out.write(
      jsonLine<Output<typeof schema>>({
        ...{ unit, log: logPath, due: count, queries },
        ...{ cannot_run, no_statement: plan.noStatement },
      }),
    );
    return refuses ? 2 : 0;
  }
  const style = terminal.outStyle;
  // A unit may have 300,000 queries, and scripts read their names: plain lines, each name whole.
  const line = (reason: string, runs: string, name: string): string =>
    `${reason.padEnd(REASON_WIDTH)}  ${runs.padEnd(RUNS_WIDTH)}  ${name}\n`;
  const lines = plan.queries.map(query => {
    const runs = due.has(query) ? 'yes' : isDue(query.reason) ? LIMITED : 'no';
    return line(query.reason, runs, style.foreign(query.name));
  });
  const reasons = new Map<PlanReason, number>();
  for (const { reason } of plan.queries) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const counts = [...reasons].map(
    ([reason, n]) =>
      `${formatCount(n)} ${reason}${REASON_TEXT[reason] === reason ? '' : ` (${REASON_TEXT[reason]})`}`,
  );
  terminal.out.write(`${style.paint.faint(line('reason', 'runs', 'query'))}${lines.join('')}\n`);
  for (const problem of sharedLines(plan.cannotRun)) {
    terminal.out.write(`${style.paint.caution('left out')}  ${style.foreign(problem)}\n`);
  }
  if (plan.noStatement.length > 0) {
    const names = plan.noStatement.slice(0, MAX_NAMES).map(name => style.foreign(`${name}.sql`));
    const more = plan.noStatement.length - MAX_NAMES;
    terminal.out.write(
      `without a statement, and no queries: ${names.join(', ')}${more > 0 ? ` and ${formatCount(more)} more` : ''}\n`,
    );
  }
  terminal.out.write(
    `${formatCount(plan.due.length)} of ${formatCount(plan.queries.length)} queries of ${style.foreign(unit)} would run: ${counts.join(', ')}\n`,
  );
  return 0;
}
