import { relative, sep } from 'node:path';
import type { QueueOptions } from '../../core/queue/queue.js';
import {
  type CancelledTask,
  type CancelReport,
  isWhole,
  type UnitChoice,
  unitChooser,
} from '../../core/sweep/cancel.js';
import { queueOf } from '../../io/queue/queues.js';
import { holderOf } from '../log/own-logs.js';
import { type CancelOptions, type CancelWatch, cancelHere } from '../queue/cancel.js';
import type { ResolvedSweep } from './context.js';

/** Returns which units of a sweep are meant: those that it was resolved for, and those that no file is left of. */
export function choiceOf({ root, start, selection }: ResolvedSweep): UnitChoice {
  const { include, exclude } = selection;
  return { include, exclude, below: relative(root, start).split(sep).join('/') };
}

/**
 * Asks the tasks of the chosen units of a sweep to end, and that of the audit if it would follow none of others. Units
 * that wait never start; units that run finish what they have begun, record it, and end with 143. What is recorded
 * stays, and the next submission continues from there.
 *
 * Errors: QrunError `QUEUE_*`, `SUBMIT_LOCK`, `CONFIG` for a sweep of the same name elsewhere; the reason of the signal.
 */
export async function cancelSweep(
  sweep: ResolvedSweep,
  { env }: Pick<QueueOptions, 'env'>,
  choice: UnitChoice,
  options: CancelOptions,
  { signal, onBegin }: CancelWatch,
): Promise<CancelReport> {
  const { name, root, table } = sweep;
  const isChosen = unitChooser(choice);
  onBegin?.();
  const request = { kind: 'unit', sweep: name, root, isChosen, withAudit: isWhole(choice) } as const;
  const { report, startedBefore } = await cancelHere(request, { env }, options, signal, queueOf(table));
  const outside: CancelledTask[] = [];
  for (const { unit, logPath, logDirectory } of sweep.units) {
    if (!isChosen(unit) || startedBefore.has(unit)) continue;
    const holder = await holderOf(logPath, logDirectory);
    if (holder !== undefined) outside.push({ name: unit, host: null, fate: 'outside', note: holder });
  }
  return { ...report, tasks: [...report.tasks, ...outside] };
}
