import { formatCount } from '../terminal/format.js';
import type { Terminal } from '../terminal/streams.js';
import { wantsLive } from '../terminal/style.js';

/** A line on a terminal that says how far a command is; nothing if stderr is not a terminal. */
export interface Counter {
  show(what: string, done: number, total: number): void;
  /** Removes the line. */
  close(): void;
}

// Ten times a second is as much as an eye can follow.
const INTERVAL_MS = 100;

/** Opens a counter, which shows nothing yet. */
export async function openCounter({ proc, env, errStyle }: Terminal): Promise<Counter> {
  if (!wantsLive(env, proc.stderr.isTTY === true)) return { show() {}, close() {} };
  const { openLiveArea } = await import('../terminal/live-area.js');
  let line: string[] = [];
  let shownMs = Number.NEGATIVE_INFINITY;
  const area = openLiveArea(proc.stderr, errStyle, () => area.draw(line));
  return {
    show(what, done, total) {
      const nowMs = performance.now();
      if (nowMs - shownMs < INTERVAL_MS && done < total) return;
      shownMs = nowMs;
      line = [`${what} ${formatCount(done)} of ${formatCount(total)}`];
      area.draw(line);
    },
    close() {
      area.draw([]);
      area.close();
    },
  };
}
