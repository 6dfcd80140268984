import { ENGINES, type EngineFacts, type EngineName } from '../../core/engines/facts.js';
import type { QrunError } from '../../core/errors.js';
import type { ClickHouseOptions } from './clickhouse/engine.js';
import type { EndpointOptions, ServerLimits, ServerWatcher } from './clickhouse/limits.js';
import type { EmbeddedOptions } from './embedded/engine.js';
import type { Engine } from './engine.js';

/** What opens a server, and asks one about itself. Each call loads the package of the engine when it is the first. */
export interface ServerEngine extends EngineFacts {
  readonly name: EngineName;
  readonly data: 'server';
  /** Errors: QrunError `ENGINE_*`, `CONFIG`. */
  open(options: ClickHouseOptions, signal: AbortSignal): Promise<Engine>;
  /** The limits of one that may be away or refuse us: then the reason. Errors: QrunError `CONFIG`. */
  limits(options: EndpointOptions, signal?: AbortSignal): Promise<ServerLimits | QrunError>;
  /** To look at one again and again. Errors: QrunError `CONFIG`. */
  watch(options: EndpointOptions): Promise<ServerWatcher>;
}

/** What opens an engine on a data directory. */
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

/** The engine of a name, with what it takes to use it. */
export function engineOf(name: EngineName): ServerEngine | DirectoryEngine {
  return REGISTRY[name];
}

/** The engine of a configuration that names a server. */
export function serverEngineOf(name: EngineName): ServerEngine | undefined {
  const engine = engineOf(name);
  return engine.data === 'server' ? engine : undefined;
}

/** The engines that need nothing but their package. */
export function localEngines(): DirectoryEngine[] {
  return Object.values(REGISTRY).filter(engine => engine.data === 'directory');
}
