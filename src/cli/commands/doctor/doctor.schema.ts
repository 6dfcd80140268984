import { z } from 'zod';
import { FINDING_CLASSES, FINDING_STATES } from '../../../app/machine/finding.js';
import { exitCode } from '../../../core/unit/unit.schema.js';

/** `qrun doctor --json`. */
export const schema = z
  .object({
    exit_code: exitCode,
    findings: z.array(
      z.object({
        what: z.string(),
        state: z.enum(FINDING_STATES).describe('`note`: worth knowing. `problem`: a sweep cannot run.'),
        says: z.string(),
        mend: z
          .string()
          .nullable()
          .describe('The command or change that fixes it; null where there is nothing to fix.'),
        class: z.enum(FINDING_CLASSES),
      }),
    ),
  })
  .meta({ title: 'qrun doctor --json', description: 'What a sweep needs, and whether it is there.' });
