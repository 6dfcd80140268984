import { describe, expect, it } from 'vitest';
import { planSweep } from '../../../src/app/sweep/plan.js';
import { type ErrorCode, QrunError } from '../../../src/core/errors.js';

const good = (unit: string) => ({ unit, plan: async () => ({ queries: 3, due: 2, bad: 1, digest: unit }) });
const bad = (unit: string, code: ErrorCode) => ({
  unit,
  plan: async () => {
    throw new QrunError(code, `${unit} is bad`, { details: [`x.sql: ${code}`] });
  },
});
const ignore = (): void => {};

describe('planSweep', () => {
  it.each<ErrorCode>(['SQL_INVALID', 'PARAMETERS', 'UNIT_EMPTY', 'UNIT_UNREADABLE'])(
    'refuses all for one unit with %s, or leaves that one out',
    async code => {
      const units = [good('a'), bad('b', code), good('c')];
      await expect(planSweep(units, ignore)).rejects.toMatchObject({ code, exitCode: 2 });
      expect(await planSweep(units, ignore, true)).toEqual([
        { unit: 'a', queries: 3, due: 2, bad: 1, digest: 'a' },
        { unit: 'b', queries: 0, due: 0, bad: 0, digest: '', problem: `b is bad; x.sql: ${code}` },
        { unit: 'c', queries: 3, due: 2, bad: 1, digest: 'c' },
      ]);
    },
  );

  it('never leaves out a unit whose log is the problem, nor all of them', async () => {
    const damaged = [good('a'), bad('b', 'LOG_DAMAGED'), bad('c', 'SQL_INVALID')];
    await expect(planSweep(damaged, ignore, true)).rejects.toMatchObject({ code: 'LOG_DAMAGED' });
    await expect(planSweep([bad('a', 'SQL_INVALID')], ignore, true)).rejects.toMatchObject({
      code: 'SQL_INVALID',
    });
  });
});
