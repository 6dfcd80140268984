import { notDue, type UnitOutlook } from '../../app/sweep/plan.js';
import { type SubmitReport, type SubmitRequest, submitTasks } from '../../app/sweep/submit.js';
import { QrunError } from '../../core/errors.js';
import { type Sizing, sizeSlots } from '../../core/machine/sizing.js';
import { resourcesOf } from '../../core/queue/clusters.js';
import { tasksByName } from '../../core/queue/labels.js';
import {
  isLive,
  isStarted,
  isWaiting,
  type QueueKind,
  type QueueState,
  type QueueTask,
} from '../../core/queue/queue.js';
import type { Output } from '../../core/schema.js';
import type { schema } from '../../core/sweep/submit-all.schema.js';
import { HostMeter } from '../../io/machine/host.js';
import { queueOf } from '../../io/queue/queues.js';
import type { Surroundings } from '../config/sweep-context.js';
import { submitDeps } from '../queue/submit-deps.js';
import type { UnitContext } from '../unit/context.js';
import { type CheckWatch, checkServer } from './check-server.js';
import { collectOwn } from './collect.js';
import type { ResolvedSweep } from './context.js';
import { checkedCommands } from './finalizers.js';
import { auditIsDue, isUnitDue, notQueued, type PlanWatch, planUnits, runningElsewhere } from './outlook.js';
import { prepareTasks } from './tasks.js';

/** The options of a submission of a sweep; the configuration provides what is not set. */
export interface SweepSubmitOptions {
  /** A number of seconds, or a time in the format of the queue. */
  readonly delay?: string | undefined;
  /** Whether to start the group when it is paused. */
  readonly resumeGroup?: boolean | undefined;
  /** Of the units: higher ones start first. The audit has one less. */
  readonly priority?: number | undefined;
  /** How many units run at a time; `auto`: as many as fit on this machine. */
  readonly slots?: number | 'auto' | undefined;
  /** Commands that run after a complete audit, one after the other. */
  readonly finalizers?: readonly string[] | undefined;
  /** Checks everything and adds nothing. */
  readonly dryRun?: boolean | undefined;
}

/** The callbacks of a submission. */
export interface SubmitWatch extends CheckWatch, PlanWatch {
  /** Called when `slots: 'auto'` has become a number. */
  readonly onSizing?: (sizing: Sizing) => void;
  /** Called when everything has been read and nothing has begun. */
  readonly onBegin?: () => void;
}

/** What happened to each unit; the object that `qrun submit-all --json` prints. */
export interface SubmissionReport extends Output<typeof schema> {}

/** What a submission did, or would do. */
export interface Submission {
  readonly report: SubmissionReport;
  readonly queue: QueueKind;
  /** Queries that are due, by unit; only for units that were looked at. */
  readonly due: ReadonlyMap<string, number>;
}

/**
 * Adds a task to the queue for each unit that is not complete, queued or running, and the audit after them.
 * Everything is checked before the first task is added. Tasks that were added before an error or a signal stay; the
 * next submission continues from there.
 *
 * Errors: QrunError of the units, the server (`ENGINE_*`) and the queue (`QUEUE_*`); `USAGE` for a command with a
 * secret.
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
  const kind = queueOf(table);
  const slots = slotsOf(sweep, options.slots ?? table.parallel, watch, kind);
  const queue = await kind.open({ env, signal });
  const before = await queue.state();
  // What is recorded elsewhere is not due. A look without an effect imports nothing.
  if (options.dryRun !== true) await collectOwn(sweep, { signal, onNotice: watch.onNotice });
  const outlooks = await planUnits(notQueued(sweep, before), sweep.config.skipBad, watch);
  const byUnit = new Map(outlooks.map(outlook => [outlook.unit, outlook]));
  const elsewhere = await runningElsewhere(sweep, byUnit);
  // Includes those already in the queue, so that they are counted; they are looked up again under the lock.
  const wanted = sweep.units.filter(({ unit }) => (byUnit.get(unit)?.due ?? 1) > 0 && !elsewhere.has(unit));
  const planned = wanted.some(({ unit }) => byUnit.has(unit));
  const isDry = options.dryRun === true;
  const setup = sweep.config.setup && !isDry;
  const commands = isDry ? undefined : await prepareTasks(sweep);
  watch.onBegin?.();
  if (setup || (planned && options.delay === undefined)) await checkServer(sweep, setup, watch);
  const isAuditDue = auditIsDue(sweep);
  if (commands === undefined) {
    const report = dryReport(sweep, wanted, before, { slots, isDue: wanted.length > 0 || isAuditDue });
    return submissionOf(sweep, outlooks, elsewhere, report, true);
  }
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
        ...(byUnit.has(unit.unit) ? {} : { isDue: () => isUnitDue(unit, signal) }),
      })),
      follower: { argv: commands.audit(finalizers, priority - 1), isDue: isAuditDue },
      ...(kind.isCluster === true ? { resources: resourcesOfSweep(sweep) } : {}),
    },
  );
  return submissionOf(sweep, outlooks, elsewhere, report, false);
}

function resourcesOfSweep({ table, config }: ResolvedSweep): SubmitRequest['resources'] {
  const { unit, audit } = resourcesOf(table, config.memoryMax);
  return { task: unit, follower: audit };
}

function submissionOf(
  { name, root, table }: ResolvedSweep,
  outlooks: readonly UnitOutlook[],
  elsewhere: ReadonlySet<string>,
  { ended, follower, ...counts }: SubmitReport,
  isDry: boolean,
): Submission {
  const { complete, cannot_run } = notDue(outlooks);
  return {
    queue: queueOf(table),
    due: new Map(outlooks.map(({ unit, due }) => [unit, due])),
    report: {
      ...{ sweep: name, root, ...counts },
      complete: [...complete, ...ended].sort(),
      cannot_run,
      elsewhere: [...elsewhere],
      audit: follower,
      dry_run: isDry,
      hosts: null,
    },
  };
}

/** Returns how many units run at a time; `auto`: as many as fit on this machine. */
export function slotsOf(
  { config }: Pick<ResolvedSweep, 'config'>,
  slots: number | 'auto' | undefined,
  { onSizing }: Pick<SubmitWatch, 'onSizing'>,
  kind: QueueKind = queueOf({}),
): number | undefined {
  if (slots !== 'auto') return slots;
  if (kind.isCluster === true) {
    throw new QrunError(
      'USAGE',
      `--parallel auto: ${kind.name} runs the units on other machines than this one`,
      {
        hint: 'give the number of units at a time: --parallel 8, or parallel = 8 under [sweep]',
      },
    );
  }
  const sizing = sizeSlots(new HostMeter().capacity(), { memoryBytes: config.memoryMax, cores: 1 });
  onSizing?.(sizing);
  return sizing.slots;
}

function dryReport(
  sweep: ResolvedSweep,
  wanted: readonly UnitContext[],
  { tasks, groups, stateBytes }: QueueState,
  { slots, isDue }: { readonly slots: number | undefined; readonly isDue: boolean },
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
    follower: isDue ? 'submitted' : 'not due',
    group: sweep.group,
    slots: slots ?? group?.slots ?? 1,
    group_paused: group?.paused === true,
    state_bytes: stateBytes ?? null,
  };
}
