import { describe } from 'vitest';
import { servicesRequired } from '../services/clickhouse-server.js';
import { slurmAvailable, startSlurmCluster } from '../services/slurm-cluster.js';
import { queueContract } from './contract.js';

describe.skipIf(!slurmAvailable() && !servicesRequired())('slurm, on a real cluster', () => {
  queueContract('slurm', async () => {
    const cluster = await startSlurmCluster();
    return { queue: await cluster.client(), stop: () => cluster.stop() };
  }, []);
});
