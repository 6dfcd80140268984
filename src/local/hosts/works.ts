import type { HostOrder, HostReturn, HostWork } from '../../core/hosts/order.js';
import type { Surroundings } from '../config/sweep-context.js';
import type { ResolvedSweep } from '../sweep/context.js';

/** How a work is done on this machine. `sweep` holds only the units of the order. */
export type DoWork<W extends HostWork> = (
  sweep: ResolvedSweep,
  order: HostOrder<W>,
  surroundings: Surroundings,
  signal: AbortSignal,
) => Promise<HostReturn<W>>;

/** What does each work, loaded when it is asked for. */
export const WORKS: { readonly [W in HostWork]: () => Promise<DoWork<W>> } = {
  status: async () => {
    const { lookAtOwn } = await import('../sweep/status.js');
    return async (sweep, { ask }, { env }, signal) => await lookAtOwn(sweep, ask.units, { env, signal });
  },
  look: async () => (await import('./sweep/part.js')).lookAtPart,
  plan: async () => (await import('./sweep/part.js')).planPart,
  submit: async () => (await import('./sweep/part.js')).submitPart,
  measure: async () => {
    const { measureHere } = await import('./slots-here.js');
    return async (sweep, { ask }, { env }, signal) => await measureHere(sweep, ask, { env, signal });
  },
  slots: async () => {
    const { setSlotsHere } = await import('./slots-here.js');
    return async (sweep, { ask }, { env }, signal) => await setSlotsHere(sweep, ask, { env, signal });
  },
  cancel: async () => {
    const { cancelSweep } = await import('../sweep/cancel.js');
    return async (sweep, { ask: { choice, ...options } }, { env }, signal) =>
      await cancelSweep(sweep, { env }, choice, options, { signal });
  },
};
