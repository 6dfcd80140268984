import { z } from 'zod';
import { count } from '../../../core/schema.js';

/** `qrun prune --json`. */
export const schema = z
  .object({
    root: z.string(),
    leftovers: z.array(
      z.object({
        kind: z.string(),
        path: z.string(),
        about: z.string().describe('What it is or was for.'),
        size_bytes: count.describe('On the disk.'),
        state: z.enum(['old', 'current', 'in use']).describe('`current`: a run would use it.'),
        fate: z.enum(['kept', 'would be removed', 'removed', 'in use', 'failed']),
        why: z.string().nullable().describe('Who uses it, or why it could not be removed; otherwise null.'),
      }),
    ),
  })
  .meta({ title: 'qrun prune --json', description: 'What qrun keeps beneath the root of a sweep.' });
