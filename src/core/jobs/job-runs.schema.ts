import { z } from 'zod';
import { count, named, strings, time } from '../schema.js';

/** Written when a run of a job begins, before its command starts. */
export const jobStart = z.object({
  event: z.literal('start'),
  schema: z.literal(1),
  job: z.string(),
  run: z.string(),
  at: time,
  attempt: count.describe('From 1; counted over the runs with this fingerprint.'),
  fingerprint: z.string(),
  command: strings,
  parameters: named,
  memory_max: z.string().nullable(),
  user: z.string(),
  host: z.string(),
  pid: count,
  qrun: z.string().describe('Version.'),
  log_from: count.describe("Where in the job's log the output of this run begins, bytes."),
});

/** Written when a command has ended. */
export const jobEnd = z.object({
  event: z.literal('end'),
  run: z.string(),
  at: time,
  duration_ms: z.number().min(0),
  exit_code: z.int().nullable().describe('Null when a signal ended it.'),
  signal: z.string().nullable(),
  killed_at_cap: z.boolean(),
  stopped_by: z
    .string()
    .nullable()
    .describe('The signal that asked qrun to stop; such a run is not done, whatever its command says.'),
  log_to: count.describe("Where in the job's log the output of this run ends, bytes."),
});

/** A line of a job's state. */
export const schema = z.discriminatedUnion('event', [jobStart, jobEnd]).meta({
  title: '<job>.runs',
  description:
    'The runs of a job, two lines each. A start without an end is a run that was killed or is still running.',
});
