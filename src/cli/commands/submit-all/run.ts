import { checkSetupFiles } from '../../../app/setup/setup.js';
import { planSweep, type UnitOutlook } from '../../../app/sweep/plan.js';
import { type SubmitReport, submitTasks } from '../../../app/sweep/submit.js';
import { previewUnit } from '../../../app/unit/preview.js';
import { sizeSlots } from '../../../core/machine/sizing.js';
import { tasksByName } from '../../../core/queue/labels.js';
import { isLive, isStarted, isWaiting, type QueueState, type QueueTask } from '../../../core/queue/queue.js';
import type { Output } from '../../../core/schema.js';
import { auditOf } from '../../../core/sweep/audit.js';
import { jsonLine } from '../../../core/text/json.js';
import { auditReportPath, isOutdated, readAuditReport } from '../../../io/log/audit-report.js';
import { readLog } from '../../../io/log/follow.js';
import { leaseHolder } from '../../../io/log/lease.js';
import { HostMeter } from '../../../io/machine/host.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { directorySource } from '../../../io/unit/unit-files.js';
import type { Sweep } from '../../../local/sweep/context.js';
import { PlanPool } from '../../../local/sweep/plan-threads.js';
import type { UnitContext } from '../../../local/unit/context.js';
import { type ReadSetups, setupFilesOf, usedBySetup } from '../../../local/unit/setup-files.js';
import type { Flags } from '../../command.js';
import { openCounter } from '../../progress/counter.js';
import { jobSize } from '../../sweep/job-size.js';
import { finalizersOf, sweepOf, UNIT_PRIORITY, wholeNumberFlag } from '../../sweep/options.js';
import { prepareTasks, submitDeps } from '../../sweep/unit-tasks.js';
import { untilStopped } from '../../terminal/signals.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import { formatSizing } from '../probe/render.js';
import { checkServer } from './check-server.js';
import { renderSubmission, type Submission } from './render.js';
import type { schema } from './submit-all.schema.js';

/**
 * `qrun submit-all ROOT`: adds a task to the queue for each unit that is not complete, queued or running, and the
 * audit behind them. Everything is checked before the first task is added. Gives the exit code.
 *
 * Errors: QrunError of the configuration, the units, the server (24) and the queue (26).
 */
export async function submitAllCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  // Tasks that were added before a signal stay; the next submit-all goes on from there.
  return await untilStopped(terminal.proc, (signal, listen) =>
    submitAll(directory, flags, terminal, signal, listen),
  );
}

