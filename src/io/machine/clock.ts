import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../core/clock.js';

/** The clock of this machine. */
export const systemClock: Clock = {
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  delay: (ms, signal) => delay(ms, undefined, { signal }).catch(() => {}),
};
