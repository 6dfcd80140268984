import { describe, expect, it } from 'vitest';
import { renderConcurrency } from '../../../src/cli/commands/probe/render.js';
import { type GivenValues, resolveConfig } from '../../../src/core/config/config.js';
import { type ChosenConcurrency, withConcurrency } from '../../../src/local/unit/concurrency.js';
import type { UnitContext } from '../../../src/local/unit/context.js';

const G = 1024 ** 3;
const HOST = { cores: 8, memoryBytes: 64 * G };

/** What a unit of the embedded engine runs with, and what is said about it. */
async function run(flags: GivenValues, amongOthers = false) {
  const { config } = resolveConfig({ toml: undefined, env: {}, flags });
  const context = { config } as UnitContext;
  let said = '';
  const onChosen = (chosen: ChosenConcurrency): void => {
    said += renderConcurrency(chosen);
  };
  const ready = await withConcurrency(context, amongOthers, onChosen, HOST);
  return { concurrency: ready.config.concurrency, said };
}

describe('-P auto', () => {
  it('is what a unit may run alone', async () => {
    expect(await run({ concurrency: 'auto' })).toEqual({
      concurrency: 16,
      said: '-P auto: 16 queries at a time, 16 threads (2 x 8 cores)\n',
    });
  });

  it('is what a unit among others may run, as one of a sweep', async () => {
    expect(await run({ concurrency: 'auto' }, true)).toEqual({
      concurrency: 2,
      said: '-P auto: 2 queries at a time, 16 threads (2 x 8 cores) / 6 slots, shared by 6 units (6 = 8 cores x 0.8 / 1 = 6.4)\n',
    });
    // A cap says what a job takes, so that fewer fit beside each other.
    const capped = await run({ concurrency: 'auto', memoryMax: '16G' }, true);
    expect(capped.concurrency).toBe(5);
    expect(capped.said).toContain(
      'shared by 3 units (3 = min(64G x 0.8 / 16G = 3.2, 8 cores x 0.8 / 1 = 6.4))\n',
    );
  });

  it('leaves a number as it is', async () => {
    expect(await run({ concurrency: '3' })).toEqual({ concurrency: 3, said: '' });
  });
});
