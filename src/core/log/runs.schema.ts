import { z } from 'zod';
import { ENGINE_NAMES } from '../engines/facts.js';
import { count, named, strings, time } from '../schema.js';
import { outcomeCounts, serverCounts } from '../unit/unit.schema.js';

/** The setup that a run found or made. */
export const runSetup = z.object({
  files: z.array(z.object({ file: z.string(), fingerprint: z.string() })),
  database: z.string().nullish().describe('Of the server; null for embedded data.'),
});

/** Written when a run begins. */
export const runStart = z.object({
  event: z.literal('start'),
  schema: count.describe('The version of the records that it writes.'),
  run: z.string(),
  unit: z.string(),
  at: time,
  user: z.string(),
  host: z.string(),
  pid: count,
  qrun: z.string().describe('Version.'),
  node: z.string().describe('Version.'),
  arguments: strings.describe('The command line without secrets.'),
  directory: z.string(),
  git_commit: z
    .string()
    .nullable()
    .describe('Of the repository of the SQL, with `+` when files were changed since; null without git.'),
  engine: z.enum(ENGINE_NAMES),
  server_version: z.string(),
  target: z.string(),
  servers: z
    .array(z.object({ target: z.string(), version: z.string().nullable() }))
    .nullish()
    .describe(
      'The servers of a run on several (`server_version` is the lowest); the version is null for one that did not answer when the run began. Null with one, absent in older lines.',
    ),
  settings: named.describe('What went into the fingerprints besides SQL and parameters.'),
  rows_per_query: count.nullable(),
  setup: runSetup
    .nullish()
    .describe('The setup files and where they ran; null if the run involves none. Absent in older lines.'),
});

/** Written when a run ends by itself. */
export const runEnd = z.object({
  event: z.literal('end'),
  run: z.string(),
  at: time,
  recorded: outcomeCounts,
  records: count.describe('Lines that the run appended to the log.'),
  not_run: count,
  servers: serverCounts.nullish().describe('As in `qrun unit --json`; absent in older lines.'),
  exit_code: count,
});

/** A line of the sidecar. */
export const schema = z.discriminatedUnion('event', [runStart, runEnd]).meta({
  title: '<log>.runs',
  description:
    'The runs of a log, two lines each. A start without an end is a run that was killed or is still running.',
});
