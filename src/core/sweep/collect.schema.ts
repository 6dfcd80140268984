import { z } from 'zod';
import { count, strings } from '../schema.js';

/** Why something could not be done, with what to do about it. */
export const problem = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().nullable(),
  exit_code: count,
});

/** What became of one log of another host. */
export const collectedLog = z.object({
  unit: z.string(),
  log: z.string().describe('The log here, into which it was imported.'),
  from: z.string().describe('The log that was read.'),
  appended: z
    .object({ groups: count, lines: count, bytes: count })
    .describe('What was appended, byte for byte; all 0 with a problem.'),
  there: count.describe('Groups that the log here held already.'),
  ran_twice: count.describe(
    'Groups that were dropped because their query is settled here with the same fingerprint: it was executed more than once.',
  ),
  stale: count.describe(
    'Groups that were dropped because they are of an older text of their query, and the log here holds a result of the present one.',
  ),
  unknown: count.describe('Groups that were dropped because the unit has no such query.'),
  unfinished: count.describe('Groups that were never completed; they count for nothing.'),
  torn_bytes: count.describe(
    'Bytes at its end that were not read: its writer died there, or is writing now.',
  ),
  problem: problem.nullable().describe('Why nothing of it was imported; otherwise null.'),
});

/** A host that logs were to be fetched from. */
export const fetchedHost = z.object({
  name: z.string(),
  reached: z.boolean(),
  fetched: z
    .object({
      files: count.describe('Logs and their sidecars that had changed.'),
      bytes: count.describe('Bytes that were not here before.'),
    })
    .nullable()
    .describe('What was copied from it; null with a problem before the first file.'),
  problem: problem
    .nullable()
    .describe('Why not everything was copied from it; otherwise null. Earlier copies were imported.'),
});

/** What an import of the logs of other hosts did. */
export const schema = z
  .object({
    sweep: z.string(),
    log_directory: z.string(),
    hosts: z
      .array(fetchedHost)
      .describe('Hosts of qrun.toml that logs were fetched from first; empty without, with --from, --here.'),
    logs: z.array(collectedLog),
    left_out: strings.describe('Logs of no unit that was asked for.'),
    exit_code: count,
  })
  .meta({
    title: 'qrun collect --json',
    description: 'What an import of the logs of other hosts did, log by log.',
  });
