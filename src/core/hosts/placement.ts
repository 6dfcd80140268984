import { createHash } from 'node:crypto';
import type { Host } from './host.js';

/**
 * Returns for each unit the host that it belongs to: by rendezvous hashing, with slots as weights. The same units and
 * hosts always give the same answer, a unit moves only if its host goes or a new one attracts it, and each host gets
 * a share by its slots. Without hosts the result is empty.
 */
export function placeUnits<H extends Pick<Host, 'name' | 'slots'>>(
  units: readonly string[],
  hosts: readonly H[],
): Map<string, H> {
  const placed = new Map<string, H>();
  for (const unit of units) {
    let best: H | undefined;
    let most = 0;
    for (const host of hosts) {
      // Weighted rendezvous: -w / ln(x) of a uniform x in (0, 1) is largest with probability w / sum of w.
      const score = -host.slots / Math.log(uniform(`${host.name}\0${unit}`));
      if (best === undefined || score > most) [best, most] = [host, score];
    }
    if (best !== undefined) placed.set(unit, best);
  }
  return placed;
}

// 48 bits of SHA-256, never 0 or 1. A weaker hash spreads names that differ in one character badly.
function uniform(text: string): number {
  const bits = createHash('sha256').update(text).digest().readUIntBE(0, 6);
  return (bits + 0.5) / 2 ** 48;
}
