import { z } from 'zod';
import { count, strings } from '../schema.js';
import { problem } from '../sweep/collect.schema.js';

/** One host that a sweep was sent to. */
export const pushedHost = z.object({
  name: z.string(),
  ssh: z.string(),
  root: z.string(),
  reached: z.boolean(),
  units: count.describe('Units whose files are there now as they are here.'),
  sent: z
    .object({ files: count, bytes: count.describe('Of them that were not there before.') })
    .describe('Files that were new there, or had changed.'),
  removed: count.describe('SQL files that were removed there because they are not here any more.'),
  changes: strings.describe(
    'With dry_run what would be done, a path relative to the root each, after `send ` or `remove `; otherwise empty.',
  ),
  left_out: z
    .array(
      z.object({
        unit: z.string(),
        state: z.enum(['queued', 'running']),
        holder: z.string().nullable().describe('The process that runs it, if it is known.'),
      }),
    )
    .describe('Units of which nothing was sent or removed, because they are queued or running there.'),
  problem: problem.nullable().describe('Why the sweep was not sent there, or not all of it; otherwise null.'),
});

/** `qrun hosts push --json`. */
export const schema = z
  .object({
    sweep: z.string(),
    root: z.string(),
    dry_run: z.boolean(),
    units: count.describe('Units of the sweep here.'),
    refused_links: z
      .array(z.object({ path: z.string(), says: z.string() }))
      .describe('Links that a run does not follow: they were not sent.'),
    hosts: z.array(pushedHost),
    exit_code: count,
  })
  .meta({ title: 'qrun hosts push --json', description: 'What was sent to each host.' });
