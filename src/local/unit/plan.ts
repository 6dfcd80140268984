import type { PlannedQuery } from '../../app/unit/due-queries.js';
import { type PreviewWatch, previewUnit, type UnitPlan } from '../../app/unit/plan.js';
import type { Config } from '../../core/config/table.js';
import type { Output } from '../../core/schema.js';
import { isDue } from '../../core/unit/plan.js';
import type { schema } from '../../core/unit/plan.schema.js';
import type { Selection } from '../../core/unit/selection.js';
import { readLog } from '../../io/log/follow.js';
import { directorySource } from '../../io/unit/unit-files.js';
import { oneOfServers, type UnitContext } from './context.js';
import { setupOutlook } from './setup-files.js';

/** What a run would do now, and why; what `qrun plan --json` prints. */
export interface PlanReport extends Output<typeof schema> {}

/**
 * Resolves with what a run would do, and whether it would refuse the unit; starts nothing and opens no engine. `bad`:
 * whether problems of files and setup are thrown or listed in the report.
 *
 * Errors: QrunError of the unit and its log; with `refuse`, also those for which a run would refuse the unit.
 */
export async function planIn(
  context: UnitContext,
  bad: 'refuse' | 'tell',
): Promise<{ readonly report: PlanReport; readonly refuses: boolean }> {
  const { config, unit, logPath } = context;
  const setup = setupOutlook(context);
  if (setup.error !== undefined && bad === 'refuse') throw setup.error;
  const queries: PlannedQuery[] = [];
  const watch = { visit: (query: PlannedQuery): unknown => queries.push(query) };
  const plan = await previewIn(context, { bad, usedElsewhere: setup.used }, watch);
  const refuses = setup.error !== undefined || (!config.skipBad && plan.cannotRun.length > 0);
  const due = refuses ? 0 : plan.due.total;
  let left = due;
  const report = {
    unit,
    log: logPath,
    due,
    queries: queries.map(({ name, fingerprint, reason }) => {
      const runs = left > 0 && isDue(reason);
      if (runs) left -= 1;
      return { query: name, fingerprint, reason, runs };
    }),
    cannot_run: [...plan.cannotRun, ...setup.cannotRun],
    no_statement: plan.noStatement,
  };
  return { report, refuses };
}

/** What the plan of a unit is made from: of its context only plain data, for a thread. */
export interface UnitToPreview
  extends Pick<UnitContext, 'unit' | 'directory' | 'logPath' | 'linksWithin' | 'inputs'> {
  readonly config: Pick<
    Config,
    keyof Selection | 'limit' | 'rerun' | 'allowPlaceholders' | 'skipBad' | 'engine' | 'url' | 'allowChanges'
  >;
}

/** As {@link previewUnit}, for a unit by its resolved configuration. */
export async function previewIn(
  { config, inputs, unit, directory, logPath, linksWithin }: UnitToPreview,
  { bad, usedElsewhere }: { readonly bad: 'refuse' | 'tell'; readonly usedElsewhere: ReadonlySet<string> },
  watch: PreviewWatch,
): Promise<UnitPlan> {
  return await previewUnit(
    {
      source: directorySource(directory, 0, linksWithin),
      inputs,
      selection: config,
      limit: config.limit,
      rerun: config.rerun,
      allowPlaceholders: config.allowPlaceholders,
      oneOfServers: oneOfServers(config),
      usedElsewhere,
      bad: config.skipBad ? 'skip' : bad,
    },
    { path: logPath, unit, read: states => readLog(logPath, unit, states) },
    watch,
  );
}
