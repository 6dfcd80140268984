import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { withConcurrency } from '../../../src/cli/commands/probe/advice.js';
import type { Terminal } from '../../../src/cli/terminal/streams.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { resolveConfig } from '../../../src/core/config/config.js';
import type { UnitContext } from '../../../src/local/unit/context.js';

const G = 1024 ** 3;
const HOST = { cores: 8, memoryBytes: 64 * G };

/** What a unit of the embedded engine runs with, and what is said about it. */
async function run(flags: Record<string, unknown>, env: Record<string, string> = {}, quiet = false) {
  const { config } = resolveConfig({ toml: undefined, env: {}, flags });
  let said = '';
  const style = createStyle({ color: false, unicode: true, columns: 80 });
  const write = (text: string): void => {
    said += text;
  };
  const writer = { write, busy: false, failed: undefined };
  const terminal: Terminal = {
    proc: { stderr: new PassThrough() } as unknown as NodeJS.Process,
    cwd: '/',
    env,
    out: writer,
    outStyle: style,
    err: writer,
    errStyle: style,
  };
  const context = { config } as UnitContext;
  return { concurrency: (await withConcurrency(context, terminal, quiet, HOST)).config.concurrency, said };
}

describe('-P auto', () => {
  it('is what a unit alone may run, outside pueue', async () => {
    expect(await run({ concurrency: 'auto' })).toEqual({
      concurrency: 16,
      said: '-P auto: 16 queries at a time, 16 threads (2 x 8 cores)\n',
    });
  });

  it('is what a unit among others may run, as a task of pueue', async () => {
    expect(await run({ concurrency: 'auto' }, { PUEUE_GROUP: 'qrun-s' })).toEqual({
      concurrency: 2,
      said: '-P auto: 2 queries at a time, 16 threads (2 x 8 cores) / 6 slots, shared by 6 units (6 = 8 cores x 0.8 / 1 = 6.4)\n',
    });
    // A cap says what a job takes, so that fewer fit beside each other.
    const capped = await run({ concurrency: 'auto', memory_max: '16G' }, { PUEUE_GROUP: 'qrun-s' });
    expect(capped.concurrency).toBe(5);
    expect(capped.said).toContain(
      'shared by 3 units (3 = min(64G x 0.8 / 16G = 3.2, 8 cores x 0.8 / 1 = 6.4))\n',
    );
  });

  it('is not said when nothing shall be, and numbers stay as they are', async () => {
    expect(await run({ concurrency: 'auto' }, {}, true)).toEqual({ concurrency: 16, said: '' });
    expect(await run({ concurrency: '3' })).toEqual({ concurrency: 3, said: '' });
  });
});
