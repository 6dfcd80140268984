import { factsOf } from '../../core/engines/facts.js';
import {
  type Advice,
  adviseServers,
  type EngineLimits,
  type Sizing,
  sizeSlots,
} from '../../core/machine/sizing.js';
import type { ServerLimits } from '../../io/engines/clickhouse/limits.js';
import { serverEngineOf } from '../../io/engines/registry.js';
import { type HostFacts, HostMeter } from '../../io/machine/host.js';
import type { RunnableContext, UnitContext } from './context.js';

type Servers = Pick<UnitContext, 'config' | 'connections'>;
type Capacity = Pick<HostFacts, 'cores' | 'memoryBytes'>;

/** What is known about the engine of a configuration. */
export interface KnownEngine {
  readonly facts: EngineLimits['facts'];
  /** The limits of each server, or why they are not known; none if there is no server. */
  readonly servers: readonly (ServerLimits | Error)[];
}

/** Asks the servers of a configuration, if any, for their limits. Errors: QrunError `CONFIG`. */
export async function knownEngine({ config, connections }: Servers): Promise<KnownEngine> {
  const server = serverEngineOf(config.engine);
  const servers = server === undefined ? [] : connections().map(connection => server.limits(connection));
  return { facts: factsOf(config.engine), servers: await Promise.all(servers) };
}

/**
 * Returns what is recommended for a machine, an engine and jobs of a size, and on what basis: for one unit that runs
 * alone, and for each of as many side by side as there are slots.
 */
export function recommend(
  host: Capacity,
  { facts, servers }: KnownEngine,
  job: { readonly memoryBytes: number | undefined; readonly cores: number },
) {
  const engines = servers.map((server): EngineLimits => (server instanceof Error ? { facts } : server));
  const [engine = { facts }, ...others] = engines;
  const sizing = sizeSlots({ cores: host.cores, memoryBytes: host.memoryBytes }, job);
  return {
    sizing,
    alone: adviseServers(host.cores, [engine, ...others], 1),
    together: adviseServers(host.cores, [engine, ...others], sizing.slots),
  };
}

/** The number chosen for `auto`. */
export interface ChosenConcurrency {
  readonly advice: Advice;
  /** The units that share the machine, if this one is not alone. */
  readonly sharedBy: Sizing | undefined;
}

/**
 * Resolves with the context with a number as its concurrency. `auto` becomes what `qrun probe` recommends: for a unit
 * alone, or with `amongOthers` for one of as many as the machine has slots; then `onChosen` is called. A server that
 * does not answer leaves its limits out: opening the engine reports why.
 */
export async function withConcurrency(
  context: UnitContext,
  amongOthers: boolean,
  onChosen: (chosen: ChosenConcurrency) => void = () => {},
  host: Capacity = new HostMeter().capacity(),
): Promise<RunnableContext> {
  const { config } = context;
  const { concurrency: given } = config;
  if (given !== 'auto') return { ...context, config: { ...config, concurrency: given } };
  const { sizing, alone, together } = recommend(host, await knownEngine(context), {
    memoryBytes: config.memoryMax,
    cores: 1,
  });
  const advice = amongOthers ? together : alone;
  onChosen({ advice, sharedBy: amongOthers ? sizing : undefined });
  const shares = advice.of?.map(({ concurrency }) => concurrency);
  return { ...context, config: { ...config, concurrency: advice.concurrency }, shares };
}
