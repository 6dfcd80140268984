import { checkSetupFiles } from '../../app/setup/setup.js';
import { type PlannedUnit, planSweep, type UnitOutlook } from '../../app/sweep/plan.js';
import { QrunError } from '../../core/errors.js';
import { tasksByName } from '../../core/queue/labels.js';
import { isLive, type QueueState } from '../../core/queue/queue.js';
import { shortHash } from '../../core/unit/fingerprint.js';
import { holderOf } from '../log/own-logs.js';
import type { UnitContext } from '../unit/context.js';
import { previewIn } from '../unit/plan.js';
import { type ReadSetups, setupFilesOf, usedBySetup } from '../unit/setup-files.js';
import { lastAudit, type ResolvedSweep } from './context.js';
import { PlanPool } from './plan-threads.js';

/** The callbacks of planning units. */
export interface PlanWatch {
  readonly signal: AbortSignal;
  /** Called after each unit that was checked, and after each that was added. */
  readonly onProgress?: ((what: 'checked' | 'submitted', done: number, total: number) => void) | undefined;
}

/**
 * Returns the units that are not in the queue. Those in the queue are left as they are and need not be read: reading
 * 300,000 files takes time.
 */
export function notQueued(sweep: ResolvedSweep, { tasks }: QueueState): readonly UnitContext[] {
  const present = tasksByName('unit', tasks, sweep.name);
  return sweep.units.filter(({ unit }) => {
    const task = present.get(unit);
    return task === undefined || !isLive(task) || task.directory !== sweep.root;
  });
}

/** Plans units. Errors: as {@link planSweep}. */
export async function planUnits(
  units: readonly UnitContext[],
  skipBad: boolean,
  { signal, onProgress }: PlanWatch,
): Promise<UnitOutlook[]> {
  if (units.length === 0) return [];
  const read: ReadSetups = new Map();
  const pool = new PlanPool(units.length);
  try {
    return await planSweep(
      units.map(unit => ({
        unit: unit.unit,
        plan: async () => await planOne(pool, unit, read, signal),
      })),
      done => onProgress?.('checked', done, units.length),
      skipBad,
    );
  } finally {
    await pool.close();
  }
}

/** Plans units as {@link planUnits}, and returns for each what was found or what is wrong with it. */
export async function planEach(
  units: readonly UnitContext[],
  signal: AbortSignal,
): Promise<(readonly [unit: string, planned: PlannedUnit | QrunError])[]> {
  if (units.length === 0) return [];
  const read: ReadSetups = new Map();
  const pool = new PlanPool(units.length);
  try {
    return await Promise.all(
      units.map(async unit => {
        const planned = await planOne(pool, unit, read, signal).catch(error => {
          if (error instanceof QrunError) return error;
          throw error;
        });
        return [unit.unit, planned] as const;
      }),
    );
  } finally {
    await pool.close();
  }
}

// The digest covers the setup, too: on the embedded engine it decides the data.
async function planOne(
  pool: PlanPool,
  unit: UnitContext,
  read: ReadSetups,
  signal: AbortSignal,
): Promise<PlannedUnit> {
  const planned = await pool.plan(unit, signal, checkedSetup(unit, read));
  const setups = setupFilesOf(unit, read).map(({ name, fingerprint }) => `${fingerprint} ${name}`);
  return setups.length === 0
    ? planned
    : { ...planned, digest: shortHash([planned.digest, ...setups].join('\n')) };
}

// The parameters that the setup of a unit uses, after all of it was checked.
function checkedSetup(unit: UnitContext, read: ReadSetups): ReadonlySet<string> {
  checkSetupFiles(setupFilesOf(unit, read), unit.config);
  return usedBySetup(unit, read);
}

/**
 * Returns whether anything of a unit is due; reads in this thread, because most units have ended by the time this is
 * called.
 */
export async function isUnitDue(context: UnitContext, signal: AbortSignal): Promise<boolean> {
  const plan = await previewIn(
    context,
    { bad: 'refuse', usedElsewhere: usedBySetup(context) },
    { signal, refuseDamage: true },
  );
  return plan.due.total > 0;
}

/** Returns the units that are due and run without the queue's knowledge. */
export async function runningElsewhere(
  sweep: ResolvedSweep,
  outlooks: ReadonlyMap<string, UnitOutlook>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const { unit, logPath, logDirectory } of sweep.units) {
    if ((outlooks.get(unit)?.due ?? 0) === 0) continue;
    if ((await holderOf(logPath, logDirectory)) !== undefined) found.add(unit);
  }
  return found;
}

/** Returns whether the last audit is not one of the present logs, or was not complete. */
export function auditIsDue(sweep: ResolvedSweep): boolean {
  const last = lastAudit(sweep);
  return last === undefined || last.outdated || last.audit.verdict !== 'complete';
}
