import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { collectGarbage } from '../../../src/cli/commands/unit/garbage.js';

it('collects what nothing holds, and leaves no way to do it behind', async () => {
  const gone = new WeakRef({ text: 'x'.repeat(1000) });
  const held = { text: 'y' };
  const kept = new WeakRef(held);
  // Until the end of a job V8 keeps what a WeakRef was made of.
  await setImmediate();
  expect(gone.deref()).toBeDefined();
  await setImmediate();
  collectGarbage();
  expect([gone.deref(), kept.deref()]).toEqual([undefined, held]);
  expect('gc' in globalThis).toBe(false);
});
