import { randomBytes } from 'node:crypto';

/**
 * Returns a new id of a run: the time in UTC to the millisecond and a random number, such as
 * `20260131T120000123-08f74f6a`.
 *
 * Ids sort by time, which shows the newest result in several logs, and are unique among processes that start in the
 * same millisecond.
 */
export function newRunId(): string {
  const time = new Date().toISOString().replace(/[-:.Z]/g, '');
  return `${time}-${randomBytes(4).toString('hex')}`;
}
