import { z } from 'zod';
import { count, named, strings } from '../schema.js';
import { cannotRun } from '../unit/unit.schema.js';

/** The state of a unit, from best to worst; see `Verdict` in audit.ts. */
export const verdict = z
  .enum(['complete', 'errors', 'incomplete', 'inconsistent'])
  .describe(
    '`complete`: every query has one whole, current result. `errors`: the same, but some are recorded as errors. `incomplete`: results are missing or stale, or files cannot run. `inconsistent`: the log holds what it must not hold.',
  );

/** The terms of the formula. */
export const normalTerms = z
  .array(z.object({ queries: count, rows: count }))
  .describe('The normal queries: how many have how many rows, most first.');

const query = z.string();
const offset = count.describe('Where it begins in the log, bytes.');
const log = z.string();

/** What an audit found in one unit. */
export const report = z.object({
  unit: z.string(),
  log: z.string().describe('The path of the log; of the first of several.'),
  logs: z
    .array(z.object({ log, lines: count.nullable().describe('Null if there is no such file.') }))
    .describe('All logs that were judged together.'),
  verdict,
  queries: count.describe(
    'Queries that were judged: all that the selection leaves in, whether they can run or not.',
  ),
  normal: normalTerms,
  skipped: count,
  errors: count,
  expected_lines: count.describe(
    'Lines that the final states must have: the sum of queries x rows, skipped, errors.',
  ),
  found_lines: count.describe('Lines of the final states that the log has.'),
  total_lines: count.describe('Lines in the log; a torn one is not counted.'),
  missing: strings,
  failed: z.array(z.object({ query, attempt: count })),
  partial: z
    .array(z.object({ query, found: count, parts: count }))
    .describe('Queries whose last group is not whole.'),
  duplicate: z
    .array(z.object({ query, times: count, lines: count }))
    .describe('Settled more than once with the same fingerprint, or the same attempt in the log twice.'),
  stale: strings.describe('Recorded for other SQL, parameters or settings than the current ones.'),
  cannot_run: cannotRun.describe('Files that a run would refuse as they are now.'),
  no_statement: strings.describe('Files that hold only comments or nothing. They are not queries.'),
  left_out: count.describe('Queries that the selection left out, unless the log holds results of them.'),
  foreign: z
    .array(
      z.object({
        query: z.string().nullable().describe('Null for a line that is not a record of the unit.'),
        lines: count,
        offset,
        log,
      }),
    )
    .describe('Recorded queries that the unit does not have, and lines that are not records of the unit.'),
  wrong_width: z.array(z.object({ query, rows: count, expected: count })),
  superseded: z
    .object({ groups: count, lines: count })
    .describe(
      'Older groups that a later one of the same query replaces: lines to leave out when reading the log.',
    ),
  unreadable: z.array(z.object({ offset, bytes: count, reason: z.string(), log })),
  settings: named.describe(
    'What decides what is stale: the settings that a run with this configuration would have.',
  ),
  last_run: z
    .object({ run: z.string(), settings: named })
    .nullable()
    .describe('The last run, if it had other settings; otherwise null.'),
});

/** `qrun audit --json`. */
export const schema = z.union([report, z.array(report)]).meta({
  title: 'qrun audit --json',
  description: 'What the audit of a unit found: an object, or a list of them if several units were named.',
});
