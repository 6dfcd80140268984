import { QrunError } from '../core/errors.js';
import type { Engine } from '../io/engine.js';
import { SPOOL_THRESHOLD_BYTES } from '../io/result-body.js';
import type { RunnableContext, UnitContext } from './context.js';
import { shownUrl } from './secrets.js';

const DEFAULT_URL = 'http://localhost:8123';

/** Opens the engine that a configuration names. Errors: QrunError `ENGINE_*`, `DATA_LOCKED`, `CONFIG`. */
export async function openEngine(context: RunnableContext, signal: AbortSignal): Promise<Engine> {
  const { config, dataDirectory, logDirectory } = context;
  const common = {
    concurrency: config.concurrency,
    settings: config.settings,
    spool: { directory: logDirectory, thresholdBytes: SPOOL_THRESHOLD_BYTES },
  };
  // Loaded here, because each brings a large package that the other engine and the other commands do not need.
  if (config.engine === 'embedded') {
    const { openEmbedded } = await import('../io/embedded.js');
    return await openEmbedded({ ...common, dataDirectory }, signal);
  }
  const url = serverUrl(context);
  const { openClickHouse } = await import('../io/clickhouse.js');
  const password = context.password();
  return await openClickHouse(
    {
      ...common,
      url,
      ...(config.user === undefined ? {} : { user: config.user }),
      ...(password === undefined ? {} : { password }),
      ...(config.database === undefined ? {} : { database: config.database }),
      ...(config.ca_file === undefined ? {} : { caFile: config.ca_file }),
    },
    signal,
  );
}

/** The URL of the server that a configuration names. Errors: QrunError `CONFIG` for one with parameters. */
export function serverUrl({ config }: UnitContext): string {
  const url = config.url ?? DEFAULT_URL;
  // Refused here, because a password may stand there: no message about this URL shows it.
  if (/[?#]/.test(url)) {
    throw new QrunError('CONFIG', `the ClickHouse URL "${shownUrl(url)}" has parameters`, {
      hint: 'settings are given with --set name=value, the password in CLICKHOUSE_PASSWORD or a password file',
    });
  }
  return url;
}
