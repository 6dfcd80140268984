import { z } from 'zod';
import { count } from '../schema.js';

/** What was found about one thing on a host. */
export const finding = z.object({
  what: z.string(),
  state: z.enum(['note', 'problem']).describe('`note`: worth knowing. `problem`: no sweep can run there.'),
  says: z.string(),
  mend: z.string().describe('The command or the change that mends it.'),
  exit_code: count,
});

/** One host. */
export const hostCheck = z.object({
  name: z.string(),
  ssh: z.string(),
  root: z.string(),
  slots: count,
  reached: z.boolean(),
  elapsed_ms: count.nullable().describe('How long it took to log in and look; null if it was not reached.'),
  node: z.string().nullable(),
  qrun: z.string().nullable(),
  queue: z.string().nullable().describe("The version of its queue's client."),
  free_bytes: count.nullable().describe('On the disk of the root.'),
  clock_ahead_s: z
    .int()
    .nullable()
    .describe('How far its clock is ahead of the one here, at least; negative if it is behind.'),
  locks: z.enum(['koffi', 'child']).nullable(),
  sweeps: z
    .array(z.object({ sweep: z.string(), running: count, queued: count }))
    .describe('Tasks that have not ended, by sweep.'),
  findings: z.array(finding),
});

/** `qrun hosts check --json`. */
export const schema = z
  .object({ version: z.string().describe('Of the qrun here.'), hosts: z.array(hostCheck), exit_code: count })
  .meta({ title: 'qrun hosts check --json', description: 'What each host has of what a sweep needs.' });
