import { z } from 'zod';
import { normalTerms, verdict } from '../log/audit.schema.js';
import { count, strings, time } from '../schema.js';

/** One unit in the audit of a sweep. */
export const unitAudit = z.object({
  unit: z.string(),
  log: z.string(),
  verdict,
  queries: count,
  normal: normalTerms,
  skipped: count,
  errors: count,
  expected_lines: count,
  found_lines: count,
  missing: count,
  partial: count,
  duplicate: count,
  stale: count,
  cannot_run: count.describe('Files that cannot run as they are now.'),
  foreign: count,
  wrong_width: count,
  unreadable: count,
  problem: z
    .string()
    .nullable()
    .describe(
      'What is wrong with files that cannot run, or why the unit could not be audited (then all counts are 0); otherwise null.',
    ),
  at: time.describe(
    'When it was audited: earlier than the time of the sweep if a later audit did not cover it.',
  ),
});

/** The audit of a sweep. */
export const schema = z
  .object({
    sweep: z.string(),
    at: time.describe('When it began; what was written later is not in it.'),
    verdict: verdict.describe(
      'The worst verdict of a unit; the order is complete, errors, incomplete, inconsistent.',
    ),
    units: z.array(unitAudit),
    then_done: strings.describe('The commands of --then that were run after it, all successfully.'),
  })
  .meta({
    title: 'qrun audit-all --json',
    description:
      'The audit of a sweep: for each unit the counts of its own audit. <sweep>.audit.json holds the last one.',
  });
