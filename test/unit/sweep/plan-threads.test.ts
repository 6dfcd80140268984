import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { PlanPool } from '../../../src/local/sweep/plan-threads.js';
import type { UnitContext } from '../../../src/local/unit/context.js';

// Answers with the digits in the unit's name; holds back the answer to `late-N` until the next question comes, exits at
// `exit`, and throws at `throw`.
const THREAD = `
const { parentPort } = require('node:worker_threads');
const due = [];
parentPort.on('message', ({ unit }) => {
  if (unit === 'exit') process.exit(0);
  if (unit === 'throw') throw new Error('the thread failed');
  due.push({ queries: Number(unit.replace(/\\D/g, '')), due: 0 });
  if (unit.startsWith('late')) return;
  for (const answer of due.splice(0)) parentPort.postMessage(answer);
});
`;

let pool: PlanPool | undefined;
let directory = '';

function open(): PlanPool {
  directory = mkdtempSync(join(tmpdir(), 'qrun-pool-'));
  const path = join(directory, 'thread.cjs');
  writeFileSync(path, THREAD);
  pool = new PlanPool(1, pathToFileURL(path));
  return pool;
}

afterEach(async () => {
  await pool?.close();
  rmSync(directory, { recursive: true, force: true });
});

const unit = (name: string): UnitContext =>
  ({ unit: name, directory: '/u', logPath: '/l', inputs: {}, config: {} }) as unknown as UnitContext;
const never = new AbortController().signal;

describe('PlanPool', () => {
  it('never takes the late answer to a question that was given up for that of the next one', async () => {
    const threads = open();
    const stop = new AbortController();
    const first = threads.plan(unit('late-1'), stop.signal);
    const second = threads.plan(unit('unit-2'), never);
    // The question has been asked by now, because the pool asks in a microtask.
    await Promise.resolve().then(() => Promise.resolve());
    stop.abort('SIGTERM');
    await expect(first).rejects.toBe('SIGTERM');
    expect(await second).toEqual({ queries: 2, due: 0 });
    expect(await threads.plan(unit('unit-3'), never)).toEqual({ queries: 3, due: 0 });
  });

  it('goes on with another thread when one fails or ends, and tells whoever waits for it', async () => {
    const threads = open();
    await expect(threads.plan(unit('throw'), never)).rejects.toThrow('the thread failed');
    await expect(threads.plan(unit('exit'), never)).rejects.toThrow('without an answer');
    expect(await threads.plan(unit('unit-4'), never)).toEqual({ queries: 4, due: 0 });
  });

  it('asks nothing for a signal that is aborted already', async () => {
    const threads = open();
    await expect(threads.plan(unit('late-1'), AbortSignal.abort('SIGINT'))).rejects.toBe('SIGINT');
    expect(await threads.plan(unit('unit-2'), never)).toEqual({ queries: 2, due: 0 });
  });

  it('leaves nobody waiting when it is closed', async () => {
    const threads = open();
    const asked = threads.plan(unit('late-1'), never);
    const told = expect(asked).rejects.toThrow('without an answer');
    await Promise.resolve().then(() => Promise.resolve());
    await threads.close();
    await told;
  });
});
