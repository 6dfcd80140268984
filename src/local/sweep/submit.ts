import { checkSetupFiles } from '../../app/setup/setup.js';
import { planSweep, type UnitOutlook } from '../../app/sweep/plan.js';
import { type SubmitOptions, type SubmitReport, submitTasks } from '../../app/sweep/submit.js';
import { previewUnit } from '../../app/unit/preview.js';
import { type Sizing, sizeSlots } from '../../core/machine/sizing.js';
import { tasksByName } from '../../core/queue/labels.js';
import {
  isLive,
  isStarted,
  isWaiting,
  type QueueKind,
  type QueueState,
  type QueueTask,
} from '../../core/queue/queue.js';
import { auditOf } from '../../core/sweep/audit.js';
import { auditReportPath, isOutdated, readAuditReport } from '../../io/log/audit-report.js';
import { readLog } from '../../io/log/follow.js';
import { leaseHolder } from '../../io/log/lease.js';
import { HostMeter } from '../../io/machine/host.js';
import { QUEUE } from '../../io/queue/queues.js';
import { directorySource } from '../../io/unit/unit-files.js';
import type { Surroundings } from '../config/sweep-context.js';
import { submitDeps } from '../queue/submit-deps.js';
import type { UnitContext } from '../unit/context.js';
import { type ReadSetups, setupFilesOf, usedBySetup } from '../unit/setup-files.js';
import { type CheckWatch, checkServer } from './check-server.js';
import type { ResolvedSweep } from './context.js';
import { checkedCommands } from './finalizers.js';
import { PlanPool } from './plan-threads.js';
import { prepareTasks } from './tasks.js';

/** What a submission of a sweep may be told; what it is not told, the configuration says. */
export interface SweepSubmitOptions extends Partial<Pick<SubmitOptions, 'delay' | 'resumeGroup'>> {
  /** Of the units: higher ones start first. The audit has one less. */
  readonly priority?: number | undefined;
  /** How many units run at a time; `auto`: as many as this machine takes. */
  readonly slots?: number | 'auto' | undefined;
  /** Which settled queries the units run again. */
  readonly rerun?: string | undefined;
  /** Runs the setup files on the server first. */
  readonly setup?: boolean | undefined;
  /** Commands that run after a complete audit, one after the other. */
  readonly finalizers?: readonly string[] | undefined;
  /** Checks everything and adds nothing. */
  readonly dryRun?: boolean | undefined;
}

/** Who hears of a submission. */
export interface SubmitWatch extends CheckWatch {
  /** Called when `slots: 'auto'` has become a number. */
  readonly onSizing?: (sizing: Sizing) => void;
  /** Called after each unit that was checked, and after each that was added. */
  readonly onProgress?: (what: 'checked' | 'submitted', done: number, total: number) => void;
  /** Called when everything has been read, and nothing was begun. */
  readonly onBegin?: () => void;
}

/** What a submission did, or would do. */
export interface Submission {
  readonly sweep: string;
  readonly root: string;
  readonly group: string;
  readonly queue: QueueKind;
  readonly report: SubmitReport;
  /** Units of which the log holds every result. */
  readonly complete: readonly string[];
  /** Units with queries that cannot run and are left out (how many), or of which nothing can run (why). */
  readonly cannotRun: readonly {
    readonly unit: string;
    readonly queries: number;
    readonly problem: string | null;
  }[];
  /** Units that run, but not as a task of the queue. */
  readonly elsewhere: readonly string[];
  /** Queries that are due, by unit; only of the units that were looked at. */
  readonly due: ReadonlyMap<string, number>;
}

/**
 * Adds a task to the queue for each unit that is not complete, queued or running, and the audit behind them. Everything
 * is checked before the first task is added. Tasks that were added before an error or a signal stay; the next submission
 * goes on from there.
 *
 * Errors: QrunError of the units, the server (`ENGINE_*`) and the queue (`QUEUE_*`); `USAGE` for a command with a secret.
 */
export async function submitSweep(
  sweep: ResolvedSweep,
  { env }: Pick<Surroundings, 'env'>,
  options: SweepSubmitOptions,
  watch: SubmitWatch,
): Promise<Submission> {
  const { name, root, group, table } = sweep;
  const { signal, onProgress } = watch;
  const finalizers = checkedCommands(options.finalizers ?? []);
  const priority = options.priority ?? table.priority ?? 0;
  const slots = slotsOf(sweep, options, watch);
  const queue = await QUEUE.open({ env, signal });
  const before = await queue.state();
  const outlooks = await planUnits(sweep, before, watch);
  const byUnit = new Map(outlooks.map(outlook => [outlook.unit, outlook]));
  const elsewhere = await runningElsewhere(sweep, byUnit);
  // Also the ones that the queue has already, so that they are counted; under the lock they are looked for again.
  const wanted = sweep.units.filter(({ unit }) => (byUnit.get(unit)?.due ?? 1) > 0 && !elsewhere.has(unit));
  const submission = {
    ...outlookOf(outlooks),
    sweep: name,
    root,
    group,
    queue: QUEUE,
    elsewhere: [...elsewhere],
  };
  const planned = wanted.some(({ unit }) => byUnit.has(unit));
  const isDry = options.dryRun === true;
  const setup = options.setup === true && !isDry;
  const rerun = options.rerun === undefined ? [] : [`--rerun=${options.rerun}`];
  const commands = isDry ? undefined : await prepareTasks(sweep, rerun);
  watch.onBegin?.();
  if (setup || (planned && options.delay === undefined)) await checkServer(sweep, setup, watch);
  if (commands === undefined) return { ...submission, report: dryReport(sweep, wanted, before, slots) };
  const report = await submitTasks(
    {
      ...submitDeps(queue, root, env, signal),
      onAdded: (added, total) => onProgress?.('submitted', added, total),
    },
    {
      kind: 'unit',
      sweep: name,
      root,
      group,
      slots,
      priority,
      delay: options.delay,
      resumeGroup: options.resumeGroup === true,
      tasks: wanted.map(unit => ({
        name: unit.unit,
        argv: commands.unit(unit),
        ...(byUnit.has(unit.unit) ? {} : { isDue: async () => (await planOf(unit, signal)).due.total > 0 }),
      })),
      follower: { argv: commands.audit({ finalizers, priority: priority - 1 }), isDue: auditIsDue(sweep) },
    },
  );
  return { ...submission, complete: [...submission.complete, ...report.ended].sort(), report };
}

