import { z } from 'zod';
import { ENGINE_NAMES } from '../../../core/engines/facts.js';
import { count, strings } from '../../../core/schema.js';

const some = z.number().min(0);
const known = some.nullable();

const host = z.object({
  cores: some.describe('How many may be used; a fraction where a control group has a quota.'),
  cores_online: count,
  cores_quota: known,
  memory_bytes: some,
  machine_memory_bytes: some,
  memory_limit_bytes: known.describe('Of the control groups; null without a limit.'),
  memory_available_bytes: some,
  memory_percent: some,
  swap_bytes: known,
  swap_used_bytes: known,
  swap_in_pages_per_second: known,
  swap_out_pages_per_second: known,
  load1: some,
  cpu_percent: some,
  window_ms: some.describe('Over which CPU and swap were measured.'),
  open_files: known.describe('How many files a process may open; null without a limit.'),
  unknown: strings.describe('What this system does not say.'),
});

const engine = z
  .object({
    kind: z.enum(ENGINE_NAMES),
    error: z.string().nullable().describe('Why a server could not be asked; null where it could.'),
    target: z.string().nullable(),
    version: z.string().nullable(),
    max_concurrent_queries: known,
    max_server_memory_usage: known,
    max_memory_usage: known,
    max_threads: known,
    concurrent_threads_soft_limit_num: known,
    concurrent_threads_soft_limit_ratio_to_cores: known,
    unknown: strings.describe('What the server does not say, and why.'),
  })
  .describe('The limits of a server; all null for the embedded engine, which has none of its own.');

const sizing = z.object({
  slots: count,
  bound: z.enum(['memory', 'cores', 'minimum']).describe('What decided.'),
  by_memory: known,
  by_cores: some,
  memory_bytes: some,
  cores: some,
  memory_per_job_bytes: known,
  cores_per_job: some,
  usable_share: some.describe('The part of the machine that jobs may take.'),
});

const advice = z.object({
  slots: count,
  threads: some,
  threads_from: z.enum(['soft limit', 'soft limit per core', 'cores']),
  cores: some,
  cores_from: z.enum(['server', 'host']),
  threads_per_slot: some,
  concurrency: count.describe('Queries at a time in each unit: -P.'),
  bound: z.enum(['threads', 'max_concurrent_queries', 'minimum', ...ENGINE_NAMES]).describe('What decided.'),
  max_threads: count,
});

/** `qrun probe --json`. */
export const schema = z
  .object({
    host,
    engine: engine.describe(
      'The limits of the server, or of the first of several; all null for the embedded engine, which has none of its own.',
    ),
    engines: z.array(engine).describe('All servers, in the order in which they were named.'),
    sizing,
    alone: advice.describe('For a unit that runs alone.'),
    together: advice.describe('For as many units as there are slots.'),
  })
  .meta({ title: 'qrun probe --json', description: 'A machine, an engine, and what to run on them.' });
