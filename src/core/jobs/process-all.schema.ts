import { z } from 'zod';
import { count, named, strings } from '../schema.js';
import { follower, submitted } from '../sweep/submit-all.schema.js';
import { JOB_PHASES } from './state.js';

const place = { sweep: z.string(), results: z.string().describe('The directory of the logs and states.') };

/** What was submitted. */
export const submission = z.object({
  ...place,
  ...submitted,
  ended: strings.describe('Ended after they were checked, with nothing left to do.'),
  done: strings,
  check: follower.describe('What became of the check after them.'),
});

/** `--dry-run`: what would be submitted. */
export const plan = z.object({
  ...place,
  jobs: z.array(
    z.object({
      job: z.string(),
      parameters: named,
      command: strings,
      last_run: z.enum(JOB_PHASES),
      queue: z
        .string()
        .nullable()
        .describe('`queued`, `delayed`, `running`, `paused` or `none`; null if the queue cannot be asked.'),
      submit: z.boolean(),
    }),
  ),
});

/** `--check`: whether all is done. */
export const check = z.object({
  sweep: z.string(),
  complete: z.boolean(),
  jobs: count,
  done: strings,
  failed: z.array(
    z.object({ job: z.string(), ended: z.string().describe('The exit code or the signal.'), attempt: count }),
  ),
  missing: strings.describe('Never ran, or ran only with other inputs.'),
  interrupted: strings,
  running: strings,
});

/** `qrun process-all --json`. */
export const schema = z.union([submission, plan, check]).meta({
  title: 'qrun process-all --json',
  description:
    'What became of each job, with --dry-run what would happen, with --check whether all are done.',
});
