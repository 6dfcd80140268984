import { z } from 'zod';
import { count, strings } from '../../schema.js';

/** What became of one step on one host. */
export const deployStep = z.object({
  step: z.enum(['audit', 'decide', 'upload', 'verify', 'switch', 'resubmit']),
  state: z
    .enum(['done', 'note', 'problem', 'would'])
    .describe(
      '`note`: done, and there is something to do. `problem`: the host has no further steps. `would`: with --dry-run.',
    ),
  says: z.string(),
  mend: z.string().nullable().describe('The command or the change that mends it.'),
  exit_code: count,
});

/** One host. */
export const deployedHost = z.object({
  name: z.string(),
  ssh: z.string(),
  steps: z.array(deployStep),
  before: z.string().nullable().describe('The version that was current, if deploy had brought it.'),
  path: z.string().nullable().describe('Where the new version is; null if it is not there.'),
  switched: z.boolean().describe('Whether the new version is current.'),
  sent_bytes: count.nullable().describe('What went over the network.'),
  qrun: strings
    .nullable()
    .describe('What qrun = [...] of this host must be; null if it leads there already.'),
  removed: strings.describe('Old versions that were removed, with --prune.'),
});

/** `qrun hosts deploy --json`. */
export const schema = z
  .object({
    name: z.string().describe('The version and a digest of its content: the directory on each host.'),
    version: z.string(),
    files: count,
    size_bytes: count,
    packages_left_out: strings,
    dry_run: z.boolean(),
    hosts: z.array(deployedHost),
    next: strings.describe('The commands to give next.'),
    exit_code: count,
  })
  .meta({
    title: 'qrun hosts deploy --json',
    description: 'What became of this version of qrun on each host.',
  });
