import { z } from 'zod';
import { scalar, text } from '../config/values.js';
import { parseSize, SIZE_EXAMPLES, sizePattern } from '../text/bytes.js';

const printable = (value: string): boolean => !/\p{Cc}/u.test(value);
const value = scalar().transform(String);

/** Returns whether a string is a size that can be a job's memory cap. */
export const isSize = (size: string): boolean => (parseSize(size) ?? 0) > 0;

/** What a jobs.toml may hold, part by part. The parser of jobs.toml checks how the parts fit together. */
export const jobsSchema = z
  .strictObject({
    name: text().describe(
      'The name of the sweep; part of labels, of the names of its jobs and of their files.',
    ),
    command: z
      .array(
        text().refine(word => !word.includes('\0'), 'must not hold NUL'),
        'must be a list: the program and its arguments, each a string of its own',
      )
      .min(1, 'must name a program')
      .describe('The program and its arguments, with {parameter} where a value belongs.'),
    memory_max: z
      .string('must be a size as a string, such as "4G"')
      .refine(isSize, `must be a size: ${SIZE_EXAMPLES}`)
      .meta({ pattern: sizePattern(1), description: 'Memory cap of each job, such as "4G".' })
      .optional(),
    results: text()
      .describe('Where logs, checkpoints and states lie, relative to this file; "results" if it is missing.')
      .optional(),
    matrix: z
      .record(
        z.string(),
        z
          .array(value.refine(printable, 'must not hold control characters'), 'must be a list of values')
          .min(1, 'must have a value'),
        'must be a table of names and lists of values',
      )
      .describe('Values of parameters: one job for each combination.')
      .default({}),
    env: z
      .record(
        z.string(),
        value.refine(one => !one.includes('\0'), 'must not hold NUL'),
        'must be a table of names and values',
      )
      .describe('Variables of the environment of each job. No secrets.')
      .default({}),
  })
  .meta({ title: 'jobs.toml', description: 'Process jobs, as `qrun process-all` submits them.' });
