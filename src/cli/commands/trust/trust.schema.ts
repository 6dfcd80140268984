import { z } from 'zod';
import { named, time } from '../../../core/schema.js';

/** A trusted tree. */
export const record = z.object({
  root: z.string().describe('Its real path.'),
  digest: z.string(),
  trusted_at: time,
  settings: named.describe('What the tree says, as it may be shown; what it does not say is left out.'),
});

/** `--remove`. */
export const removal = z.object({
  root: z.string(),
  removed: z.boolean().describe('Whether it was trusted before.'),
});

/** `--list`. */
export const listing = z.object({
  directory: z.string().describe('Where it is remembered.'),
  trusted: z.array(record),
});

/** `qrun trust --json`. */
export const schema = z.union([record, removal, listing]).meta({
  title: 'qrun trust --json',
  description: 'What is trusted from now on; with --remove what no longer is, with --list all that is.',
});
