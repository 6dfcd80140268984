import { QrunError } from '../errors.js';

// Where schedulers say which task of an array a process is, and the first index of an array there.
const VARIABLES: readonly (readonly [variable: string, first: 0 | 1, scheduler: string])[] = [
  ['SLURM_ARRAY_TASK_ID', 0, 'Slurm'],
  ['JOB_COMPLETION_INDEX', 0, 'Kubernetes'],
  ['AWS_BATCH_JOB_ARRAY_INDEX', 0, 'AWS Batch'],
  ['PBS_ARRAY_INDEX', 0, 'PBS'],
  // Arrays of these two begin with 1; a task of none has `undefined` and 0.
  ['SGE_TASK_ID', 1, 'SGE'],
  ['LSB_JOBINDEX', 1, 'LSF'],
];

/** The variables in which schedulers say it, with their names, for texts. */
export const INDEX_VARIABLES: readonly string[] = VARIABLES.map(
  ([variable, first, scheduler]) => `${variable} (${scheduler}${first === 0 ? '' : ', from 1'})`,
);

/**
 * Returns which of `count` tasks a process is, from 0. `given`: what the command line says, from 0; without it the
 * variable of the first scheduler in {@link INDEX_VARIABLES} that has set one decides.
 *
 * Errors: QrunError `USAGE` without a number, with two that differ, and for one that no task has.
 */
export function arrayIndex(
  given: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  count: number,
): number {
  const [from, index] =
    given === undefined ? foundIndex(env) : (['--index', wholeNumber('--index', given)] as const);
  if (index >= 0 && index < count) return index;
  throw new QrunError('USAGE', `${from}: there is no task ${index}`, {
    hint: `there are ${count}, from 0 to ${count - 1}: give the array so many`,
  });
}

function foundIndex(env: Readonly<Record<string, string | undefined>>): readonly [string, number] {
  const found = VARIABLES.flatMap(([variable, first]) => {
    const text = env[variable];
    const isNone = text === undefined || text === '' || (first === 1 && /^(?:undefined|0)$/.test(text));
    return isNone ? [] : [[variable, wholeNumber(variable, text) - first] as const];
  });
  const [one] = found;
  if (one === undefined) {
    throw new QrunError('USAGE', '--index: no scheduler says which task of an array this is', {
      details: INDEX_VARIABLES.map(variable => `not set: ${variable}`),
      hint: 'start it in an array, or give the number: --index 0',
    });
  }
  const other = found.find(([, index]) => index !== one[1]);
  if (other === undefined) return one;
  throw new QrunError('USAGE', `--index: ${one[0]} and ${other[0]} say different things`, {
    hint: 'give the number: --index 0',
  });
}

// No scheduler has arrays of more.
const MAX_DIGITS = 9;

function wholeNumber(from: string, text: string): number {
  if (/^\d+$/.test(text) && text.length <= MAX_DIGITS) return Number(text);
  throw new QrunError('USAGE', `${from}: ${JSON.stringify(text.slice(0, 100))} is not the number of a task`, {
    hint: 'it is a whole number from 0',
  });
}
