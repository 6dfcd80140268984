import { z } from 'zod';
import { count } from '../../schema.js';

const some = z.number().min(0);

/** One look at a host. */
export const hostSample = z.object({
  slots: count.nullable().describe('Of the group; 0 means no limit, null that there is no such group.'),
  running: count,
  queued: count,
  load1: some.describe('Mean number of processes that run or want to, over a minute.'),
  cores: some,
  memory_bytes: some,
  memory_available_bytes: some,
  swap_used_bytes: some.nullable().describe('Null where the system does not tell.'),
  swap_pages: some.nullable().describe('Swapped in and out since the machine was started.'),
  attempts: count.describe('Attempts that ended: `before` the change the last ones, in `last` those since.'),
  failed: count.describe('Of those: tried again, or recorded as an error that is not of the query alone.'),
  errors: z.record(z.string(), count).describe('Failed queries by the names of their errors.'),
});

/** Why a change was taken back. */
export const slotsHarm = z.object({
  what: z.enum(['load', 'swap', 'memory', 'failures']),
  says: z.string(),
});

/** What became of the slots of one host. */
export const hostSlots = z.object({
  host: z.string().describe('Its name; `here` for this machine.'),
  outcome: z
    .enum(['shown', 'set', 'kept', 'stepped_back', 'harmed', 'overruled', 'silent', 'interrupted', 'failed'])
    .describe(
      '`shown`: nothing was to be set. `set`: and not watched. `kept`: watched to the end. `stepped_back`: a limit was ' +
        'passed, and the slots are those of before. `harmed`: a limit was passed, and there was nothing to step back ' +
        'to. `overruled`: somebody else changed them. `silent`: it did not answer at the end. `interrupted`: by a ' +
        'signal. `failed`: it was not reached or refused; `says` has the reason.',
    ),
  before: count.nullable().describe('Slots before; 0 means no limit, null that there was no such group.'),
  slots: count.nullable().describe('Slots now, as far as known.'),
  configured: count
    .nullable()
    .describe('`slots` of the host in qrun.toml, which the next `submit-all` sets; null for this machine.'),
  says: z.string().describe('Why, if the outcome alone does not say it; otherwise empty.'),
  mend: z.string().nullable().describe('What to do about it.'),
  samples: count.describe('How often it was looked at after the change.'),
  baseline: hostSample.nullable(),
  last: hostSample.nullable(),
  harms: z.array(slotsHarm),
});

/** `qrun hosts slots --json`. */
export const schema = z
  .object({
    sweep: z.string(),
    group: z.string(),
    asked: count.nullable().describe('The number that was to be set; null if they were only shown.'),
    watch_ms: count.nullable().describe('How long the hosts were to be watched; null for not at all.'),
    hosts: z.array(hostSlots),
    exit_code: count,
  })
  .meta({
    title: 'qrun hosts slots --json',
    description: 'How many units run at a time on each host, and what a change of that did.',
  });
