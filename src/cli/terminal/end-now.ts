import { setTimeout as delay } from 'node:timers/promises';
import { loadedLibc, loadLibc } from '../../io/machine/libc.js';

const LOAD_LIMIT_MS = 1_000;

/**
 * Ends the process with an exit code, also while a thread of it waits for a disk that does not answer: process.exit
 * waits for such a thread for ever. What was written must have arrived: nothing of the process runs any more.
 */
export function endNow(proc: NodeJS.Process, exitCode: number): void {
  loadedLibc()?.exit(exitCode);
  // Without that call there is one way left, and only where it is needed: it costs the exit code.
  if (proc.getActiveResourcesInfo().some(name => name.startsWith('FSReq'))) proc.kill(proc.pid, 'SIGKILL');
  proc.exit(exitCode);
}

/** As {@link endNow}, for when nothing is in a hurry: with the call that keeps the exit code, where there is one. */
export async function endSoon(proc: NodeJS.Process, exitCode: number): Promise<void> {
  await Promise.race([loadLibc(), delay(LOAD_LIMIT_MS)]);
  endNow(proc, exitCode);
}
