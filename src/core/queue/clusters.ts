import { z } from 'zod';
import { once, text } from '../config/values.js';
import type { Output } from '../schema.js';
import { parseDuration } from '../text/duration.js';
import type { TaskResources } from './queue.js';

const MAX_CPUS = 4_096;
const CPUS = `must be a whole number from 1 to ${MAX_CPUS}`;
const LEAST_TIME_MS = 60_000;
const TIME = 'must be a duration of at least 1m, such as 30m or 4h';

// What Slurm's own names consist of; lists of them too.
const slurmName = () => text().regex(/^[\w.@+][\w.,@+-]*$/, 'must be a name that Slurm knows');

const slurmSchema = once(() =>
  z
    .strictObject({
      partition: slurmName().describe('The partition; that of the cluster if it is missing.').optional(),
      account: slurmName().describe('Whom the time is charged to.').optional(),
      qos: slurmName().describe('The quality of service.').optional(),
      time: z
        .string(TIME)
        .refine(value => (parseDuration(value) ?? 0) >= LEAST_TIME_MS, TIME)
        .describe('How long a unit may run before Slurm ends it, such as 4h.')
        .optional(),
      cpus: z.int(CPUS).min(1, CPUS).max(MAX_CPUS, CPUS).describe('Cores of a unit.').optional(),
    })
    .describe('What each unit takes of a Slurm cluster; its memory is memory_max.'),
);

/** The keys of `[sweep]` in a qrun.toml that say what its units take of a cluster, one for each kind of cluster. */
export const clusterKeys = once(() => ({ slurm: slurmSchema().optional() }));

/**
 * Returns what a unit of a sweep takes of a cluster, and what its audit takes: less, on the same account.
 * `memoryBytes`: the cap of a unit.
 */
export function resourcesOf(
  { slurm = {} }: { readonly slurm?: Output<ReturnType<typeof slurmSchema>> | undefined },
  memoryBytes: number | undefined,
): { readonly unit: TaskResources; readonly audit: TaskResources } {
  const { partition, account, qos, time, cpus } = slurm;
  const audit = { partition, account, qos };
  const timeMs = time === undefined ? undefined : parseDuration(time);
  return { unit: { ...audit, memoryBytes, timeMs, cpus }, audit };
}
