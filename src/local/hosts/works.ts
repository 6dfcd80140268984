import type { HostWork } from '../../core/hosts/order.js';
import type { DoWork } from './order.js';

/** What does each work, loaded when it is asked for. */
export const WORKS: { readonly [W in HostWork]: () => Promise<DoWork<W>> } = {
  status: async () => {
    const { sweepWatch } = await import('../sweep/status.js');
    return async (sweep, _order, { env }, signal) => await sweepWatch(sweep, { env, signal }).look();
  },
};
