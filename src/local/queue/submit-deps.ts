import { join } from 'node:path';
import type { SubmitDeps } from '../../app/sweep/submit.js';
import { QrunError } from '../../core/errors.js';
import type { QueueOptions, TaskQueue } from '../../core/queue/queue.js';
import { FileLock } from '../../io/files/flock.js';
import { makeDirectories } from '../../io/files/write-file.js';

/** Returns what a submission uses, for the sweep with this root. Errors of the lock: QrunError `SUBMIT_LOCK`. */
export function submitDeps(
  queue: TaskQueue,
  root: string,
  env: QueueOptions['env'],
  signal: AbortSignal,
): SubmitDeps {
  return {
    queue,
    lastingQueue: () => queue.kind.open({ env }),
    locked: work => submitLocked(root, work, signal),
  };
}

// The other process reads 300,000 files before it takes the lock, and holds it for its adds: 220 take a second.
const LOCK_WAIT_MS = 300_000;

// Runs `work` while no other process does so for this sweep, by a kernel lock on `.qrun/submit.lock`. The lock ends
// with its holder, is never broken because of its age, and never admits two. After five minutes the error names the
// holder.
async function submitLocked<T>(root: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const directory = join(root, '.qrun');
  let lock: FileLock;
  try {
    makeDirectories(directory);
    lock = await FileLock.open(join(directory, 'submit.lock'));
  } catch (cause) {
    throw lockError(cause, `make ${directory} writable; where a group shares the tree: chmod 2770, once`);
  }
  try {
    try {
      await lock.acquire({ limitMs: LOCK_WAIT_MS, signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw lockError(cause, 'another submit-all of this sweep is running: wait for it, or stop it');
    }
    return await work();
  } finally {
    lock.close();
  }
}

function lockError(cause: unknown, hint: string): QrunError {
  return new QrunError('SUBMIT_LOCK', (cause as Error).message, { hint, cause });
}
