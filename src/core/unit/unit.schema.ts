import { z } from 'zod';
import { EXIT_TABLE } from '../errors.js';
import { count, strings } from '../schema.js';

/** One of the codes in the table of exit codes. */
export const exitCode = z.literal(EXIT_TABLE.map(({ code }) => code));

/** How often each outcome was recorded. */
export const outcomeCounts = z.object({ normal: count, skipped: count, error: count });

/** Files that cannot run, with each of their problems. */
export const cannotRun = z.array(
  z.object({
    query: z.string().nullable().describe('The query; null for a problem of the unit as a whole.'),
    problem: z.string(),
  }),
);

/** How much of a run each of several servers did. */
export const serverCounts = z
  .array(z.object({ server: z.string(), recorded: count.describe('Queries recorded from there.') }))
  .describe('All servers of a run on several, in the order in which they were named; empty with one.');

const ms = z.number().min(0);
const quantiles = z.object({ p50_ms: ms, p95_ms: ms, p99_ms: ms, max_ms: ms });
const bucket = z.object({ up_to_ms: ms, count });
const failures = z.object({
  code: count,
  name: z.string(),
  count,
  example: z.string().describe('One query that failed in this way.'),
  message: z.string(),
});

/** What a run did: `qrun unit --json`, and the end of its events. */
export const schema = z
  .object({
    run: z.string().describe('The id of the run, as its records and the sidecar have it.'),
    unit: z.string(),
    log: z.string().describe('The path of the log.'),
    selected: count.describe('Queries that the selection (include, exclude, shard, limit) left in.'),
    settled_before: count.describe('Of these: settled before the run, so not run again.'),
    recorded: outcomeCounts.describe('Queries that this run recorded.'),
    records: count.describe('Lines that this run appended to the log.'),
    not_run: count.describe(
      'Queries that were due and not run, because the run was drained, aborted or halted.',
    ),
    retries: count.describe('Attempts that failed and were followed by another.'),
    elapsed_ms: ms,
    durations: quantiles
      .nullable()
      .describe(
        'Of recorded queries: the last attempt only, without waiting. Null when nothing was recorded.',
      ),
    histogram: z
      .array(bucket)
      .nullable()
      .describe('The same durations: how many lie above the bound before and at or below `up_to_ms`.'),
    slowest: z
      .array(z.object({ query: z.string(), duration_ms: ms }))
      .describe('At most five, slowest first.'),
    servers: serverCounts,
    errors: z.array(failures).describe('Failed queries by error, most frequent first.'),
    cannot_run: cannotRun.describe('Files that were left out because they cannot run (--skip-bad).'),
    no_statement: strings.describe('Files that hold only comments or nothing, and are not queries.'),
    stopped: z.string().nullable().describe('Why the run ended early; null when it did not.'),
    exit_code: exitCode,
  })
  .meta({ title: 'qrun unit --json', description: 'What a run did, when it has ended.' });
