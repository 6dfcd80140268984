import { formatCount } from '../terminal/format.js';
import type { Terminal } from '../terminal/streams.js';
import { wantsLive } from '../terminal/style.js';

/** A line on a terminal that says how far a command is; nothing where stderr is no terminal. */
export interface Counter {
  show(what: string, done: number, total: number): void;
  clear(): void;
}

// Ten times a second is all that an eye can follow.
const INTERVAL_MS = 100;

export function createCounter({ proc, env, err }: Terminal): Counter {
  const live = wantsLive(env, proc.stderr.isTTY === true);
  let shownMs = Number.NEGATIVE_INFINITY;
  let shown = false;
  return {
    show(what, done, total) {
      const nowMs = performance.now();
      if (!live || (nowMs - shownMs < INTERVAL_MS && done < total)) return;
      shownMs = nowMs;
      shown = true;
      err.write(`\r\u001b[K${what} ${formatCount(done)} of ${formatCount(total)}`);
    },
    clear() {
      if (shown) err.write('\r\u001b[K');
      shown = false;
    },
  };
}
