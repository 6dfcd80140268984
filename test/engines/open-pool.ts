import { tmpdir } from 'node:os';
import { permitsOfEach } from '../../src/core/engines/endpoints.js';
import { openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import type { ClickHouseOptions } from '../../src/io/engines/clickhouse/open.js';
import type { Engine } from '../../src/io/engines/engine.js';
import { openPool, type PoolOptions } from '../../src/io/engines/pool/open.js';

/** What a test may say of the pool that it opens. */
export interface TestPool extends Partial<Omit<PoolOptions, 'servers'>> {
  readonly server?: Partial<ClickHouseOptions>;
  readonly signal?: AbortSignal;
}

/** Opens servers as one engine, as a run does. */
export async function openServers(urls: readonly string[], options: TestPool = {}): Promise<Engine> {
  const { server = {}, signal = new AbortController().signal, concurrency = 16, ...pool } = options;
  const permits = permitsOfEach(concurrency, urls.length);
  const open = (url: string) => (closing: AbortSignal) =>
    openClickHouse(
      {
        url,
        concurrency: permits + 1,
        spool: { directory: tmpdir(), thresholdBytes: 1024 * 1024 },
        settings: {},
        ...server,
      },
      closing,
    );
  return await openPool(
    {
      servers: urls.map(url => ({ target: url, permits, open: open(url) })),
      concurrency,
      maxReplicaDelayMs: undefined,
      onNotice: () => {},
      ...pool,
    },
    signal,
  );
}
