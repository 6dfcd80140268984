import { createRequire } from 'node:module';
import { relative } from 'node:path';
import type { EmbeddedDataDeps } from '../../app/setup/embedded-data.js';
import type { SetupFile } from '../../app/setup/setup.js';
import { permitsOfEach } from '../../core/engines/endpoints.js';
import { shownUrl } from '../../core/text/shown-urls.js';
import { shortHash } from '../../core/unit/fingerprint.js';
import type { Engine } from '../../io/engines/engine.js';
import { engineOf, serverEngineOf } from '../../io/engines/registry.js';
import { SPOOL_THRESHOLD_BYTES, type SpoolOptions } from '../../io/engines/result-body.js';
import { resultLimits } from '../../io/engines/spool-space.js';
import type { Connection } from '../config/connection.js';
import type { RunnableContext } from '../unit/context.js';

/**
 * Opens the server that a configuration names, or all of them as one engine. `onNotice` is called with what a person
 * should know about several servers during the run.
 *
 * Errors: QrunError `ENGINE_*`, `CONFIG`.
 */
export async function openServer(
  context: RunnableContext,
  signal: AbortSignal,
  onNotice: (message: string) => void,
): Promise<Engine> {
  const { config, logDirectory } = context;
  const server = serverEngineOf(config.engine);
  if (server === undefined) throw new Error(`${config.engine} is not a server`);
  const database = config.database === undefined ? {} : { database: config.database };
  const { concurrency, settings } = config;
  const spool = spoolOf(logDirectory, config.maxResult);
  const common = { settings, spool, ...database };
  const [one, ...others] = context.connections();
  if (others.length === 0 && config.maxReplicaDelay !== undefined) {
    onNotice('max_replica_delay has no effect on one server: it chooses among several');
  }
  if (others.length === 0)
    return await server.open({ ...common, concurrency, ...(one as Connection) }, signal);
  const { openPool } = await import('../../io/engines/pool/open.js');
  const each = permitsOfEach(concurrency, 1 + others.length);
  const servers = [one as Connection, ...others].map((connection, index) => {
    const permits = context.shares?.[index] ?? each;
    return {
      target: targetOf(connection.url),
      permits,
      // One more, for questions about the server itself.
      open: (closing: AbortSignal) =>
        server.open({ ...common, ...connection, concurrency: permits + 1 }, closing),
    };
  });
  const { maxReplicaDelay: maxReplicaDelayMs } = config;
  return await openPool({ servers, concurrency, maxReplicaDelayMs, onNotice }, signal);
}

// As an open engine shows it.
function targetOf(url: string): string {
  if (!URL.canParse(url)) return shownUrl(url);
  const { origin, pathname } = new URL(url);
  return pathname === '/' ? origin : `${origin}${pathname}`;
}

/**
 * Opens the embedded engine on the data that a unit's chain of setup files makes; see `app/setup/embedded-data.ts`.
 *
 * Errors: QrunError `ENGINE_*`, `DATA_LOCKED`, `CONFIG`, `SETUP_FAILED`; the reason of the signal that stopped it.
 */
export async function openEmbeddedData(
  context: RunnableContext,
  setup: readonly SetupFile[],
  world: Omit<EmbeddedDataDeps, 'open' | 'redact'> & { readonly pid: number },
): Promise<Engine> {
  const { config, dataDirectory, logDirectory, timeZone, inputs, logPath, root, unit } = context;
  const { openManagedData, openOwnData } = await import('../../app/setup/embedded-data.js');
  const engine = engineOf(config.engine);
  if (engine.data === 'server') throw new Error(`${config.engine} has no data directory`);
  const spool = spoolOf(logDirectory, config.maxResult);
  const open: EmbeddedDataDeps['open'] = (directory, brief) =>
    engine.open(
      {
        concurrency: brief ? 1 : config.concurrency,
        settings: config.settings,
        spool,
        dataDirectory: directory,
        access: { files: config.allowFiles, network: config.allowNetwork },
        ...(timeZone === undefined ? {} : { timeZone }),
      },
      world.drain,
    );
  const deps = { ...world, open, redact: config.redact };
  const request = {
    files: setup,
    parameters: inputs.parameters,
    settings: config.settings,
    resultSettings: inputs.settings,
    engine: engineVersion(),
  };
  if (config.dataDir !== undefined) {
    const notes = await import('../../io/engines/setup-state.js');
    return await openManagedData(deps, dataDirectory, notes, request);
  }
  const [{ DataStore }, { ensureMadeHere }] = await Promise.all([
    import('../../io/engines/embedded/data/store.js'),
    import('../../io/engines/embedded/data/origin.js'),
  ]);
  await ensureMadeHere(dataDirectory, aside => {
    const message =
      `${dataDirectory} was not made here by qrun (it came with the tree, is a copy, or was made by an earlier version): ` +
      `it was set aside as ${aside}, and the data is prepared again; qrun prune lists it`;
    world.emit({ type: 'warning', message });
  });
  // A log is written by one run at a time, and so is the copy that belongs to it.
  const owner = { key: shortHash(relative(root, logPath)), pid: world.pid, unit, log: logPath };
  return await openOwnData(deps, new DataStore(dataDirectory), owner, request);
}

function spoolOf(directory: string, maxResultBytes: number | undefined): SpoolOptions {
  return { directory, thresholdBytes: SPOOL_THRESHOLD_BYTES, ...resultLimits(directory, maxResultBytes) };
}

/** Returns the version of the package with the embedded engine; empty if it is not installed. */
export function engineVersion(): string {
  try {
    const { version } = createRequire(import.meta.url)('chdb/package.json') as { version?: unknown };
    return typeof version === 'string' ? version : '';
  } catch {
    return '';
  }
}
