import { ENGINES, type EngineFacts, type EngineName } from '../../core/engines/facts.js';
import type { QrunError } from '../../core/errors.js';
import type { ClickHouseOptions } from './clickhouse/engine.js';
import type { EndpointOptions, ServerLimits, ServerWatcher } from './clickhouse/limits.js';
import type { EmbeddedOptions } from './embedded/engine.js';
import type { Engine, Server } from './engine.js';

/** Opens a server, or asks one about itself. The first call loads the engine's package. */
export interface ServerEngine extends EngineFacts {
  readonly name: EngineName;
  readonly data: 'server';
  /** Errors: QrunError `ENGINE_*`, `CONFIG`. */
  open(options: ClickHouseOptions, signal: AbortSignal): Promise<Server>;
  /** The limits of a server, or the reason if it is away or refuses us. Errors: QrunError `CONFIG`. */
  limits(options: EndpointOptions, signal?: AbortSignal): Promise<ServerLimits | QrunError>;
  /** For looking at one repeatedly. Errors: QrunError `CONFIG`. */
  watch(options: EndpointOptions): Promise<ServerWatcher>;
}

/** Opens an engine on a data directory. */
export interface DirectoryEngine extends EngineFacts {
  readonly name: EngineName;
  readonly data: 'directory';
  /** For people. */
  readonly title: string;
  /** Errors: QrunError `ENGINE_*`, `DATA_LOCKED`, `CONFIG`. */
  open(options: EmbeddedOptions, signal: AbortSignal): Promise<Engine>;
  /** Loads it without opening anything. Errors: QrunError `ENGINE_MISSING`. */
  check(): Promise<void>;
}

const clickhouse: ServerEngine = {
  ...ENGINES.clickhouse,
  open: async (options, signal) => (await import('./clickhouse/engine.js')).openClickHouse(options, signal),
  limits: async (options, signal) =>
    (await import('./clickhouse/limits.js')).readServerLimits(options, signal),
  watch: async options => (await import('./clickhouse/limits.js')).ServerWatcher.open(options),
};

const embedded: DirectoryEngine = {
  ...ENGINES.embedded,
  title: 'embedded (chDB)',
  open: async (options, signal) => (await import('./embedded/engine.js')).openEmbedded(options, signal),
  check: async () => void (await (await import('./embedded/chdb.js')).loadChdb()),
};

const REGISTRY: Readonly<Record<EngineName, ServerEngine | DirectoryEngine>> = { clickhouse, embedded };

/** The engine of this name, with what it takes to use it. */
export function engineOf(name: EngineName): ServerEngine | DirectoryEngine {
  return REGISTRY[name];
}

/** The engine of this name if it runs as a server, otherwise `undefined`. */
export function serverEngineOf(name: EngineName): ServerEngine | undefined {
  const engine = engineOf(name);
  return engine.data === 'server' ? engine : undefined;
}

/** The engines that need only their package. */
export function localEngines(): DirectoryEngine[] {
  return Object.values(REGISTRY).filter(engine => engine.data === 'directory');
}
