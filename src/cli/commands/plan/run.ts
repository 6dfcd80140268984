import { sharedLines } from '../../../core/unit/judge.js';
import { isDue, type PlanReason, REASON_TEXT } from '../../../core/unit/plan.js';
import { unitContext } from '../../../local/unit/context.js';
import { type PlanReport, planIn } from '../../../local/unit/plan.js';
import { type Call, writeResult } from '../../command.js';
import { configFlags } from '../../options.js';
import { firstOf, formatCount } from '../../terminal/format.js';
import { tell } from '../../terminal/streams.js';
import type { Style } from '../../terminal/style.js';

const MAX_NAMES = 10;
const LIMITED = 'no (--limit)';
const RUNS_WIDTH = LIMITED.length;
const REASON_WIDTH = Math.max(...Object.keys(REASON_TEXT).map(reason => reason.length));

/**
 * `qrun plan DIR`: prints what a run would do and why; starts nothing. Returns 0, or 2 if a run would refuse: then an
 * error says why, or the JSON, which has all problems.
 *
 * Errors: QrunError of the configuration, the unit and its log.
 */
export async function run({ argument: directory, flags, terminal }: Call<string>): Promise<number> {
  const context = unitContext(directory, configFlags(flags), terminal);
  // A run with --why prints them itself.
  if (flags.why !== true) tell(terminal, context.notices);
  const { report, refuses } = await planIn(context, flags.json === true ? 'tell' : 'refuse');
  writeResult<PlanReport>({ flags, terminal }, report, style => renderPlan(report, style));
  return refuses ? 2 : 0;
}

function renderPlan({ unit, due, queries, cannot_run, no_statement }: PlanReport, style: Style): string {
  // A unit may have 300,000 queries, and scripts read their names: plain lines, each name whole.
  const line = (reason: string, runs: string, name: string): string =>
    `${reason.padEnd(REASON_WIDTH)}  ${runs.padEnd(RUNS_WIDTH)}  ${name}\n`;
  const lines = queries.map(({ query, reason, runs }) =>
    line(reason, runs ? 'yes' : isDue(reason) ? LIMITED : 'no', style.foreign(query)),
  );
  const reasons = new Map<PlanReason, number>();
  for (const { reason } of queries) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const counts = [...reasons].map(
    ([reason, n]) =>
      `${formatCount(n)} ${reason}${REASON_TEXT[reason] === reason ? '' : ` (${REASON_TEXT[reason]})`}`,
  );
  const leftOut = sharedLines(cannot_run).map(
    problem => `${style.paint.caution('left out')}  ${style.foreign(problem)}\n`,
  );
  return [
    `${style.paint.faint(line('reason', 'runs', 'query'))}${lines.join('')}\n`,
    ...leftOut,
    noStatementLine(no_statement, style),
    `${formatCount(due)} of ${formatCount(queries.length)} queries of ${style.foreign(unit)} would run: ${counts.join(', ')}\n`,
  ].join('');
}

function noStatementLine(noStatement: readonly string[], style: Style): string {
  if (noStatement.length === 0) return '';
  const names = firstOf(noStatement, MAX_NAMES, name => style.foreign(`${name}.sql`)).join(', ');
  return `without a statement, so not queries: ${names}\n`;
}
