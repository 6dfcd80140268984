import { setTimeout as sleep } from 'node:timers/promises';
import { CERTAIN, FAULTS } from '../host-faults.js';
import { type HostPair, noHosts, startHostPair } from '../host-pair.js';
import { HostSweep } from '../host-sweep.js';
import { type Context, type Group, inParallel, type Row, type Trial } from '../tally.js';

// Pairs of hosts at a time: a trial waits for sleeping queries most of the time.
const PAIRS = 2;
const NAMES = Object.keys(FAULTS) as [string, ...string[]];

/** A sweep over two hosts, with kills, cuts and crashes at random moments. */
export const hosts: Group = {
  name: 'hosts',
  async run(context) {
    const row = context.row('sweep over two hosts: kills, cuts, crashes and new texts at random moments');
    const missing = noHosts();
    if (missing !== undefined) row.leaveOut(missing);
    else await allTrials(context, row);
    row.end();
  },
};

async function allTrials(context: Context, row: Row): Promise<void> {
  const times = new Map<string, number>();
  const pairs: HostPair[] = [];
  try {
    const count = context.count(3, 200);
    while (pairs.length < Math.min(PAIRS, count)) pairs.push(await startHostPair(context.home));
    const free = [...pairs];
    await inParallel(count, PAIRS, async n => {
      const pair = free.pop();
      if (pair === undefined) throw new Error('more trials than pairs of hosts');
      await trialOf(context, row, pair, n, times);
      free.push(pair);
    });
  } finally {
    for (const pair of pairs) await pair.stop();
  }
  row.note(
    [...times]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, n]) => `${name} ${n}`)
      .join(', '),
  );
}

// What happened, so that a violation can be understood.
async function trialOf(
  context: Context,
  row: Row,
  pair: HostPair,
  n: number,
  times: Map<string, number>,
): Promise<void> {
  await row.trial(async trial => {
    const { home } = context;
    const random = context.random(`hosts-${n}`);
    const sweep = new HostSweep({ home, pair, random, place: context.places.disk('hosts'), name: `t${n}` });
    const done: string[] = [];
    const violation = (text: string): void => trial.violation(`[${done.join(', ')}] ${text}`);
    const told: Trial = {
      ...trial,
      violation,
      expect: (holds, text) => (holds ? undefined : violation(text)),
    };
    await sweep.begin(told);
    // One of these always takes place.
    const names = [
      ...Array.from({ length: random.int(0, 3) }, () => random.pick(NAMES)),
      random.pick(CERTAIN),
    ];
    for (const name of random.shuffled(names)) {
      await sleep(random.int(0, 600));
      if (await FAULTS[name]?.({ sweep, pair, random })) {
        trial.injected();
        done.push(name);
        times.set(name, (times.get(name) ?? 0) + 1);
      }
      sweep.observe();
    }
    await sweep.verdict(told);
  });
}
