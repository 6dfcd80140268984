import { z } from 'zod';
import { count, strings } from '../schema.js';
import { PLAN_REASONS } from './plan.js';
import { cannotRun } from './unit.schema.js';

/** `qrun plan --json`. */
export const schema = z
  .object({
    unit: z.string(),
    log: z.string().describe('The path of the log.'),
    due: count.describe('Queries that a run would run now; 0 if it would refuse the unit.'),
    queries: z.array(
      z.object({
        query: z.string(),
        fingerprint: z.string(),
        reason: z.enum(PLAN_REASONS).describe('Why it is due, or is not.'),
        runs: z.boolean().describe('Whether a run would run it now.'),
      }),
    ),
    cannot_run: cannotRun.describe('Files that cannot run as they are now, with each of their problems.'),
    no_statement: strings.describe('Files that hold only comments or nothing, and are not queries.'),
  })
  .meta({ title: 'qrun plan --json', description: 'What a run of a unit would do, and why.' });
