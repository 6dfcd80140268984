import { z } from 'zod';
import { count, strings } from '../schema.js';

/** `qrun hosts here --json`. */
export const schema = z
  .object({
    version: z.string().describe('Of qrun.'),
    program: z.string().describe('The directory of this qrun, by its real path.'),
    node: z.string(),
    queue: z
      .object({
        name: z.string(),
        version: z.string().nullable(),
        problem: z.string().nullable(),
        mend: z.string().nullable(),
      })
      .describe('The queue that tasks are given to; its version or its problem.'),
    tasks: z
      .array(
        z.object({
          sweep: z.string(),
          name: z.string().describe("The unit's id, or #audit."),
          phase: z.enum(['queued', 'delayed', 'running', 'paused']),
        }),
      )
      .describe('The tasks of all sweeps of units that have not ended.'),
    locks: z.enum(['koffi', 'child']).nullable().describe('How locks are taken; null if there is no way.'),
    root: z.string(),
    sweep: z
      .object({
        name: z.string(),
        log_directory: z.string(),
        directories: strings.describe('Those of its units, relative to the root.'),
        held: z
          .array(z.object({ unit: z.string(), holder: z.string() }))
          .describe('Units that a process runs, in the queue or not.'),
      })
      .nullable()
      .describe('The sweep there; null without one.'),
    problem: z.string().nullable().describe('Why the sweep there cannot be read.'),
    network: z.boolean().describe('Whether the logs are on a network file system.'),
    free_bytes: count.nullable(),
  })
  .meta({
    title: 'qrun hosts here --json',
    description: 'What a machine has for sweeps: what `qrun hosts check` asks on each host.',
  });
