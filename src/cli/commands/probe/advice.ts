import {
  type Advice,
  adviseConcurrency,
  type EngineLimits,
  type Sizing,
  sizeSlots,
} from '../../../core/machine/sizing.js';
import type { ServerLimits } from '../../../io/engines/clickhouse/limits.js';
import { type HostFacts, HostMeter } from '../../../io/machine/host.js';
import type { RunnableContext, UnitContext } from '../../../local/unit/context.js';
import type { Terminal } from '../../terminal/streams.js';
import { formatAmount, formatReason, formatSizing } from './render.js';

/** Where the server of a configuration is and who asks; `undefined` for the embedded engine. */
export function serverOptions(context: UnitContext) {
  return context.config.engine === 'embedded' ? undefined : context.connection();
}

/** The limits of a configured server, or why they are not known; `undefined` for the embedded engine. */
export async function serverLimits(context: UnitContext, signal?: AbortSignal) {
  const options = serverOptions(context);
  if (options === undefined) return undefined;
  // Loaded here, because it brings the client package, which the embedded engine does not need.
  const { readServerLimits } = await import('../../../io/engines/clickhouse/limits.js');
  return await readServerLimits(options, signal);
}

/** What is recommended, and from what. */
export interface Recommendation {
  readonly sizing: Sizing;
  /** For one unit that runs alone. */
  readonly alone: Advice;
  /** For each of as many units side by side as there are slots. */
  readonly together: Advice;
}

/** The recommendation for a machine, an engine and jobs of a size. */
export function recommend(
  host: Pick<HostFacts, 'cores' | 'memoryBytes'>,
  server: ServerLimits | Error | undefined,
  job: { readonly memoryBytes: number | undefined; readonly cores: number },
): Recommendation {
  const engine: EngineLimits =
    server === undefined ? { kind: 'embedded' } : server instanceof Error ? { kind: 'clickhouse' } : server;
  const sizing = sizeSlots({ cores: host.cores, memoryBytes: host.memoryBytes }, job);
  return {
    sizing,
    alone: adviseConcurrency(host.cores, engine, 1),
    together: adviseConcurrency(host.cores, engine, sizing.slots),
  };
}

/**
 * The context with a number for its concurrency: `auto` becomes what `qrun probe` recommends, for one unit among as
 * many as the machine has slots when pueue started this process, else for a unit alone. It is said in one line on
 * stderr. A server that does not answer leaves its limits out; opening the engine tells why.
 */
export async function withConcurrency(
  context: UnitContext,
  terminal: Terminal,
  quiet: boolean,
  host: Pick<HostFacts, 'cores' | 'memoryBytes'> = new HostMeter().capacity(),
): Promise<RunnableContext> {
  const { config } = context;
  const { concurrency: given } = config;
  if (given !== 'auto') return { ...context, config: { ...config, concurrency: given } };
  const { sizing, alone, together } = recommend(host, await serverLimits(context), {
    memoryBytes: config.memory_max,
    cores: 1,
  });
  const inPueue = terminal.env.PUEUE_GROUP !== undefined;
  const advice = inPueue ? together : alone;
  if (!quiet) {
    const beside = inPueue
      ? `, shared by ${formatAmount(sizing.slots, 'unit')} (${formatSizing(sizing)})`
      : '';
    terminal.err.write(
      `-P auto: ${formatAmount(advice.concurrency, 'query')} at a time, ${formatReason(advice)}${beside}\n`,
    );
  }
  return { ...context, config: { ...config, concurrency: advice.concurrency } };
}
