import { z } from 'zod';
import { count } from '../schema.js';
import { problem } from './collect.schema.js';

/** What became of a task that was asked to end. */
export const cancelFate = z
  .enum(['removed', 'asked', 'outside'])
  .describe(
    '`removed`: it waited, and never starts. `asked`: it runs, was asked to end, and finishes what it has begun. `outside`: it runs, but not as a task of the queue, and goes on.',
  );

const host = z.string().nullable().describe('Where; null for this machine.');

/** A unit or a job, or the audit after them. */
export const cancelledTask = z.object({
  name: z.string(),
  host,
  fate: cancelFate,
  note: z.string().describe('Who runs it, if it runs outside the queue; otherwise empty.'),
});

/** `qrun cancel --json`. */
export const schema = z
  .object({
    sweep: z.string(),
    kind: z.enum(['unit', 'job']),
    tasks: z.array(cancelledTask).describe('Those that waited or ran; empty if there were none.'),
    audits: z
      .array(z.object({ host, fate: z.enum(['removed', 'asked', 'stays']) }))
      .describe('What became of the audit after them, where there was one; `stays`: it follows others.'),
    dry_run: z.boolean().describe('Whether nothing was cancelled: `fate` says what would happen.'),
    ended: z
      .boolean()
      .nullable()
      .describe('With --wait, whether those that ran have ended; null if that was not waited for.'),
    hosts: z
      .array(
        z.object({
          name: z.string(),
          problem: problem.nullable().describe('Why it was not asked: its units may still wait or run.'),
        }),
      )
      .describe('The hosts that were asked; empty for this machine.'),
    exit_code: count,
  })
  .meta({ title: 'qrun cancel --json', description: 'What became of the tasks of a sweep.' });