function outlookOf(outlooks: readonly UnitOutlook[]): Pick<Submission, 'complete' | 'cannotRun' | 'due'> {
  const isBad = ({ bad, problem }: UnitOutlook): boolean => bad > 0 || problem !== undefined;
  return {
    complete: outlooks.filter(outlook => outlook.due === 0 && !isBad(outlook)).map(({ unit }) => unit),
    cannotRun: outlooks
      .filter(isBad)
      .map(({ unit, bad, problem }) => ({ unit, queries: bad, problem: problem ?? null })),
    due: new Map(outlooks.map(({ unit, due }) => [unit, due])),
  };
}

function slotsOf(
  { table, config }: ResolvedSweep,
  { slots = table.parallel }: SweepSubmitOptions,
  { onSizing }: SubmitWatch,
): number | undefined {
  if (slots !== 'auto') return slots;
  const sizing = sizeSlots(new HostMeter().capacity(), { memoryBytes: config.memoryMax, cores: 1 });
  onSizing?.(sizing);
  return sizing.slots;
}

// Units that the queue has already are left as they are, and need not be read: 300,000 files take their time.
async function planUnits(
  sweep: ResolvedSweep,
  { tasks }: QueueState,
  { signal, onProgress }: SubmitWatch,
): Promise<UnitOutlook[]> {
  const present = tasksByName('unit', tasks, sweep.name);
  const units = sweep.units.filter(({ unit }) => {
    const task = present.get(unit);
    return task === undefined || !isLive(task) || task.directory !== sweep.root;
  });
  if (units.length === 0) return [];
  const read: ReadSetups = new Map();
  const pool = new PlanPool(units.length);
  try {
    return await planSweep(
      units.map(unit => ({
        unit: unit.unit,
        plan: async () => await pool.plan(unit, signal, checkedSetup(unit, read)),
      })),
      done => onProgress?.('checked', done, units.length),
      sweep.config.skipBad,
    );
  } finally {
    await pool.close();
  }
}

// The parameters that the setup of a unit uses, after all of it was checked.
function checkedSetup(unit: UnitContext, read: ReadSetups): ReadonlySet<string> {
  checkSetupFiles(setupFilesOf(unit, read), {
    parameters: unit.inputs.parameters,
    allowPlaceholders: unit.config.allowPlaceholders,
  });
  return usedBySetup(unit, read);
}

// One unit here: most have ended long before anybody submits again.
function planOf(context: UnitContext, signal: AbortSignal) {
  const { unit, directory, inputs, config, logPath, linksWithin } = context;
  return previewUnit(
    {
      source: directorySource(directory, 0, linksWithin),
      inputs,
      selection: config,
      limit: undefined,
      rerun: config.rerun,
      allowPlaceholders: config.allowPlaceholders,
      usedElsewhere: usedBySetup(context),
      bad: config.skipBad ? 'skip' : 'refuse',
    },
    { path: logPath, unit, read: states => readLog(logPath, unit, states) },
    { signal, refuseDamage: true },
  );
}

async function runningElsewhere(
  sweep: ResolvedSweep,
  outlooks: ReadonlyMap<string, UnitOutlook>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const { unit, logPath } of sweep.units) {
    if ((outlooks.get(unit)?.due ?? 0) === 0) continue;
    if ((await leaseHolder(logPath)) !== undefined) found.add(unit);
  }
  return found;
}

function auditIsDue(sweep: ResolvedSweep): boolean {
  const audit = readAuditReport(auditReportPath(sweep.logDirectory, sweep.name));
  const logs = new Map(sweep.units.map(({ unit, logPath }) => [unit, logPath]));
  if (audit === undefined || isOutdated(audit, logs)) return true;
  return auditOf(audit, logs.keys()).verdict !== 'complete';
}

function dryReport(
  sweep: ResolvedSweep,
  wanted: readonly UnitContext[],
  { tasks, groups, stateBytes }: QueueState,
  slots: number | undefined,
): SubmitReport {
  const present = tasksByName('unit', tasks, sweep.name);
  const names = (fits: (task: QueueTask | undefined) => boolean): string[] =>
    wanted.filter(({ unit }) => fits(present.get(unit))).map(({ unit }) => unit);
  const group = groups.get(sweep.group);
  return {
    submitted: names(task => task === undefined || !isLive(task)),
    queued: names(task => task !== undefined && isWaiting(task)),
    running: names(task => task !== undefined && isStarted(task)),
    ended: [],
    follower: wanted.length > 0 || auditIsDue(sweep) ? 'submitted' : 'not due',
    group: sweep.group,
    slots: slots ?? group?.slots ?? 1,
    groupPaused: group?.paused === true,
    stateBytes,
  };
}
