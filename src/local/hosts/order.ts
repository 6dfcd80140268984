import { keyOf } from '../../core/config/keys.js';
import { QrunError } from '../../core/errors.js';
import {
  type HostOrder,
  type HostReply,
  type HostReturn,
  type HostWork,
  parseOrder,
} from '../../core/hosts/order.js';
import { refusalOf } from '../../core/hosts/refusal.js';
import { version } from '../../io/machine/this-process.js';
import type { Surroundings } from '../config/sweep-context.js';
import { type ResolvedSweep, resolveSweep } from '../sweep/context.js';
import { onThisMachine } from './hosts-of-tree.js';
import { type DoWork, WORKS } from './works.js';

/**
 * Carries out an order of another machine on the sweep at `root`, and returns what to print. Whoever can log in may
 * give orders: the tree counts as trusted, because it was where the order comes from. Errors of qrun are in the reply;
 * the reason of the signal.
 */
export async function carryOut(
  root: string,
  line: string,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<HostReply> {
  try {
    const order = parseOrder(line, version());
    return { version: version(), returns: await done(root, order, surroundings, signal) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof QrunError) return { version: version(), refusal: refusalOf(error) };
    throw error;
  }
}

async function done<W extends HostWork>(
  root: string,
  order: HostOrder<W>,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<HostReturn<W>> {
  const { work } = order;
  if (!Object.hasOwn(WORKS, work)) {
    throw new QrunError('USAGE', `there is no work ${JSON.stringify(work)} for a host`);
  }
  const load = WORKS[work] as () => Promise<DoWork<W>>;
  const act = await load();
  return await act(sweepOfOrder(root, order, surroundings), order, surroundings, signal);
}

function sweepOfOrder(root: string, order: HostOrder, surroundings: Surroundings): ResolvedSweep {
  const { sweep: name, group, units, time_zone: zone } = order;
  const given = Object.entries(order.given).flatMap(([key, value]) => {
    const known = keyOf(key);
    return known === undefined ? [] : [[known, value] as const];
  });
  // Results depend on it, and a sweep has one, wherever its units run.
  const env = zone === null ? surroundings.env : { ...surroundings.env, TZ: zone };
  const options = { options: Object.fromEntries(given), trust: true };
  const found = resolveSweep(root, options, { ...surroundings, env }, { include: [], exclude: [] });
  const all = onThisMachine(found);
  if (units === null) return { ...all, name, group };
  const here = new Map(all.units.map(unit => [unit.unit, unit]));
  const missing = units.filter(unit => !here.has(unit));
  if (missing.length > 0) {
    throw new QrunError(
      'UNIT_NOT_FOUND',
      `${root} has no unit ${missing[0]}${missing.length > 1 ? `, and ${missing.length - 1} more are missing` : ''}`,
      {
        hint: 'send it the files: qrun hosts push',
      },
    );
  }
  return { ...all, name, group, units: units.flatMap(unit => here.get(unit) ?? []) };
}
