import { formatCount } from '../terminal/format.js';
import { openLines, type Terminal } from '../terminal/streams.js';

// Ten times a second is as much as an eye can follow.
const INTERVAL_MS = 100;

/**
 * Opens a line on a terminal that says how far a command is, and shows nothing yet; there is none if stderr is not a
 * terminal. `close` removes it.
 */
export async function openCounter(terminal: Terminal) {
  const lines = await openLines(terminal, 'err');
  let shownMs = Number.NEGATIVE_INFINITY;
  return {
    show(what: string, done: number, total: number): void {
      const nowMs = performance.now();
      if (nowMs - shownMs < INTERVAL_MS && done < total) return;
      shownMs = nowMs;
      lines?.draw([`${what} ${formatCount(done)} of ${formatCount(total)}`]);
    },
    close(): void {
      lines?.draw([]);
      lines?.area.close();
    },
  };
}
