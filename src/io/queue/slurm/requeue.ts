import type { QueueOptions } from '../../../core/queue/queue.js';
import { slurmCalls } from './calls.js';

/**
 * Asks Slurm to start the array task of this process again; it waits two minutes before that (`cred_expire`), and ends
 * this process at once. Errors: QrunError `QUEUE_*`.
 */
export async function requeue(options: QueueOptions): Promise<void> {
  const { SLURM_ARRAY_JOB_ID: job, SLURM_ARRAY_TASK_ID: index } = options.env;
  const { call } = await slurmCalls(options);
  // Not SLURM_JOB_ID: the last task of an array has the id of the whole array.
  await call('scontrol', ['requeue', `${job}_${index}`]);
}
