import { describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import { arrayIndex, INDEX_VARIABLES } from '../../../src/core/queue/array-index.js';

const refusal = (...args: Parameters<typeof arrayIndex>): QrunError => {
  try {
    arrayIndex(...args);
  } catch (error) {
    if (error instanceof QrunError) return error;
  }
  throw new Error('nothing was refused');
};

describe('arrayIndex', () => {
  it.each([
    ['SLURM_ARRAY_TASK_ID', '3', 3],
    ['JOB_COMPLETION_INDEX', '0', 0],
    ['AWS_BATCH_JOB_ARRAY_INDEX', '4', 4],
    ['PBS_ARRAY_INDEX', '1', 1],
    ['SGE_TASK_ID', '1', 0],
    ['LSB_JOBINDEX', '5', 4],
  ])('takes the number that %s says', (variable, text, index) => {
    expect(arrayIndex(undefined, { [variable]: text, PATH: '/bin' }, 5)).toBe(index);
    expect(INDEX_VARIABLES.some(one => one.startsWith(variable))).toBe(true);
  });

  it('prefers the number of the command line', () => {
    expect(arrayIndex('2', { SLURM_ARRAY_TASK_ID: '0' }, 5)).toBe(2);
  });

  it('takes no number from a task of SGE or LSF that is no part of an array', () => {
    const { message, details, exitCode } = refusal(
      undefined,
      { SGE_TASK_ID: 'undefined', LSB_JOBINDEX: '0' },
      5,
    );
    expect(message).toBe('--index: no scheduler says which task of an array this is');
    expect(details).toHaveLength(6);
    expect(exitCode).toBe(2);
  });

  it.each([['5'], ['999999999']])('refuses %s, which no task has', text => {
    const { message, hint } = refusal(undefined, { SLURM_ARRAY_TASK_ID: text }, 5);
    expect(message).toBe(`SLURM_ARRAY_TASK_ID: there is no task ${text}`);
    expect(hint).toContain('from 0 to 4');
  });

  it.each([[''], ['-1'], ['1.5'], ['0x1'], ['1e3'], ['one'], ['1234567890'], ['4294967294'], ['١']])(
    'refuses %j as a number',
    text => {
      expect(refusal(text, {}, 5).message).toContain('is not the number of a task');
    },
  );

  it('refuses two schedulers that say different things, and takes two that agree', () => {
    const env = { SLURM_ARRAY_TASK_ID: '1', SGE_TASK_ID: '1' };
    expect(refusal(undefined, env, 5).message).toContain('SLURM_ARRAY_TASK_ID and SGE_TASK_ID');
    expect(arrayIndex(undefined, { ...env, SGE_TASK_ID: '2' }, 5)).toBe(1);
  });
});
