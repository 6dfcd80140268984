import { describe, expect, it } from 'vitest';
import { resourcesOf } from '../../../src/core/queue/clusters.js';

describe('resourcesOf', () => {
  it('gives a unit memory, time and cores, and its audit only the account', () => {
    const slurm = { partition: 'main', account: 'me', qos: 'low', time: '90m', cpus: 2 };
    const account = { partition: 'main', account: 'me', qos: 'low' };
    expect(resourcesOf({ slurm }, 1024 ** 3)).toEqual({
      unit: { ...account, memoryBytes: 1024 ** 3, timeMs: 90 * 60_000, cpus: 2 },
      audit: account,
    });
  });

  it('leaves to the cluster what nobody says', () => {
    const { unit, audit } = resourcesOf({}, undefined);
    expect(Object.values({ ...unit, ...audit }).every(value => value === undefined)).toBe(true);
  });
});
