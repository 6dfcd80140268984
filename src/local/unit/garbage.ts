import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Keeps V8 from concluding, while a large unit is planned, where new objects should live. Planning keeps all that it makes;
 * what the same lines make during the run would be taken for kept too and made in the old heap, up to 300 MB of it before
 * it is collected. To be called late and only where it matters: modules of Node that are loaded afterwards are compiled
 * anew (see bin/load-bundle.cjs).
 */
export function expectShortLives(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}

/**
 * Collects garbage now, all of it: some 50 ms after planning 300,000 queries. What planning leaves behind, and what
 * hangs on it, would else stay until V8 thinks of its old heap, which takes 30 MB more by then.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof collect === 'function') collect();
}
