import { setTimeout as delay } from 'node:timers/promises';
import { loadedLibc, loadLibc } from '../../io/machine/libc.js';

const LOAD_LIMIT_MS = 1_000;

/**
 * Ends the process with an exit code, even while one of its threads waits for a disk that does not answer:
 * process.exit waits for such a thread forever. Everything written must have arrived, because nothing of the process
 * runs afterwards.
 */
export function endNow(proc: NodeJS.Process, exitCode: number): void {
  loadedLibc()?.exit(exitCode);
  // Without that call only one way is left, used only where it is needed, because it costs the exit code.
  if (proc.getActiveResourcesInfo().some(name => name.startsWith('FSReq'))) proc.kill(proc.pid, 'SIGKILL');
  proc.exit(exitCode);
}

/** As {@link endNow}, when there is no hurry: with the call that keeps the exit code, where there is one. */
export async function endSoon(proc: NodeJS.Process, exitCode: number): Promise<void> {
  await Promise.race([loadLibc(), delay(LOAD_LIMIT_MS)]);
  endNow(proc, exitCode);
}
