import {
  changeSlots,
  type SlotsDeps,
  type SlotsHost,
  type SlotsReply,
  type SlotsRequest,
} from '../../app/hosts/slots.js';
import { QrunError } from '../../core/errors.js';
import type { Host } from '../../core/hosts/host.js';
import type { HostAsk, HostReturn, HostWork } from '../../core/hosts/order.js';
import { type SlotsReport, slotsExit } from '../../core/hosts/slots/report.js';
import type { QueueOptions } from '../../core/queue/queue.js';
import { systemClock } from '../../io/machine/clock.js';
import type { Surroundings } from '../config/sweep-context.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { measureHere, setSlotsHere } from './slots-here.js';
import { type HostAnswer, type SweepHosts, withHosts } from './sweep-hosts.js';

/** How a change of slots is stopped and shown. */
export interface SlotsControls extends Pick<SlotsDeps, 'signal' | 'onEvent'> {}

// A look at hundreds of logs on a slow disk. A host that has gone is known after ten seconds.
const LIMIT_MS = 30_000;

/**
 * Sets or shows how many units of a sweep run at a time on its hosts (those with these names; all for an empty list),
 * or with `undefined` on this machine, and watches each by itself; see {@link changeSlots}. Resolves also when `signal`
 * aborts: the report says what the slots are then.
 *
 * Errors: as {@link withHosts}; `USAGE` for `from` that is not less than `slots`. What happens on a host is in the report.
 */
export async function changeSlotsOf(
  sweep: ResolvedSweep,
  names: readonly string[] | undefined,
  surroundings: Surroundings,
  request: SlotsRequest,
  controls: SlotsControls,
): Promise<SlotsReport> {
  const { slots, from } = request;
  if (from !== undefined && (slots === undefined || from >= slots)) {
    throw new QrunError(
      'USAGE',
      `from ${from} to ${slots ?? 'nothing'}: what is watched is a change to more slots`,
      {
        hint: 'give the number that they are to be, and as from a smaller one: that which they were',
      },
    );
  }
  const deps: SlotsDeps = { ...systemClock, ...controls };
  const { signal } = controls;
  const all =
    names === undefined
      ? [await changeSlots(hereAs(sweep, { env: surroundings.env, signal }), request, deps)]
      : await withHosts(sweep, names, { env: surroundings.env, signal }, async hosts =>
          Promise.all(hosts.hosts.map(host => changeSlots(hostAs(host, hosts), request, deps))),
        );
  return {
    sweep: sweep.name,
    group: sweep.group,
    asked: request.slots ?? null,
    watch_ms: request.slots === undefined ? null : (request.watchMs ?? null),
    hosts: all,
    exit_code: slotsExit(all),
  };
}

function hostAs(host: Host, { askOne }: SweepHosts): SlotsHost {
  const one = <W extends HostWork>(work: W, ask: HostAsk<W>): Promise<HostAnswer<HostReturn<W>>> =>
    askOne(host, work, { units: null, ask }, LIMIT_MS);
  return {
    name: host.name,
    configured: host.slots,
    measure: what => one('measure', what),
    set: what => one('slots', what),
  };
}

function hereAs(sweep: ResolvedSweep, options: QueueOptions): SlotsHost {
  const answered = async <T>(work: Promise<T>): Promise<SlotsReply<T>> => {
    try {
      return { returns: await work };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof QrunError)) throw error;
      const { code, message, hint } = error;
      return { problem: { code, says: message, mend: hint ?? 'see what is missing: qrun doctor' } };
    }
  };
  return {
    name: 'here',
    configured: null,
    measure: ask => answered(measureHere(sweep, ask, options)),
    set: ask => answered(setSlotsHere(sweep, ask, options)),
  };
}