async function submitAll(
  directory: string,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
  listen: () => void,
): Promise<number> {
  const sweep = sweepOf(directory, flags, terminal);
  tell(terminal, sweep.notices);
  const priority = wholeNumberFlag(flags, 'priority', UNIT_PRIORITY) ?? sweep.table.priority ?? 0;
  const slots = slotsOf(flags, sweep, terminal);
  const queue = await QUEUE.open({ env: terminal.env, signal });
  const before = await queue.state();
  const counter = await openCounter(terminal);
  const outlooks = await planUnits(sweep, before, counter.show, signal);
  const byUnit = new Map(outlooks.map(outlook => [outlook.unit, outlook]));
  const elsewhere = await runningElsewhere(sweep, byUnit);
  // Also the ones that the queue has already, so that they are counted; under the lock they are looked for again.
  const wanted = sweep.units.filter(({ unit }) => (byUnit.get(unit)?.due ?? 1) > 0 && !elsewhere.has(unit));
  const isBad = ({ bad, problem }: UnitOutlook): boolean => bad > 0 || problem !== undefined;
  const submission = {
    sweep: sweep.name,
    root: sweep.root,
    group: sweep.group,
    complete: outlooks.filter(outlook => outlook.due === 0 && !isBad(outlook)).map(({ unit }) => unit),
    cannotRun: outlooks
      .filter(isBad)
      .map(({ unit, bad, problem }) => ({ unit, queries: bad, problem: problem ?? null })),
    elsewhere: [...elsewhere.keys()],
    due: new Map(outlooks.map(({ unit, due }) => [unit, due])),
  };
  const planned = wanted.some(({ unit }) => byUnit.has(unit));
  const setup = flags.setup === true && flags.dryRun !== true;
  const commands = flags.dryRun === true ? undefined : await prepareTasks(sweep, terminal, unitFlags(flags));
  // Up to here files were read, and nothing was begun.
  listen();
  if (setup || (planned && flags.delay === undefined)) await checkServer(sweep, setup, terminal, signal);
  if (commands === undefined) {
    counter.close();
    return show({ ...submission, report: dryReport(sweep, wanted, before, slots) }, flags, terminal, true);
  }
  const finalizers = finalizersOf(flags);
  const report = await submitTasks(
    {
      ...submitDeps(queue, sweep.root, terminal, signal),
      onAdded: (added, total) => counter.show('submitted', added, total),
    },
    {
      kind: 'unit',
      sweep: sweep.name,
      root: sweep.root,
      group: sweep.group,
      slots,
      priority,
      delay: flags.delay as string | undefined,
      tasks: wanted.map(unit => ({
        name: unit.unit,
        argv: commands.unit(unit),
        ...(byUnit.has(unit.unit) ? {} : { isDue: async () => (await planOf(unit, signal)).due.length > 0 }),
      })),
      follower: {
        argv: commands.audit({ finalizers, priority: priority - 1 }),
        isDue: auditIsDue(sweep),
      },
      resumeGroup: flags.resumeGroup === true,
    },
  );
  counter.close();
  const complete = [...submission.complete, ...report.ended].sort();
  if (report.follower === 'not due' && finalizers.length > 0) {
    terminal.err.write('--then is not run: nothing is due; qrun audit-all --then runs it\n');
  }
  return show({ ...submission, complete, report }, flags, terminal, false);
}

function slotsOf(flags: Flags, { table, config }: Sweep, terminal: Terminal): number | undefined {
  const given = flags.parallel ?? table.parallel;
  if (given === 'auto') {
    const sizing = sizeSlots(new HostMeter().capacity(), jobSize({}, config.memoryMax));
    terminal.err.write(`--parallel auto: ${formatSizing(sizing)}\n`);
    return sizing.slots;
  }
  return wholeNumberFlag({ parallel: given }, 'parallel', { min: 1, max: 10_000 });
}

// Units that the queue has already are left as they are, and need not be read: 300,000 files take their time.
async function planUnits(
  sweep: Sweep,
  { tasks }: QueueState,
  show: (what: string, done: number, total: number) => void,
  signal: AbortSignal,
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
      done => show('checked', done, units.length),
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
  sweep: Sweep,
  outlooks: ReadonlyMap<string, UnitOutlook>,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { unit, logPath } of sweep.units) {
    if ((outlooks.get(unit)?.due ?? 0) === 0) continue;
    const holder = await leaseHolder(logPath);
    if (holder !== undefined) found.set(unit, holder);
  }
  return found;
}

function unitFlags(flags: Flags): string[] {
  return flags.rerun === undefined ? [] : [`--rerun=${flags.rerun}`];
}

function auditIsDue(sweep: Sweep): boolean {
  const audit = readAuditReport(auditReportPath(sweep.logDirectory, sweep.name));
  const logs = new Map(sweep.units.map(({ unit, logPath }) => [unit, logPath]));
  if (audit === undefined || isOutdated(audit, logs)) return true;
  return auditOf(audit, logs.keys()).verdict !== 'complete';
}

function dryReport(
  sweep: Sweep,
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

function show(submission: Submission, flags: Flags, terminal: Terminal, dry: boolean): number {
  if (flags.json === true) {
    const { due, report, cannotRun, ...rest } = submission;
    const { groupPaused, stateBytes, follower, ended: _ended, ...counts } = report;
    terminal.out.write(
      jsonLine<Output<typeof schema>>({
        ...rest,
        cannot_run: cannotRun,
        ...counts,
        audit: follower,
        group_paused: groupPaused,
        state_bytes: stateBytes ?? null,
        dry_run: dry,
      }),
    );
  } else terminal.out.write(renderSubmission(submission, QUEUE, terminal.outStyle, dry));
  return 0;
}
