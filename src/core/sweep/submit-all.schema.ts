import { z } from 'zod';
import { count, strings } from '../schema.js';

/** What a submission reports about the queue, whatever it submits. */
export const submitted = {
  group: z.string(),
  slots: count.describe('How many tasks of the group run at a time; 0 means no limit.'),
  submitted: strings,
  queued: strings.describe('In the queue already; also delayed.'),
  running: strings.describe('Running already; also paused.'),
  group_paused: z.boolean(),
  state_bytes: count
    .nullable()
    .describe('What the queue writes with each change; null if that is always the same.'),
};

/** What happened to the task that comes after the others. */
export const follower = z.enum(['submitted', 'waiting', 'not due']);

/** What became of all tasks that should be in the queue; `ended`: since the caller looked, with nothing left to do. */
export const submitReport = z.object({ ...submitted, ended: strings, follower });

/** What a submission did on one host. */
export const hostPart = z.object({
  name: z.string(),
  submitted: strings,
  queued: strings.describe('In its queue already; also delayed.'),
  running: strings.describe('Running there already; also paused.'),
  elsewhere: strings.describe('Units that run there, but not as a task of its queue.'),
  not_submitted: strings.describe(
    'Units that were to be submitted there when it failed; some of them may be there. Submit again.',
  ),
  slots: count.nullable().describe('How many units run there at a time; null if it is not known.'),
  group_paused: z.boolean(),
  state_bytes: count.nullable(),
  problem: z
    .object({ code: z.string(), says: z.string(), mend: z.string() })
    .nullable()
    .describe('Why it was left out, or failed; otherwise null.'),
});

/** `qrun submit-all --json`. */
export const schema = z
  .object({
    sweep: z.string(),
    root: z.string(),
    ...submitted,
    complete: strings.describe('Units whose log holds every result.'),
    cannot_run: z
      .array(
        z.object({
          unit: z.string(),
          queries: count.describe('How many cannot run and are left out.'),
          problem: z.string().nullable().describe('Why nothing of the unit can run; null if something can.'),
        }),
      )
      .describe('Units with files that cannot run.'),
    elsewhere: strings.describe('Units that run, but not as a task of the queue.'),
    audit: z
      .enum([...follower.options, 'by hand'])
      .describe('What became of the audit after them. With hosts, somebody has to start it: `by hand`.'),
    dry_run: z.boolean().describe('Whether nothing was submitted: all lists say what would be.'),
    hosts: z
      .array(hostPart)
      .nullable()
      .describe(
        'What became of them on each host, in the order of qrun.toml; null if the sweep runs on this machine. The lists and numbers above are those of all hosts.',
      ),
  })
  .meta({
    title: 'qrun submit-all --json',
    description: 'What became of each unit of a sweep; lists of units.',
  });
