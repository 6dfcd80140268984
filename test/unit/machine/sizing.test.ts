import { describe, expect, it } from 'vitest';
import { ENGINES } from '../../../src/core/engines/facts.js';
import {
  adviseConcurrency,
  adviseMaxThreads,
  type EngineLimits,
  sizeSlots,
} from '../../../src/core/machine/sizing.js';

const G = 1024 ** 3;

describe('sizeSlots', () => {
  it.each([
    // cores, memory, memory of a job, cores of a job -> slots, bound
    [16, 64, 8, 1, 6, 'memory'],
    [16, 80, 8, 1, 8, 'memory'],
    [8, 640, 8, 1, 6, 'cores'],
    [10, 640, 8, 1, 8, 'cores'],
    [10, 640, 8, 0.5, 16, 'cores'],
    [10, 640, 8, 4, 2, 'cores'],
    [10, 100, 10, 1, 8, 'cores'],
    [16, 640, undefined, 1, 12, 'cores'],
    [16, 8, 8, 1, 1, 'minimum'],
    [1, 64, 1, 1, 1, 'minimum'],
    [0.5, 64, undefined, 1, 1, 'minimum'],
    [2.5, 64, undefined, 1, 2, 'cores'],
  ] as const)(
    '%s cores and %s G, jobs of %s G and %s cores: %i slots, by %s',
    (cores, memory, jobMemory, jobCores, slots, bound) => {
      const job = { memoryBytes: jobMemory === undefined ? undefined : jobMemory * G, cores: jobCores };
      expect(sizeSlots({ cores, memoryBytes: memory * G }, job)).toMatchObject({ slots, bound, job });
    },
  );

  it('shows what each input alone would allow', () => {
    const sizing = sizeSlots({ cores: 10, memoryBytes: 100 * G }, { memoryBytes: 8 * G, cores: 2 });
    expect(sizing.byMemory).toBeCloseTo(10);
    expect(sizing.byCores).toBeCloseTo(4);
    const without = sizeSlots({ cores: 10, memoryBytes: 100 * G }, { memoryBytes: undefined, cores: 2 });
    expect(without.byMemory).toBeUndefined();
  });
});

describe('adviseConcurrency', () => {
  const server = (limits: Partial<EngineLimits>): EngineLimits => ({ facts: ENGINES.clickhouse, ...limits });
  it.each<[string, number, EngineLimits, number, number, string]>([
    ['nothing is known: two for each core', 4, server({}), 1, 8, 'threads'],
    ['the server tells its cores', 4, server({ maxThreads: 16 }), 1, 32, 'threads'],
    ['a soft limit', 4, server({ softThreads: 24, maxThreads: 16 }), 1, 24, 'threads'],
    ['a soft limit per core', 4, server({ softThreadsPerCore: 3, maxThreads: 8 }), 1, 24, 'threads'],
    [
      'limits of 0 are none',
      4,
      server({ softThreads: 0, softThreadsPerCore: 0, maxQueries: 0 }),
      1,
      8,
      'threads',
    ],
    ['slots share the threads', 4, server({ softThreads: 24 }), 4, 6, 'threads'],
    ['more slots than threads', 4, server({ softThreads: 2 }), 4, 1, 'minimum'],
    ['few queries are allowed', 8, server({ maxQueries: 10 }), 1, 8, 'max_concurrent_queries'],
    ['few queries, shared', 8, server({ maxQueries: 10 }), 4, 2, 'max_concurrent_queries'],
    ['a huge server', 4, server({ softThreads: 5000 }), 1, 1024, 'threads'],
    ['embedded', 4, { facts: ENGINES.embedded }, 1, 8, 'threads'],
    [
      'embedded does not take the cores of a server',
      4,
      { facts: ENGINES.embedded, maxThreads: 64 },
      1,
      8,
      'threads',
    ],
    ['embedded with a soft limit', 2, { facts: ENGINES.embedded, softThreads: 64 }, 1, 4, 'embedded'],
  ])('%s', (_title, cores, engine, slots, concurrency, bound) => {
    expect(adviseConcurrency(cores, engine, slots)).toMatchObject({ concurrency, bound, slots });
  });

  it('gives max_threads that share what a slot can count on', () => {
    const advice = adviseConcurrency(4, server({ softThreads: 24 }), 2);
    expect(advice.threadsPerSlot).toBe(12);
    expect([1, 5, 12, 100].map(queries => adviseMaxThreads(advice, queries))).toEqual([12, 2, 1, 1]);
  });
});
