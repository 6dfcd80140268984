import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe } from 'vitest';
import { openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { engineContract } from './contract.js';

describe.skipIf(!clickHouseServerAvailable())('on a real server', () => {
  let server: ClickHouseServer;
  beforeAll(async () => {
    server = await startClickHouseServer();
  });
  afterAll(() => server?.stop());

  engineContract(
    'clickhouse',
    options =>
      openClickHouse(
        {
          url: server.url,
          ...server.admin,
          concurrency: options?.concurrency ?? 16,
          spool: { directory: tmpdir(), thresholdBytes: 1024 * 1024 },
          settings: {},
        },
        new AbortController().signal,
      ),
    // Debian's server is 18.16; the one of QRUN_TEST_URL is meant to be of today.
    { modern: process.env.QRUN_TEST_URL !== undefined },
  );
});
