import { Worker } from 'node:worker_threads';

// A case that blocks the event loop cannot be ended from within: from outside the process is, with a word about why.
const LIMIT_MS = 30_000;
const CODE = `
const { workerData: { beats, message, limitMs } } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const counter = new Int32Array(beats);
let seen = -1;
for (;;) {
  const now = Atomics.load(counter, 0);
  if (now === seen) { writeSync(2, message + '\\n'); process.kill(process.pid, 'SIGKILL'); }
  seen = now;
  if (Atomics.wait(counter, 1, 0, limitMs) !== 'timed-out') break;
}
`;

/**
 * Ends this process with SIGKILL, after `message` on standard error, when `beat` was not called for half a minute to a
 * minute, also while the event loop is blocked. `end` lets go.
 */
export function watch(message: string): { readonly beat: () => void; readonly end: () => Promise<void> } {
  const beats = new SharedArrayBuffer(8);
  const counter = new Int32Array(beats);
  const worker = new Worker(CODE, { eval: true, workerData: { beats, message, limitMs: LIMIT_MS } });
  worker.unref();
  return {
    beat: () => void Atomics.add(counter, 0, 1),
    end: async () => {
      Atomics.store(counter, 1, 1);
      Atomics.notify(counter, 1);
      await worker.terminate();
    },
  };
}
