import { QrunError } from '../../core/errors.js';
import type { HostAsk, HostReturn } from '../../core/hosts/order.js';
import type { QueueOptions } from '../../core/queue/queue.js';
import { type RecentAttempts, recentAttempts } from '../../io/log/recent-attempts.js';
import { HostMeter } from '../../io/machine/host.js';
import { QUEUE } from '../../io/queue/queues.js';
import type { ResolvedSweep } from '../sweep/context.js';

// What was recorded in so long before a change is what it is compared with: as long as the change is watched.
const RECENT_MS = 5 * 60_000;

/**
 * Looks at the load of this machine, at the group of the sweep, and at what its logs have recorded since the last look.
 * Reads only. Errors: QrunError `QUEUE_*`, `READ_FAILED`.
 */
export async function measureHere(
  sweep: ResolvedSweep,
  { since }: HostAsk<'measure'>,
  options: QueueOptions,
): Promise<HostReturn<'measure'>> {
  const queue = await QUEUE.open(options);
  const { tasks, groups } = await queue.state();
  const mine = tasks.filter(({ group }) => group === sweep.group);
  const found: RecentAttempts[] = [];
  const ends: [string, number][] = [];
  for (const { unit, logPath } of sweep.units) {
    const from = since === null ? undefined : Object.hasOwn(since, unit) ? since[unit] : 0;
    const recent = await recentAttempts(logPath, unit, from, RECENT_MS);
    found.push(recent);
    ends.push([unit, recent.end]);
  }
  const now = new HostMeter().moment();
  return {
    sample: {
      slots: groups.get(sweep.group)?.slots ?? null,
      running: mine.filter(({ phase }) => phase === 'running').length,
      queued: mine.filter(({ phase }) => phase === 'queued').length,
      load1: now.load1,
      cores: now.coresOnline,
      memory_bytes: now.memoryBytes,
      memory_available_bytes: now.memoryAvailableBytes,
      swap_used_bytes: now.swapUsedBytes ?? null,
      swap_pages: now.swapPages ?? null,
      attempts: found.reduce((sum, { ended }) => sum + ended, 0),
      failed: found.reduce((sum, { failed }) => sum + failed, 0),
      errors: added(found),
    },
    ends: Object.fromEntries(ends),
  };
}

/**
 * Sets how many tasks of the sweep's group run at a time here; makes the group if it is not there. Errors: QrunError
 * `QUEUE_*`; `USAGE` for a queue whose slots cannot be set.
 */
export async function setSlotsHere(
  { group }: Pick<ResolvedSweep, 'group'>,
  { slots, expected }: HostAsk<'slots'>,
  options: QueueOptions,
): Promise<HostReturn<'slots'>> {
  const queue = await QUEUE.open(options);
  if (queue.setSlots === undefined) {
    throw new QrunError('USAGE', `${queue.kind.name} has no slots that can be set while tasks run`, {
      hint: 'set how many tasks run at a time where that queue is set up',
    });
  }
  const before = (await queue.state()).groups.get(group)?.slots ?? null;
  // A group that is gone had what was expected, too: nothing is made only to be set back.
  if (expected !== null && before !== expected) return { before, slots: before ?? expected, changed: false };
  if (before === null) await queue.addGroup?.(group, slots);
  else if (before !== slots) await queue.setSlots(group, slots);
  return { before, slots, changed: true };
}

function added(found: readonly RecentAttempts[]): Record<string, number> {
  const sum = new Map<string, number>();
  for (const { errors } of found) {
    for (const [name, count] of Object.entries(errors)) sum.set(name, (sum.get(name) ?? 0) + count);
  }
  return Object.fromEntries(sum);
}
