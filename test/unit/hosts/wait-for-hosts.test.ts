import { describe, expect, it } from 'vitest';
import { type HostsLook, SILENT_LIMIT_MS, waitForHosts } from '../../../src/app/hosts/wait-for-hosts.js';

const live = (...units: string[]): HostsLook => ({ live: units, silent: [] });
const silent = (units: string[] = [], says = 'it timed out'): HostsLook => ({
  live: units,
  silent: [{ name: 'beta', says }],
});

/** Waits with these looks, the last of which is given for ever; a pause takes as long as it says. */
async function wait(looks: HostsLook[], { allHere = false, abortAfter = Number.POSITIVE_INFINITY } = {}) {
  const told: string[] = [];
  const control = new AbortController();
  let nowMs = 0;
  let pauses = 0;
  let asked = 0;
  await waitForHosts({
    look: async () => (looks.length > 1 ? looks.shift() : looks[0]) as HostsLook,
    isAllHere: async () => {
      asked += 1;
      return allHere;
    },
    clock: {
      delay: async ms => {
        nowMs += ms;
        pauses += 1;
        if (pauses === abortAfter) control.abort(new Error('stopped'));
      },
      monotonicMs: () => nowMs,
    },
    onWaiting: text => told.push(text),
    signal: control.signal,
  });
  return { told, pauses, nowMs, asked };
}

describe('waitForHosts', () => {
  it('ends when nothing of the sweep waits or runs anywhere, and asks for nothing else', async () => {
    expect(await wait([live()])).toEqual({ told: [], pauses: 0, nowMs: 0, asked: 0 });
    const { told, pauses, asked } = await wait([live('a', 'b', 'c', 'd'), live('d'), live('d'), live()]);
    expect(told).toEqual([
      'waiting for 4 of the sweep to end: a, b, c, ...',
      'waiting for 1 of the sweep to end: d',
    ]);
    expect([pauses, asked]).toEqual([3, 0]);
  });

  it('waits for a silent host as long as others run, and then for its limit, and says so once', async () => {
    const { told, nowMs, asked } = await wait([...Array(100).fill(silent(['a'])), silent()]);
    expect(told).toEqual([
      'nothing is known of beta: it timed out',
      'waiting for 1 of the sweep to end: a',
      'the others have ended: waiting for beta, for 5 minutes at most',
      'beta has not answered for 5 minutes: the audit goes on without it',
    ]);
    expect(nowMs).toBe(500_000 + SILENT_LIMIT_MS);
    expect(asked).toBe(1);
  });

  it('does not wait for a silent host when everything is here', async () => {
    expect(await wait([silent()], { allHere: true })).toMatchObject({ pauses: 0, asked: 1 });
  });

  it('goes on when a silent host is back, and counts anew when it is gone again', async () => {
    const looks = [...Array(50).fill(silent()), live('b'), ...Array(50).fill(silent()), live()];
    const { told, nowMs, asked } = await wait(looks);
    expect(told.filter(text => text.startsWith('nothing is known'))).toHaveLength(2);
    expect(told.at(-1)).toMatch(/^the others have ended/);
    expect([nowMs, asked]).toEqual([101 * 5_000, 2]);
  });

  it('ends with the reason of its signal', async () => {
    await expect(wait([live('a')], { abortAfter: 2 })).rejects.toThrow('stopped');
  });
});
