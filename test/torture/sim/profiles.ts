import type { Random } from '../random.js';
import type { Behaviour } from './server.js';
import type { Hazards } from './world.js';

/** A kind of history: what can go wrong in it. */
export interface Profile {
  readonly name: string;
  readonly hazards: (random: Random) => Partial<Hazards>;
  /** Processes that may run at the same time; without leases all of them on the same queries. */
  readonly processes: number;
  readonly lease: boolean;
  readonly powerLoss?: boolean;
  readonly shells?: boolean;
  readonly rogue?: boolean;
  /** The server dies, refuses and loses answers, and queries kill it. */
  readonly serverFaults?: boolean;
  readonly stops?: boolean;
}

/** All kinds of histories; a seed belongs to number seed modulo their number. */
export const PROFILES: readonly [Profile, ...Profile[]] = [
  { name: 'crashes', hazards: r => ({ crash: r.pick([0.005, 0.02]) }), processes: 2, lease: true },
  {
    name: 'crashes, many writers',
    hazards: r => ({ crash: r.pick([0.005, 0.03]) }),
    processes: 3,
    lease: false,
  },
  { name: 'power loss', hazards: () => ({ crash: 0.005 }), processes: 2, lease: false, powerLoss: true },
  {
    name: 'disk errors',
    hazards: r => ({
      writeError: 0.03,
      syncError: 0.04,
      readError: 0.01,
      syncForgets: r.chance(0.7),
      crash: 0.003,
    }),
    processes: 1,
    lease: true,
    powerLoss: true,
  },
  { name: 'server faults', hazards: () => ({}), processes: 1, lease: true, serverFaults: true },
  {
    name: 'shell writers',
    hazards: () => ({ crash: 0.01, noTornEnds: true }),
    processes: 2,
    lease: false,
    shells: true,
  },
  {
    name: 'writer without lock',
    hazards: r => ({ crash: r.pick([0, 0.02]) }),
    processes: 2,
    lease: false,
    rogue: true,
  },
  {
    name: 'stopped processes',
    hazards: () => ({ stop: 0.01, crash: 0.003 }),
    processes: 3,
    lease: false,
    stops: true,
  },
  {
    name: 'everything',
    hazards: () => ({ crash: 0.01, writeError: 0.01, syncError: 0.02, readError: 0.003, stop: 0.003 }),
    processes: 3,
    lease: false,
    powerLoss: true,
    serverFaults: true,
    stops: true,
  },
];

/** Their names, in the same order. */
export const PROFILE_NAMES: readonly string[] = PROFILES.map(profile => profile.name);

/** Further attempts of each query: as many as the server faults that can meet one in one run. */
export const RETRIES = 5;

/** Whether a query may stand as error at the end. An INSERT whose answer is lost is not sent again. */
export function mayFail({ permanent, poison, insert }: Behaviour): boolean {
  return permanent === true || poison === true || insert === true;
}

/** The SQL of a query. */
export function sqlOf(name: string, behaviour: Behaviour | undefined): string {
  return behaviour?.insert === true ? `INSERT INTO t SELECT '${name}'` : `SELECT '${name}'`;
}

/**
 * The queries of a history, and those that do no harm. What can meet such a one in one run: two losses in
 * the company of queries that kill the server (a third one would find it alone), one death of the server by itself,
 * and two refusals or lost answers of its own.
 */
export function makeQueries(random: Random, serverFaults: boolean) {
  const behaviours = new Map<string, Behaviour>();
  const innocent = new Set<string>();
  let poisons = serverFaults ? random.int(0, 2) : 0;
  for (let n = random.int(3, 10); n > 0; n -= 1) {
    const name = `q${n}`;
    const rows = Array.from({ length: random.int(0, 4) }, (_, i) =>
      JSON.stringify({ q: name, i, pad: 'x'.repeat(random.int(0, 90)) }),
    );
    const kind = random.int(0, 9);
    if (poisons > 0 && kind < 4) {
      poisons -= 1;
      behaviours.set(name, { rows: [], poison: true });
    } else if (kind === 4) behaviours.set(name, { rows: [], permanent: true });
    else if (kind === 5 && serverFaults)
      behaviours.set(name, { rows: [], insert: true, losses: random.int(0, 2) });
    else if (kind === 6 && serverFaults) behaviours.set(name, { rows, refusals: random.int(1, 2) });
    else if (kind === 7 && serverFaults) behaviours.set(name, { rows, losses: random.int(1, 2) });
    else behaviours.set(name, { rows });
    const { poison, permanent, insert } = behaviours.get(name) ?? {};
    if (!(poison || permanent || insert)) innocent.add(name);
  }
  return { behaviours, innocent };
}
