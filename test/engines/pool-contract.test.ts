import { afterAll, beforeAll, describe } from 'vitest';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { engineContract } from './contract.js';
import { openServers } from './open-pool.js';

// One external server (QRUN_TEST_URL) is no pool.
describe.skipIf(!clickHouseServerAvailable() || process.env.QRUN_TEST_URL !== undefined)(
  'on two real servers',
  () => {
    const servers: ClickHouseServer[] = [];
    beforeAll(async () => {
      for (const displayName of ['one', 'two']) servers.push(await startClickHouseServer({ displayName }));
    });
    afterAll(async () => {
      for (const server of servers) await server.stop();
    });

    engineContract(
      'pool of two servers',
      options =>
        openServers(
          servers.map(({ url }) => url),
          options,
        ),
      { modern: false },
    );
  },
);
