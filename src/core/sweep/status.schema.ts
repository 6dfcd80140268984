import { z } from 'zod';
import { verdict } from '../log/audit.schema.js';
import { count, strings, time } from '../schema.js';

const STATES = [
  'running',
  'paused',
  'queued',
  'delayed',
  'complete',
  'errors',
  'failed',
  'incomplete',
  'not submitted',
] as const;
const note = z.string().describe('Why, if the state alone does not say it; otherwise empty.');
const rate = z.number().min(0);

/** One unit in the status of a sweep. */
export const unitStatus = z.object({
  unit: z.string(),
  state: z.enum(STATES),
  note,
  queries: count,
  settled: count.describe('Queries with a result, for any fingerprint: only the audit says what is stale.'),
  errors: count,
  found_lines: count.describe('Lines of the final states that the log holds.'),
  expected_lines: count,
  estimated: z.boolean().describe('Whether `expected_lines` is an estimate, because results are missing.'),
  queries_per_second: rate.describe('Of the current run; 0 if there is none.'),
});

/** How the audit of a sweep stands. */
export const auditStatus = z.object({
  state: z.enum(['none', 'queued', 'running', 'done', 'failed']),
  note,
  verdict: verdict.nullable().describe('Of the last audit; null when something was recorded since.'),
  at: time.nullable().describe('When that audit began.'),
});

/** A sweep at one moment. */
export const sweepStatus = z.object({
  sweep: z.string(),
  group: z.string(),
  slots: count
    .nullable()
    .describe('Null when the queue cannot be asked, or has no such group; 0 means no limit.'),
  paused_groups: strings.describe(
    'Groups that hold tasks of the sweep and start none until somebody says so.',
  ),
  units: z.array(unitStatus),
  audit: auditStatus,
  queries_per_second: rate,
  eta_ms: z
    .number()
    .min(0)
    .nullable()
    .describe('Until all queries have run at the current rate; null when nothing runs or nothing is left.'),
  queue_problem: z.string().nullable().describe('Why the queue could not be asked; null if it could.'),
});

/** `qrun status --json`. */
export const schema = sweepStatus.meta({
  title: 'qrun status --json',
  description: 'A sweep at one moment; with --watch one line per reading.',
});
