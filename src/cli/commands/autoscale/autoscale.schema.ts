import { z } from 'zod';
import { SCALE_REASONS } from '../../../core/machine/autoscale.js';
import { count, strings, time } from '../../../core/schema.js';

const some = z.number().min(0);

/** `qrun autoscale --json`. */
export const schema = z
  .object({
    time,
    group: z.string(),
    from: count.describe('Slots of the group; 0 means no limit.'),
    to: count.describe('The same as `from` where nothing changes.'),
    queued: count,
    running: count,
    paused: z.boolean(),
    cpu_percent: some,
    memory_percent: some,
    load1: some,
    cores: some,
    min: count,
    max: count,
    total: count.nullable().describe('Slots of all groups together; null where only `max` counts.'),
    memory_per_job_bytes: some.nullable(),
    dry_run: z.boolean(),
    reason: z
      .literal(['watch', ...SCALE_REASONS.map(reason => reason.replaceAll(' ', '_'))])
      .describe('`watch`: a step up was taken back.'),
    violations: strings.describe('Why a step up was taken back; otherwise empty.'),
    memory_available_bytes: z.number().describe('For one more job; negative where others were given more.'),
  })
  .meta({ title: 'qrun autoscale --json', description: 'One decision about the slots of a group.' });
