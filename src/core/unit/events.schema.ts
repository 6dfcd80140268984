import { z } from 'zod';
import { ENGINE_NAMES } from '../engines/facts.js';
import { OUTCOMES } from '../model.js';
import { count, time } from '../schema.js';
import { schema as summary } from './unit.schema.js';

const ms = z.number().min(0);
const error = z.object({
  code: count.describe("ClickHouse's number of the error; 0 if the failure is not ClickHouse's."),
  name: z.string(),
  kind: z.enum(['transient', 'permanent', 'unknown']),
  message: z.string(),
});

function event<T extends string, S extends z.core.$ZodLooseShape>(type: T, shape: S) {
  return z.object({ type: z.literal(type), ...shape });
}

const EVENTS = [
  event('run_started', {
    run: z.string(),
    unit: z.string(),
    directory: z.string(),
    log: z.string(),
    engine: z.enum(ENGINE_NAMES),
    version: z.string().describe('Of the engine.'),
    target: z
      .string()
      .describe(
        'Where the engine is: the URL of the server (several with commas between them), or the directory of the data.',
      ),
    concurrency: count.describe('Queries that run at a time.'),
    selected: count,
    settled: count,
    due: count,
  }),
  event('setup_started', { file: z.string() }),
  event('setup_done', {
    file: z.string(),
    duration_ms: ms,
    target: z.string().nullable().describe('The server that it ran on; null for embedded data.'),
    database: z.string().nullable().describe('The database there; null if it is not known.'),
  }),
  event('query_started', { query: z.string(), attempt: count, query_id: z.string() }),
  event('query_retry', {
    query: z.string(),
    attempt: count.describe('The attempt that failed.'),
    wait_ms: ms,
    error,
  }),
  event('query_recorded', {
    query: z.string(),
    outcome: z.enum(OUTCOMES),
    rows: count,
    attempt: count,
    duration_ms: ms,
    error: error.nullable().describe('Null unless the outcome is `error`.'),
  }),
  event('engine_lost', { reason: z.string() }),
  event('engine_back', { after_ms: ms }),
  event('log_repaired', { bytes: count, saved_as: z.string() }),
  event('warning', { message: z.string() }),
  event('stopping', { how: z.enum(['drain', 'abort']), reason: z.string() }),
  event('run_ended', summary.shape),
] as const;

/** What happens in a run, without the time with which a line of `--events` begins. */
export const runEvent = z.discriminatedUnion('type', EVENTS);

/** A line of the file that `qrun unit --events` names. */
export const schema = z
  .union(EVENTS.map(({ shape }) => z.object({ at: time.describe('When it happened.'), ...shape })))
  .meta({ title: 'qrun unit --events', description: 'What happens in a run: one line for each event.' });
