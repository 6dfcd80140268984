import { ENGINES, type EngineName } from '../../core/engines/facts.js';
import type { EndpointOptions } from './clickhouse/http/endpoint.js';
import type { ClickHouseOptions } from './clickhouse/open.js';
import type { EmbeddedOptions } from './embedded/engine.js';

/** Opens a server, or asks one about itself. The first call loads the engine's package. */
const clickhouse = {
  ...ENGINES.clickhouse,
  /** Errors: QrunError `ENGINE_*`, `CONFIG`. */
  open: async (options: ClickHouseOptions, signal: AbortSignal) =>
    (await import('./clickhouse/engine.js')).openClickHouse(options, signal),
  /** The limits of a server, or the reason if it is away or refuses us. Errors: QrunError `CONFIG`. */
  limits: async (options: EndpointOptions, signal?: AbortSignal) =>
    (await import('./clickhouse/limits.js')).readServerLimits(options, signal),
  /** For looking at one repeatedly. Errors: QrunError `CONFIG`. */
  watch: async (options: EndpointOptions) =>
    (await import('./clickhouse/limits.js')).ServerWatcher.open(options),
};

/** Opens an engine on a data directory. */
const embedded = {
  ...ENGINES.embedded,
  /** For people. */
  title: 'embedded (chDB)',
  /** Errors: QrunError `ENGINE_*`, `DATA_LOCKED`, `CONFIG`. */
  open: async (options: EmbeddedOptions, signal: AbortSignal) =>
    (await import('./embedded/engine.js')).openEmbedded(options, signal),
  /** Loads it without opening anything. Errors: QrunError `ENGINE_MISSING`. */
  check: async () => void (await (await import('./embedded/chdb.js')).loadChdb()),
};

const REGISTRY = { clickhouse, embedded } satisfies Record<EngineName, object>;

/** The engine of this name, with what it takes to use it. */
export function engineOf(name: EngineName) {
  return REGISTRY[name];
}

/** The engine of this name if it runs as a server, otherwise `undefined`. */
export function serverEngineOf(name: EngineName) {
  const engine = engineOf(name);
  return engine.data === 'server' ? engine : undefined;
}

/** The engines that need only their package. */
export function localEngines() {
  return Object.values(REGISTRY).filter(engine => engine.data === 'directory');
}
