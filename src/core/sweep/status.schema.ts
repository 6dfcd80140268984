import { z } from 'zod';
import { verdict } from '../log/audit.schema.js';
import { count, strings, time } from '../schema.js';
import { problem } from './collect.schema.js';

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
  'unknown',
] as const;
const note = z.string().describe('Why, if the state alone does not say it; otherwise empty.');
const rate = z.number().min(0);

/** One unit in the status of a sweep. */
export const unitStatus = z.object({
  unit: z.string(),
  state: z
    .enum(STATES)
    .describe(
      '`unknown`: the host that it was given to does not answer, and not all of its results are known.',
    ),
  host: z
    .string()
    .nullable()
    .describe('The host of qrun.toml where it waits or runs, or has run; null for this machine.'),
  note,
  queries: count,
  settled: count.describe('Queries with a result, for any fingerprint: only the audit says what is stale.'),
  settled_here: count.describe(
    'Of them, those in the log on this machine: the others are still to be collected.',
  ),
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

/** A host in the status of a sweep. */
export const hostStatus = z.object({
  name: z.string(),
  answered_at: time.nullable().describe('When it last answered; null if it has not.'),
  silent_since: time
    .nullable()
    .describe('Its last answer, or the first question, if it does not answer; null if it does.'),
  problem: problem.nullable().describe('Why it does not answer.'),
  slots: count
    .nullable()
    .describe('Null when its queue is not known or has no such group; 0 means no limit.'),
  running: count.nullable().describe('Units that run there; null if it has never answered.'),
  waiting: count.nullable(),
  paused_groups: strings,
  queue_problem: z.string().nullable().describe('Why the queue there could not be asked.'),
  queries_per_second: rate,
});

/** A sweep at one moment. */
export const sweepStatus = z.object({
  sweep: z.string(),
  group: z.string(),
  slots: count
    .nullable()
    .describe(
      'Null when the queue cannot be asked, or has no such group; 0 means no limit. Of all hosts that answer together.',
    ),
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
  queue_problem: z
    .string()
    .nullable()
    .describe('Why the queue of this machine could not be asked; null if it could, or was not to be.'),
  hosts: z.array(hostStatus).describe('The hosts that were asked; empty for this machine alone.'),
});

/** `qrun status --json`. */
export const schema = sweepStatus.meta({
  title: 'qrun status --json',
  description: 'A sweep at one moment; with --watch one line per reading.',
});
