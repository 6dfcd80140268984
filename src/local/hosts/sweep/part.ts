import { submitTasks } from '../../../app/sweep/submit.js';
import { QrunError } from '../../../core/errors.js';
import type { HostOrder } from '../../../core/hosts/order.js';
import type {
  HostPart,
  HostPlan,
  ResultInputs,
  RunChoices,
  SubmittedThere,
  UnitThere,
} from '../../../core/hosts/part.js';
import { refusalOf } from '../../../core/hosts/refusal.js';
import { AUDIT, tasksByName } from '../../../core/queue/labels.js';
import { isLive, isStarted } from '../../../core/queue/queue.js';
import { namesIn } from '../../../io/files/paths.js';
import { leaseHolder } from '../../../io/log/lease.js';
import { QUEUE } from '../../../io/queue/queues.js';
import type { Surroundings } from '../../config/sweep-context.js';
import { queueReader } from '../../queue/reader.js';
import { submitDeps } from '../../queue/submit-deps.js';
import { checkServer } from '../../sweep/check-server.js';
import type { ResolvedSweep } from '../../sweep/context.js';
import { planEach } from '../../sweep/outlook.js';
import { slotsOf } from '../../sweep/submit.js';
import { checkTasks, prepareTasks } from '../../sweep/tasks.js';

// What a host does of a submission over hosts. The machine that submits decides what runs where.

/** Returns what of a sweep waits and runs on this machine. Errors: QrunError `LOCK_FAILED`. */
export async function lookAtPart(
  sweep: ResolvedSweep,
  _order: HostOrder<'look'>,
  { env }: Surroundings,
  signal: AbortSignal,
): Promise<HostPart> {
  const read = await queueReader(QUEUE, { env, signal })();
  const state = read instanceof QrunError ? undefined : read;
  const tasks = tasksByName('unit', state?.tasks ?? [], sweep.name);
  const queued: string[] = [];
  const running: string[] = [];
  for (const [unit, task] of tasks) {
    if (unit !== AUDIT && isLive(task)) (isStarted(task) ? running : queued).push(unit);
  }
  const started = new Set(running);
  const elsewhere: string[] = [];
  for (const { unit, logPath } of sweep.units) {
    if (!started.has(unit) && (await leaseHolder(logPath)) !== undefined) elsewhere.push(unit);
  }
  const group = state?.groups.get(sweep.group);
  return {
    log_directory: sweep.logDirectory,
    has_logs: namesIn(sweep.logDirectory).some(name => name.endsWith('.ndjson')),
    ...{ queued, running, elsewhere },
    slots: group?.slots ?? null,
    group_paused: group?.paused === true,
    state_bytes: state?.stateBytes ?? null,
    queue_problem: read instanceof QrunError ? refusalOf(read) : null,
  };
}

/**
 * Reads and judges units on this machine, and checks that their tasks would find what they need.
 *
 * Errors: QrunError `CONFIG` and `ENGINE_*`, as for a submission here. What is wrong with a unit is in the result.
 */
export async function planPart(
  found: ResolvedSweep,
  { ask }: HostOrder<'plan'>,
  _surroundings: Surroundings,
  signal: AbortSignal,
): Promise<HostPlan> {
  const sweep = withChoices(found, ask);
  const here = new Map(sweep.units.map(unit => [unit.unit, unit]));
  const units = ask.units.flatMap(unit => here.get(unit) ?? []);
  checkTasks(sweep);
  if (ask.check_server) await checkServer({ ...sweep, units }, false, { signal });
  const planned = new Map(await planEach(units, signal));
  return {
    ...resultInputs(sweep),
    units: ask.units.map((unit): UnitThere => {
      const one = planned.get(unit);
      if (one === undefined) return { unit, refusal: null };
      return one instanceof QrunError
        ? { unit, refusal: refusalOf(one) }
        : { unit, due: one.due, digest: one.digest };
    }),
  };
}

/** Returns what decides the results of all units of a sweep on this machine. */
export function resultInputs({ config, units: [unit] }: ResolvedSweep): ResultInputs {
  return { engine: config.engine, settings: unit?.inputs.settings ?? {} };
}

/**
 * Adds the units of an order to the queue of this machine, each that neither waits nor runs here. No audit follows:
 * this machine has only a part of the sweep.
 *
 * Errors: as a submission here; tasks that were added before an error stay.
 */
export async function submitPart(
  found: ResolvedSweep,
  { ask }: HostOrder<'submit'>,
  { env }: Surroundings,
  signal: AbortSignal,
): Promise<SubmittedThere> {
  const sweep = withChoices(found, ask);
  const { name, root, group } = sweep;
  const notices: string[] = [];
  const slots = slotsOf(sweep, ask.slots, {});
  const queue = await QUEUE.open({ env, signal });
  const commands = await prepareTasks(sweep);
  if (ask.setup) {
    await checkServer(sweep, true, {
      signal,
      onNotice: text => notices.push(text),
      onSetup: ({ file, at }) => notices.push(`setup ${file} has run on ${at}`),
    });
  }
  const report = await submitTasks(submitDeps(queue, root, env, signal), {
    kind: 'unit',
    sweep: name,
    root,
    group,
    slots,
    priority: ask.priority,
    delay: ask.delay ?? undefined,
    resumeGroup: ask.resume_group,
    tasks: sweep.units.map(unit => ({ name: unit.unit, argv: commands.unit(unit) })),
    follower: undefined,
  });
  const { submitted, queued, running, group_paused, state_bytes } = report;
  return { submitted, queued, running, slots: report.slots, group_paused, state_bytes, notices };
}

// They are flags here, and neither in qrun.toml nor in the configuration of tasks.
function withChoices(sweep: ResolvedSweep, { rerun, setup }: RunChoices): ResolvedSweep {
  const chosen = { rerun, setup };
  return {
    ...sweep,
    config: { ...sweep.config, ...chosen },
    given: { ...sweep.given, rerun },
    units: sweep.units.map(unit => ({ ...unit, config: { ...unit.config, ...chosen } })),
  };
}
